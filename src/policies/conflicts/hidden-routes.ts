// Finds http routes that no request reaches, because an earlier route takes every request that they match. Istio follows
// the first route that matches. Pure.
import { isDeepStrictEqual } from 'node:util'
import { titleOf, type HttpRoute } from '../../cluster/objects.ts'
import { placeOf, type Sourced } from '../manifests/manifests.ts'
import { isCovered, isDefaultRoute, matchesOf } from './match-coverage.ts'

type PlacedRoute = { route: HttpRoute; index: number; of: Sourced }

/** One sentence for each route that a route before it in the same object hides. */
export function hiddenInOne(of: Sourced): string[] {
  const routes = routesIn(of)
  return routes.flatMap((hidden, i) => {
    const by = routes.slice(0, i).find(({ route }) => takesAllOf(route, hidden.route))
    return by ? [sentence(hidden, by, 'put it before that route, or remove it')] : []
  })
}

/**
 * One sentence for each route that a route of the other object hides, whichever comes first. Default routes come last
 * where the two are merged, so only two of them collide: `joined` objects merge those, and routes of the same match.
 */
export function hiddenByOther(a: Sourced, b: Sourced, joined: boolean): string[] {
  const pairs = routesIn(a).flatMap((ofA) => routesIn(b).map((ofB) => [ofA, ofB] as const))
  return pairs.flatMap(([ofA, ofB]) => {
    const isSame = isDeepStrictEqual(matchesOf(ofA.route), matchesOf(ofB.route))
    if (joined && isSame) return []
    const [coversB, coversA] = [isHiddenBy(ofB.route, ofA.route), isHiddenBy(ofA.route, ofB.route)]
    if (!coversA && !coversB) return []
    const [hidden, by] = coversB ? [ofB, ofA] : [ofA, ofB]
    return [sentence(hidden, by, 'write both into one object, in the order that you want')]
  })
}

/** True if `by`, which comes first, takes every request of the route. A gateway puts routes for all requests last. */
export function isHiddenBy(route: HttpRoute, by: HttpRoute): boolean {
  return takesAllOf(by, route) && isDefaultRoute(by) === isDefaultRoute(route)
}

function routesIn(of: Sourced): PlacedRoute[] {
  const routes = (of.object.spec?.['http'] ?? []) as HttpRoute[]
  return routes.map((route, index) => ({ route, index, of }))
}

function sentence(hidden: PlacedRoute, by: PlacedRoute, remedy: string): string {
  const share = isDefaultRoute(by.route) ? 'every request' : 'all that it matches'
  return `policies: http route ${numbered(hidden)} never gets a request, because http route ${numbered(by)} takes ${share}; ${remedy}`
}

function numbered({ route, index, of }: PlacedRoute): string {
  const name = route.name === undefined ? '' : `, ${route.name}`
  return `${index + 1} of the ${titleOf(of.object)} (${placeOf(of)}${name})`
}

/** True if the first route matches every request that the second one matches. */
function takesAllOf(first: HttpRoute, second: HttpRoute): boolean {
  return isCovered(matchesOf(second), [matchesOf(first)])
}
