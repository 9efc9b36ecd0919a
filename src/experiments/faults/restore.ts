// Removes a fault from the cluster: the run, the post step and the guard do it in the same way. Repeating it is harmless.
import { fencePatch } from '../../canary/traffic/patch-routes.ts'
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { emptyWhenUnread, isConflict } from '../../cluster/api-error.ts'
import { keyOf, type KubeObject } from '../../cluster/objects.ts'
import { chaosKinds } from '../../config/chaos-kinds.ts'
import { retry } from '../../runtime/retry.ts'
import { settleAll } from '../../runtime/settle-all.ts'
import {
  experimentAnnotation,
  isForeign,
  isIntact,
  markedObject,
  undoPatch,
  type FaultObject,
  type Undo,
} from './fault-object.ts'

/**
 * Restores every object, also when another one cannot be restored. Returns the keys of those that it changed.
 * `invalidatesPreparedWrites`: also writes to an object that needs no change. Its new resourceVersion makes the API server
 * refuse a write that a frozen run has prepared. `identity`: whose fault it is; without it, anybody's. What another
 * experiment has marked since stays.
 * @throws Error with a line for each object that it could not restore; a later call restores the rest.
 */
export async function restoreObjects(
  cluster: Cluster,
  objects: FaultObject[],
  { invalidatesPreparedWrites = true, identity }: { invalidatesPreparedWrites?: boolean; identity?: string } = {},
): Promise<string[]> {
  const isTransient = (error: unknown) => isConflict(error)
  const limits = { attempts: 5, firstDelayMs: 100, isTransient }
  const restored = objects.map((object) =>
    retry(() => restoreObject(cluster, object, invalidatesPreparedWrites, identity), limits),
  )
  return (await settleAll(restored)).flatMap((key) => key ?? [])
}

async function restoreObject(
  cluster: Cluster,
  { kind, namespace, name, undo: known }: FaultObject,
  invalidatesPreparedWrites: boolean,
  identity: string | undefined,
): Promise<string | undefined> {
  const object = await cluster.get<KubeObject>(kind, namespace, name)
  if (!object || isForeign(object, identity)) return undefined
  const undo = writtenUndo(object) ?? known
  if (undo.kind === 'delete') {
    // Without the annotation, it is someone else's object of the same name.
    if (object.metadata.annotations?.[experimentAnnotation] === undefined) return undefined
    // It goes as soon as Chaos Mesh has recovered.
    if (object.metadata.deletionTimestamp !== undefined) return undefined
    await cluster.remove(kind, namespace, name, object.metadata.uid)
    return keyOf(object)
  }
  const operations = undoPatch(object, undo)
  const asRead: PatchOperation = {
    op: 'test',
    path: '/metadata/resourceVersion',
    value: object.metadata.resourceVersion,
  }
  if (operations.length === 0 && !invalidatesPreparedWrites) return undefined
  await cluster.patch(kind, namespace, name, [asRead, ...(operations.length > 0 ? operations : fencePatch(object))])
  return operations.length > 0 ? keyOf(object) : undefined
}

/** What the fault changed when it was written: the object may have been different when the caller planned it. */
function writtenUndo(object: KubeObject): Undo | undefined {
  const undo = markedObject(object)?.mark.undo
  return undo?.kind === 'fields' ? undo : undefined
}

/**
 * Those objects that still have something of the fault. Chaos Mesh keeps a deleted object until it has recovered, and
 * until then the fault acts; somebody else may have written a route of ours again. `identity`: as in `restoreObjects`.
 */
export async function findUnfinished(
  cluster: Cluster,
  objects: FaultObject[],
  identity?: string,
): Promise<FaultObject[]> {
  const found = await Promise.all(
    objects.map(({ kind, namespace, name }) => cluster.get<KubeObject>(kind, namespace, name)),
  )
  return objects.filter(({ undo }, i) => {
    const object = found[i]
    return object !== undefined && !isForeign(object, identity) && hasFault(object, undo)
  })
}

function hasFault(object: KubeObject, known: Undo): boolean {
  const undo = writtenUndo(object) ?? known
  if (undo.kind === 'delete') return object.metadata.annotations?.[experimentAnnotation] !== undefined
  return undoPatch(object, undo).length > 0
}

/** What to tell a person about them. */
export function describeUnfinished(objects: FaultObject[]): string {
  const { deleted = [], changed = [] } = Object.groupBy(objects, ({ undo }) =>
    undo.kind === 'delete' ? 'deleted' : 'changed',
  )
  const titles = (some: FaultObject[]) =>
    some.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`).join(', ')
  const ofChaosMesh =
    "is deleted, but still there, so its fault may still act; look at Chaos Mesh's controller and daemon"
  return [
    ...(deleted.length > 0 ? [`${titles(deleted)} ${ofChaosMesh}`] : []),
    ...(changed.length > 0 ? [`${titles(changed)} has the fault again; somebody else may have written it`] : []),
  ].join('; ')
}

/** The kinds of the objects that a fault changes or creates. */
const faultKinds = ['VirtualService', 'DestinationRule', 'AuthorizationPolicy', ...chaosKinds] as const

/** What earlier experiments under these Leases left in the namespace, and whose it is. */
export async function findLeftovers(
  cluster: Cluster,
  namespace: string,
  leases: string[],
): Promise<{ fault: FaultObject; identity: string }[]> {
  const lists = await Promise.all(
    faultKinds.map((kind) => cluster.list<KubeObject>(kind, namespace).catch(emptyWhenUnread)),
  )
  const marked = lists.flat().flatMap((object) => markedObject(object) ?? [])
  return marked
    .filter(({ mark }) => leases.includes(mark.lease))
    .map(({ fault, mark: { identity } }) => ({ fault, identity }))
}

/**
 * The objects in which the fault is no longer as it was written: someone else has changed them. `written`: the API server's
 * answers, in the same order.
 */
export async function findTouched(
  cluster: Cluster,
  objects: FaultObject[],
  written: KubeObject[],
): Promise<FaultObject[]> {
  const current = await Promise.all(
    objects.map(({ kind, namespace, name }) => cluster.get<KubeObject>(kind, namespace, name)),
  )
  return objects.filter((object, i) => !isIntact(current[i], object, written[i]!))
}
