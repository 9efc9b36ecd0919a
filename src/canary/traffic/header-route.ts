// The requests that match go to the canary: by a route of ours before each http route that splits. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import type { Destination, HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { abRouteName } from '../../config/names.ts'
import type { HttpMatch } from '../../config/schema.ts'
import { conditions } from '../../policies/compile/http.ts'
import { placesOf, type Place, type Split } from '../../policies/routes.ts'
import { hasManagedMirror } from './mirror.ts'

type Conditions = Record<string, unknown>

/**
 * The JSON Patch after which the canary gets the requests that match, or, with undefined, no route of ours is there.
 * @throws Error where a route looks already, in another way, at what the match looks at.
 */
export function headerRoutePatch(object: VirtualService, split: Split, match: HttpMatch | undefined): PatchOperation[] {
  const http = object.spec.http ?? []
  const kept = http.filter((route) => !isOurs(route))
  const wanted = match ? withOurs({ ...object, spec: { ...object.spec, http: kept } }, split, match) : kept
  if (isDeepStrictEqual(wanted, http)) return []
  const removals = http.flatMap((route, i) =>
    isOurs(route) ? [{ op: 'remove' as const, path: `/spec/http/${i}` }] : [],
  )
  const additions = wanted.flatMap((route, i) =>
    isOurs(route) ? [{ op: 'add' as const, path: `/spec/http/${i}`, value: route }] : [],
  )
  return [...removals.reverse(), ...additions]
}

function isOurs({ name }: HttpRoute): boolean {
  return name === abRouteName
}

/** What a route that splits would have taken and what matches: everything else about the request stays as that route has it. */
function withOurs(object: VirtualService, split: Split, match: HttpMatch): HttpRoute[] {
  const places = placesOf(object, split).filter(({ section }) => section === 'http')
  return object.spec.http!.flatMap((route, i) => {
    const place = places.find(({ index }) => index === i)
    return place ? [ours(object, route, place, match), route] : [route]
  })
}

function ours(object: VirtualService, route: HttpRoute, place: Place, match: HttpMatch): HttpRoute {
  const own = (route['match'] as Conditions[] | undefined) ?? []
  const asked = conditions(match)[0] as Conditions
  const both = (own.length > 0 ? own : [{}]).map((each) => {
    const key = clash(each, asked)
    if (key === undefined) return together(each, asked)
    throw new Error(
      `canary.ab.match: the route ${route.name ?? `number ${place.index + 1}`} of the VirtualService ${object.metadata.namespace ?? ''}/${object.metadata.name} already has a condition on ${key}, and no route can have both; match on something else`,
    )
  })
  const settings = hasManagedMirror(object) ? without(route, 'mirror', 'mirrorPercentage') : route
  const target = without(route.route![place.canary[0]!]!, 'weight') as { destination: Destination }
  return { ...settings, name: abRouteName, match: both, route: [target] }
}

function without(map: Conditions, ...keys: readonly string[]): Conditions {
  return Object.fromEntries(Object.entries(map).filter(([key]) => !keys.includes(key)))
}

/** Conditions that are maps of their own, by name. */
const several = ['headers', 'queryParams'] as const

function together(a: Conditions, b: Conditions): Conditions {
  const maps = several
    .filter((key) => key in a && key in b)
    .map((key) => [key, { ...(a[key] as Conditions), ...(b[key] as Conditions) }] as const)
  return { ...a, ...b, ...Object.fromEntries(maps) }
}

/** What both look at in different ways. */
function clash(a: Conditions, b: Conditions): string | undefined {
  const differs = (one: Conditions, other: Conditions) =>
    Object.keys(one).find((key) => key in other && !isDeepStrictEqual(one[key], other[key]))
  const within = several
    .map(
      (key) =>
        [key, differs((a[key] as Conditions | undefined) ?? {}, (b[key] as Conditions | undefined) ?? {})] as const,
    )
    .find(([, name]) => name !== undefined)
  return differs(without(a, ...several), without(b, ...several)) ?? (within && `${within[0]}.${within[1]!}`)
}
