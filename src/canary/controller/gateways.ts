// Finds the gateways whose routes split a canary's traffic. A request that reaches no version shows only in the counters of
// its caller, so the proxies of a gateway have to be read, too.
import { isForbidden, undefinedWhenForbidden } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import { selectorText } from '../../cluster/labels.ts'
import {
  systemNamespace,
  type GatewayRoute,
  type KubeObject,
  type Pod,
  type VirtualService,
} from '../../cluster/objects.ts'
import { listReadableEverywhere } from '../../cluster/readable.ts'
import { missingRights, rightOn } from '../../cluster/rights.ts'
import { allCanariesOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { gatewaysOf, meshGateway } from '../../policies/merge/merge-hosts.ts'
import { isVirtualService, splitOf, splitsTraffic, type Routed } from '../../policies/routes.ts'
import { distinct } from '../../runtime/distinct.ts'
import { rootsOf } from '../../policies/weights/testers.ts'

/** The pods of a gateway in one namespace. */
export type GatewayPods = { namespace: string; labelSelector: string }

/** `unread`: of each service, the gateways of which this run may not look for all pods, or not read their counters. */
export type SplittingGateways = { pods: GatewayPods[]; unread: Map<string, string[]> }

export async function findGateways(cluster: Cluster, config: Config): Promise<SplittingGateways> {
  const routes = await readRoutes(cluster, config.namespace)
  const perCanary = allCanariesOf(config).map(async (plan) => {
    const split = splitOf(config, plan)
    const splitting = routes.filter((each) => splitsTraffic(each, split))
    const refs = splitting.flatMap((each) => [each, ...rootsOf(each, routes)]).flatMap(gatewaysIn)
    const found = await Promise.all(
      distinct(refs).map(async (ref) => {
        const pods = await podsOf(cluster, ref)
        const read = await onlyReadable(cluster, config, pods ?? [])
        return { ref, read, isUnread: !pods || read.length < pods.length }
      }),
    )
    const unread = found.filter(({ isUnread }) => isUnread).map(({ ref }) => `Gateway ${ref.namespace}/${ref.name}`)
    return { service: plan.service, pods: found.flatMap(({ read }) => read), unread }
  })
  const all = await Promise.all(perCanary)
  return {
    pods: distinct(all.flatMap(({ pods }) => pods)),
    unread: new Map(all.map(({ service, unread }) => [service, unread])),
  }
}

/** @throws Error if a gateway sends the service requests, and the proxies of no gateway are read. */
export function requireReadGateways(
  unread: readonly string[],
  { service, clients = [], prometheus }: CanaryConfig,
  key: string,
  pods: readonly Pod[],
  note: (line: string) => void,
): void {
  const namespaces = pods.filter(isGatewayPod).map(({ metadata }) => metadata.namespace ?? '')
  // Whoever names the namespace of a gateway has told which pods to read.
  if (unread.length === 0 || namespaces.some((namespace) => clients.includes(namespace))) return
  const fault =
    `the ${unread.join(', ')} routes requests to ${service}, and this run does not read all of its pods: it does not see ` +
    'requests that fail there before they reach any version; name the namespace of these pods in `clients`, and bind the ' +
    'ClusterRole mesh-canary-callers there (deploy/rbac/deliver.yaml)'
  if (prometheus?.counters) return note(`${fault}, of which Prometheus needs only list and watch of pods`)
  if (namespaces.length > 0) return note(fault)
  throw new Error(`${key}: ${fault}`)
}

/** Istio's own gateways and those of the Gateway API start the proxy as a router. */
function isGatewayPod({ spec }: Pod): boolean {
  return spec.containers.some(({ name, args = [] }) => name === 'istio-proxy' && args.includes('router'))
}

async function readRoutes(cluster: Cluster, namespace: string): Promise<Routed[]> {
  const kinds = ['VirtualService', 'HTTPRoute', 'GRPCRoute'] as const
  const lists = kinds.map((kind) => listReadableEverywhere<VirtualService | GatewayRoute>(cluster, kind, [namespace]))
  return (await Promise.all(lists)).flatMap(({ objects }) => objects)
}

type GatewayRef = { api: 'istio' | 'gateway-api'; namespace: string; name: string }

function gatewaysIn(object: Routed): GatewayRef[] {
  const own = object.metadata.namespace ?? ''
  if (isVirtualService(object))
    return gatewaysOf(object.spec as Record<string, unknown>, own)
      .filter((each) => each !== meshGateway)
      .map((each) => each.split('/'))
      .map(([namespace = '', name = '']) => ({ api: 'istio', namespace, name }))
  const { parentRefs = [] } = object.spec as { parentRefs?: { kind?: string; name: string; namespace?: string }[] }
  return parentRefs
    .filter(({ kind = 'Gateway' }) => kind === 'Gateway')
    .map(({ name, namespace = own }) => ({ api: 'gateway-api', namespace, name }))
}

type Gateway = KubeObject & { spec: { selector?: Record<string, string> } }

/** Undefined if the account may not look for them. */
async function podsOf(cluster: Cluster, ref: GatewayRef): Promise<GatewayPods[] | undefined> {
  const { api, namespace, name } = ref
  if (api === 'gateway-api') return podsWith(cluster, `gateway.networking.k8s.io/gateway-name=${name}`, namespace)
  const gateway = await cluster.get<Gateway>('Gateway', namespace, name).catch(forbidden)
  if (gateway === 'forbidden') return undefined
  // Without a selector, Istio's Gateway applies to the proxies of its own namespace or of all.
  const { selector = {} } = gateway?.spec ?? {}
  if (Object.keys(selector).length === 0) return gateway ? undefined : []
  const labels = selectorText(selector)
  const everywhere = await podsWith(cluster, labels)
  if (everywhere) return everywhere
  const likely = await Promise.all([namespace, systemNamespace].map((place) => podsWith(cluster, labels, place)))
  const found = likely.flatMap((pods) => pods ?? [])
  return found.length > 0 ? found : undefined
}

async function podsWith(cluster: Cluster, labelSelector: string, place?: string): Promise<GatewayPods[] | undefined> {
  const pods = await cluster.list<Pod>('Pod', place, { labelSelector }).catch(undefinedWhenForbidden)
  return pods && distinct(pods.map(({ metadata: { namespace = '' } }) => ({ namespace, labelSelector })))
}

/** Without those whose counters the account may not read: their answer, 403, would end or blind the promotion. */
async function onlyReadable(cluster: Cluster, config: Config, pods: readonly GatewayPods[]): Promise<GatewayPods[]> {
  const plans = allCanariesOf(config)
  const watchedAnyway = [config.namespace, ...plans.flatMap(({ clients = [] }) => clients)]
  const isInPrometheus = plans.every(({ prometheus }) => prometheus?.counters === true)
  const rights = [rightOn('Pod', 'watch'), ...(isInPrometheus ? [] : [rightOn('Pod', 'get', { subresource: 'proxy' })])]
  const asked = pods.filter(({ namespace }) => !watchedAnyway.includes(namespace))
  const missing = await Promise.all(asked.map(({ namespace }) => missingRights(cluster, namespace, rights)))
  const denied = asked.filter((_, i) => missing[i]!.length > 0)
  return pods.filter((each) => !denied.includes(each))
}

function forbidden(error: unknown): 'forbidden' {
  if (isForbidden(error)) return 'forbidden'
  throw error
}
