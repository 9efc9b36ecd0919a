// What the traffic that is there shows of the policies: the split beside its weights, retries, timeouts and ejections, and
// whether TCP services are reached. From the sidecars' own counters, over a few seconds; what they do not publish is said.
import { counterDeltas, labelsOf, parse, type MetricNames, type Reading } from '../metrics/counters.ts'
import type { Cluster } from '../cluster/client.ts'
import { matches } from '../cluster/labels.ts'
import type { Pod, Service, VirtualService } from '../cluster/objects.ts'
import type { ServicePolicy } from '../config/schema.ts'
import { hasRunningSidecar, isReady } from '../mesh/sidecar.ts'
import { hostOf } from '../policies/compile/index.ts'
import { weightsOf } from '../policies/routes.ts'
import { systemClock } from '../runtime/clock.ts'
import { interval, plausible } from './binomial.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'

/** `ok` is undefined where the counters do not tell: of a retry that nobody needed, nothing is seen. */
export type TrafficCheckRow = {
  service: string
  what: 'split' | 'retries' | 'timeouts' | 'ejections' | 'reachable'
  ok?: boolean
  text: string
}
/** What was counted at one pod in the time watched; undefined when its sidecar could not be read. */
export type Counted = { pod: Pod; delta: Reading | undefined }
export type CounterWindow = {
  namespace: string
  services: Record<string, Pick<ServicePolicy, 'subsets' | 'retries' | 'timeout' | 'circuitBreaker'>>
  /** Without it, Istio's own names, with or without the prefix that a stock Envoy puts before them. */
  metrics?: MetricNames
}

const confidence = 0.99
/** What a failure needs: at 99 % one run in a hundred would fail with nothing wrong. */
const certainty = 0.9999
const istioNames: MetricNames = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
/** By Istio's default the proxies keep these of services to themselves. */
const unpublished =
  'the proxies do not publish it unless asked to (proxyStatsMatcher of the mesh, or the annotation sidecar.istio.io/statsInclusionPrefixes: cluster.outbound on the calling pods)'

export async function checkTraffic(
  cluster: Cluster,
  watched: CounterWindow,
  watchMs: number,
  signal: AbortSignal,
): Promise<TrafficCheckRow[]> {
  const { namespace } = watched
  const [pods, services, routes] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Service>('Service', namespace),
    cluster.list<VirtualService>('VirtualService', namespace),
  ])
  const meshed = pods.filter(hasRunningSidecar)
  const read = () => Promise.all(meshed.map((pod) => readPod(cluster, pod, watched.metrics)))
  const before = await read()
  await systemClock.sleep(watchMs, signal)
  const after = await read()
  const counted = meshed.map((pod, i) => ({ pod, delta: before[i] && after[i] && counterDeltas(before[i], after[i]) }))
  return trafficCheckRows(watched, counted, services, routes, watchMs)
}

// Not `usedonly`: a counter that stands at zero is published, one that is kept back is not.
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
  return text === undefined ? undefined : new Map([...parse(text, metrics ?? istioNames), ...parseClusters(text)])
}

const clusterCounters = [
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_timeout',
  'upstream_rq_per_try_timeout',
  'outlier_detection_ejections_enforced_total',
  'upstream_cx_total',
  'upstream_cx_connect_fail',
]
const tcpCounters = ['istio_tcp_connections_opened_total', 'istio_tcp_connections_closed_total']

/** The counters of Envoy's clusters and of TCP connections, where they are published. */
export function parseClusters(text: string): Reading {
  const names = new Set([
    ...clusterCounters.map((name) => `envoy_cluster_${name}`),
    ...tcpCounters,
    ...tcpCounters.map((name) => `envoy_${name}`),
  ])
  const lines = text.split('\n').filter((line) => names.has(line.slice(0, line.indexOf('{'))))
  return new Map(
    lines.map(
      (line) => [line.slice(0, line.lastIndexOf('} ') + 1), Number(line.slice(line.lastIndexOf('} ') + 2))] as const,
    ),
  )
}

/** Pure: the rows of every service with a policy, and of every TCP service. */
export function trafficCheckRows(
  { namespace, services, metrics = istioNames }: CounterWindow,
  counted: Counted[],
  objects: Service[],
  routes: VirtualService[],
  watchMs: number,
): TrafficCheckRow[] {
  const withPolicies = Object.entries(services).flatMap(([name, policy]) => {
    const host = hostOf(name, namespace)
    const route = routes.find((each) => weightsOf(each, name, namespace) !== undefined)
    return [
      ...(route && policy.subsets
        ? [split(name, host, route, weightsOf(route, name, namespace)!, policy.subsets, counted, metrics, watchMs)]
        : []),
      ...(policy.retries ? [retries(name, host, counted, metrics)] : []),
      ...(policy.timeout !== undefined || policy.retries?.perTryTimeout !== undefined
        ? [timeouts(name, host, counted, metrics)]
        : []),
      ...(policy.circuitBreaker ? [ejections(name, host, counted, metrics)] : []),
    ]
  })
  return [...withPolicies, ...objects.filter(speaksTcp).map((service) => reachable(service, counted))]
}

/** Counted where the requests arrive: by the labels of the pod that served them, which is what a subset is. */
function split(
  service: string,
  host: string,
  route: VirtualService,
  weights: Record<string, number>,
  subsets: Record<string, Record<string, string>>,
  counted: Counted[],
  { requests }: MetricNames,
  watchMs: number,
): TrafficCheckRow {
  const at = (labels: Record<string, string>) =>
    sum(
      counted.filter(({ pod }) => matches(labels, pod.metadata.labels)),
      (series) => series.startsWith(`${requests}{`) && isOf(labelsOf(series), 'destination', service, host),
    )
  const seen = Object.keys(weights).map((name) => ({ name, count: subsets[name] ? at(subsets[name]) : 0 }))
  const all = seen.reduce((total, { count }) => total + count, 0)
  const weight = Object.values(weights).reduce((total, each) => total + each, 0)
  if (all === 0 || weight === 0)
    return {
      service,
      what: 'split',
      text: `no request reached ${service} in ${watchMs / 1000} s, so its split cannot be seen`,
    }
  const parts = seen.map(({ name, count }) => {
    const share = (weights[name] ?? 0) / weight
    const [low, high] = interval(count, all, confidence)
    return {
      likely: plausible(count, all, share, confidence),
      possible: plausible(count, all, share, certainty),
      text: `${name} ${count} of ${all} (${percent(count / all)}, 99 % interval ${percent(low)} to ${percent(high)}; weight ${percent(share)})`,
    }
  })
  const text = parts.map((each) => each.text).join(', ')
  if (parts.every(({ likely }) => likely)) return { service, what: 'split', ok: true, text }
  if (hasOtherWays(route))
    return {
      service,
      what: 'split',
      text: `${text}; other routes or mirrors of VirtualService ${route.metadata.name} add to it, so this is not the weights alone`,
    }
  if (parts.every(({ possible }) => possible))
    return {
      service,
      what: 'split',
      text: `${text}; outside the interval, which chance does once in a hundred times: look again`,
    }
  return {
    service,
    what: 'split',
    ok: false,
    text: `${text}; far outside the interval: a caller is outside the mesh, or a proxy has not taken the weights in`,
  }
}

/** Requests that the weights do not govern reach the same pods. */
function hasOtherWays({ spec: { http = [] } }: VirtualService): boolean {
  return http.length > 1 || http.some((each) => each['mirror'] !== undefined || each['mirrors'] !== undefined)
}

function retries(service: string, host: string, counted: Counted[], metrics: MetricNames): TrafficCheckRow {
  const exhausted = flagged(['URX'], service, host, counted, metrics)
  const tried = clusterSum('upstream_rq_retry', host, counted)
  const given = `${exhausted} requests failed after their last retry`
  if (tried === undefined)
    return { service, what: 'retries', text: `${given}; how many retries there were cannot be seen: ${unpublished}` }
  return {
    service,
    what: 'retries',
    ...shown(tried),
    text: `${tried} retries, ${clusterSum('upstream_rq_retry_success', host, counted) ?? 0} of them successful; ${given}`,
  }
}

function timeouts(service: string, host: string, counted: Counted[], metrics: MetricNames): TrafficCheckRow {
  const whole = flagged(['UT'], service, host, counted, metrics)
  const perTry = clusterSum('upstream_rq_per_try_timeout', host, counted)
  return {
    service,
    what: 'timeouts',
    ...shown(whole + (perTry ?? 0)),
    text: `${whole} requests ended at their timeout; tries that ended at theirs: ${perTry ?? `cannot be seen, for ${unpublished}`}`,
  }
}

function ejections(service: string, host: string, counted: Counted[], metrics: MetricNames): TrafficCheckRow {
  const over = flagged(['UO'], service, host, counted, metrics)
  const refused = `${over} requests were over the limit of connections, ${flagged(['UH'], service, host, counted, metrics)} found no pod left`
  const ejected = clusterSum('outlier_detection_ejections_enforced_total', host, counted)
  if (ejected === undefined)
    return { service, what: 'ejections', text: `${refused}; how many pods were ejected cannot be seen: ${unpublished}` }
  return { service, what: 'ejections', ...shown(ejected + over), text: `${ejected} ejections; ${refused}` }
}

/** A policy is seen where it acted. */
function shown(count: number): { ok?: true } {
  return count > 0 ? { ok: true } : {}
}

function speaksTcp(service: Service): boolean {
  const ports = servicePorts(service)
  return (
    service.spec.selector !== undefined &&
    ports.length > 0 &&
    ports.every((port) => protocolOf(port) === 'tcp' && port.protocol !== 'UDP')
  )
}

/** Servers that speak first cannot be asked by HTTP: their pods must be ready, and no connection to them may have failed. */
function reachable({ metadata: { name, namespace = '' }, spec }: Service, counted: Counted[]): TrafficCheckRow {
  const host = hostOf(name, namespace)
  const ready = counted.filter(({ pod }) => matches(spec.selector!, pod.metadata.labels) && isReady(pod)).length
  if (ready === 0)
    return { service: name, what: 'reachable', ok: false, text: 'no pod with a sidecar is ready behind it' }
  const opened = tcpSum('opened', name, host, counted, () => true)
  const connected = clusterSum('upstream_cx_total', host, counted)
  if (opened === undefined && connected === undefined)
    return {
      service: name,
      what: 'reachable',
      text: `${ready} pods are ready; no connection to it was counted, so whether clients reach it cannot be seen`,
    }
  const failed =
    (clusterSum('upstream_cx_connect_fail', host, counted) ?? 0) +
    (tcpSum('closed', name, host, counted, ({ response_flags: flags = '-' }) => /U[FHO]|NR/.test(flags)) ?? 0)
  return {
    service: name,
    what: 'reachable',
    ...(failed > 0 ? { ok: false } : (connected ?? opened) ? { ok: true } : {}),
    text: `${ready} pods are ready; ${connected ?? opened} connections were made, ${failed} failed`,
  }
}

function isOf(labels: Record<string, string>, reporter: string, service: string, host: string): boolean {
  if (labels['reporter'] !== reporter) return false
  const { destination_service: to = 'unknown', destination_service_name: name = 'unknown' } = labels
  return to === 'unknown' ? name === service || name === 'unknown' : to === host
}

/** Requests that the callers' sidecars ended with one of Envoy's response flags. */
function flagged(
  flags: string[],
  service: string,
  host: string,
  counted: Counted[],
  { requests }: MetricNames,
): number {
  return sum(counted, (series) => {
    if (!series.startsWith(`${requests}{`)) return false
    const labels = labelsOf(series)
    return (
      isOf(labels, 'source', service, host) &&
      (labels['response_flags'] ?? '').split(',').some((flag) => flags.includes(flag))
    )
  })
}

/** Over all callers and all of the service's subsets and ports; undefined when no proxy publishes the counter for it. */
function clusterSum(counter: string, host: string, counted: Counted[]): number | undefined {
  const clusters = (series: string) =>
    new RegExp(`^outbound\\|\\d+\\|[^|]*\\|${host.replaceAll('.', '\\.')}$`).test(
      labelsOf(series)['cluster_name'] ?? '',
    )
  return published(counted, (series) => series.startsWith(`envoy_cluster_${counter}{`) && clusters(series))
}

function tcpSum(
  end: 'opened' | 'closed',
  service: string,
  host: string,
  counted: Counted[],
  chosen: (labels: Record<string, string>) => boolean,
): number | undefined {
  return published(counted, (series) => {
    const labels = labelsOf(series)
    return (
      series.includes(`istio_tcp_connections_${end}_total{`) && isOf(labels, 'source', service, host) && chosen(labels)
    )
  })
}

function published(counted: Counted[], chosen: (series: string) => boolean): number | undefined {
  const any = counted.some(({ delta }) => delta && [...delta.keys()].some(chosen))
  return any ? sum(counted, chosen) : undefined
}

function sum(counted: Counted[], chosen: (series: string) => boolean): number {
  return counted
    .flatMap(({ delta }) => [...(delta ?? [])])
    .filter(([series]) => chosen(series))
    .reduce((total, [, value]) => total + value, 0)
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`
}
