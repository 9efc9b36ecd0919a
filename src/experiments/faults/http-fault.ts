// Delays and aborts: a route of ours before each route to the service, with Istio's fault. Pure.
import type { PatchOperation } from '../../cluster/client.ts'
import { titleOf, type HttpRoute, type VirtualService } from '../../cluster/objects.ts'
import { faultRouteName } from '../../config/names.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { conditions } from '../../policies/compile/http.ts'
import { hostOf, object } from '../../policies/compile/names.ts'
import { seconds } from '../../policies/compile/render.ts'
import { combine, conflictBetween, type Conditions } from '../../policies/conflicts/route-conditions.ts'
import { omit } from '../../policies/merge/merge-fields.ts'
import { routesOf } from '../../policies/routes.ts'

type Inject = ExperimentConfig['inject']

/** Istio's fault, and the conditions on the calls that get it; undefined for another kind of fault. */
export function httpFaultOf({ delay, abort }: Inject): { fault: object; added: Conditions[] } | undefined {
  const scope = delay ?? abort
  if (!scope) return undefined
  const percentage = { value: scope.percent }
  const fault = delay
    ? { delay: { fixedDelay: seconds(delay.time), percentage } }
    : { abort: { httpStatus: abort!.status, percentage } }
  const source = scope.from ? { sourceLabels: scope.from } : {}
  return { fault, added: (scope.match ? conditions(scope.match) : [{}]).map((each) => ({ ...each, ...source })) }
}

/** The VirtualServices with HTTP routes to the service. */
export function routesToService(objects: VirtualService[], namespace: string, service: string): VirtualService[] {
  return objects.filter((object) => indicesOf(object, namespace, service).length > 0)
}

function indicesOf(object: VirtualService, namespace: string, service: string): number[] {
  return routesOf(object, namespace).flatMap(({ section, index, name, targets }) => {
    const isToService = targets.some(({ host }) => host === hostOf(service, namespace))
    return section === 'http' && isToService && name !== faultRouteName ? [index] : []
  })
}

/**
 * The JSON Patch that adds our routes. A route of ours keeps everything of the route after it, and adds the fault.
 * @throws Error if a route already has another condition on the same part of the request, or other destinations.
 */
export function faultRoutesPatch(
  virtualService: VirtualService,
  namespace: string,
  service: string,
  inject: Inject,
): PatchOperation[] {
  const { fault, added } = httpFaultOf(inject)!
  requireNoOther(virtualService, namespace, service)
  // From the last to the first, so that the indices stay right.
  return indicesOf(virtualService, namespace, service)
    .reverse()
    .map((index) => ({
      op: 'add',
      path: `/spec/http/${index}`,
      value: faultRoute(virtualService, virtualService.spec.http![index]!, fault, added),
    }))
}

/** A route has one fault for all of its destinations. */
function requireNoOther(object: VirtualService, namespace: string, service: string): void {
  const host = hostOf(service, namespace)
  for (const { section, name, targets } of routesOf(object, namespace)) {
    const other = targets.find((each) => each.host !== host && each.weight > 0)
    if (section !== 'http' || name === faultRouteName || !other || !targets.some((each) => each.host === host)) continue
    throw new Error(
      `a route ${name ?? 'without a name'} of the ${titleOf(object)} also sends requests to ${other.host}, which would ` +
        `get the fault as well; set the weight of one of the two to 0, or inject into another service`,
    )
  }
}

function faultRoute(object: VirtualService, route: HttpRoute, fault: object, added: Conditions[]): HttpRoute {
  const own = (route.match as Conditions[] | undefined) ?? []
  const match = (own.length > 0 ? own : [{}]).flatMap((each) =>
    added.map((condition) => {
      const conflict = conflictBetween(each, condition)
      if (conflict !== undefined) throw new Error(conflictMessage(object, route, conflict))
      return combine(each, condition)
    }),
  )
  const isAll = match.some((each) => Object.keys(each).length === 0)
  return { ...omit(route, 'match'), name: faultRouteName, ...(isAll ? {} : { match }), fault }
}

function conflictMessage({ metadata }: VirtualService, { name }: HttpRoute, condition: string): string {
  return (
    `a route ${name ?? 'without a name'} of the VirtualService ${metadata.namespace ?? ''}/${metadata.name} already has ` +
    `a condition on ${condition}, and a route cannot have two; match on something else in \`inject\``
  )
}

/** A VirtualService for a service that has none: our route, and Istio's own route after it. */
export function faultVirtualService(namespace: string, service: string, name: string, inject: Inject) {
  const { fault, added } = httpFaultOf(inject)!
  const host = hostOf(service, namespace)
  const route = [{ destination: { host } }]
  const match = added.some((each) => Object.keys(each).length === 0) ? {} : { match: added }
  return object('VirtualService', namespace, name, {
    hosts: [host],
    http: [{ name: faultRouteName, ...match, route, fault }, { route }],
  })
}
