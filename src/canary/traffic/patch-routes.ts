// Patches routes as they were read, and reads them again when somebody else writes in between.
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { isConflict } from '../../cluster/api-error.ts'
import { keyOf, kindOf, type Kind } from '../../cluster/objects.ts'
import type { Routed } from '../../policies/routes.ts'
import { retry } from '../../runtime/retry.ts'

/** An object that was written, and its resource versions before and after. */
export type RouteWrite = { key: string; from: string | undefined; to: string | undefined }
/** Empty when the object is already as wanted. */
export type RoutePatch = (object: Routed) => PatchOperation[]

/**
 * Computes every patch before it writes any, so that an impossible one prevents all. One object that cannot be written
 * does not prevent the writes to the others.
 * @throws the first error that another try cannot solve; after five tries, the first conflict.
 */
export async function patchRoutes(
  cluster: Cluster,
  read: () => Promise<Routed[]>,
  patch: RoutePatch,
): Promise<RouteWrite[]> {
  const writes: RouteWrite[] = []
  let isOnlyConflict = false
  const attempt = async () => {
    isOnlyConflict = false
    const patches = (await read())
      .map((object) => ({ object, operations: patch(object) }))
      .filter(({ operations }) => operations.length > 0)
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

/** The write fails with a conflict when the object is not as it was read. */
async function write(cluster: Cluster, object: Routed, operations: PatchOperation[]): Promise<RouteWrite> {
  const { namespace, name, resourceVersion } = object.metadata
  const asRead: PatchOperation = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }
  const written = await cluster.patch<Routed>(routeKind(object), namespace, name, [asRead, ...operations])
  return { key: keyOf(object), from: resourceVersion, to: written.metadata.resourceVersion }
}

export function routeKind(object: Routed): Kind {
  return kindOf(object) ?? (object.kind as Kind)
}
