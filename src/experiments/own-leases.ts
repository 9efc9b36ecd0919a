// The Leases of an experiment: under which names a run claims its services, and those of a run that is gone. A guard
// watches one of them; the others only keep promotions and other experiments away.
import { guardIdentity, holderOf } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import type { AffectedServices } from './faults/affected-services.ts'

/** Beside the Lease of a promotion, for an experiment that may run during one. */
const besidePromotion = (service: string) => `experiment-${service}`

/** Each service as its Lease names it. Without `during`, that is the Lease of its promotion, so each excludes the other. */
export function claimNames({ target, others }: AffectedServices, { during }: ExperimentConfig): AffectedServices {
  if (during === undefined) return { target, others }
  return { target: besidePromotion(target), others: others.map(besidePromotion) }
}

/** The service that the run claims as `claimed`. */
export function claimedService(claimed: string, { during }: ExperimentConfig): string {
  return during === undefined ? claimed : claimed.slice(besidePromotion('').length)
}

/** Which other Lease an experiment with the service may hold: one during promotions, or one that excludes them. */
export function otherClaimName(service: string, { during }: ExperimentConfig): string {
  return during === undefined ? besidePromotion(service) : service
}

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
