// Sends the requests that match to the canary: with a route of ours before each http route that splits. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import type { Destination, HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { abRouteName } from '../../config/names.ts'
import type { HttpMatches } from '../../config/schema.ts'
import { conditions } from '../../policies/compile/http.ts'
import { splitsIn, type RouteSplit, type Split } from '../../policies/routes.ts'
import { hasManagedMirror } from './mirror.ts'

type Conditions = Record<string, unknown>

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

function omit(map: Conditions, ...keys: readonly string[]): Conditions {
  return Object.fromEntries(Object.entries(map).filter(([key]) => !keys.includes(key)))
}

/** These hold conditions by name: two of them can be combined unless they share a name. */
const namedConditions = ['headers', 'queryParams'] as const

function combine(a: Conditions, b: Conditions): Conditions {
  const shared = namedConditions.filter((key) => key in a && key in b)
  const combined = shared.map((key) => [key, { ...(a[key] as Conditions), ...(b[key] as Conditions) }] as const)
  return { ...a, ...b, ...Object.fromEntries(combined) }
}

/** The part of a request that both conditions test differently, such as `uri` or `headers.x-beta`. */
function conflictBetween(a: Conditions, b: Conditions): string | undefined {
  const conflict = differingKey(omit(a, ...namedConditions), omit(b, ...namedConditions))
  if (conflict !== undefined) return conflict
  for (const key of namedConditions) {
    const name = differingKey((a[key] as Conditions | undefined) ?? {}, (b[key] as Conditions | undefined) ?? {})
    if (name !== undefined) return `${key}.${name}`
  }
  return undefined
}

function differingKey(a: Conditions, b: Conditions): string | undefined {
  return Object.keys(a).find((key) => key in b && !isDeepStrictEqual(a[key], b[key]))
}
