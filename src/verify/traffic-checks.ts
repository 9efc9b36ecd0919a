// Checks the policies by the current traffic: splits, retries, timeouts, ejections, and whether TCP services are
// reachable. The sidecars' counters over a few seconds provide the evidence. The rows name counters that the proxies do
// not publish.
import type { MetricNames } from '../envoy/counters.ts'
import type { Cluster } from '../cluster/client.ts'
import { matches } from '../cluster/labels.ts'
import type { Pod, Service, VirtualService } from '../cluster/objects.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'
import { isReady } from '../cluster/pods.ts'
import type { ServicePolicy } from '../config/schema.ts'
import { hasRunningSidecar } from '../mesh/sidecar.ts'
import { hostOf } from '../policies/compile/names.ts'
import { weightsOf } from '../policies/routes.ts'
import {
  clusterSum,
  flaggedRequests,
  istioMetricNames,
  tcpConnections,
  watchCounters,
  type CountedService,
  type PodCounts,
} from './proxy-counters.ts'
import { checkSplit } from './split-check.ts'

/** `ok` is undefined if the counters prove nothing: a retry policy has no effect while no request needs a retry. */
export type TrafficCheckRow = {
  service: string
  what: 'split' | 'retries' | 'timeouts' | 'ejections' | 'reachable' | 'edge'
  ok?: boolean
  text: string
}

type CheckedPolicy = Pick<ServicePolicy, 'subsets' | 'retries' | 'timeout' | 'circuitBreaker'>
export type TrafficCheckScope = {
  namespace: string
  services: Record<string, CheckedPolicy>
  /** Default: Istio's own names, with or without the prefix that a stock Envoy adds. */
  metrics?: MetricNames
}

export async function checkTraffic(
  cluster: Cluster,
  scope: TrafficCheckScope,
  watchMs: number,
  signal: AbortSignal,
): Promise<TrafficCheckRow[]> {
  const { namespace, metrics } = scope
  const [pods, services, routes] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Service>('Service', namespace),
    cluster.list<VirtualService>('VirtualService', namespace),
  ])
  const counts = await watchCounters(cluster, pods.filter(hasRunningSidecar), metrics, watchMs, signal)
  return trafficCheckRows(scope, counts, services, routes, watchMs)
}

/** Pure: the rows of every service with a policy, and of every TCP service. */
export function trafficCheckRows(
  { namespace, services: policies, metrics = istioMetricNames }: TrafficCheckScope,
  counts: PodCounts[],
  services: Service[],
  routes: VirtualService[],
  watchMs: number,
): TrafficCheckRow[] {
  const policyRows = Object.entries(policies).flatMap(([service, policy]) => {
    const target = { service, host: hostOf(service, namespace) }
    const route = routes.find((each) => weightsOf(each, service, namespace) !== undefined)
    const { subsets, retries, timeout, circuitBreaker } = policy
    const weights = route && weightsOf(route, service, namespace)
    return [
      ...(weights && subsets
        ? [
            {
              service,
              what: 'split' as const,
              ...checkSplit({ target, route, weights, subsets }, counts, metrics, watchMs),
            },
          ]
        : []),
      ...(retries ? [retriesRow(target, counts, metrics)] : []),
      ...(timeout !== undefined || retries?.perTryTimeout !== undefined ? [timeoutsRow(target, counts, metrics)] : []),
      ...(circuitBreaker ? [ejectionsRow(target, counts, metrics)] : []),
    ]
  })
  return [...policyRows, ...services.filter(speaksTcp).map((service) => reachableRow(service, counts))]
}

/** By default, Istio's proxies do not publish the counters of services. */
const unpublished =
  'the proxies do not publish it by default (set proxyStatsMatcher of the mesh, or the annotation ' +
  'sidecar.istio.io/statsInclusionPrefixes: cluster.outbound on the calling pods)'

function retriesRow(target: CountedService, counts: PodCounts[], metrics: MetricNames): TrafficCheckRow {
  const row = { service: target.service, what: 'retries' } as const
  const exhausted = `${flaggedRequests(counts, target, 'URX', metrics)} requests failed after their last retry`
  const retries = clusterSum(counts, target, 'upstream_rq_retry')
  if (retries === undefined) return { ...row, text: `${exhausted}; the number of retries is unknown: ${unpublished}` }
  const successful = clusterSum(counts, target, 'upstream_rq_retry_success') ?? 0
  return { ...row, ...okWhenSeen(retries), text: `${retries} retries, ${successful} of them successful; ${exhausted}` }
}

function timeoutsRow(target: CountedService, counts: PodCounts[], metrics: MetricNames): TrafficCheckRow {
  const requests = flaggedRequests(counts, target, 'UT', metrics)
  const tries = clusterSum(counts, target, 'upstream_rq_per_try_timeout')
  const triesText =
    tries === undefined
      ? `the number of tries that ended at theirs is unknown: ${unpublished}`
      : `${tries} tries ended at theirs`
  return {
    service: target.service,
    what: 'timeouts',
    ...okWhenSeen(requests + (tries ?? 0)),
    text: `${requests} requests ended at their timeout; ${triesText}`,
  }
}

function ejectionsRow(target: CountedService, counts: PodCounts[], metrics: MetricNames): TrafficCheckRow {
  const row = { service: target.service, what: 'ejections' } as const
  const overLimit = flaggedRequests(counts, target, 'UO', metrics)
  const unserved = flaggedRequests(counts, target, 'UH', metrics)
  const refused = `${overLimit} requests exceeded the connection limit, ${unserved} found no pod`
  const ejections = clusterSum(counts, target, 'outlier_detection_ejections_enforced_total')
  if (ejections === undefined) return { ...row, text: `${refused}; the number of ejections is unknown: ${unpublished}` }
  return { ...row, ...okWhenSeen(ejections + overLimit), text: `${ejections} ejections; ${refused}` }
}

/** Only a policy that acted is proven to be in force. */
function okWhenSeen(count: number): { ok?: true } {
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

/** HTTP cannot test a server that speaks first. So a pod must be ready, and no connection to it may have failed. */
function reachableRow({ metadata: { name, namespace = '' }, spec }: Service, counts: PodCounts[]): TrafficCheckRow {
  const row = { service: name, what: 'reachable' } as const
  const target = { service: name, host: hostOf(name, namespace) }
  const ready = counts.filter(({ pod }) => matches(spec.selector!, pod.metadata.labels) && isReady(pod)).length
  if (ready === 0) return { ...row, ok: false, text: 'it has no ready pod with a sidecar' }
  const connections = clusterSum(counts, target, 'upstream_cx_total') ?? tcpConnections(counts, target, 'opened')
  if (connections === undefined)
    return {
      ...row,
      text: `${ready} pods are ready; the proxies count no connection to it, so it is unknown whether clients reach it`,
    }
  const failed =
    (clusterSum(counts, target, 'upstream_cx_connect_fail') ?? 0) +
    (tcpConnections(counts, target, 'closed', /U[FHO]|NR/) ?? 0)
  return {
    ...row,
    ...reachability(connections, failed),
    text: `${ready} pods are ready; ${connections} connections were made, ${failed} failed`,
  }
}

function reachability(connections: number, failed: number): { ok?: boolean } {
  if (failed > 0) return { ok: false }
  return connections > 0 ? { ok: true } : {}
}
