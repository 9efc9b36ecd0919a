// The Leases of an experiment whose run is gone. A guard watches one of them; the others only keep promotions away.
import { guardIdentity, holderOf, runOfHolder } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'

/** Deletes those that the run, or its guard, still holds. `identity`: of any claim of the run. */
export async function deleteOwnLeases(
  cluster: Cluster,
  namespace: string,
  names: string[],
  identity: string,
): Promise<void> {
  for (const name of names) {
    const lease = await cluster.get<Lease>('Lease', namespace, name)
    const holder = holderOf(lease)
    // The claims of one run differ in their suffix only.
    const isOwn = holder === guardIdentity(identity) || runOfHolder(holder) === runOfHolder(identity)
    if (lease && isOwn) await cluster.remove('Lease', namespace, name, lease.metadata.uid)
  }
}
