// Finds where a route splits a service's traffic between two versions, and computes how to change the weights there,
// and nothing else. Pure.
import type { PatchOperation } from '../cluster/client.ts'
import type { Destination, GatewayRoute, KubeObject, VirtualService } from '../cluster/objects.ts'
import { abRouteName } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { Version } from '../config/schema/canary.ts'
import { hostOf, type Weights } from './compile/names.ts'
import { isDefaultRoute } from './conflicts/match-coverage.ts'

/**
 * The VirtualService of a controller with the names of the routes that the controller writes; all of them without `routes`.
 * `isSticky`: routes before the last one keep users at their version, whatever the weight is.
 */
export type OwnRoutes = { name: string; routes?: string[]; isSticky?: true }

/**
 * The split of a service's traffic between two versions, in named routes only; without `routes`, in all of them. `own`: only in
 * what a controller writes. Plain data, because the post step needs it to return the traffic.
 */
export type Split = {
  namespace: string
  service: string
  stable: Version
  canary: Version
  routes?: string[]
  own?: OwnRoutes[]
}

export function splitOf({ namespace }: Config, { service, stable, canary, routes }: CanaryConfig): Split {
  return { namespace, service, stable, canary, ...(routes ? { routes } : {}) }
}

/** The same split in all routes. */
export function withAllRoutes({ namespace, service, stable, canary }: Split): Split {
  return { namespace, service, stable, canary }
}

/** The objects whose routes have weights. */
export type Routed = VirtualService | GatewayRoute

export const routedKinds = ['VirtualService', 'HTTPRoute', 'GRPCRoute'] as const

export function isRouted(object: KubeObject & { spec?: unknown }): object is Routed {
  return routedKinds.some((kind) => kind === object.kind) && object.spec !== undefined
}

/** A short host is a Service in the VirtualService's own namespace. */
export function fullHost(host: string, namespace: string): string {
  if (!host.includes('.')) return hostOf(host, namespace)
  if (/^[^.]+\.[^.]+(\.svc)?$/.test(host)) return `${host.replace(/\.svc$/, '')}.svc.cluster.local`
  return host
}

/** `pattern`: a host, or one such as `*.example.com` that begins with a wildcard. */
export function matchesHost(pattern: string, host: string): boolean {
  return pattern.startsWith('*') ? host.endsWith(pattern.slice(1)) : pattern === host
}

export function routesTo(object: VirtualService, service: string, namespace: string): boolean {
  const own = object.metadata.namespace ?? namespace
  return (object.spec.hosts ?? []).some((host) => fullHost(host, own) === hostOf(service, namespace))
}

/** A destination with its full host. */
export type Target = { host: string; subset?: string | undefined; weight: number }
export type Route = {
  section: 'http' | 'tcp' | 'tls' | 'rules'
  index: number
  /** The JSON pointer of the list of targets. */
  path: string
  name: string | undefined
  match: unknown
  targets: Target[]
}

/** Identifies a version among the targets of a route: its host, and its subset if it is one. */
export function targetKey({ host, subset }: Pick<Target, 'host' | 'subset'>): string {
  return subset === undefined ? host : `${host}/${subset}`
}

/** Every route of the object except the one that we add for the requests that match. */
export function routesOf(object: Routed, namespace: string): Route[] {
  const own = object.metadata.namespace ?? namespace
  const routes = isVirtualService(object) ? virtualServiceRoutes(object, own) : gatewayRules(object, own)
  return routes.filter(({ name }) => name !== abRouteName)
}

export function isVirtualService(object: KubeObject): object is VirtualService {
  return object.kind === 'VirtualService'
}

function virtualServiceRoutes({ spec }: VirtualService, own: string): Route[] {
  return (['http', 'tcp', 'tls'] as const).flatMap((section) =>
    (spec[section] ?? []).map(
      ({ name, match, route = [] }, index): Route => ({
        section,
        index,
        path: `/spec/${section}/${index}/route`,
        name: typeof name === 'string' ? name : undefined,
        match,
        targets: route.map(({ destination: { host, subset }, weight }) => ({
          host: fullHost(host, own),
          subset,
          weight: weight ?? (route.length === 1 ? 100 : 0),
        })),
      }),
    ),
  )
}

/** In the Gateway API the default weight is 1. */
function gatewayRules({ spec }: GatewayRoute, own: string): Route[] {
  return (spec.rules ?? []).map(
    ({ name, backendRefs = [], matches }, index): Route => ({
      section: 'rules',
      index,
      path: `/spec/rules/${index}/backendRefs`,
      name,
      match: matches,
      targets: backendRefs.map((ref) => ({
        host: (ref.kind ?? 'Service') === 'Service' ? hostOf(ref.name, ref.namespace ?? own) : '',
        weight: ref.weight ?? 1,
      })),
    }),
  )
}

/**
 * A route that splits between both versions: the indices of their targets, and the weight of all other targets
 * together.
 */
export type RouteSplit = Route & { stable: number[]; canary: number[]; otherWeight: number }

/** Every route that has targets of both versions; only the named ones if the split has names. */
export function splitsIn(object: Routed, split: Split): RouteSplit[] {
  const names = namesIn(object, split)
  return routesOf(object, split.namespace)
    .filter(({ name }) => names === undefined || (name !== undefined && names.includes(name)))
    .map((route) => {
      const indicesOf = (version: Version) =>
        route.targets.flatMap((target, i) => (isVersion(split, version, target) ? [i] : []))
      const [stable, canary] = [indicesOf(split.stable), indicesOf(split.canary)]
      const others = route.targets.filter((_, i) => !stable.includes(i) && !canary.includes(i))
      return { ...route, stable, canary, otherWeight: others.reduce((sum, { weight }) => sum + weight, 0) }
    })
    .filter(({ stable, canary }) => stable.length > 0 && canary.length > 0)
}

/** The names of the routes that count in the object; undefined for all of them. */
function namesIn(object: Routed, { routes, own }: Split): string[] | undefined {
  if (!own) return routes
  const found = isVirtualService(object) ? own.find(({ name }) => name === object.metadata.name) : undefined
  return found ? found.routes : []
}

/** True if a route of the object splits between the versions, whatever its name is. */
export function splitsTraffic(object: Routed, split: Split): boolean {
  return splitsIn(object, withAllRoutes(split)).length > 0
}

function isVersion({ service, namespace }: Split, { by, name }: Version, { host, subset }: Target): boolean {
  return by === 'service' ? host === hostOf(name, namespace) : host === hostOf(service, namespace) && subset === name
}

function weightAt({ targets }: RouteSplit, indices: number[]): number {
  return indices.reduce((sum, i) => sum + targets[i]!.weight, 0)
}

/** The canary's part of the weight of both versions, in per cent; undefined where both have weight 0. */
export function canaryWeightOf(split: RouteSplit): number | undefined {
  const canary = weightAt(split, split.canary)
  const both = canary + weightAt(split, split.stable)
  return both === 0 ? undefined : Math.round((100 * canary) / both)
}

/**
 * The JSON Patch that gives the canary `weight` per cent of the weight of both versions, in each route that splits
 * between them. Other targets keep their weights. Empty when the weights are already so.
 */
export function weightPatch(object: Routed, split: Split, weight: number): PatchOperation[] {
  return splitsIn(object, split).flatMap((route) => {
    const both = route.otherWeight === 0 ? 100 : weightAt(route, [...route.stable, ...route.canary])
    const canary = partOf(both, weight)
    return [...setWeightAt(route, route.stable, both - canary), ...setWeightAt(route, route.canary, canary)]
  })
}

/** A copy of the object that sends all traffic to stable. */
export function allToStable<T extends Routed>(object: T, split: Split): T {
  const copy = structuredClone(object)
  for (const { path, value } of weightPatch(object, split, 0)) {
    const keys = path.slice(1).split('/')
    let parent = copy as unknown as Record<string, unknown>
    for (const key of keys.slice(0, -1)) parent = parent[key] as Record<string, unknown>
    parent[keys.at(-1)!] = value
  }
  return copy
}

/** Rounds to a whole weight; only 0 % gives weight 0, and only 100 % gives all of it. */
function partOf(both: number, percent: number): number {
  if (percent === 0 || percent === 100) return (both * percent) / 100
  const rounded = Math.round((both * percent) / 100)
  return Math.max(0, Math.min(Math.max(rounded, 1), both - 1))
}

/** When a version has several targets, the first one gets all its weight. */
function setWeightAt({ path, targets }: RouteSplit, indices: number[], weight: number): PatchOperation[] {
  return indices.flatMap((index, i): PatchOperation[] => {
    const value = i === 0 ? weight : 0
    return targets[index]!.weight === value ? [] : [{ op: 'add', path: `${path}/${index}/weight`, value }]
  })
}

/**
 * The weights in force of the service's subsets, by the first http route that names all of `subsets`, or any subset if
 * that list is empty; undefined without such a route. A route with a match, such as one for a header, counts only if no
 * route takes every request.
 */
export function weightsOf(
  object: VirtualService,
  service: string,
  namespace: string,
  subsets: string[] = [],
): Weights | undefined {
  const host = hostOf(service, namespace)
  const candidates = routesOf(object, namespace).flatMap(({ section, match, targets }) => {
    if (section !== 'http') return []
    const named = targets.filter((target) => target.host === host && target.subset !== undefined)
    const weights: Weights = Object.fromEntries(named.map(({ subset, weight }) => [subset!, weight]))
    return named.length > 0 && subsets.every((subset) => subset in weights) ? [{ match, weights }] : []
  })
  return (candidates.find(isDefaultRoute) ?? candidates[0])?.weights
}

/** Where the route sends the canary's traffic: the host as written there, with its subset and port. */
export function canaryDestination({ spec }: VirtualService, { section, index, canary }: RouteSplit): Destination {
  const routes = section === 'rules' ? [] : (spec[section] ?? [])
  return routes[index]!.route![canary[0]!]!.destination
}
