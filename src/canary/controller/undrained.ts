// Checks from outside a promotion whether a canary without weight still serves, and explains why.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { keyOf, type Pod, systemNamespace } from '../../cluster/objects.ts'
import { isReady } from '../../cluster/pods.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { counterDeltas, type MetricNames, type Reading } from '../../envoy/counters.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { addRequests, noRequests } from '../analysis/request-counts.ts'
import { podId } from '../metrics/counter-reader.ts'
import { countServed } from '../metrics/request-outcomes.ts'
import { sidecarReader } from '../metrics/sidecars.ts'
import { readRoutes, readHighestWeight } from '../traffic/router.ts'
import type { Split } from '../../policies/routes.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Labels, VersionSelectors } from '../workload/selectors.ts'
import { waitForDrain, type DrainResult, type SampleRequests } from './drain.ts'
import { lookUpCauses, type LookupScope } from './bypass-causes.ts'

/**
 * The data to sample a canary from outside its promotion. Plain data, because the main step passes it to the post step.
 * `isUnmoved`: the weight was 0 already.
 */
export type DrainTarget = ServingScope & { timeoutMs: number; isUnmoved?: boolean }

export function drainTarget(
  { clients, metrics, progressDeadline }: CanaryConfig,
  selectors: VersionSelectors,
  lastPerSecond?: number,
): DrainTarget {
  return { selectors, clients, metrics, timeoutMs: progressDeadline, lastPerSecond }
}

/** `serving`: the canary still gets requests. `unseen`: nothing shows whether it does. `text`: why, in words. */
export type Undrained = { kind: 'serving' | 'unseen'; text: string }

/** Where to look. `lastPerSecond`: the requests per second that the canary served in its last step, if known. */
export type ServingScope = LookupScope & { lastPerSecond?: number | undefined }

/** What remains of the canary's requests, as a part of those of its last step, may come from testers only below this. */
const testersPart = 1 / 4

/** True if the rate is so far below that of the last step that users have left. An unknown rate rules nothing out. */
export function isFarBelow(perSecond: number, lastPerSecond: number | undefined): boolean {
  return lastPerSecond === undefined || perSecond < testersPart * lastPerSecond
}

/** Undefined if the canary is seen to get no more requests, or only those that routes send to it on purpose. */
export async function findUndrained(
  cluster: Cluster,
  split: Split,
  target: DrainTarget,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Promise<Undrained | undefined> {
  const { selectors, metrics, timeoutMs, lastPerSecond = 0, isUnmoved = false } = target
  if (await hasNoPods(cluster, split.namespace, selectors.canary)) {
    note(`no pod of ${split.canary.name} is there, so it serves no requests`)
    return undefined
  }
  const sample = drainSampler(cluster, split.namespace, selectors.canary, metrics)
  const patience = { timeoutMs, perSecond: lastPerSecond, isUnmoved }
  const result = await waitForDrain(sample, { ...patience, isOver: () => false, clock, note })
  return explainUndrained(cluster, split, result, target, note, clock)
}

/** False if the pods cannot be listed now. */
async function hasNoPods(cluster: Cluster, namespace: string, labels: Labels): Promise<boolean> {
  const pods = await cluster.list<Pod>('Pod', namespace).catch(() => undefined)
  return pods !== undefined && !pods.some((pod) => matches(labels, pod.metadata.labels))
}

/** What the result of the wait means; undefined as for `findUndrained`. */
export async function explainUndrained(
  cluster: Cluster,
  split: Split,
  result: DrainResult,
  scope: ServingScope,
  note: (line: string) => void,
  clock: Clock,
): Promise<Undrained | undefined> {
  if (result.kind === 'unknown') return { kind: 'unseen', text: unseen(split) }
  if (result.kind === 'unserved') return { kind: 'unseen', text: unserved(split, result) }
  if (result.kind !== 'serving') return undefined
  const undrained = await explainServing(cluster, split, result, scope, clock)
  if (undrained) return undrained
  note(`${split.canary.name} still gets the requests of routes that name it on purpose`)
  return undefined
}

function unseen({ service, canary }: Split): string {
  return (
    `weight 0 is written, and this run cannot see whether requests still reach ${canary.name} of ${service}: its ` +
    'sidecars do not answer; check that the account may get pods/proxy, and look at the counters of its pods'
  )
}

function unserved(
  { service, canary }: Split,
  { perSecond, seconds }: Extract<DrainResult, { kind: 'unserved' }>,
): string {
  return (
    `weight 0 is written, and ${seconds} s later ${perSecond.toFixed(1)} requests/s to ${service} still fail before they ` +
    "reach any version (Envoy's flags UH, NR, NC, UF, UO): they may be for " +
    `${canary.name}, whose pods are gone or not ready, so nothing shows that the proxies follow the weight; see ` +
    '`istioctl proxy-status`, and the endpoints of both versions'
  )
}

/** Samples the counters of the pods with these labels. Where no such pod runs, there are no requests: 0. */
export function drainSampler(
  cluster: Cluster,
  namespace: string,
  labels: Labels,
  metrics: MetricNames,
): SampleRequests {
  // Prometheus may store the counters without the prefix that a stock Envoy adds.
  const prefixed = { requests: `envoy_${metrics.requests}`, duration: `envoy_${metrics.duration}` }
  const names = metrics.requests.startsWith('envoy_') ? [metrics] : [metrics, prefixed]
  const reads = names.map((each) => sidecarReader(cluster, each))
  let before: Map<string, Reading> | undefined
  return async () => {
    const pods = (await cluster.list<Pod>('Pod', namespace)).filter(
      (pod) => matches(labels, pod.metadata.labels) && hasRunningSidecar(pod),
    )
    const all = await Promise.all(reads.map((read) => read(pods)))
    const readings = new Map(pods.flatMap((pod) => mergedReading(podId(pod), all)))
    const known = before
    before = new Map([...(known ?? []), ...readings])
    if (!known || readings.size < pods.length) return undefined
    const { requests: served } = [...readings]
      .flatMap(([id, reading]) => {
        const delta = counterDeltas(known.get(id) ?? reading, reading)
        return names.map((each) => countServed(delta, each))
      })
      .reduce(addRequests, noRequests)
    return { served }
  }
}

function mergedReading(id: string, all: Map<string, Reading>[]): [string, Reading][] {
  const parts = all.flatMap((readings) => readings.get(id) ?? [])
  return parts.length < all.length ? [] : [[id, new Map(parts.flatMap((part) => [...part]))]]
}

/**
 * Explains why requests still reach the canary, as far as the cluster shows it; undefined if they are those of testers:
 * routes send these there on purpose, no caller is seen to send others, and the requests of users are missing.
 */
async function explainServing(
  cluster: Cluster,
  split: Split,
  { perSecond, seconds }: Pick<Extract<DrainResult, { kind: 'serving' }>, 'perSecond' | 'seconds'>,
  scope: ServingScope,
  clock: Clock,
): Promise<Undrained | undefined> {
  const routes = await readRoutes(cluster, split).catch(() => [])
  const where = routes.length > 0 ? routes.map(keyOf).join(', ') : 'the routes'
  const serving =
    `${seconds} s later the proxies still send ${perSecond.toFixed(1)} requests/s to ` +
    `${split.canary.name} of ${split.service}`
  const weight = await readHighestWeight(cluster, split).catch(() => 0)
  if (weight > 0)
    return {
      kind: 'serving',
      text:
        `weight 0 was written to ${where}, and ${serving}: someone has written ${weight} there since; ` +
        'find out who does (GitOps, another pipeline), and run the stage rollback again',
    }
  const { causes, callers, notes, pinned } = await lookUpCauses(cluster, split, scope, clock)
  if (causes.length === 0 && callers.length === 0 && pinned.canary)
    return isFarBelow(perSecond, scope.lastPerSecond)
      ? undefined
      : { kind: 'unseen', text: `weight 0 is in ${where}, and ${serving}: ${unlikeTesters(split, scope)}` }
  const istiod = await describeIstiod(cluster)
  const found = [
    ...causes,
    ...(callers.length > 0
      ? [
          `${callers.join(', ')}, and ${pinned.canary ? 'they are testers, or ' : ''}` +
            `istiod has not told their proxies (${istiod}); \`istioctl proxy-status\` shows which of them lag behind`,
        ]
      : []),
  ]
  const why = found.length > 0 ? found.join('; ') : `${notes} (${istiod})`
  return { kind: 'serving', text: `weight 0 is in ${where}, and ${serving}: ${why}` }
}

function unlikeTesters({ canary }: Split, { lastPerSecond = 0 }: ServingScope): string {
  return (
    `routes send testers there on purpose, but this is too much of the ${lastPerSecond.toFixed(1)} requests/s of the ` +
    `last step to show that users have left; look at who calls ${canary.name}`
  )
}

/** The state of istiod's pods, and their last log line about a failed watch. */
export async function describeIstiod(cluster: Cluster): Promise<string> {
  const pods = await cluster.list<Pod>('Pod', systemNamespace, { labelSelector: 'app=istiod' }).catch(() => undefined)
  if (!pods) return `this run cannot read its pods in ${systemNamespace}`
  if (pods.length === 0) return `none of its pods runs in ${systemNamespace}`
  return (await Promise.all(pods.map((pod) => describeIstiodPod(cluster, pod)))).join('; ')
}

async function describeIstiodPod(cluster: Cluster, pod: Pod): Promise<string> {
  const { name } = pod.metadata
  if (isReady(pod)) return `${name} is ready; ${await lastWatchError(cluster, name)}`
  return `${name}: ${await causeOf(cluster, pod).catch(messageOf)}`
}

async function lastWatchError(cluster: Cluster, pod: string): Promise<string> {
  const log = await cluster.log(systemNamespace, pod, 'discovery', 500).catch(() => undefined)
  if (log === undefined) return 'this run cannot read its log'
  const line = log.split('\n').findLast((each) => /\bwatch error\b|failed to (list|watch)/i.test(each))
  if (line === undefined) return 'its log shows no failed watch'
  return `its log says: ${line.replaceAll('\t', ' ').slice(0, 300)}`
}
