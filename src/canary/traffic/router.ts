// Moves a canary's traffic in the cluster: its weight and, for a while, copies of requests or the requests that match.
// Changes nothing else in the objects.
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, type VirtualService } from '../../cluster/objects.ts'
import type { HttpMatches } from '../../config/schema.ts'
import {
  allToStable,
  canaryWeightOf,
  isVirtualService,
  splitsIn,
  splitsTraffic,
  weightPatch,
  type Routed,
  type Split,
} from '../../policies/routes.ts'
import { movePatch } from '../../policies/weights/moved-weights.ts'
import { headerRoutePatch } from './header-route.ts'
import { mirrorPatch } from './mirror.ts'
import {
  fencePatch,
  patchRoutes,
  routeKind,
  type BeforeWrite,
  type RoutePatch,
  type RouteWrite,
} from './patch-routes.ts'
import { listSplittingRoutes, requireHttpRoutes, requireSplittingRoutes } from './splitting-routes.ts'

/**
 * The canary's weight in force, in per cent. After an interrupted write, routes may differ. Then the lowest weight
 * counts, because the promotion got that far everywhere.
 */
export async function readWeight(cluster: Cluster, split: Split): Promise<number> {
  return Math.min(...(await readWeights(cluster, split)))
}

/** The canary's weight in the route that gives it most, in per cent: 0 only if no route gives it any. */
export async function readHighestWeight(cluster: Cluster, split: Split): Promise<number> {
  return Math.max(...(await readWeights(cluster, split)))
}

/** As `readHighestWeight`, and 0 also if no route splits the service. */
export async function readAnyWeight(cluster: Cluster, split: Split): Promise<number> {
  return Math.max(0, ...weightsIn(await listSplittingRoutes(cluster, split), split))
}

/**
 * Whether every route that splits gives the canary this weight, in per cent, as it would be written: beside other destinations,
 * what is written of 25% may read as 26%.
 */
export async function hasWeight(cluster: Cluster, split: Split, weight: number): Promise<boolean> {
  const objects = await requireSplittingRoutes(cluster, split)
  if (objects.every((object) => weightPatch(object, split, weight).length === 0)) return true
  const weights = weightsIn(objects, split)
  return weights.length > 0 && weights.every((each) => Math.round(each) === Math.round(weight))
}

async function readWeights(cluster: Cluster, split: Split): Promise<number[]> {
  const weights = weightsIn(await requireSplittingRoutes(cluster, split), split)
  if (weights.length > 0) return weights
  const { namespace, service, stable, canary } = split
  throw new Error(
    `the routes in ${namespace} that split ${service} send none of its traffic to ${stable.name} or ${canary.name}; ` +
      `give ${stable.name} a weight first`,
  )
}

/** The canary's weight in each split of the objects, in per cent. */
function weightsIn(objects: readonly Routed[], split: Split): number[] {
  return objects.flatMap((object) => splitsIn(object, split)).flatMap((each) => canaryWeightOf(each) ?? [])
}

/** The objects with their current routes, which a promotion saves before it changes any. */
export function readRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  return requireSplittingRoutes(cluster, split)
}

/** Sets the canary's weight, in per cent, in every route that splits, or only in the named ones. */
export function setWeight(
  cluster: Cluster,
  split: Split,
  weight: number,
  beforeWrite?: BeforeWrite,
): Promise<RouteWrite[]> {
  const read = () => requireSplittingRoutes(cluster, split)
  return patchRoutes(cluster, read, (object) => movePatch(object, split, weight), beforeWrite)
}

/** Sends the canary copies of `percent` of the requests. With undefined it removes our mirror, and no other. */
export function setMirror(
  cluster: Cluster,
  split: Split,
  percent: number | undefined,
  beforeWrite?: BeforeWrite,
): Promise<RouteWrite[]> {
  const needed = percent === undefined ? undefined : 'copies of requests'
  return patchHttpRoutes(cluster, split, needed, (object) => mirrorPatch(object, split, percent), beforeWrite)
}

/** Sends the canary the requests that match. With undefined it removes our route. */
export function setHeaderRoute(
  cluster: Cluster,
  split: Split,
  match: HttpMatches | undefined,
  beforeWrite?: BeforeWrite,
): Promise<RouteWrite[]> {
  const needed = match === undefined ? undefined : 'the requests that match'
  return patchHttpRoutes(cluster, split, needed, (object) => headerRoutePatch(object, split, match), beforeWrite)
}

/** `needed`: what only an HTTP route of a VirtualService can give the canary; undefined when the patch only removes. */
function patchHttpRoutes(
  cluster: Cluster,
  split: Split,
  needed: string | undefined,
  patch: VirtualServicePatch,
  beforeWrite?: BeforeWrite,
): Promise<RouteWrite[]> {
  const read = () =>
    needed === undefined ? requireSplittingRoutes(cluster, split) : requireHttpRoutes(cluster, split, needed)
  return patchRoutes(cluster, read, virtualServicesOnly(patch), beforeWrite)
}

/** Removes our mirror and our route for the requests that match. */
export function removeManagedRoutes(cluster: Cluster, split: Split, beforeWrite?: BeforeWrite): Promise<RouteWrite[]> {
  return patchRoutes(cluster, () => requireSplittingRoutes(cluster, split), managedRoutesRemoval(split), beforeWrite)
}

/**
 * Writes to every object that splits, and changes no route. After that the API server refuses what an earlier holder of
 * the Lease still wants to write.
 */
export function fenceRoutes(cluster: Cluster, split: Split): Promise<RouteWrite[]> {
  return patchRoutes(cluster, () => requireSplittingRoutes(cluster, split), fencePatch)
}

function managedRoutesRemoval(split: Split): RoutePatch {
  return virtualServicesOnly((object) => [
    ...mirrorPatch(object, split, undefined),
    ...headerRoutePatch(object, split, undefined),
  ])
}

type VirtualServicePatch = (object: VirtualService) => ReturnType<RoutePatch>

function virtualServicesOnly(patch: VirtualServicePatch): RoutePatch {
  return (object) => (isVirtualService(object) ? patch(object) : [])
}

/**
 * `saved`: the objects as they were before the promotion: one that no longer splits gets its saved routes back, and one
 * that was deleted is created again. `onlySaved` is for a caller that may neither list nor create: it reads the saved
 * objects one by one.
 */
export type ResetOptions = { saved?: Routed[]; onlySaved?: boolean; beforeWrite?: BeforeWrite }

/**
 * Sends all traffic to stable, in one write for each object. Also writes to an object that needs no change, so that a
 * process that read it before cannot overwrite this decision.
 */
export async function resetToStable(
  cluster: Cluster,
  split: Split,
  { saved = [], onlySaved = false, beforeWrite }: ResetOptions = {},
): Promise<RouteWrite[]> {
  const removeManaged = managedRoutesRemoval(split)
  const missingFrom = (objects: Routed[]) => saved.filter((each) => !find(objects, each))
  let deleted: Routed[] = []

  async function read(): Promise<Routed[]> {
    const splitting = onlySaved ? [] : await splittingRoutes(cluster, split, saved)
    const objects = [...splitting, ...(await getEach(cluster, missingFrom(splitting)))]
    deleted = missingFrom(objects)
    return objects
  }

  const patch: RoutePatch = (object) => {
    if (!splitsTraffic(object, split))
      return [{ op: 'replace', path: '/spec', value: allToStable(find(saved, object)!, split).spec }]
    // Our route for the matching requests is removed last, because its removal changes the indices of the routes after
    // it.
    const changes = [...movePatch(object, split, 0), ...removeManaged(object)]
    return changes.length > 0 ? changes : fencePatch(object)
  }
  const writes = await patchRoutes(cluster, read, patch, beforeWrite)
  if (onlySaved) return writes
  return [...writes, ...(await Promise.all(deleted.map((object) => recreate(cluster, object, split))))]
}

/** Having nothing to write is an error only if nothing was saved either. */
function splittingRoutes(cluster: Cluster, split: Split, saved: Routed[]): Promise<Routed[]> {
  return saved.length === 0 ? requireSplittingRoutes(cluster, split) : listSplittingRoutes(cluster, split)
}

function find(objects: Routed[], object: Routed): Routed | undefined {
  return objects.find((each) => keyOf(each) === keyOf(object))
}

/** Reads the objects, without those that do not exist. */
async function getEach(cluster: Cluster, objects: Routed[]): Promise<Routed[]> {
  const current = await Promise.all(
    objects.map((object) => cluster.get<Routed>(routeKind(object), object.metadata.namespace, object.metadata.name)),
  )
  return current.filter((object) => object !== undefined)
}

async function recreate(cluster: Cluster, object: Routed, split: Split): Promise<RouteWrite> {
  const created = await cluster.create(allToStable(object, split))
  return { key: keyOf(created), from: undefined, to: created.metadata.resourceVersion, changedRoutes: true }
}
