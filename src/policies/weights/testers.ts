// Tells routes of testers, who get the canary on purpose, from routes of users. Pure.
import type { GatewayRoute, HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { hostOf } from '../compile/names.ts'
import type { Matches } from '../conflicts/match-coverage.ts'
import { meshGateway } from '../merge/merge-hosts.ts'
import { fullHost, isVirtualService, routesTo, type Routed, type Split } from '../routes.ts'

/**
 * The conditions that users do not meet unless they mean to. Users have a path, a port or a namespace, and they lack
 * most headers (`withoutHeaders`).
 */
const testersConditions = ['headers', 'queryParams']

/** True if each entry of the match asks for something that only testers send. */
export function asksForTesters(matches: Matches): boolean {
  return (
    matches.length > 0 &&
    matches.every((entry) => testersConditions.some((condition) => hasCondition(entry[condition])))
  )
}

function hasCondition(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}

/** True if the object is a delegate that gets the requests of testers only. */
export function isDelegatedForTesters(object: Routed, objects: readonly Routed[]): boolean {
  const delegating = rootsOf(object, objects).flatMap((root) => delegatingRoutes(root, object))
  return delegating.length > 0 && delegating.every(({ match }) => asksForTesters((match ?? []) as Matches))
}

/** True if the object routes the requests to the service's own host. */
export function isForService(object: Routed, { service, namespace }: Split): boolean {
  if (isVirtualService(object)) return routesTo(object, service, namespace)
  const host = hostOf(service, namespace)
  return parentsOf(object).some(
    ({ kind, name, namespace: own = object.metadata.namespace ?? namespace }) =>
      kind === 'Service' && hostOf(name, own) === host,
  )
}

/** True if one of the others has a host at a gateway in common with the object, or is the object itself. */
export function sharesHost(object: Routed, others: readonly Routed[], all: readonly Routed[]): boolean {
  const own = placesOf(object, all)
  return others.some((other) => other === object || placesOf(other, all).some((place) => own.includes(place)))
}

/** Each host at each gateway for which the object has routes. A delegate has those of the objects that name it. */
function placesOf(object: Routed, all: readonly Routed[]): string[] {
  const own = object.metadata.namespace ?? ''
  if (!isVirtualService(object)) {
    const gateways = parentsOf(object).map(
      ({ kind = 'Gateway', name, namespace = own }) => `${kind} ${namespace}/${name}`,
    )
    return pairs(gateways, (object.spec as { hostnames?: string[] }).hostnames ?? ['*'])
  }
  const { hosts = [], gateways = [meshGateway] } = object.spec as { hosts?: string[]; gateways?: string[] }
  if (hosts.length === 0) return rootsOf(object, all).flatMap((root) => placesOf(root, []))
  const full = (gateway: string) => (gateway === meshGateway || gateway.includes('/') ? gateway : `${own}/${gateway}`)
  return pairs(
    gateways.map(full),
    hosts.map((host) => fullHost(host, own)),
  )
}

function pairs(gateways: string[], hosts: string[]): string[] {
  return gateways.flatMap((gateway) => hosts.map((host) => `${gateway} ${host}`))
}

type Parent = { kind?: string; name: string; namespace?: string }

function parentsOf({ spec }: GatewayRoute): Parent[] {
  return (spec as { parentRefs?: Parent[] }).parentRefs ?? []
}

/** The objects that delegate to this one. */
export function rootsOf(object: Routed, all: readonly Routed[]): VirtualService[] {
  return all.filter(isVirtualService).filter((root) => delegatingRoutes(root, object).length > 0)
}

type Delegate = { name: string; namespace?: string }

function delegatingRoutes({ metadata, spec }: VirtualService, { kind, metadata: of }: Routed): HttpRoute[] {
  return (spec.http ?? []).filter((route) => {
    const delegate = route['delegate'] as Delegate | undefined
    return (
      kind === 'VirtualService' &&
      delegate?.name === of.name &&
      (delegate.namespace ?? metadata.namespace) === of.namespace
    )
  })
}
