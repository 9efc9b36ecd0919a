// The http routes of a service: the A/B routes in their order, and last the one that splits its traffic.
// The mesh and the gateway get the same.
import type { HttpRoute } from '../../cluster/objects.ts'
import { routeName, splitSubsets } from '../../config/names.ts'
import type { Config, HttpMatch, ServicePolicy } from '../../config/schema.ts'
import { hostOf, type LiveWeights, type Weights } from './names.ts'
import { defined, exactly, seconds } from './render.ts'

/** Undefined when nothing was asked for that Istio does not do by itself. */
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
  const onEach = {
    fault: fault && isFaultActive(fault, now) ? faultOf(fault) : undefined,
    timeout: seconds(timeout),
    retries: retries && retryPolicy(retries),
  }
  const copies = mirror && {
    mirror: { ...destination, subset: mirror.to },
    mirrorPercentage: { value: mirror.percent },
  }
  if (!defined(onEach) && !split && !copies && routes.length === 0) return undefined
  const shares = split
    ? Object.entries(split).map(([subset, weight]) => ({ destination: { ...destination, subset }, weight }))
    : [{ destination }]
  return [
    ...routes.map(({ name, match, to }, i) => ({
      name: name ?? `${to}-${i + 1}`,
      match: conditions(match),
      route: [{ destination: { ...destination, subset: to } }],
      ...defined(onEach),
    })),
    { name: routeName, route: shares, ...copies, ...defined(onEach) },
  ]
}

/**
 * Weights that the config states outright, else those in force, else all on stable. Those of a canary's service are in
 * force until the promotion moves them. A subset that the config no longer defines has no weight (see preflight).
 */
function weights(
  name: string,
  { traffic, subsets = {} }: ServicePolicy,
  config: Config,
  live: Weights | undefined,
): Weights | undefined {
  const known = live && Object.fromEntries(Object.entries(live).filter(([subset]) => subset in subsets))
  const split = splitSubsets(config, name)
  if (!split) return traffic ?? known
  const [stable, canary] = split
  return { [stable]: 0, [canary]: 0, ...(known ?? traffic ?? { [stable]: 100 }) }
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
 * One match of all the conditions; a second cookie needs a condition of its own on the same header, which Istio
 * lacks.
 */
export function conditions({ headers, cookie, userAgent, query, method, path }: HttpMatch): object[] {
  const more = defined({
    cookie: cookie && { regex: cookiePattern(cookie) },
    'user-agent': userAgent === undefined ? undefined : { regex: `.*(?:${userAgent}).*` },
  })
  return [
    defined({
      uri: path === undefined ? undefined : { prefix: path },
      method: method === undefined ? undefined : { exact: method },
      headers: headers || more ? { ...exactly(headers, (name) => name.toLowerCase()), ...more } : undefined,
      queryParams: exactly(query),
    })!,
  ]
}

/** The header `Cookie` as browsers write it, `a=1; b=2`, with this one anywhere in it. */
function cookiePattern(cookie: Record<string, string>): string {
  const [[name, value] = ['', '']] = Object.entries(cookie)
  return `(?:.*;\\s*)?${escaped(name)}=${escaped(value)}(?:;.*)?`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
