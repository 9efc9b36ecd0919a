// Where a route splits a service's traffic between two versions, and how to move a weight there without touching anything
// else. Pure.
import type { PatchOperation } from '../cluster/client.ts'
import type { Destination, GatewayRoute, VirtualService } from '../cluster/objects.ts'
import { abRouteName } from '../config/names.ts'
import type { Version } from '../config/schema.ts'
import { hostOf, type Weights } from './compile/index.ts'

/** Whose traffic is moved, between which versions, and in which named http routes only. Plain data: the post step puts traffic back from it. */
export type Split = { namespace: string; service: string; stable: Version; canary: Version; routes?: string[] }

/** The same between all routes, whether named or not. */
export function withAllRoutes({ namespace, service, stable, canary }: Split): Split {
  return { namespace, service, stable, canary }
}

/** What can hold weights. */
export type Routed = VirtualService | GatewayRoute

/** A short host means the VirtualService's own namespace. */
export function fullHost(host: string, namespace: string): string {
  if (!host.includes('.')) return hostOf(host, namespace)
  if (/^[^.]+\.[^.]+(\.svc)?$/.test(host)) return `${host.replace(/\.svc$/, '')}.svc.cluster.local`
  return host
}

export function routesTo(object: VirtualService, service: string, namespace: string): boolean {
  return (object.spec.hosts ?? []).some(
    (host) => fullHost(host, object.metadata.namespace ?? namespace) === hostOf(service, namespace),
  )
}

type Target = { host: string; subset?: string | undefined; weight: number }
/** `path`: of the list of targets, as a JSON pointer. */
type Route = {
  section: 'http' | 'tcp' | 'tls' | 'rules'
  index: number
  path: string
  name: string | undefined
  isForAll: boolean
  targets: Target[]
}

/** Every route of the object, whatever its kind, but for the one of an A/B stage. */
function routesOf(object: Routed, namespace: string): Route[] {
  const own = object.metadata.namespace ?? namespace
  const all = isVirtualService(object) ? virtualRoutes(object, own) : gatewayRules(object, own)
  return all.filter(({ name }) => name !== abRouteName)
}

export function isVirtualService(object: Routed): object is VirtualService {
  return object.kind === 'VirtualService'
}

function virtualRoutes({ spec }: VirtualService, own: string): Route[] {
  return (['http', 'tcp', 'tls'] as const).flatMap((section) =>
    (spec[section] ?? []).map(
      ({ name, match, route = [] }, index): Route => ({
        section,
        index,
        path: `/spec/${section}/${index}/route`,
        name: typeof name === 'string' ? name : undefined,
        isForAll: match === undefined,
        targets: route.map(({ destination: { host, subset }, weight }) => ({
          host: fullHost(host, own),
          subset,
          weight: weight ?? (route.length === 1 ? 100 : 0),
        })),
      }),
    ),
  )
}

/** In the Gateway API a weight that is not written is 1. */
function gatewayRules({ spec }: GatewayRoute, own: string): Route[] {
  return (spec.rules ?? []).map(
    ({ name, backendRefs = [] }, index): Route => ({
      section: 'rules',
      index,
      path: `/spec/rules/${index}/backendRefs`,
      name,
      isForAll: false,
      targets: backendRefs.map((ref) => ({
        host: (ref.kind ?? 'Service') === 'Service' ? hostOf(ref.name, ref.namespace ?? own) : '',
        weight: ref.weight ?? 1,
      })),
    }),
  )
}

/** A route that splits between both versions; these are the positions of their targets, `others` the weight of all the rest. */
export type Place = Route & { stable: number[]; canary: number[]; others: number }

/** Every route between whose targets both versions are, those named by `routes` where it is given. */
export function placesOf(object: Routed, split: Split): Place[] {
  return routesOf(object, split.namespace).flatMap((route): Place[] => {
    const at = (version: Version) =>
      route.targets.flatMap((target, i) => (isVersion(split, version, target) ? [i] : []))
    const [stable, canary] = [at(split.stable), at(split.canary)]
    const others = route.targets.reduce(
      (sum, { weight }, i) => (stable.includes(i) || canary.includes(i) ? sum : sum + weight),
      0,
    )
    const wanted = !split.routes || (route.name !== undefined && split.routes.includes(route.name))
    return wanted && stable.length > 0 && canary.length > 0 ? [{ ...route, stable, canary, others }] : []
  })
}

function isVersion({ service, namespace }: Split, { by, name }: Version, { host, subset }: Target): boolean {
  return by === 'service' ? host === hostOf(name, namespace) : host === hostOf(service, namespace) && subset === name
}

function sumOf({ targets }: Place, indices: number[]): number {
  return indices.reduce((sum, i) => sum + targets[i]!.weight, 0)
}

/** The canary's share, in per cent, of what both versions have; undefined where they have nothing. */
export function shareOf(place: Place): number | undefined {
  const canary = sumOf(place, place.canary)
  const both = canary + sumOf(place, place.stable)
  return both === 0 ? undefined : Math.round((100 * canary) / both)
}

/**
 * The JSON Patch that gives the canary `weight` per cent of what both versions have, in each route that splits between them.
 * What other destinations have stays as it is. Empty when the weights are so already.
 */
export function weightPatch(object: Routed, split: Split, weight: number): PatchOperation[] {
  return placesOf(object, split).flatMap((place) => {
    const both = place.others === 0 ? 100 : sumOf(place, [...place.stable, ...place.canary])
    const canary = partOf(both, weight)
    return [...setTo(place, place.stable, both - canary), ...setTo(place, place.canary, canary)]
  })
}

/** The object as it is with all of the traffic at stable. */
export function allToStable<T extends Routed>(object: T, split: Split): T {
  const copy = structuredClone(object)
  for (const { path, value } of weightPatch(object, split, 0)) {
    const keys = path.slice(1).split('/')
    const target = keys
      .slice(0, -1)
      .reduce<Record<string, unknown>>(
        (at, key) => at[key] as Record<string, unknown>,
        copy as unknown as Record<string, unknown>,
      )
    target[keys.at(-1)!] = value
  }
  return copy
}

/** In whole weights, but never nothing where it is to be something, nor all where it is to be less. */
function partOf(both: number, weight: number): number {
  if (weight === 0 || weight === 100) return (both * weight) / 100
  return Math.max(0, Math.min(Math.max(Math.round((both * weight) / 100), 1), both - 1))
}

/** Of several targets of one version the first gets it all. */
function setTo({ path, targets }: Place, indices: number[], weight: number): PatchOperation[] {
  return indices.flatMap((index, i): PatchOperation[] => {
    const value = i === 0 ? weight : 0
    return targets[index]!.weight === value ? [] : [{ op: 'add', path: `${path}/${index}/weight`, value }]
  })
}

/**
 * The split in force of the http routes: of the first route that names all of the given subsets, or, with none given, that
 * names any; undefined where there is no such route. A route for a few, such as one header's, counts only where none is for all.
 */
export function weightsOf(
  object: VirtualService,
  service: string,
  namespace: string,
  subsets: string[] = [],
): Weights | undefined {
  const found = routesOf(object, namespace).flatMap(({ section, isForAll, targets }) => {
    const named = targets.filter(
      ({ host, subset }) => section === 'http' && host === hostOf(service, namespace) && subset !== undefined,
    )
    const weights: Weights = Object.fromEntries(named.map(({ subset, weight }) => [subset!, weight]))
    return named.length > 0 && subsets.every((subset) => subset in weights) ? [{ isForAll, weights }] : []
  })
  return (found.find(({ isForAll }) => isForAll) ?? found[0])?.weights
}

/** Where the canary's traffic goes in that route of the VirtualService: the host as it stands there, with its subset and port. */
export function destinationOf({ spec }: VirtualService, { section, index, canary }: Place): Destination {
  const routes = section === 'rules' ? [] : (spec[section] ?? [])
  return routes[index]!.route![canary[0]!]!.destination
}
