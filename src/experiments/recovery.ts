// Removes the fault of a run that died, for the post step.
import { guardIdentity, holderOf, leaseName } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import type { FaultIntent } from './experiment.ts'
import { restoreObjects } from './faults/restore.ts'

/**
 * Returns one sentence about what it did, if anything. @throws Error if the fault cannot be removed; then the Lease
 * stays, and the guard continues to try.
 */
export async function recoverFault(cluster: Cluster, intent: FaultIntent): Promise<string | undefined> {
  const { experiment, namespace, services, objects } = intent
  const restored = await restoreObjects(cluster, objects)
  for (const service of services.toReversed()) await deleteLease(cluster, intent, namespace, leaseName(service))
  return restored.length === 0
    ? undefined
    : `the fault of the experiment ${experiment} was removed (${restored.join(', ')})`
}

/** Only if nobody else has it. With it, Kubernetes deletes the guard. */
async function deleteLease(cluster: Cluster, { identity, experiment }: FaultIntent, namespace: string, name: string) {
  const lease = await cluster.get<Lease>('Lease', namespace, name)
  if (!lease) return
  const holder = holderOf(lease)
  const isOurs = [identity, guardIdentity(identity)].includes(holder) || isOfExperiment(holder, experiment, identity)
  if (isOurs) await cluster.remove('Lease', namespace, name, lease.metadata.uid)
}

/** The claims of one run differ in their suffix only. */
function isOfExperiment(holder: string, experiment: string, identity: string): boolean {
  const withoutSuffix = (text: string) => text.replace(/ \([0-9a-f]{8}\)$/, '')
  return withoutSuffix(holder) === withoutSuffix(identity) && holder.includes(`experiment ${experiment}`)
}
