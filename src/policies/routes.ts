// Where a VirtualService splits a service's traffic, and how to move a weight there without touching anything else.
import type { PatchOperation } from '../cluster/client.ts'
import type { Destination, VirtualService } from '../cluster/objects.ts'
import { hostOf, type Weights } from './compile/index.ts'

/** A short host means the VirtualService's own namespace. */
export function fullHost(host: string, namespace: string): string {
  if (!host.includes('.')) return hostOf(host, namespace)
  if (/^[^.]+\.[^.]+(\.svc)?$/.test(host)) return `${host.replace(/\.svc$/, '')}.svc.cluster.local`
  return host
}

export function routesTo(object: VirtualService, service: string, namespace: string): boolean {
  return object.spec.hosts.some((host) => fullHost(host, object.metadata.namespace ?? namespace) === hostOf(service, namespace))
}

type Place = { route: number; isForAll: boolean; destination: number; subset: string; weight: number }

/** Every destination of the service that names a subset, in every http route. */
function places(object: VirtualService, service: string, namespace: string): Place[] {
  const toService = ({ host }: Destination) => fullHost(host, object.metadata.namespace ?? namespace) === hostOf(service, namespace)
  return (object.spec.http ?? []).flatMap(({ route = [], match }, i) =>
    route.flatMap(({ destination, weight }, j) =>
      toService(destination) && destination.subset !== undefined
        ? [{ route: i, isForAll: match === undefined, destination: j, subset: destination.subset, weight: weight ?? (route.length === 1 ? 100 : 0) }]
        : [],
    ),
  )
}

/**
 * The split in force: of the first route that names all of the given subsets, or, with none given, that names any;
 * undefined where there is no such route. A route for a few, such as one header's, counts only where none is for all.
 */
export function weightsOf(object: VirtualService, service: string, namespace: string, subsets: string[] = []): Weights | undefined {
  const all = places(object, service, namespace)
  const found = all.filter((place) => namesAll(all, place.route, subsets))
  const route = (found.find(({ isForAll }) => isForAll) ?? found[0])?.route
  return route === undefined ? undefined : Object.fromEntries(all.filter((place) => place.route === route).map(({ subset, weight }) => [subset, weight]))
}

function namesAll(all: Place[], route: number, subsets: string[]): boolean {
  return subsets.every((name) => all.some((place) => place.route === route && place.subset === name))
}

/**
 * The JSON Patch that gives the canary `weight` per cent and stable the rest, in every route that names both;
 * it is refused when somebody else changed the object since it was read. Empty when the weights are so already,
 * undefined where no route names both.
 */
export function shift(object: VirtualService, service: string, namespace: string, stable: string, canary: string, weight: number): PatchOperation[] | undefined {
  const all = places(object, service, namespace)
  const wanted: Weights = { [stable]: 100 - weight, [canary]: weight }
  const split = all.filter(({ route }) => namesAll(all, route, [stable, canary]))
  if (split.length === 0) return undefined
  const moves = split
    .filter(({ subset, weight: now }) => now !== (wanted[subset] ?? 0))
    .map(({ route, destination, subset }) => ({ op: 'add' as const, path: `/spec/http/${route}/route/${destination}/weight`, value: wanted[subset] ?? 0 }))
  return moves.length === 0 ? [] : [{ op: 'test', path: '/metadata/resourceVersion', value: object.metadata.resourceVersion }, ...moves]
}
