// Sends the requests that match to the canary: with a route of ours before each http route that splits. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import type { Destination, HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { abRouteName } from '../../config/names.ts'
import type { HttpMatches } from '../../config/schema.ts'
import { conditions } from '../../policies/compile/http.ts'
import { combine, conflictBetween, type Conditions } from '../../policies/conflicts/route-conditions.ts'
import { omit } from '../../policies/merge/merge-fields.ts'
import { splitsIn, type RouteSplit, type Split } from '../../policies/routes.ts'
import { hasManagedMirror } from './mirror.ts'

/**
 * The JSON Patch that sends the matching requests to the canary or, with undefined, removes our routes.
 * @throws Error if a route already has another condition on the same part of the request.
 */
export function headerRoutePatch(
  object: VirtualService,
  split: Split,
  match: HttpMatches | undefined,
): PatchOperation[] {
  const current = object.spec.http ?? []
  const others = current.filter((route) => !isManaged(route))
  const desired = match
    ? withManagedRoutes({ ...object, spec: { ...object.spec, http: others } }, split, match)
    : others
  if (isDeepStrictEqual(desired, current)) return []
  const removals = current.flatMap((route, i): PatchOperation[] =>
    isManaged(route) ? [{ op: 'remove', path: `/spec/http/${i}` }] : [],
  )
  const additions = desired.flatMap((route, i): PatchOperation[] =>
    isManaged(route) ? [{ op: 'add', path: `/spec/http/${i}`, value: route }] : [],
  )
  // From the last to the first, as each removal changes the indices after it.
  return [...removals.reverse(), ...additions]
}

function isManaged({ name }: HttpRoute): boolean {
  return name === abRouteName
}

function withManagedRoutes(object: VirtualService, split: Split, match: HttpMatches): HttpRoute[] {
  const splits = splitsIn(object, split).filter(({ section }) => section === 'http')
  return object.spec.http!.flatMap((route, i) => {
    const routeSplit = splits.find(({ index }) => index === i)
    return routeSplit ? [managedRoute(object, route, routeSplit, match), route] : [route]
  })
}

/**
 * The route for requests that match and that the original route would get. It keeps all settings of that route except
 * our mirror, because the canary gets these requests itself.
 */
function managedRoute(object: VirtualService, route: HttpRoute, split: RouteSplit, match: HttpMatches): HttpRoute {
  const routeConditions = (route['match'] as Conditions[] | undefined) ?? []
  const combined = (routeConditions.length > 0 ? routeConditions : [{}]).flatMap((each) =>
    conditions(match).map((added) => {
      const conflict = conflictBetween(each, added)
      if (conflict !== undefined) throw new Error(conflictMessage(object, route, split.index, conflict))
      return combine(each, added)
    }),
  )
  const settings = hasManagedMirror(object) ? omit(route, 'mirror', 'mirrorPercentage') : route
  const destination = omit(route.route![split.canary[0]!]!, 'weight') as { destination: Destination }
  return { ...settings, name: abRouteName, match: combined, route: [destination] }
}

function conflictMessage({ metadata }: VirtualService, { name }: HttpRoute, index: number, condition: string): string {
  return (
    `the route ${name ?? `number ${index + 1}`} of the VirtualService ` +
    `${metadata.namespace ?? ''}/${metadata.name} already has a condition on ${condition}, ` +
    'and a route cannot have two; match on something else in `ab.match`'
  )
}
