// The HTTP routes of a service: the A/B routes in their order, and last the route that splits the traffic. The
// VirtualServices for the mesh and for the gateway use the same routes.
import type { HttpRoute } from '../../cluster/objects.ts'
import { routeName, splitSubsets } from '../../config/names.ts'
import type { Config, HttpMatch, ServicePolicy } from '../../config/schema.ts'
import { hostOf, type LiveWeights, type Weights } from './names.ts'
import { defined, exactly, seconds } from './render.ts'

/** Undefined if the config asks for nothing beyond Istio's defaults. */
export function httpRoutes(
  name: string,
  service: ServicePolicy,
  config: Config,
  live: LiveWeights,
  now: number,
): HttpRoute[] | undefined {
  const { retries, timeout, port, routes = [], mirror, fault } = service
  const destination = {
    host: hostOf(name, config.namespace),
    ...defined({ port: port === undefined ? undefined : { number: port } }),
  }
  const split = weights(name, service, config, live[name])
  const onEveryRoute = {
    fault: fault && isFaultActive(fault, now) ? faultOf(fault) : undefined,
    timeout: seconds(timeout),
    retries: retries && retryPolicy(retries),
  }
  const mirroring = mirror && {
    mirror: { ...destination, subset: mirror.to },
    mirrorPercentage: { value: mirror.percent },
  }
  if (!defined(onEveryRoute) && !split && !mirroring && routes.length === 0) return undefined
  const shares = split
    ? Object.entries(split).map(([subset, weight]) => ({ destination: { ...destination, subset }, weight }))
    : [{ destination }]
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
 * The weights of the config, or those in force, or 100% on stable. For a canary's service, the weights in force win,
 * because only the promotion moves them. A subset that the config no longer defines gets no weight (see preflight).
 */
function weights(
  name: string,
  { traffic, subsets = {} }: ServicePolicy,
  config: Config,
  live: Weights | undefined,
): Weights | undefined {
  const inForce = live && Object.fromEntries(Object.entries(live).filter(([subset]) => Object.hasOwn(subsets, subset)))
  const split = splitSubsets(config, name)
  if (!split) return traffic ?? inForce
  const [stable, canary] = split
  return { [stable]: 0, [canary]: 0, ...(inForce ?? traffic ?? { [stable]: 100 }) }
}

function retryPolicy({ attempts, perTryTimeout, retryOn }: NonNullable<ServicePolicy['retries']>): object {
  if (attempts === 0) return { attempts }
  return { attempts, ...defined({ perTryTimeout: seconds(perTryTimeout) }), retryOn: retryOn.join(',') }
}

type Fault = NonNullable<ServicePolicy['fault']>

export function isFaultActive({ until }: Fault, now: number): boolean {
  return Date.parse(until) > now
}

function faultOf({ delay, abort }: Fault): object {
  return {
    ...(delay && { delay: { fixedDelay: seconds(delay.time), percentage: { value: delay.percent } } }),
    ...(abort && { abort: { httpStatus: abort.status, percentage: { value: abort.percent } } }),
  }
}

/**
 * One match with all conditions. It allows one cookie: a second one would need another condition on the same header,
 * which Istio does not support.
 */
export function conditions({ headers, cookie, userAgent, query, method, path }: HttpMatch): object[] {
  const patterns = defined({
    cookie: cookie && { regex: cookiePattern(cookie) },
    'user-agent': userAgent === undefined ? undefined : { regex: `.*(?:${userAgent}).*` },
  })
  return [
    defined({
      uri: path === undefined ? undefined : { prefix: path },
      method: method === undefined ? undefined : { exact: method },
      headers: headers || patterns ? { ...exactly(headers, (name) => name.toLowerCase()), ...patterns } : undefined,
      queryParams: exactly(query),
    })!,
  ]
}

/** Matches the cookie anywhere in a `Cookie` header as browsers send it: `a=1; b=2`. */
function cookiePattern(cookie: Record<string, string>): string {
  const [[name, value] = ['', '']] = Object.entries(cookie)
  return `(?:.*;\\s*)?${escaped(name)}=${escaped(value)}(?:;.*)?`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
