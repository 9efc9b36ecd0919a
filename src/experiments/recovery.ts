// Removes the fault of a run that died, for the post step.
import { leaseName } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { FaultIntent } from './experiment.ts'
import { restoreObjects } from './faults/restore.ts'
import { deleteOwnLeases } from './own-leases.ts'

/**
 * Returns one sentence about what it did, if anything. @throws Error if the fault cannot be removed; then the Lease
 * stays, and the guard continues to try.
 */
export async function recoverFault(cluster: Cluster, intent: FaultIntent): Promise<string | undefined> {
  const { experiment, namespace, services, identity, objects } = intent
  const restored = await restoreObjects(cluster, objects)
  // The guard's Lease goes last: with it, Kubernetes deletes the guard.
  await deleteOwnLeases(cluster, namespace, services.map(leaseName).toReversed(), identity)
  return restored.length === 0
    ? undefined
    : `the fault of the experiment ${experiment} was removed (${restored.join(', ')})`
}
