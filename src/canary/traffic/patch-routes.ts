// Patches routes based on what it has read, and reads them again if another writer is faster.
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { isConflict } from '../../cluster/api-error.ts'
import { keyOf, kindOf, type Kind, type KubeObject } from '../../cluster/objects.ts'
import type { Routed } from '../../policies/routes.ts'
import { retry } from '../../runtime/retry.ts'

/** An object that was written, and its resource versions before and after. `changedRoutes`: more than a fence. */
export type RouteWrite = { key: string; from: string | undefined; to: string | undefined; changedRoutes: boolean }
/** Returns an empty patch if the object needs no change. */
export type RoutePatch = (object: Routed) => PatchOperation[]
/**
 * Proves, between reading and writing, that this process may still write to the objects that it read; rejects if it may
 * not. A process that was frozen after this proof meets a newer resource version, because whoever took over has written
 * to every object.
 */
export type BeforeWrite = (objects: Routed[]) => Promise<void>

/**
 * Computes every patch before it writes any, so that an impossible one prevents all writes. A failed write to one
 * object does not prevent the writes to the others.
 * @throws the error of `beforeWrite`, or the first one that another attempt cannot solve; after five attempts, the first
 * conflict.
 */
export async function patchRoutes(
  cluster: Cluster,
  read: () => Promise<Routed[]>,
  patch: RoutePatch,
  beforeWrite: BeforeWrite = () => Promise.resolve(),
): Promise<RouteWrite[]> {
  const writes: RouteWrite[] = []
  let isOnlyConflict = false
  const attempt = async () => {
    isOnlyConflict = false
    const objects = await read()
    const patches = objects
      .map((object) => ({ object, operations: patch(object) }))
      .filter(({ operations }) => operations.length > 0)
    await beforeWrite(objects)
    const results = await Promise.allSettled(
      patches.map(({ object, operations }) => write(cluster, object, operations)),
    )
    writes.push(...results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])))
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    const final = errors.find((error) => !isConflict(error))
    isOnlyConflict = final === undefined
    if (errors.length > 0) throw final ?? errors[0]!
  }
  await retry(attempt, { attempts: 5, firstDelayMs: 100, isTransient: () => isOnlyConflict })
  return writes
}

/** The write fails with a conflict if the object has changed since it was read. */
async function write(cluster: Cluster, object: Routed, operations: PatchOperation[]): Promise<RouteWrite> {
  const { namespace, name, resourceVersion } = object.metadata
  const asRead: PatchOperation = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }
  const written = await cluster.patch<Routed>(routeKind(object), namespace, name, [asRead, ...operations])
  const changedRoutes = operations.some(({ path }) => path.startsWith('/spec'))
  return { key: keyOf(object), from: resourceVersion, to: written.metadata.resourceVersion, changedRoutes }
}

/** Holds the time of the last write that changed no route. */
const fenceAnnotation = 'mesh-canary.io/fence'

/** Changes the resource version, and nothing else that matters. */
export function fencePatch({ metadata: { annotations } }: KubeObject): PatchOperation[] {
  const value = new Date().toISOString()
  return annotations
    ? [{ op: 'add', path: `/metadata/annotations/${fenceAnnotation.replace('/', '~1')}`, value }]
    : [{ op: 'add', path: '/metadata/annotations', value: { [fenceAnnotation]: value } }]
}

export function routeKind(object: Routed): Kind {
  return kindOf(object) ?? (object.kind as Kind)
}
