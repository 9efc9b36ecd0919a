// Completes the user's own routes for a canary, so that a promotion can move their weights: the default route of a host
// in the mesh, and the routes that the canary names in `routes`, get both versions as destinations. Pure.
import {
  keyOf,
  titleOf,
  type Destination,
  type HttpRoute,
  type KubeObject,
  type VirtualService,
} from '../../cluster/objects.ts'
import { canariesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import type { Version } from '../../config/schema/canary.ts'
import { ConfigError } from '../../config/error.ts'
import { hostOf } from '../compile/names.ts'
import { isForMesh } from './merge-hosts.ts'
import { isDefaultRoute } from '../conflicts/match-coverage.ts'
import {
  canaryWeightOf,
  fullHost,
  isVirtualService,
  routesTo,
  splitOf,
  splitsIn,
  splitsTraffic,
  type Split,
} from '../routes.ts'

/** `live`: the routes in the cluster, whose weights stay. @throws ConfigError if a default route goes elsewhere. */
export function withCanarySplits(
  objects: readonly KubeObject[],
  config: Config,
  live: readonly VirtualService[] = [],
): KubeObject[] {
  const splits = canariesOf(config).map((plan) => splitOf(config, plan))
  return objects.map((object) =>
    isVirtualService(object)
      ? splits.reduce((into, split) => withDefaultSplit(withNamedSplits(into, split, live), split), object)
      : object,
  )
}

type Share = NonNullable<HttpRoute['route']>[number]

/** The share of one destination, divided between both versions. `weight`: the canary's, in per cent. */
function divided(share: Share, { namespace, stable, canary }: Split, weight: number): Share[] {
  const to = (version: Version, part: number): Share => ({
    ...share,
    destination: destinationOf(share.destination, version, namespace),
    weight: part,
  })
  return [to(stable, 100 - weight), to(canary, weight)]
}

function destinationOf(destination: Destination, { by, name }: Version, namespace: string): Destination {
  return by === 'subset' ? { ...destination, subset: name } : { ...destination, host: hostOf(name, namespace) }
}

/** The named routes that go to all pods, with the weights in force, or with everything on stable. */
function withNamedSplits(object: VirtualService, split: Split, live: readonly VirtualService[]): VirtualService {
  const http = object.spec.http?.map((route) => {
    const { name, route: shares = [] } = route
    const [only] = shares
    if (name === undefined || !split.routes?.includes(name)) return route
    if (!only || shares.length > 1 || !goesToAllPods(only, object, split)) return route
    return { ...route, route: divided(only, split, weightInForce(object, name, split, live)) }
  })
  return http ? { ...object, spec: { ...object.spec, http } } : object
}

function goesToAllPods({ destination }: Share, { metadata }: VirtualService, split: Split): boolean {
  const { namespace, service, stable, canary } = split
  const isOwnVersion = [stable, canary].some(({ by, name }) => by === 'service' && name === service)
  return (
    !isOwnVersion &&
    destination.subset === undefined &&
    fullHost(destination.host, metadata.namespace ?? namespace) === hostOf(service, namespace)
  )
}

function weightInForce(object: VirtualService, name: string, split: Split, live: readonly VirtualService[]): number {
  const same = live.find((each) => keyOf(each) === keyOf(object))
  const [route] = same ? splitsIn(same, { ...split, routes: [name] }) : []
  return (route && canaryWeightOf(route)) ?? 0
}

/** All traffic of the default route stays where it is: at the version of the route, or at stable if it names none. */
function withDefaultSplit(object: VirtualService, split: Split): VirtualService {
  const { namespace, service, stable } = split
  if (stable.by === 'service' || !isForMesh(object) || !routesTo(object, service, namespace)) return object
  if (splitsTraffic(object, split)) return object
  const http = object.spec.http ?? []
  const index = http.findIndex(isDefaultRoute)
  const route = splitDefault(http[index], object, split)
  return { ...object, spec: { ...object.spec, http: index < 0 ? [...http, route] : http.with(index, route) } }
}

function splitDefault(route: HttpRoute | undefined, object: VirtualService, split: Split): HttpRoute {
  const { namespace, service, stable, canary } = split
  const host = hostOf(service, namespace)
  const [only, ...others] = route ? (route.route ?? []) : [{ destination: { host } }]
  const subset = only?.destination.subset ?? stable.name
  const isOfVersion =
    only && fullHost(only.destination.host, namespace) === host && [stable.name, canary.name].includes(subset)
  if (!isOfVersion || others.length > 0) throw new ConfigError(elsewhere(object, split))
  return { ...route, route: divided(only, split, subset === canary.name ? 100 : 0) }
}

function elsewhere(object: VirtualService, { service, stable, canary }: Split): string {
  return (
    `policies: the default route of the ${titleOf(object)} sends requests for ${service} neither to ${stable.name} ` +
    `nor to ${canary.name} nor to the whole service, so the canary cannot move them; ` +
    `give that route the destinations ${stable.name} and ${canary.name} with weights, or remove the canary`
  )
}
