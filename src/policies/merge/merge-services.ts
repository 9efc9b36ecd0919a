// Merges the routes that a service's policies compile to into the user's own routes for the same host. The policies
// reach every route of the host; the user's routes keep their order, their names and what they state themselves. Pure.
import { isDeepStrictEqual } from 'node:util'
import { titleOf, type HttpRoute } from '../../cluster/objects.ts'
import { otherPortsRouteName, routeName } from '../../config/names.ts'
import { defaultRetryOn } from '../../config/schema/services.ts'
import { isDefaultRoute, matchesOf } from '../conflicts/match-coverage.ts'
import type { Sourced } from '../manifests/manifests.ts'
import { mergeValues, omit, type Fields, type MergeContext } from './merge-fields.ts'
import { coversHost, mergeKey } from './merge-hosts.ts'
import { mergeDestinations, routeTitle } from './merge-routes.ts'
import { fullHost } from '../routes.ts'

/** The source of what the config compiles to. */
export const fromConfig = 'the config'

type Destinations = NonNullable<HttpRoute['route']>

/** `policies`: those of every route. `mirroring`, `shares`: those of the default route. `matched`: the A/B routes. */
type ServiceRoutes = {
  policies: Fields
  mirroring: Fields
  shares: Destinations
  port: number | undefined
  matched: HttpRoute[]
}

/** `report` gets one sentence for each route that does not get all policies, or gets more than asked. */
export function mergeServiceRoutes(
  compiled: HttpRoute[],
  user: HttpRoute[],
  namespace: string,
  context: MergeContext,
  report: (sentence: string) => void,
): HttpRoute[] {
  const service = serviceRoutesOf(compiled)
  const routes = user.map((route, i) => {
    if (!isOfPort(route, service.port)) return route
    const at = context.at(`.http, ${routeTitle(route)}`)
    if (!isDefaultRoute(route) || !route.route) return withPolicies(route, service.policies, titleIn(user, i), report)
    return mergeDefault(route, service, namespace, at)
  })
  const reached = user.some((route) => route.route && isOfPort(route, service.port))
  if (!reached && Object.keys(service.policies).length > 0)
    context.contradiction(`${named(service.policies)}, and no route that sends requests anywhere`)
  if (service.port !== undefined && Object.keys(service.policies).length > 0 && user.some(isOfAllPorts))
    report(`${named(service.policies)} apply to every port, not only to ${service.port}, as its routes do`)
  const needsDefault =
    !user.some(isDefaultRoute) && (statesSplit(service.shares) || Object.keys(service.mirroring).length > 0)
  return [...service.matched, ...routes, ...(needsDefault ? defaultsOf(compiled) : [])]
}

/**
 * One sentence for each object whose routes lead to a service with policies for its routes, but are for other hosts, so
 * that they do not get these policies.
 */
export function unreachedRoutes(all: readonly Sourced[]): string[] {
  const compiled = all.filter(({ object, source }) => source === fromConfig && isService(object))
  const users = all.filter(({ object, source }) => object.kind === 'VirtualService' && source !== fromConfig)
  const targets = users.flatMap((user) => targetHosts(user.object).map((host) => ({ host, user })))
  const usersByTarget = Map.groupBy(targets, ({ host }) => host)
  return compiled.flatMap(({ object }) => {
    const http = object.spec!['http'] as HttpRoute[]
    const { policies, mirroring } = serviceRoutesOf(http)
    const own = { ...policies, ...mirroring }
    const [host] = object.spec!['hosts'] as [string]
    const unreached = (usersByTarget.get(host) ?? [])
      .map(({ user }) => user)
      .filter((each) => mergeKey(each.object) !== mergeKey(object) && !coversHost(each.object, host))
    if (Object.keys(own).length === 0) return []
    return unreached.map(
      (each) =>
        `services.${object.metadata.name}: ${named(own)} do not reach the routes of the ${titleOf(each.object)} ` +
        `(${each.source}), which lead to the service but are for other hosts; set them there as well`,
    )
  })
}

function isService({ kind, spec }: Sourced['object']): boolean {
  const http = (spec?.['http'] ?? []) as HttpRoute[]
  return kind === 'VirtualService' && http.some(({ name }) => name === routeName) && spec?.['gateways'] === undefined
}

/** The hosts that its HTTP routes lead to, each once. */
function targetHosts({ metadata, spec }: Sourced['object']): string[] {
  const http = (spec?.['http'] ?? []) as HttpRoute[]
  const destinations = http.flatMap(({ route = [] }) => route.map(({ destination }) => destination.host))
  return [...new Set(destinations.map((host) => fullHost(host, metadata.namespace ?? '')))]
}

function serviceRoutesOf(compiled: HttpRoute[]): ServiceRoutes {
  const own = compiled.find(({ name }) => name === routeName)!
  const [match] = (own['match'] ?? []) as { port?: number }[]
  return {
    policies: omit(own, 'name', 'match', 'route', 'mirror', 'mirrorPercentage'),
    mirroring: Object.fromEntries(Object.entries(own).filter(([key]) => key.startsWith('mirror'))),
    shares: (own.route ?? []).map(({ destination: { port: _, ...destination }, ...rest }) => ({
      destination,
      ...rest,
    })),
    port: match?.port,
    matched: compiled.filter(({ name }) => name !== routeName && name !== otherPortsRouteName),
  }
}

function defaultsOf(compiled: HttpRoute[]): HttpRoute[] {
  return compiled.filter(({ name }) => name === routeName || name === otherPortsRouteName)
}

function statesSplit(shares: Destinations): boolean {
  return shares.some(({ destination }) => destination.subset !== undefined)
}

function portsOf(route: HttpRoute): (number | undefined)[] {
  const matches = matchesOf(route) as readonly { port?: number }[]
  return matches.length > 0 ? matches.map(({ port }) => port) : [undefined]
}

function isOfAllPorts(route: HttpRoute): boolean {
  return route.route !== undefined && portsOf(route).includes(undefined)
}

function isOfPort(route: HttpRoute, port: number | undefined): boolean {
  return port === undefined || portsOf(route).some((each) => each === undefined || each === port)
}

/** Both state the default route, so two different values are a contradiction. */
function mergeDefault(
  route: HttpRoute,
  { policies, mirroring, shares }: ServiceRoutes,
  namespace: string,
  context: MergeContext,
): HttpRoute {
  const stated = withoutDefaultRetryOn(policies, route)
  const merged = mergeValues({ ...stated, ...mirroring }, omit(route, 'route', 'name'), context) as HttpRoute
  return {
    ...(route.name === undefined ? {} : { name: route.name }),
    ...merged,
    route: statesSplit(shares) ? mergeDestinations(shares, route.route!, namespace, context) : route.route!,
  }
}

/** The config states conditions for retries only if they are not the default; those of the route count then. */
function withoutDefaultRetryOn(policies: Fields, route: HttpRoute): Fields {
  const [ours, theirs] = [policies['retries'], route['retries']] as [Fields?, Fields?]
  if (ours?.['retryOn'] !== defaultRetryOn.join(',') || theirs?.['retryOn'] === undefined) return policies
  return { ...policies, retries: omit(ours, 'retryOn') }
}

/** What the route states itself is more specific, and stays. */
function withPolicies(
  route: HttpRoute,
  policies: Fields,
  title: string,
  report: (sentence: string) => void,
): HttpRoute {
  if (!route.route) {
    if ('delegate' in route && Object.keys(policies).length > 0)
      report(`${named(policies)} do not reach ${title}, which delegates to another VirtualService`)
    return route
  }
  const own = Object.keys(policies).filter((key) => key in route && !isDeepStrictEqual(route[key], policies[key]))
  for (const key of own) report(`\`${key}\` does not reach ${title}, which states its own`)
  return { ...route, ...omit(policies, ...Object.keys(route)) }
}

function titleIn(routes: HttpRoute[], index: number): string {
  const { name } = routes[index]!
  return name === undefined ? `http route ${index + 1}` : `http route ${index + 1} (${name})`
}

function named(policies: Fields): string {
  const names = Object.keys(policies).map((key) => `\`${key}\``)
  return `the policies of the service (${names.join(', ')})`
}
