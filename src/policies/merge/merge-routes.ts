// Merges the http routes of two VirtualServices for the same host. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { Destination, HttpRoute } from '../../cluster/objects.ts'
import { isDefaultRoute, matchesOf } from '../conflicts/match-coverage.ts'
import { mergeValues, omit, type MergeContext } from './merge-fields.ts'
import { fullHost } from '../routes.ts'

/**
 * Routes with the same match become one. Routes with a match keep their order, and come before the default route, which
 * takes all other requests.
 */
export function mergeRoutes(a: HttpRoute[], b: HttpRoute[], namespace: string, context: MergeContext): HttpRoute[] {
  const merged = [...a]
  for (const route of b) {
    const index = merged.findIndex((each) => haveSameMatch(each, route))
    if (index < 0) merged.push(route)
    else merged[index] = mergeRoute(merged[index]!, route, namespace, context.at(`.http, ${routeTitle(route)}`))
  }
  return [...merged.filter((route) => !isDefaultRoute(route)), ...merged.filter(isDefaultRoute).sort(byMatch)]
}

/** The route without a match is the very last one. */
function byMatch(a: HttpRoute, b: HttpRoute): number {
  return Number(matchesOf(b).length > 0) - Number(matchesOf(a).length > 0)
}

function haveSameMatch(a: HttpRoute, b: HttpRoute): boolean {
  return isDeepStrictEqual(matchesOf(a), matchesOf(b))
}

export function routeTitle(route: HttpRoute): string {
  return matchesOf(route).length > 0 ? `the route of the match ${JSON.stringify(route['match'])}` : 'the default route'
}

/** A route does exactly one of these with a request. */
const routeActions = ['route', 'redirect', 'directResponse', 'delegate']

function mergeRoute(a: HttpRoute, b: HttpRoute, namespace: string, context: MergeContext): HttpRoute {
  const actions = routeActions.filter((action) => action in a || action in b)
  if (actions.length > 1) context.contradiction(actions.map((action) => `\`${action}\``).join(' and '))
  const route = a.route && b.route ? mergeDestinations(a.route, b.route, namespace, context) : (a.route ?? b.route)
  return {
    ...(mergeValues(omit(a, 'route'), omit(b, 'route'), context) as HttpRoute),
    ...(route ? { route } : {}),
  }
}

type Destinations = NonNullable<HttpRoute['route']>

/** A route to a whole host does not say how its traffic splits, so a route with subsets refines it. */
export function mergeDestinations(
  a: Destinations,
  b: Destinations,
  namespace: string,
  context: MergeContext,
): Destinations {
  const [fullA, fullB] = [withFullHosts(a, namespace), withFullHosts(b, namespace)]
  if (isDeepStrictEqual(fullA.map(target), fullB.map(target)))
    return a.map((share, i) => withFieldsOf(share, b[i]!, context))
  if (refines(fullB, fullA)) return withPort(b, a[0]!.destination).map((share) => withFieldsOf(share, a[0]!, context))
  if (refines(fullA, fullB)) return withPort(a, b[0]!.destination).map((share) => withFieldsOf(share, b[0]!, context))
  context.at(': route').contradiction(`${describe(a)} and ${describe(b)}`)
  return a
}

type Share = Destinations[number]

/** Where the share goes, without its other fields, such as `headers`. */
function target({ destination, weight }: Share): Share {
  return { destination, ...(weight === undefined ? {} : { weight }) }
}

/** The share with the fields that only the other one has. */
function withFieldsOf(share: Share, other: Share, context: MergeContext): Share {
  const fields = mergeValues(
    omit(share, 'destination', 'weight'),
    omit(other, 'destination', 'weight'),
    context.at(`, the destination ${describe([omit(share, 'weight') as Share])}`),
  )
  return { ...target(share), ...(fields as object) }
}

function withFullHosts(route: Destinations, namespace: string): Destinations {
  return route.map(({ destination, ...rest }) => ({
    ...rest,
    destination: { ...destination, host: fullHost(destination.host, namespace) },
  }))
}

function refines(split: Destinations, whole: Destinations): boolean {
  const [only] = whole
  if (whole.length !== 1 || !only || only.destination.subset !== undefined) return false
  const port = only.destination.port?.number
  return split.every(
    ({ destination }) =>
      destination.host === only.destination.host &&
      (port === undefined || destination.port === undefined || destination.port.number === port),
  )
}

function withPort(route: Destinations, { port }: Destination): Destinations {
  if (!port) return route
  return route.map((each) => ({ ...each, destination: { ...each.destination, port: each.destination.port ?? port } }))
}

function describe(route: Destinations): string {
  return route
    .map(({ destination: { host, subset }, weight }) => {
      const name = subset === undefined ? host : `${host}/${subset}`
      return weight === undefined ? name : `${name} ${weight}`
    })
    .join(' + ')
}
