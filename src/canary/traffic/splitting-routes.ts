// Finds the objects whose routes split a service's traffic between the two versions.
import type { Cluster } from '../../cluster/client.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import type { GatewayRoute, VirtualService } from '../../cluster/objects.ts'
import { splitsIn, splitsTraffic, withAllRoutes, type Routed, type Split } from '../../policies/routes.ts'

/** Every such object of the namespace. A route of the Gateway API can only split between Services. */
export async function listSplittingRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  const kinds = split.stable.by === 'service' ? (['HTTPRoute', 'GRPCRoute'] as const) : []
  const lists = await Promise.all([
    cluster.list<VirtualService>('VirtualService', split.namespace),
    ...kinds.map((kind) => cluster.list<GatewayRoute>(kind, split.namespace).catch(emptyWhenUnread)),
  ])
  return lists.flat().filter((object) => splitsTraffic(object, split))
}

/** @throws Error when no route splits between the versions, or one of the named routes does not. */
export async function requireSplittingRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  const objects = await listSplittingRoutes(cluster, split)
  if (objects.length === 0) throw new Error(noRoute(split))
  const names = objects.flatMap((object) => splitsIn(object, withAllRoutes(split))).flatMap(({ name }) => name ?? [])
  const unknown = (split.routes ?? []).filter((name) => !names.includes(name))
  if (unknown.length > 0) throw new Error(unknownRoutes(split, unknown, names))
  return objects
}

/** @throws Error also when no http route of a VirtualService splits. `purpose`: what only such a route can send. */
export async function requireHttpRoutes(cluster: Cluster, split: Split, purpose: string): Promise<Routed[]> {
  const objects = await requireSplittingRoutes(cluster, split)
  if (objects.some((object) => splitsIn(object, split).some(({ section }) => section === 'http'))) return objects
  const { namespace, canary } = split
  throw new Error(
    `${canary.name} cannot get ${purpose}: no http route of a VirtualService in ${namespace} splits ${between(split)}`,
  )
}

function between({ service, stable, canary }: Split): string {
  return `${service} between ${stable.name} and ${canary.name}`
}

function noRoute(split: Split): string {
  const [kinds, remedy] =
    split.stable.by === 'service'
      ? ['a VirtualService or an HTTPRoute', 'write one with both Services as destinations']
      : ['a VirtualService', 'run the stage policies first']
  return `no route of ${kinds} in ${split.namespace} splits ${between(split)}; ${remedy}`
}

function unknownRoutes(split: Split, unknown: string[], names: string[]): string {
  const remedy =
    names.length > 0
      ? `choose \`routes\` from those that do: ${[...new Set(names)].join(', ')}`
      : 'the routes that do have no name: remove `routes` to move them all'
  return `no route named ${unknown.join(', ')} in ${split.namespace} splits ${between(split)}; ${remedy}`
}
