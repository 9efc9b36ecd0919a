// Reads the sidecars' counters from each pod, through the API server. Needs no installation in the cluster.
import pMap from 'p-map'
import type { Cluster } from '../../cluster/client.ts'
import { ApiError } from '../../cluster/api-error.ts'
import type { Pod } from '../../cluster/objects.ts'
import { parseCounters, type MetricNames, type Reading } from '../../metrics/counters.ts'
import { unlessAborted } from '../../runtime/timeout.ts'
import { podId, type CounterReader } from './counter-reader.ts'

const concurrency = 16
const defaultLimitMs = 3_000

/**
 * `limitMs`: how long one reading of all pods may take. A pod that has not answered by then counts as unread. `path` and
 * `parse`: what to ask for, and what to keep of it; the request counters by default.
 */
export type SidecarReading = { path?: string; parse?: (text: string) => Reading; limitMs?: number }

export function sidecarReader(
  cluster: Cluster,
  metrics: MetricNames,
  {
    path = countersPath(metrics),
    parse = (text) => parseCounters(text, metrics),
    limitMs = defaultLimitMs,
  }: SidecarReading = {},
): CounterReader {
  return async (pods) => {
    const readings = new Map<string, Reading>()
    const limit = AbortSignal.timeout(limitMs)
    const isOver = () => limit.aborted
    const read = async (pod: Pod) => {
      if (isOver()) return
      const { namespace = '', name } = pod.metadata
      const text = await cluster.pod(namespace, name, 15090, path, limitMs).catch(throwIfForbidden)
      if (text !== undefined && !isOver()) readings.set(podId(pod), parse(text))
    }
    await unlessAborted(pMap(pods, read, { concurrency }), limit).catch((problem: unknown) => {
      if (!isOver()) throw problem
    })
    return readings
  }
}

function countersPath({ requests }: MetricNames): string {
  return `/stats/prometheus?usedonly${requests.includes('istio') ? '&filter=istio.request' : ''}`
}

/** A pod that does not answer may answer later, or be gone. A missing right stays missing. */
function throwIfForbidden(error: unknown): undefined {
  if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) return undefined
  throw new Error(
    `the counters of the sidecars cannot be read: ${error.message}; ` +
      'the promotion needs the verb get on pods/proxy, or Prometheus (canary.prometheus.counters)',
  )
}
