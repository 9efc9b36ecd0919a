// Moves the weight in the cluster, and nothing else of the objects that it stands in; and for a while copies of requests,
// or those that match.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, emptyWhenUnread, isConflict, type PatchOperation } from '../../cluster/client.ts'
import { type GatewayRoute, keyOf, type Kind, kindOf, type VirtualService } from '../../cluster/objects.ts'
import type { HttpMatch } from '../../config/schema.ts'
import {
  allToStable,
  withAllRoutes,
  isVirtualService,
  placesOf,
  shareOf,
  weightPatch,
  type Place,
  type Routed,
  type Split,
} from '../../policies/routes.ts'
import { headerRoutePatch } from './header-route.ts'
import { mirrorPatch } from './mirror.ts'

export type { Routed, Split } from '../../policies/routes.ts'

/** Every object of the namespace with a route between both versions; those of the Gateway API weigh Services only. */
async function listSplittingRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  const kinds = split.stable.by === 'service' ? (['HTTPRoute', 'GRPCRoute'] as const) : []
  const lists = await Promise.all([
    cluster.list<VirtualService>('VirtualService', split.namespace),
    ...kinds.map((kind) => cluster.list<GatewayRoute>(kind, split.namespace).catch(emptyWhenUnread)),
  ])
  return lists.flat().filter((object) => splits(object, split))
}

/** @throws Error when no route splits the service between the two, or one that is named does not. */
async function splittingRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  const objects = await listSplittingRoutes(cluster, split)
  const { namespace, service, stable, canary, routes = [] } = split
  const between = `${service} between ${stable.name} and ${canary.name}`
  if (objects.length === 0)
    throw new Error(
      `no route of a VirtualService${stable.by === 'service' ? ' or an HTTPRoute' : ''} in ${namespace} splits ${between}; ${stable.by === 'service' ? 'write one with both Services as destinations' : 'run the stage policies first'}`,
    )
  const names = objects.flatMap((object) => placesOf(object, withAllRoutes(split))).flatMap(({ name }) => name ?? [])
  const unknown = routes.filter((name) => !names.includes(name))
  if (unknown.length === 0) return objects
  throw new Error(
    `canary.routes: no route named ${unknown.join(', ')} in ${namespace} splits ${between}; ${names.length > 0 ? `those that do are ${[...new Set(names)].join(', ')}` : 'those that do have no name: leave `routes` out to move them all'}`,
  )
}

/**
 * The canary's weight in force, in per cent. Where routes differ, because a move was interrupted, the lowest:
 * that is how far the promotion got everywhere.
 */
export async function readWeight(cluster: Cluster, split: Split): Promise<number> {
  const shares = places(await splittingRoutes(cluster, split), split).flatMap((place) => shareOf(place) ?? [])
  if (shares.length > 0) return Math.min(...shares)
  throw new Error(
    `the routes in ${split.namespace} that split ${split.service} give all of its traffic to others than ${split.stable.name} and ${split.canary.name}; give ${split.stable.name} a weight first`,
  )
}

function places(objects: Routed[], split: Split): Place[] {
  return objects.flatMap((object) => placesOf(object, split))
}

/** The objects with their routes, as they stand now: what a promotion saves before it changes any. */
export function readRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  return splittingRoutes(cluster, split)
}

/** An object that was written: as which version it was read, and as which it stands since. */
export type RouteWrite = { key: string; from: string | undefined; to: string | undefined }

/** Sets the canary's weight in every route that splits, or in those that are named. */
export function setWeight(cluster: Cluster, split: Split, weight: number): Promise<RouteWrite[]> {
  return change(
    cluster,
    () => splittingRoutes(cluster, split),
    (object) => weightPatch(object, split, weight),
  )
}

/** The canary gets copies of so many per cent of the requests; with undefined none, if those that it gets are ours. */
export function setMirror(cluster: Cluster, split: Split, percent: number | undefined): Promise<RouteWrite[]> {
  const read = () => withHttp(cluster, split, percent === undefined ? undefined : 'copies of requests')
  return change(
    cluster,
    read,
    httpOnly((object) => mirrorPatch(object, split, percent)),
  )
}

/** The canary gets the requests that match; with undefined the route that says so goes. */
export function setHeaderRoute(cluster: Cluster, split: Split, match: HttpMatch | undefined): Promise<RouteWrite[]> {
  const read = () => withHttp(cluster, split, match && 'the requests that match')
  return change(
    cluster,
    read,
    httpOnly((object) => headerRoutePatch(object, split, match)),
  )
}

/** No copies of ours and no matching requests any more. */
export function removeManagedRoutes(cluster: Cluster, split: Split): Promise<RouteWrite[]> {
  return change(cluster, () => splittingRoutes(cluster, split), cleared(split))
}

function cleared(split: Split): Patch {
  return httpOnly((object) => [...mirrorPatch(object, split, undefined), ...headerRoutePatch(object, split, undefined)])
}

/**
 * All traffic to stable, in one write for each object. Of the objects that were `saved` before the promotion, those that do
 * not split any more get their old routes back, and those that are gone are made again. `named`: only those are read, one by
 * one, for who may not list, nor create.
 */
export async function resetToStable(
  cluster: Cluster,
  split: Split,
  saved: Routed[] = [],
  named = false,
): Promise<RouteWrite[]> {
  const rest = cleared(split)
  const without = (objects: Routed[]) =>
    saved.filter((each) => !objects.some((object) => keyOf(object) === keyOf(each)))
  let gone: Routed[] = []
  const read = async () => {
    const splitting = named
      ? []
      : saved.length === 0
        ? await splittingRoutes(cluster, split)
        : await listSplittingRoutes(cluster, split)
    const there = [...splitting, ...(await byName(cluster, without(splitting)))]
    gone = without(there)
    return there
  }
  const written = await change(cluster, read, (object) => {
    if (!splits(object, split))
      return [
        {
          op: 'replace',
          path: '/spec',
          value: allToStable(saved.find((each) => keyOf(each) === keyOf(object))!, split).spec,
        },
      ]
    // The routes of an A/B stage go last, for they are counted in the places of the others.
    return [...weightPatch(object, split, 0), ...rest(object)]
  })
  return named ? written : [...written, ...(await Promise.all(gone.map((object) => makeAgain(cluster, object, split))))]
}

async function makeAgain(cluster: Cluster, object: Routed, split: Split): Promise<RouteWrite> {
  const made = await cluster.create(allToStable(object, split))
  return { key: keyOf(made), from: undefined, to: made.metadata.resourceVersion }
}

async function byName(cluster: Cluster, objects: Routed[]): Promise<Routed[]> {
  const live = await Promise.all(
    objects.map((object) => cluster.get<Routed>(kindFor(object), object.metadata.namespace, object.metadata.name)),
  )
  return live.filter((object) => object !== undefined)
}

function splits(object: Routed, split: Split): boolean {
  return placesOf(object, withAllRoutes(split)).length > 0
}

type Patch = (object: Routed) => PatchOperation[]

function httpOnly(patch: (object: VirtualService) => PatchOperation[]): Patch {
  return (object) => (isVirtualService(object) ? patch(object) : [])
}

/**
 * Patches each object as it was read, and reads again when somebody else wrote in between. Nothing is written before every
 * patch is known to be possible; and one object that cannot be written keeps no other from being so.
 */
async function change(cluster: Cluster, read: () => Promise<Routed[]>, patch: Patch): Promise<RouteWrite[]> {
  const done: RouteWrite[] = []
  for (let attempt = 1; ; attempt++) {
    const objects = await read()
    const patches = objects
      .map((object) => ({ object, operations: patch(object) }))
      .filter(({ operations }) => operations.length > 0)
    const results = await Promise.allSettled(
      patches.map(({ object, operations }) => write(cluster, object, operations)),
    )
    done.push(...results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])))
    const errors = results.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []))
    if (errors.length === 0) return done
    const forGood = errors.find((error) => !isConflict(error)) ?? (attempt === 5 ? errors[0] : undefined)
    if (forGood) throw forGood
    await sleep(100 * attempt)
  }
}

/** `needs`: what only an http route of a VirtualService can give. */
async function withHttp(cluster: Cluster, split: Split, needs: string | undefined): Promise<Routed[]> {
  const objects = await splittingRoutes(cluster, split)
  const { namespace, service, stable, canary } = split
  if (needs === undefined || places(objects, split).some(({ section }) => section === 'http')) return objects
  throw new Error(
    `${canary.name} cannot be sent ${needs}: no http route of a VirtualService in ${namespace} splits ${service} between it and ${stable.name}`,
  )
}

async function write(cluster: Cluster, object: Routed, operations: PatchOperation[]): Promise<RouteWrite> {
  const { namespace, name, resourceVersion } = object.metadata
  const asRead: PatchOperation = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }
  const now = await cluster.patch<Routed>(kindFor(object), namespace, name, [asRead, ...operations])
  return { key: keyOf(object), from: resourceVersion, to: now.metadata.resourceVersion }
}

function kindFor(object: Routed): Kind {
  return kindOf(object) ?? (object.kind as Kind)
}
