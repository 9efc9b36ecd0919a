// Watches the objects of the promotions: reads each once, then keeps it up to date.
import type { Cluster } from '../../cluster/client.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { gatewayLabel } from '../../policies/compile/names.ts'
import type { Routed } from '../../policies/routes.ts'
import {
  systemNamespace,
  type GatewayRoute,
  type Pod,
  type VirtualService,
  type Workload,
} from '../../cluster/objects.ts'
import { watch, type ObjectWatch } from '../../cluster/watch.ts'
import { allCanariesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { distinct } from '../../runtime/distinct.ts'
import type { WatchedObjects } from './context.ts'
import type { GatewayPods } from './gateways.ts'

export async function watchObjects(
  cluster: Cluster,
  config: Config,
  gateways: readonly GatewayPods[] = [],
): Promise<WatchedObjects> {
  const [pods, workloads, routes] = await Promise.all([
    watchPods(cluster, config, gateways),
    watchWorkloads(cluster, config.namespace),
    watchRoutes(cluster, config),
  ])
  return { pods, workloads, routes }
}

/** The pods of the namespace, of the clients' namespaces, and of the gateways. */
function watchPods(cluster: Cluster, config: Config, gateways: readonly GatewayPods[]): Promise<ObjectWatch<Pod>[]> {
  const canaries = allCanariesOf(config)
  const namespaces = [...new Set([config.namespace, ...canaries.flatMap((plan) => plan.clients ?? [])])]
  const exposing = canaries.flatMap(({ service }) => gatewayLabel(config, service) ?? [])
  const selected = [
    ...exposing.map((label) => ({ namespace: systemNamespace, labelSelector: `istio=${label}` })),
    ...gateways,
  ]
  const elsewhere = selected.filter(({ namespace }) => !namespaces.includes(namespace))
  return Promise.all([
    ...namespaces.map((namespace) => watch<Pod>(cluster, 'Pod', namespace)),
    ...distinct(elsewhere).map(({ namespace, labelSelector }) =>
      watch<Pod>(cluster, 'Pod', namespace, { labelSelector }),
    ),
  ])
}

async function watchWorkloads(cluster: Cluster, namespace: string): Promise<ObjectWatch<Workload>[]> {
  const kinds = ['Deployment', 'StatefulSet'] as const
  return (
    await Promise.all(kinds.map((kind) => watch<Workload>(cluster, kind, namespace).catch(emptyWhenUnread)))
  ).flat()
}

async function watchRoutes(cluster: Cluster, config: Config): Promise<ObjectWatch<Routed>[]> {
  const { namespace } = config
  const kinds = allCanariesOf(config).some(({ stable }) => stable.by === 'service')
    ? (['HTTPRoute', 'GRPCRoute'] as const)
    : []
  return (
    await Promise.all([
      watch<VirtualService>(cluster, 'VirtualService', namespace),
      ...kinds.map((kind) => watch<GatewayRoute>(cluster, kind, namespace).catch(emptyWhenUnread)),
    ])
  ).flat()
}

export function closeWatches(watched: WatchedObjects): void {
  Object.values(watched)
    .flat()
    .forEach((each) => each.close())
}
