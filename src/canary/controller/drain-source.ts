// Chooses what shows that a canary without weight serves nothing: its sidecars or, if they cannot be read, Prometheus.
import type { Pod } from '../../cluster/objects.ts'
import { isReady } from '../../cluster/pods.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { prometheusClient } from '../../observability/metrics/prometheus-client.ts'
import { scrapeTimeQuery } from '../metrics/prometheus-counters.ts'
import type { PromotionContext } from './context.ts'
import type { DrainOptions, SampleRequests } from './drain.ts'
import { drainSampler } from './undrained.ts'

export type DrainSource = { sample: SampleRequests } & Pick<DrainOptions, 'unconfirmedMs'>

/** Prometheus shows what it scraped last, which may be a minute old. */
const slowestScrapesMs = 150_000

export async function drainSource(context: PromotionContext): Promise<DrainSource> {
  const { cluster, split, selectors, plan } = context
  if (!plan.prometheus?.counters) return { sample: sampleSidecars(context) }
  const sample = drainSampler(cluster, split.namespace, selectors.canary, plan.metrics)
  const isReadable = await sample().then(
    () => true,
    () => false,
  )
  return isReadable
    ? { sample }
    : { sample: samplePrometheus(context, plan.prometheus), unconfirmedMs: slowestScrapesMs }
}

/**
 * The canary's own sidecars show what it serves, and its callers' what fails before it. Where a pod of it is ready, such
 * failures may be stable's alone. Where no pod of it can answer, the callers alone know.
 */
export function sampleSidecars({ observer }: Pick<PromotionContext, 'observer'>): SampleRequests {
  return async () => {
    const { observed, canaryTries } = await observer.sample()
    const canaries = observer.canaries()
    const isKnownByCallers = canaries.every(getsNoRequests) && !observed.callersSilent
    if (!observed.complete && !isKnownByCallers) return undefined
    return {
      served: canaryTries,
      ...(canaries.some(isEndpoint) ? {} : { unserved: observed.unserved?.violations ?? 0 }),
    }
  }
}

function isEndpoint(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && isReady(pod)
}

/** A pod that ends, or that is not ready and has no running sidecar. */
function getsNoRequests(pod: Pod): boolean {
  return !hasRunningSidecar(pod) && !isEndpoint(pod)
}

/** Counts only what was scraped since the last count: between two scrapes, every counter stands still. */
function samplePrometheus(
  { cluster, observer, plan }: PromotionContext,
  settings: NonNullable<PromotionContext['plan']['prometheus']>,
): SampleRequests {
  const query = prometheusClient(cluster, settings)
  let last: number | undefined
  return async () => {
    const [oldest] = await query(scrapeTimeQuery(plan.metrics, observer.canaries()))
    if (!oldest || (last !== undefined && oldest.value <= last)) return undefined
    last = oldest.value
    return { served: (await observer.sample()).canaryTries }
  }
}
