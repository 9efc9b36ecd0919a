// Reads what the sidecars count during a few seconds: requests, TCP connections, and Envoy's cluster counters.
import { counterDeltas, labelsOf, parseCounters, type MetricNames, type Reading } from '../envoy/counters.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { systemClock } from '../runtime/clock.ts'

/** What one pod's sidecar counted during the watch; `delta` is undefined if its counters could not be read. */
export type PodCounts = { pod: Pod; delta: Reading | undefined }
/** The service to count. `host`: its full name. */
export type CountedService = { service: string; host: string }

export const istioMetricNames: MetricNames = {
  requests: 'istio_requests_total',
  duration: 'istio_request_duration_milliseconds',
}

/**
 * Reads the pods' counters twice, `watchMs` apart. Without `metrics`: Istio's names, with or without Envoy's prefix.
 */
export async function watchCounters(
  cluster: Cluster,
  pods: Pod[],
  metrics: MetricNames | undefined,
  watchMs: number,
  signal: AbortSignal,
): Promise<PodCounts[]> {
  const readAll = () => Promise.all(pods.map((pod) => readPod(cluster, pod, metrics)))
  const before = await readAll()
  await systemClock.sleep(watchMs, signal)
  const after = await readAll()
  return pods.map((pod, i) => ({ pod, delta: before[i] && after[i] && counterDeltas(before[i], after[i]) }))
}

// Without `usedonly`, because a counter at zero differs from one that is not published.
const filter = encodeURIComponent(
  '(istio|upstream_rq_(retry|timeout|per_try_timeout)|ejections_enforced_total|upstream_cx_(total|connect_fail))',
)

async function readPod(
  cluster: Cluster,
  { metadata }: Pod,
  metrics: MetricNames | undefined,
): Promise<Reading | undefined> {
  const raw = await cluster
    .pod(metadata.namespace ?? '', metadata.name, 15090, `/stats/prometheus?filter=${filter}`)
    .catch(() => undefined)
  const text = metrics ? raw : raw?.replaceAll(/^envoy_istio_/gm, 'istio_')
  if (text === undefined) return undefined
  return new Map([...parseCounters(text, metrics ?? istioMetricNames), ...parseClusters(text)])
}

const clusterCounters = [
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_timeout',
  'upstream_rq_per_try_timeout',
  'upstream_rq_pending_overflow',
  'outlier_detection_ejections_enforced_total',
  'upstream_cx_total',
  'upstream_cx_connect_fail',
] as const
export type ClusterCounter = (typeof clusterCounters)[number]
const tcpCounters = ['istio_tcp_connections_opened_total', 'istio_tcp_connections_closed_total']
const parsedNames = new Set([
  ...clusterCounters.map((name) => `envoy_cluster_${name}`),
  ...tcpCounters,
  ...tcpCounters.map((name) => `envoy_${name}`),
])

/** The counters of Envoy's clusters and of TCP connections, where the proxy publishes them. */
export function parseClusters(text: string): Reading {
  const lines = text.split('\n').filter((line) => parsedNames.has(line.slice(0, line.indexOf('{'))))
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf('} ') + 1
      return [line.slice(0, end), Number(line.slice(end + 1))] as const
    }),
  )
}

/** Requests to the service that these pods served. */
export function servedRequests(counts: PodCounts[], target: CountedService, { requests }: MetricNames): number {
  return sum(counts, (series) => series.startsWith(`${requests}{`) && isTo(target, labelsOf(series), 'destination'))
}

/** Requests to the service that the callers' sidecars ended with this response flag of Envoy. */
export function flaggedRequests(
  counts: PodCounts[],
  target: CountedService,
  flag: string,
  { requests }: MetricNames,
): number {
  return sum(counts, (series) => {
    if (!series.startsWith(`${requests}{`)) return false
    const labels = labelsOf(series)
    return isTo(target, labels, 'source') && (labels['response_flags'] ?? '').split(',').includes(flag)
  })
}

/** The sum over all callers, subsets and ports of the service; undefined if no proxy publishes the counter. */
export function clusterSum(counts: PodCounts[], { host }: CountedService, counter: ClusterCounter): number | undefined {
  const isCluster = new RegExp(`^outbound\\|\\d+\\|[^|]*\\|${host.replaceAll('.', '\\.')}$`)
  return publishedSum(
    counts,
    (series) =>
      series.startsWith(`envoy_cluster_${counter}{`) && isCluster.test(labelsOf(series)['cluster_name'] ?? ''),
  )
}

/**
 * TCP connections to the service; undefined if no proxy publishes them. `flags`: counts only connections that ended
 * with one of these flags.
 */
export function tcpConnections(
  counts: PodCounts[],
  target: CountedService,
  end: 'opened' | 'closed',
  flags?: RegExp,
): number | undefined {
  return publishedSum(counts, (series) => {
    if (!series.includes(`istio_tcp_connections_${end}_total{`)) return false
    const labels = labelsOf(series)
    return isTo(target, labels, 'source') && (flags?.test(labels['response_flags'] ?? '-') ?? true)
  })
}

/** `reporter`: `source` for the callers' sidecars, `destination` for the sidecars of the served pods. */
function isTo(
  { service, host }: CountedService,
  labels: Readonly<Record<string, string>>,
  reporter: 'source' | 'destination',
): boolean {
  if (labels['reporter'] !== reporter) return false
  const { destination_service: to = 'unknown', destination_service_name: name = 'unknown' } = labels
  return to === 'unknown' ? name === service || name === 'unknown' : to === host
}

type SeriesFilter = (series: string) => boolean

function publishedSum(counts: PodCounts[], isWanted: SeriesFilter): number | undefined {
  const isPublished = counts.some(({ delta }) => delta && [...delta.keys()].some(isWanted))
  return isPublished ? sum(counts, isWanted) : undefined
}

function sum(counts: PodCounts[], isWanted: SeriesFilter): number {
  return counts
    .flatMap(({ delta }) => [...(delta ?? [])])
    .filter(([series]) => isWanted(series))
    .reduce((total, [, value]) => total + value, 0)
}
