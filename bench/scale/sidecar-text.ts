// What the sidecar of a pod of the benchmark answers at /stats/prometheus: the names, labels and sizes of a proxy of the
// embedded mesh (`stats.json` lists its statistics), with 200 upstream clusters. Pure.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { serviceName, type Place } from './layout.ts'

/** A statistic: Envoy's own name, to which `filter` applies, its lines without their values, and the gain per second. */
type Stat = { name: string; isUsed: boolean; lines: { text: string; perSecond: number }[] }

const upstreamClusters = 200
const edges = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
]
/** Who calls the service, and which other services a client calls: as many series as a busy service has. */
const callers = ['web', 'mobile', 'partner', 'batch', 'admin']
const otherServices = ['catalog', 'users', 'payments', 'search']

const names = JSON.parse(readFileSync(join(import.meta.dirname, 'stats.json'), 'utf8')) as Record<
  'cluster' | 'clusterHistograms' | 'xds' | 'xdsHistograms' | 'managers' | 'managerHistograms',
  string[]
>

/** The answer to this query (`?usedonly&filter=…`) after so many seconds of traffic. */
export function sidecarText(place: Place, query: URLSearchParams, seconds: number): string {
  let text = ''
  for (const { text: series, perSecond } of linesFor(place, query))
    text += `${series} ${Math.floor(perSecond * seconds)}\n`
  return text
}

const cache = new Map<string, Stat['lines']>()

/** Pods of one workload have the same series. */
function linesFor({ role, service, number }: Place, query: URLSearchParams): Stat['lines'] {
  const workload = role === 'client' ? callers[number % callers.length]! : role
  const key = `${role} ${service} ${workload} ${query.toString()}`
  const cached = cache.get(key)
  if (cached) return cached
  const filter = new RegExp(query.get('filter') ?? '')
  const lines = statsOf(role, service, workload)
    .filter(({ name, isUsed }) => filter.test(name) && (isUsed || !query.has('usedonly')))
    .flatMap((stat) => stat.lines)
  cache.set(key, lines)
  return lines
}

function statsOf(role: Place['role'], service: number, workload: string): Stat[] {
  const requests = role === 'client' ? callsOf(workload, service) : servedBy(workload, service)
  const clusters = Array.from({ length: upstreamClusters }, (_, i) =>
    clusterStats(`outbound|80||upstream-${i}.apps.svc.cluster.local`),
  )
  return [...requests, ...clusters.flat(), ...connectionToIstiod()]
}

const namespace = 'scale'

function servedBy(version: string, service: number): Stat[] {
  return callers
    .flatMap((caller) =>
      [...answers].map(([code, share]) =>
        requestStats(
          {
            reporter: 'destination',
            source_workload: caller,
            source_principal: `spiffe://cluster.local/ns/${namespace}/sa/${caller}`,
            source_canonical_service: caller,
            source_canonical_revision: 'latest',
            destination_canonical_service: serviceName(service),
            destination_canonical_revision: version,
            destination_workload: `${serviceName(service)}-${version}`,
            destination_version: version,
            ...destination(serviceName(service)),
            ...response(code),
            connection_security_policy: 'mutual_tls',
          },
          share,
        ),
      ),
    )
    .flat()
}

function callsOf(workload: string, service: number): Stat[] {
  const own = { service: serviceName(service), revisions: ['stable', 'canary'] }
  return [own, ...otherServices.map((each) => ({ service: each, revisions: ['v1'] }))].flatMap(
    ({ service: called, revisions }) =>
      revisions.flatMap((revision) =>
        [...answers].flatMap(([code, share]) =>
          requestStats(
            {
              reporter: 'source',
              source_workload: workload,
              source_canonical_service: workload,
              source_canonical_revision: 'latest',
              destination_canonical_service: called,
              destination_canonical_revision: revision,
              destination_version: revision,
              ...destination(called),
              ...response(code),
            },
            share,
          ),
        ),
      ),
  )
}

/** The part of the answers with each code. */
const answers = new Map([
  ['200', 0.998],
  ['503', 0.002],
])

const destination = (service: string) => ({
  destination_service: `${service}.${namespace}.svc.cluster.local`,
  destination_service_name: service,
  destination_service_namespace: namespace,
  request_protocol: 'http',
})

const response = (code: string) => ({ response_code: code, grpc_response_status: '', response_flags: '-' })

function requestStats(labels: Record<string, string>, perSecond: number): Stat[] {
  const pairs = Object.entries(labels)
  const suffix = pairs.map(([key, value]) => `.${key}.${value}`).join('')
  const text = pairs.map(([key, value]) => `${key}="${value}"`).join(',')
  return [
    {
      name: `istio.istio_requests_total${suffix}`,
      isUsed: true,
      lines: [{ text: `istio_requests_total{${text}}`, perSecond }],
    },
    {
      name: `istio.istio_request_duration_milliseconds${suffix}`,
      isUsed: true,
      lines: histogram('istio_request_duration_milliseconds', text, perSecond),
    },
  ]
}

function histogram(metric: string, labels: string, perSecond: number): Stat['lines'] {
  const buckets = [
    ...edges.map((edge) => ({ le: String(edge), share: Math.min(1, edge / 50) })),
    { le: '+Inf', share: 1 },
  ]
  return [
    ...buckets.map(({ le, share }) => ({
      text: `${metric}_bucket{${labels},le="${le}"}`,
      perSecond: perSecond * share,
    })),
    { text: `${metric}_sum{${labels}}`, perSecond: perSecond * 20 },
    { text: `${metric}_count{${labels}}`, perSecond },
  ]
}

function clusterStats(cluster: string): Stat[] {
  return statsNamed(
    `cluster.${cluster}.`,
    'envoy_cluster_',
    `cluster_name="${cluster}"`,
    names.cluster,
    names.clusterHistograms,
  )
}

/** Not used only: what a filter asks for without `usedonly` is there as well. */
function connectionToIstiod(): Stat[] {
  const xds = statsNamed(
    'cluster.xds-grpc.',
    'envoy_cluster_',
    'cluster_name="xds-grpc"',
    names.xds,
    names.xdsHistograms,
  )
  const managers = statsNamed('', 'envoy_', '', names.managers, names.managerHistograms)
  return [...xds, ...managers].map((stat) => ({ ...stat, lines: stat.lines.map((line) => withState(line, stat.name)) }))
}

/** The proxy is in sync: it has a stream to istiod, and has accepted every update. */
function withState(line: Stat['lines'][number], name: string): Stat['lines'][number] {
  return { ...line, perSecond: /rejected|failure|timeout|reset/.test(name) ? 0 : 1 }
}

function statsNamed(place: string, prefix: string, labels: string, counters: string[], histograms: string[]): Stat[] {
  const metric = (name: string) => `${prefix}${name.replaceAll(/[.-]/g, '_')}`
  const braces = labels && `{${labels}}`
  return [
    ...counters.map((name) => ({
      name: `${place}${name}`,
      isUsed: true,
      lines: [{ text: `${metric(name)}${braces}`, perSecond: 0.01 }],
    })),
    ...histograms.map((name) => ({
      name: `${place}${name}`,
      isUsed: true,
      lines: histogram(metric(name), labels, 0.01).map((line) => ({ ...line, text: line.text.replace('{,', '{') })),
    })),
  ]
}
