// Which routes decide about the calls to a service, so that a fault meets all of them: those from gateways and those from
// sidecars. Pure.
import { titleOf, type GatewayRoute, type HttpRoute, type VirtualService } from '../../cluster/objects.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { coversHost, isForMesh, meshHosts } from '../../policies/merge/merge-hosts.ts'
import { isVirtualService, routesOf, type Routed } from '../../policies/routes.ts'
import { routesToService } from './http-fault.ts'

type Parents = { parentRefs?: { kind?: string; name: string; namespace?: string }[] }

/** `needsOwn`: no route of them is for calls from sidecars to the host, so that the fault has to bring one. */
export type HostRoutes = { found: VirtualService[]; needsOwn: boolean }

/** @throws Error that names the object with which a fault would miss calls, or change more than the fault. */
export function findHostRoutes(
  virtualServices: VirtualService[],
  gatewayRoutes: GatewayRoute[],
  namespace: string,
  service: string,
): HostRoutes {
  const blocking = gatewayRoutes.find((each) => routesCallsTo(each, namespace, service))
  if (blocking)
    throw new Error(
      `the ${titleOf(blocking)} sends requests to ${service}, and Istio's faults need a VirtualService there; ` +
        `use overload, partition or podKill, or replace the ${blocking.kind}`,
    )
  const found = routesToService(virtualServices, namespace, service)
  const claiming = claimants(virtualServices, hostOf(service, namespace))
  if (claiming.length === 0) return { found, needsOwn: true }
  const unread = claiming.flatMap((each) => delegatesOf(each).filter((other) => other.namespace !== namespace))[0]
  if (unread)
    throw new Error(
      `the ${titleOf(claiming[0]!)} hands requests for ${service} to the VirtualService ${unread.namespace}/${unread.name}, ` +
        `and the run changes nothing outside of ${namespace}; move that one into ${namespace}`,
    )
  if (claiming.some((each) => found.includes(each) || delegates(each, found))) return { found, needsOwn: false }
  throw new Error(
    `the ${titleOf(claiming[0]!)} sends the requests for ${service} to other services; ` +
      'set the `service` of the fault to one of them',
  )
}

/** `objects`: of the namespaces of callers. @throws Error that names one of them that decides about calls to the service. */
export function requireNoneElsewhere(objects: Routed[], namespace: string, service: string): void {
  const host = hostOf(service, namespace)
  const decides = (object: Routed) =>
    isVirtualService(object)
      ? routesToService([object], namespace, service).length > 0 || claimants([object], host).length > 0
      : routesCallsTo(object, namespace, service)
  const found = objects.find(decides)
  if (!found) return
  throw new Error(
    `the ${titleOf(found)} decides about calls to ${service}, and the run changes nothing outside of ${namespace}, so ` +
      `these calls would not get the fault; move it into ${namespace}, or do not count calls from its namespace`,
  )
}

/** Those with the host itself, else those with a pattern for it, as Istio follows the most specific. */
function claimants(virtualServices: VirtualService[], host: string): VirtualService[] {
  const forMesh = virtualServices.filter((each) => isForMesh(each))
  const exact = forMesh.filter((each) => meshHosts(each).includes(host))
  return exact.length > 0 ? exact : forMesh.filter((each) => coversHost(each, host))
}

function delegates(object: VirtualService, found: VirtualService[]): boolean {
  const names = delegatesOf(object).map(({ name }) => name)
  return found.some(({ metadata }) => names.includes(metadata.name))
}

function delegatesOf({ metadata, spec }: VirtualService): { name: string; namespace: string }[] {
  return (spec.http ?? []).flatMap(({ delegate }: HttpRoute) => {
    const { name, namespace = metadata.namespace ?? '' } = (delegate ?? {}) as { name?: string; namespace?: string }
    return name === undefined ? [] : [{ name, namespace }]
  })
}

function routesCallsTo(route: GatewayRoute, namespace: string, service: string): boolean {
  const host = hostOf(service, namespace)
  const { parentRefs = [] } = route.spec as Parents
  const own = route.metadata.namespace ?? namespace
  const isParent = parentRefs.some(
    (each) => each.kind === 'Service' && hostOf(each.name, each.namespace ?? own) === host,
  )
  return isParent || routesOf(route, namespace).some(({ targets }) => targets.some((target) => target.host === host))
}
