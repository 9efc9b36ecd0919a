// The evidence that needs nothing installed: the sidecars' own counters, read from each pod through the API server.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import { answers } from '../../mesh/sidecar.ts'
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
  const old = new Set(first.map(idOf))
  await Promise.all(first.filter(answers).map(readPod))

  return async () => {
    const pods = await cluster.list<Pod>('Pod', namespace)
    const health = healthOf(pods.filter(isCanary), restarts)
    const deltas = await Promise.all(pods.filter(answers).map(async (pod) => ({ pod, delta: await readPod(pod) })))
    const canaries = deltas.filter(({ pod }) => isCanary(pod))
    const of = (chosen: (pod: Pod) => boolean) =>
      deltas.filter(({ pod }) => chosen(pod)).map(({ delta }) => served(delta ?? new Map(), metrics, watched.slowAboveMs)).reduce(sum, nothing)
    const users = deltas.map(({ delta }) => asked(delta ?? new Map(), metrics, watched.service, watched.host)).reduce(sum, nothing)
    const observation: Observation = {
      canary: of(isCanary),
      stable: of(isStable),
      users,
      ready: health.ready,
      complete: canaries.length > 0 && canaries.every(({ delta }) => delta !== undefined),
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
  async function readPod(pod: Pod): Promise<Reading | undefined> {
    const id = idOf(pod)
    const filter = metrics.requests.includes('istio') ? '&filter=istio.request' : ''
    const text = await cluster.pod(namespace, pod.metadata.name, 15090, `/stats/prometheus?usedonly${filter}`).catch(() => undefined)
    if (text === undefined) return undefined
    const reading = parse(text, metrics)
    // A pod that came later began at zero; of one that was there before, the first reading is where to count from.
    const delta = difference(readings.get(id) ?? (old.has(id) ? reading : new Map()), reading)
    readings.set(id, reading)
    return delta
  }
}

function idOf({ metadata }: Pod): string {
  return metadata.uid ?? metadata.name
}
