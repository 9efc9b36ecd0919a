// Reads the sidecars' counters from each pod, through the API server. Needs no installation in the cluster.
import pMap from 'p-map'
import type { Cluster } from '../../cluster/client.ts'
import { ApiError } from '../../cluster/api-error.ts'
import type { Pod } from '../../cluster/objects.ts'
import { parseCounters, type MetricNames, type Reading } from '../../metrics/counters.ts'
import { podId, type CounterReader } from './counter-reader.ts'

const concurrency = 16
const timeoutMs = 3_000

export function sidecarReader(cluster: Cluster, metrics: MetricNames): CounterReader {
  const filter = metrics.requests.includes('istio') ? '&filter=istio.request' : ''
  return async (pods) => {
    const readings = new Map<string, Reading>()
    const read = async (pod: Pod) => {
      const { namespace = '', name } = pod.metadata
      const path = `/stats/prometheus?usedonly${filter}`
      const text = await cluster.pod(namespace, name, 15090, path, timeoutMs).catch(throwIfForbidden)
      if (text !== undefined) readings.set(podId(pod), parseCounters(text, metrics))
    }
    await pMap(pods, read, { concurrency })
    return readings
  }
}

/** A pod that does not answer may answer later, or be gone. A missing right stays missing. */
function throwIfForbidden(error: unknown): undefined {
  if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) return undefined
  throw new Error(
    `the counters of the sidecars cannot be read: ${error.message}; ` +
      'the promotion needs the verb get on pods/proxy, or Prometheus (canary.prometheus.counters)',
  )
}
