// Finds http routes that no request reaches, because an earlier route takes every request that they match. Istio follows
// the first route that matches. Pure.
import { isDeepStrictEqual } from 'node:util'
import { titleOf, type HttpRoute } from '../cluster/objects.ts'
import { placeOf, type Sourced } from './manifests.ts'

type Condition = Record<string, unknown>
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
    const isSame = isDeepStrictEqual(ofA.route['match'] ?? [], ofB.route['match'] ?? [])
    if (joined && isSame) return []
    const [coversB, coversA] = [isHiddenBy(ofB.route, ofA.route), isHiddenBy(ofA.route, ofB.route)]
    if (!coversA && !coversB) return []
    const [hidden, by] = coversB ? [ofB, ofA] : [ofA, ofB]
    return [sentence(hidden, by, 'write both into one object, in the order that you want')]
  })
}

/** True if `by`, which comes first, takes every request of the route. A gateway puts routes for all requests last. */
export function isHiddenBy(route: HttpRoute, by: HttpRoute): boolean {
  return takesAllOf(by, route) && isForAll(by) === isForAll(route)
}

function routesIn(of: Sourced): PlacedRoute[] {
  const routes = (of.object.spec?.['http'] ?? []) as HttpRoute[]
  return routes.map((route, index) => ({ route, index, of }))
}

function sentence(hidden: PlacedRoute, by: PlacedRoute, remedy: string): string {
  const share = isForAll(by.route) ? 'every request' : 'all that it matches'
  return `policies: http route ${numbered(hidden)} never gets a request, because http route ${numbered(by)} takes ${share}; ${remedy}`
}

function numbered({ route, index, of }: PlacedRoute): string {
  const name = route.name === undefined ? '' : `, ${route.name}`
  return `${index + 1} of the ${titleOf(of.object)} (${placeOf(of)}${name})`
}

/** True for a default route: it has no match, or one such as the prefix `/` that every request has. */
export function isForAll(route: HttpRoute): boolean {
  return conditionsOf(route).some((each) => coversCondition(each, {}))
}

function conditionsOf({ match }: HttpRoute): Condition[] {
  return Array.isArray(match) && match.length > 0 ? (match as Condition[]) : [{}]
}

/** True if the first route matches every request that the second one matches. */
function takesAllOf(first: HttpRoute, second: HttpRoute): boolean {
  return conditionsOf(second).every((each) => conditionsOf(first).some((wider) => coversCondition(wider, each)))
}

/** These say nothing about which requests match. */
const labelsOnly = ['name', 'statPrefix', 'ignoreUriCase']

function coversCondition(wider: Condition, narrower: Condition): boolean {
  return Object.keys(wider)
    .filter((key) => !labelsOnly.includes(key))
    .every((key) => coversPart(key, wider, narrower))
}

function coversPart(key: string, wider: Condition, narrower: Condition): boolean {
  const [a, b] = [wider[key], narrower[key]]
  switch (key) {
    case 'uri': {
      const isStricter = narrower['ignoreUriCase'] === true && wider['ignoreUriCase'] !== true
      return isAnyPath(a) || (!isStricter && coversText(a, b))
    }
    case 'scheme':
    case 'method':
    case 'authority':
      return coversText(a, b)
    case 'headers':
    case 'queryParams':
      return Object.entries(a as Condition).every(([name, text]) =>
        coversText(text, (b as Condition | undefined)?.[name]),
      )
    case 'gateways':
      return Array.isArray(b) && b.every((each) => (a as unknown[]).includes(each))
    case 'sourceLabels':
      return Object.entries(a as Condition).every(([name, text]) => (b as Condition | undefined)?.[name] === text)
    default:
      return isDeepStrictEqual(a, b)
  }
}

function isAnyPath(uri: unknown): boolean {
  return isDeepStrictEqual(uri, { prefix: '/' }) || isDeepStrictEqual(uri, { regex: '.*' })
}

type Text = { exact?: string; prefix?: string; regex?: string }

/** An empty condition asks only that the header or parameter is there. */
function coversText(wider: unknown, narrower: unknown): boolean {
  if (narrower === undefined) return false
  if (isDeepStrictEqual(wider, narrower) || isDeepStrictEqual(wider, {})) return true
  const [{ prefix }, { exact, prefix: longer }] = [wider as Text, narrower as Text]
  return prefix !== undefined && (exact ?? longer)?.startsWith(prefix) === true
}
