// Reads the sidecars' counters from each pod, through the API server. Needs no installation in the cluster.
import pMap from 'p-map'
import type { Cluster } from '../../cluster/client.ts'
import { ApiError } from '../../cluster/api-error.ts'
import type { Pod } from '../../cluster/objects.ts'
import { parseCounters, type MetricNames, type Reading } from '../../envoy/counters.ts'
import { unlessAborted } from '../../runtime/timeout.ts'
import { podId, type CounterReader } from './counter-reader.ts'

const concurrency = 16

/** A sidecar answers within milliseconds. After so long, it is silent, and must not hold the sample up. */
const leastLimitMs = 3_000
/** A few times what one of many readings takes on a busy machine: `concurrency` of them at a time. */
const msPerPod = 20

/** How long one reading may take: longer for more pods, and where the run may send only so many requests. */
function defaultLimitMs(pods: number, { requestsPerSecond = Infinity }: Cluster, longestMs: number): number {
  return Math.min(Math.max(leastLimitMs, msPerPod * pods) + (1_000 * pods) / requestsPerSecond, longestMs)
}

/**
 * `limitMs`: how long one reading of all pods may take, whatever their number. A pod that has not answered by then counts
 * as unread. `longestMs`: the same where the number of pods decides. `note`: gets a line, once, if the rate of requests is too
 * low for that. `path` and `parse`: what to ask for, and what to keep
 * of it; the request counters by default.
 */
export type SidecarReading = {
  path?: string
  parse?: (text: string) => Reading
  limitMs?: number
  longestMs?: number
  note?: (line: string) => void
}

export function sidecarReader(
  cluster: Cluster,
  metrics: MetricNames,
  {
    path,
    parse = (text) => parseCounters(text, metrics),
    limitMs: givenLimitMs,
    longestMs = 10_000,
    note = () => undefined,
  }: SidecarReading = {},
): CounterReader {
  const [withDurations, withoutDurations] = [path ?? countersPath(metrics), path ?? requestsPath(metrics)]
  const { requestsPerSecond = Infinity } = cluster
  let isNoted = false
  return async (pods, needsDurations = () => true) => {
    const readings = new Map<string, Reading>()
    const limitMs = givenLimitMs ?? defaultLimitMs(pods.length, cluster, longestMs)
    const limit = AbortSignal.timeout(limitMs)
    const isOver = () => limit.aborted
    const read = async (pod: Pod) => {
      if (isOver()) return
      const { namespace = '', name } = pod.metadata
      const asked = needsDurations(pod) ? withDurations : withoutDurations
      const text = await cluster.pod(namespace, name, 15090, asked, limitMs).catch(throwIfForbidden)
      if (text !== undefined && !isOver()) readings.set(podId(pod), parse(text))
    }
    await unlessAborted(pMap(pods, read, { concurrency }), limit).catch((problem: unknown) => {
      if (!isOver()) throw problem
    })
    const isTooSlow = pods.length > (requestsPerSecond * limitMs) / 1_000
    if (isTooSlow && readings.size < pods.length && !isNoted) {
      isNoted = true
      note(describeSlowRate(pods.length, limitMs, requestsPerSecond))
    }
    return readings
  }
}

function describeSlowRate(pods: number, limitMs: number, requestsPerSecond: number): string {
  return (
    `not all counters of ${pods} sidecars can be read within ${limitMs / 1_000} s, so the promotions take turns: raise ` +
    `\`limits.requestsPerSecond\` (${requestsPerSecond}), or promote fewer services in one \`wave\``
  )
}

/** Envoy's own name has a dot or an underscore, and the labels behind it: the filter is a regular expression. */
function countersPath({ requests, duration }: MetricNames): string {
  const hasIstioNames = requests.includes('istio_requests_total') && duration.includes('istio_request_duration')
  // The sizes of requests are histograms, too, and half of the answer.
  if (hasIstioNames)
    return `/stats/prometheus?usedonly&filter=${encodeURIComponent('istio.request(s_total|_duration)')}`
  return `/stats/prometheus?usedonly${requests.includes('istio') ? '&filter=istio.request' : ''}`
}

/** Without the durations. */
function requestsPath({ requests }: MetricNames): string {
  return `/stats/prometheus?usedonly${requests.includes('istio_requests_total') ? '&filter=istio.requests_total' : ''}`
}

/** A pod that does not answer may answer later, or be gone. A missing right stays missing. */
function throwIfForbidden(error: unknown): undefined {
  if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) return undefined
  throw new Error(
    `the counters of the sidecars cannot be read: ${error.message}; ` +
      'the promotion needs the verb get on pods/proxy, or Prometheus (canary.prometheus.counters)',
  )
}
