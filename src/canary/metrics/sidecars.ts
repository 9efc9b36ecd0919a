// The evidence that needs nothing installed: the sidecars' own counters, read from each pod through the API server.
import pMap from 'p-map'
import { ApiError, type Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { parse, type MetricNames, type Reading } from './counters.ts'

/** Reads the counters of these pods, by the pods' ids; without those that do not answer. Rejects when none can be read at all. */
export type CounterReader = (pods: Pod[]) => Promise<Map<string, Reading>>

const atOnce = 16
const patienceMs = 3_000

export function sidecarReader(cluster: Cluster, metrics: MetricNames): CounterReader {
  const filter = metrics.requests.includes('istio') ? '&filter=istio.request' : ''
  return async (pods) => {
    const readings = new Map<string, Reading>()
    const read = async (pod: Pod) => {
      const { namespace = '', name } = pod.metadata
      const path = `/stats/prometheus?usedonly${filter}`
      const text = await cluster.pod(namespace, name, 15090, path, patienceMs).catch(unanswered)
      if (text !== undefined) readings.set(idOf(pod), parse(text, metrics))
    }
    await pMap(pods, read, { concurrency: atOnce })
    return readings
  }
}

/** A pod may come and go; what is forbidden will stay so. */
function unanswered(error: unknown): undefined {
  if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) return undefined
  throw new Error(
    `the counters of the sidecars cannot be read: ${error.message}; the promotion needs the verb get on pods/proxy, or Prometheus (canary.prometheus.counters)`,
  )
}

export function idOf({ metadata }: Pod): string {
  return metadata.uid ?? metadata.name
}
