// Restores what a run that died has changed, for the post step.
import { leaseName } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { FaultIntent } from './experiment.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { poll } from '../runtime/retry.ts'
import { describeUnfinished, findUnfinished, restoreObjects } from './faults/restore.ts'
import { deleteOwnLeases } from './own-leases.ts'

/** How long Chaos Mesh may take to end a fault. */
const finishLimitMs = 30_000

/**
 * Returns one sentence about what it did, if anything. @throws Error if the fault cannot be removed, or may
 * still act; then the Leases stay, and the guard continues to try.
 */
export async function restoreAfterRun(
  cluster: Cluster,
  intent: FaultIntent,
  clock: Clock = systemClock,
): Promise<string | undefined> {
  const { experiment, namespace, services, identity, objects, unseen } = intent
  const { target, others } = services
  const restored = await restoreObjects(cluster, objects, { identity })
  const isGone = (left: unknown[]) => left.length === 0
  const wait = { limitMs: finishLimitMs, intervalMs: 1_000, clock }
  const unfinished = await poll(() => findUnfinished(cluster, objects, identity), isGone, wait)
  if (unfinished.length > 0) throw new Error(describeUnfinished(unfinished))
  if (unseen !== undefined)
    throw new Error(`its objects are restored, but ${unseen}; the guard keeps its Leases for a while`)
  // The guard's Lease goes last: with it, Kubernetes deletes the guard.
  await deleteOwnLeases(cluster, namespace, [...others, target].map(leaseName), identity)
  return restored.length === 0
    ? undefined
    : `the fault of the experiment ${experiment} was removed (${restored.join(', ')})`
}
