// Moves a canary's traffic in the cluster: its weight, and for a while copies of requests or the requests that match.
// It changes nothing else of the objects.
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, type VirtualService } from '../../cluster/objects.ts'
import type { HttpMatch } from '../../config/schema.ts'
import {
  allToStable,
  canaryWeightOf,
  isVirtualService,
  splitsIn,
  weightPatch,
  type Routed,
  type Split,
} from '../../policies/routes.ts'
import { headerRoutePatch } from './header-route.ts'
import { mirrorPatch } from './mirror.ts'
import { patchRoutes, routeKind, type RoutePatch, type RouteWrite } from './patch-routes.ts'
import { listSplittingRoutes, requireHttpRoutes, requireSplittingRoutes, splitsTraffic } from './splitting-routes.ts'

/**
 * The canary's weight in force, in per cent. After an interrupted write routes may differ. Then it is the lowest
 * weight: the promotion got that far everywhere.
 */
export async function readWeight(cluster: Cluster, split: Split): Promise<number> {
  const objects = await requireSplittingRoutes(cluster, split)
  const weights = objects.flatMap((object) => splitsIn(object, split)).flatMap((each) => canaryWeightOf(each) ?? [])
  if (weights.length > 0) return Math.min(...weights)
  const { namespace, service, stable, canary } = split
  throw new Error(
    `the routes in ${namespace} that split ${service} send none of its traffic to ${stable.name} or ${canary.name}; ` +
      `give ${stable.name} a weight first`,
  )
}

/** The objects with their routes as they are now, which a promotion saves before it changes any. */
export function readRoutes(cluster: Cluster, split: Split): Promise<Routed[]> {
  return requireSplittingRoutes(cluster, split)
}

/** Sets the canary's weight, in per cent, in every route that splits, or only in the named ones. */
export function setWeight(cluster: Cluster, split: Split, weight: number): Promise<RouteWrite[]> {
  const read = () => requireSplittingRoutes(cluster, split)
  return patchRoutes(cluster, read, (object) => weightPatch(object, split, weight))
}

/** Sends the canary copies of `percent` of the requests. With undefined it removes our mirror, and no other. */
export function setMirror(cluster: Cluster, split: Split, percent: number | undefined): Promise<RouteWrite[]> {
  const read = () =>
    percent === undefined
      ? requireSplittingRoutes(cluster, split)
      : requireHttpRoutes(cluster, split, 'copies of requests')
  return patchRoutes(
    cluster,
    read,
    virtualServicesOnly((object) => mirrorPatch(object, split, percent)),
  )
}

/** Sends the canary the requests that match. With undefined it removes our route. */
export function setHeaderRoute(cluster: Cluster, split: Split, match: HttpMatch | undefined): Promise<RouteWrite[]> {
  const read = () =>
    match === undefined
      ? requireSplittingRoutes(cluster, split)
      : requireHttpRoutes(cluster, split, 'the requests that match')
  return patchRoutes(
    cluster,
    read,
    virtualServicesOnly((object) => headerRoutePatch(object, split, match)),
  )
}

/** Removes our mirror and our route for the requests that match. */
export function removeManagedRoutes(cluster: Cluster, split: Split): Promise<RouteWrite[]> {
  return patchRoutes(cluster, () => requireSplittingRoutes(cluster, split), managedRoutesRemoval(split))
}

function managedRoutesRemoval(split: Split): RoutePatch {
  return virtualServicesOnly((object) => [
    ...mirrorPatch(object, split, undefined),
    ...headerRoutePatch(object, split, undefined),
  ])
}

function virtualServicesOnly(patch: (object: VirtualService) => ReturnType<RoutePatch>): RoutePatch {
  return (object) => (isVirtualService(object) ? patch(object) : [])
}

/**
 * Sends all traffic to stable, in one write for each object. `saved` are the objects as they were before the
 * promotion: one that no longer splits gets its saved routes back, and one that was deleted is created again.
 * `onlySaved` is for a caller that may neither list nor create: it reads the saved objects one by one.
 */
export async function resetToStable(
  cluster: Cluster,
  split: Split,
  saved: Routed[] = [],
  onlySaved = false,
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

  const writes = await patchRoutes(cluster, read, (object) => {
    if (!splitsTraffic(object, split))
      return [{ op: 'replace', path: '/spec', value: allToStable(find(saved, object)!, split).spec }]
    // Our route for the requests that match goes last: removing it changes the indices of the routes after it.
    return [...weightPatch(object, split, 0), ...removeManaged(object)]
  })
  if (onlySaved) return writes
  return [...writes, ...(await Promise.all(deleted.map((object) => recreate(cluster, object, split))))]
}

/** Nothing to write is an error only when nothing was saved either. */
function splittingRoutes(cluster: Cluster, split: Split, saved: Routed[]): Promise<Routed[]> {
  return saved.length === 0 ? requireSplittingRoutes(cluster, split) : listSplittingRoutes(cluster, split)
}

function find(objects: Routed[], wanted: Routed): Routed | undefined {
  return objects.find((object) => keyOf(object) === keyOf(wanted))
}

/** Without those that do not exist. */
async function getEach(cluster: Cluster, objects: Routed[]): Promise<Routed[]> {
  const current = await Promise.all(
    objects.map((object) => cluster.get<Routed>(routeKind(object), object.metadata.namespace, object.metadata.name)),
  )
  return current.filter((object) => object !== undefined)
}

async function recreate(cluster: Cluster, object: Routed, split: Split): Promise<RouteWrite> {
  const created = await cluster.create(allToStable(object, split))
  return { key: keyOf(created), from: undefined, to: created.metadata.resourceVersion }
}
