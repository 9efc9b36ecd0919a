// Which routes decide about the calls to a service, so that a fault meets all of them: those from gateways and those from
// sidecars. Pure.
import { titleOf, type HttpRoute, type KubeObject, type VirtualService } from '../../cluster/objects.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { coversHost, isForMesh, meshHosts } from '../../policies/merge-hosts.ts'
import { routesOf, type Routed } from '../../policies/routes.ts'
import { routesToService } from './http-fault.ts'

type HTTPRoute = Routed & { spec: { parentRefs?: { kind?: string; name: string; namespace?: string }[] } }

/** `needsOwn`: no route of them is for calls from sidecars to the host, so that the fault has to bring one. */
export type HostRoutes = { found: VirtualService[]; needsOwn: boolean }

/** @throws Error that names the object with which a fault would miss calls, or change more than the fault. */
export function findHostRoutes(
  virtualServices: VirtualService[],
  httpRoutes: KubeObject[],
  namespace: string,
  service: string,
): HostRoutes {
  const blocking = httpRoutes.find((each) => routesCallsTo(each as HTTPRoute, namespace, service))
  if (blocking)
    throw new Error(
      `the ${titleOf(blocking)} sends requests to ${service}, and Istio's faults need a VirtualService there; ` +
        'use overload, partition or podKill, or replace the HTTPRoute',
    )
  const found = routesToService(virtualServices, namespace, service)
  const claiming = claimants(virtualServices, hostOf(service, namespace))
  if (claiming.length === 0) return { found, needsOwn: true }
  if (claiming.some((each) => found.includes(each) || delegates(each, found))) return { found, needsOwn: false }
  throw new Error(
    `the ${titleOf(claiming[0]!)} sends the requests for ${service} to other services; ` +
      'set the `service` of the fault to one of them',
  )
}

/** Those with the host itself, else those with a pattern for it, as Istio follows the most specific. */
function claimants(virtualServices: VirtualService[], host: string): VirtualService[] {
  const forMesh = virtualServices.filter((each) => isForMesh(each))
  const exact = forMesh.filter((each) => meshHosts(each).includes(host))
  return exact.length > 0 ? exact : forMesh.filter((each) => coversHost(each, host))
}

function delegates({ spec }: VirtualService, found: VirtualService[]): boolean {
  const names = (spec.http ?? []).map(({ delegate }: HttpRoute) => (delegate as { name?: string } | undefined)?.name)
  return found.some(({ metadata }) => names.includes(metadata.name))
}

function routesCallsTo(route: HTTPRoute, namespace: string, service: string): boolean {
  const host = hostOf(service, namespace)
  const { parentRefs = [] } = route.spec
  const own = route.metadata.namespace ?? namespace
  const isParent = parentRefs.some(
    (each) => each.kind === 'Service' && hostOf(each.name, each.namespace ?? own) === host,
  )
  return isParent || routesOf(route, namespace).some(({ targets }) => targets.some((target) => target.host === host))
}
