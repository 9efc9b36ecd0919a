// The Leases of an experiment whose run is gone. A guard watches one of them; the others only keep promotions away.
import { guardIdentity, holderOf } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'

/** Deletes those that the experiment, or its guard, still holds. `identity`: of its claims. */
export async function deleteOwnLeases(
  cluster: Cluster,
  namespace: string,
  names: string[],
  identity: string,
): Promise<void> {
  for (const name of names) {
    const lease = await cluster.get<Lease>('Lease', namespace, name)
    const holder = holderOf(lease)
    // Another job of the same workflow run may have the same experiment: its Leases differ in their suffix only.
    const isOwn = holder === identity || holder === guardIdentity(identity)
    if (lease && isOwn) await cluster.remove('Lease', namespace, name, lease.metadata.uid)
  }
}
