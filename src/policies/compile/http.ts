// The HTTP routes of a service: the A/B routes in their order, and last the route that splits the traffic. The
// VirtualServices for the mesh and for the gateway use the same routes, except that those for the mesh know ports.
import type { HttpRoute } from '../../cluster/objects.ts'
import { otherPortsRouteName, routeName, splitServices, splitSubsets } from '../../config/names.ts'
import type { Config, HttpMatches, ServicePolicy } from '../../config/schema.ts'
import { hostOf, type LiveWeights, type Weights } from './names.ts'
import { defined, seconds } from './render.ts'

type RoutedConfig = Pick<Config, 'namespace' | 'canary' | 'canaries'>

/**
 * The same routes for callers in the mesh. Policies for one port must not move the calls to the other ports there: those
 * keep Istio's own route or, if the service splits its traffic, get the same split.
 */
export function meshRoutes(routes: HttpRoute[], port: number | undefined): HttpRoute[] {
  if (port === undefined) return routes
  const ofPort = routes.map(({ name = routeName, match, ...route }) => ({
    name,
    match: withPort(match as object[] | undefined, port),
    ...route,
  }))
  const { route = [] } = routes.at(-1)!
  if (route.length === 1 && route[0]!.destination.subset === undefined) return ofPort
  const onOtherPorts = route.map(({ destination: { host, subset }, ...share }) => ({
    destination: { host, ...defined({ subset }) },
    ...share,
  }))
  return [...ofPort, { name: otherPortsRouteName, route: onOtherPorts }]
}

function withPort(match: object[] | undefined, port: number): object[] {
  return (match ?? [{}]).map((condition) => ({ ...condition, port }))
}

/** Undefined if the config asks for nothing beyond Istio's defaults. */
export function httpRoutes(
  name: string,
  service: ServicePolicy,
  config: RoutedConfig,
  live: LiveWeights,
  now: number,
): HttpRoute[] | undefined {
  const { retries, timeout, port, routes = [], mirror, fault } = service
  const destination = {
    host: hostOf(name, config.namespace),
    ...defined({ port: port === undefined ? undefined : { number: port } }),
  }
  const split = weights(name, service, config, live[name])
  const services = splitServices(config, name)
  const onEveryRoute = {
    fault: fault && isFaultActive(fault, now) ? faultOf(fault) : undefined,
    timeout: seconds(timeout),
    retries: retries && retryPolicy(retries),
  }
  const mirroring = mirror && {
    mirror: { ...destination, subset: mirror.to },
    mirrorPercentage: { value: mirror.percent },
  }
  if (!defined(onEveryRoute) && !split && !services && !mirroring && routes.length === 0) return undefined
  const ofService = (to: string, i: number) => ({
    destination: { ...destination, host: hostOf(to, config.namespace) },
    weight: i === 0 ? 100 : 0,
  })
  const shares = split
    ? Object.entries(split).map(([subset, weight]) => ({ destination: { ...destination, subset }, weight }))
    : (services?.map(ofService) ?? [{ destination }])
  return [
    ...routes.map(({ name, match, to }, i) => ({
      name: name ?? `${to}-${i + 1}`,
      match: conditions(match),
      route: [{ destination: { ...destination, subset: to } }],
      ...defined(onEveryRoute),
    })),
    { name: routeName, route: shares, ...mirroring, ...defined(onEveryRoute) },
  ]
}

/**
 * The weights of the config, or those in force, or 100% on stable. Where the weights in force win over those of the
 * config, kept-weights.ts writes them. A subset that the config no longer defines gets no weight (see preflight).
 */
function weights(
  name: string,
  { traffic, subsets = {} }: ServicePolicy,
  config: RoutedConfig,
  live: Weights | undefined,
): Weights | undefined {
  const inForce = live && Object.fromEntries(Object.entries(live).filter(([subset]) => Object.hasOwn(subsets, subset)))
  const split = splitSubsets(config, name)
  if (!split) return traffic ?? inForce
  const [stable, canary] = split
  return { [stable]: 0, [canary]: 0, ...(traffic ?? inForce ?? { [stable]: 100 }) }
}

function retryPolicy({ attempts, perTryTimeout, retryOn }: NonNullable<ServicePolicy['retries']>): object {
  if (attempts === 0) return { attempts }
  return { attempts, ...defined({ perTryTimeout: seconds(perTryTimeout) }), retryOn: retryOn.join(',') }
}

type Fault = NonNullable<ServicePolicy['fault']>

function isFaultActive({ until }: Fault, now: number): boolean {
  return Date.parse(until) > now
}

function faultOf({ delay, abort }: Fault): object {
  return {
    ...(delay && { delay: { fixedDelay: seconds(delay.time), percentage: { value: delay.percent } } }),
    ...(abort && { abort: { httpStatus: abort.status, percentage: { value: abort.percent } } }),
  }
}

/**
 * Istio's matches: a request has to meet one of them. Each allows one cookie: a second one would need another condition
 * on the same header, which Istio does not support.
 */
export function conditions(matches: HttpMatches): Record<string, unknown>[] {
  return matches.map(({ headers = {}, cookie, userAgent, query, method, path }) => {
    const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])
    const ofHeaders = {
      ...(Object.fromEntries(named) as typeof headers),
      ...defined({
        cookie: cookie && { regex: cookiePattern(cookie) },
        'user-agent': userAgent === undefined ? undefined : { regex: `.*(?:${userAgent}).*` },
      }),
    }
    return defined({
      uri: path === undefined ? undefined : { prefix: path },
      method: method === undefined ? undefined : { exact: method },
      headers: defined(ofHeaders),
      queryParams: query,
    })!
  })
}

/** Matches the cookie anywhere in a `Cookie` header as browsers send it: `a=1; b=2`. */
function cookiePattern(cookie: Record<string, string>): string {
  const [[name, value] = ['', '']] = Object.entries(cookie)
  return `(?:.*;\\s*)?${escaped(name)}=${escaped(value)}(?:;.*)?`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
