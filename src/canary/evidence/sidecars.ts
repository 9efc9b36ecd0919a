// The evidence that needs nothing installed: the sidecars' own counters, read from each pod through the API server.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import { hasSidecar } from '../../mesh/sidecar.ts'
import { nothing, sum, type Observation } from '../machine.ts'
import { asked, difference, parse, served, type MetricNames, type Reading } from './counters.ts'
import { healthOf, restartsOf, type Health } from './health.ts'

/** What to watch: the pods of each version by their labels, and the service by its names. */
export type Watched = {
  namespace: string
  service: string
  host: string
  stable: Record<string, string>
  canary: Record<string, string>
  metrics: MetricNames
  /** Requests above it, in milliseconds, count as slow. */
  slowAboveMs: number | undefined
}

export type Look = { observation: Observation; health: Health }

/** A reader that remembers its last reading of each pod; each call answers what came since the one before. */
export async function observer(cluster: Cluster, watched: Watched): Promise<() => Promise<Look>> {
  const { namespace, metrics } = watched
  const readings = new Map<string, Reading>()
  const first = await cluster.list<Pod>('Pod', namespace)
  const restarts = restartsOf(first.filter(isCanary))
  await Promise.all(first.filter(answers).map(readPod))

  return async () => {
    const pods = await cluster.list<Pod>('Pod', namespace)
    const health = healthOf(pods.filter(isCanary), restarts)
    const deltas = await Promise.all(pods.filter(answers).map(async (pod) => ({ pod, delta: await readPod(pod) })))
    const of = (chosen: (pod: Pod) => boolean) =>
      deltas.filter(({ pod }) => chosen(pod)).map(({ delta }) => served(delta ?? new Map(), metrics, watched.slowAboveMs)).reduce(sum, nothing)
    const users = deltas.map(({ delta }) => asked(delta ?? new Map(), metrics, watched.service, watched.host)).reduce(sum, nothing)
    const observation: Observation = {
      canary: of(isCanary),
      stable: of(isStable),
      users,
      ready: health.ready,
      complete: deltas.every(({ pod, delta }) => delta !== undefined || !isCanary(pod)),
      ...(health.fault ? { fault: health.fault.text } : {}),
    }
    return { observation, health }
  }

  function isCanary({ metadata }: Pod): boolean {
    return matches(watched.canary, metadata.labels)
  }

  function isStable({ metadata }: Pod): boolean {
    return matches(watched.stable, metadata.labels)
  }

  /** What the pod's sidecar counted since its last reading; undefined when it does not answer (its next answer holds it all). */
  async function readPod({ metadata }: Pod): Promise<Reading | undefined> {
    const id = metadata.uid ?? metadata.name
    const filter = metrics.requests.includes('istio') ? '&filter=istio.request' : ''
    const text = await cluster.pod(namespace, metadata.name, 15090, `/stats/prometheus?usedonly${filter}`).catch(() => undefined)
    if (text === undefined) return undefined
    const reading = parse(text, metrics)
    const delta = difference(readings.get(id) ?? new Map(), reading)
    readings.set(id, reading)
    return delta
  }
}

/** Pods whose sidecar can be asked. One that is ending is not: what replaces it is what is to be judged. */
function answers(pod: Pod): boolean {
  return hasSidecar(pod) && pod.status?.phase === 'Running' && pod.metadata.deletionTimestamp === undefined
}
