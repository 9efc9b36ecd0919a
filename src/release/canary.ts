// Creates the canary of a release, and removes it. Everything else that belongs to it is owned by its Deployment, so that
// Kubernetes deletes it together.
import type { Cluster } from '../cluster/client.ts'
import { ApiError } from '../cluster/api-error.ts'
import { kindOf, titleOf, type KubeObject, type Pod, type Workload } from '../cluster/objects.ts'
import { createdCanaryLabel } from '../config/names.ts'
import { poll } from '../runtime/retry.ts'
import { creationFailure } from '../verify/pod-creation.ts'
import type { Release } from './plan.ts'
import { protectionOf } from './protection.ts'
import { NotReleasable } from './workload.ts'

/**
 * Returns the Deployment, whose pods may not be ready yet. They start only when all that protects them is there.
 * @throws NotReleasable if something that protects stable would not protect the canary
 */
export async function createCanary(cluster: Cluster, release: Release): Promise<Workload> {
  const { canary, left } = release
  const isRunning = left?.isSame === true && (left.deployment.spec.replicas ?? 1) > 0
  const { copies, faults } = await protectionOf(cluster, release)
  if (faults.length > 0) throw new NotReleasable(faults.join('\n'))
  const owned = [...release.configs.canary, ...copies]
  for (const object of owned) await requireOwn(cluster, object, release.plan.service)
  const owner = isRunning ? left.deployment : await cluster.apply<Workload>(withReplicas(canary, 0), true)
  for (const object of owned) await cluster.apply(ownedBy(object, owner), true)
  // One that goes on may have grown with its weight.
  const replicas = Math.max(canary.spec.replicas ?? 1, isRunning ? (left.deployment.spec.replicas ?? 1) : 0)
  return cluster.apply<Workload>(withReplicas(canary, replicas), true)
}

/**
 * Waits until all pods of the canary exist, ready or not: with fewer of them, its traffic would be too much for them.
 * @throws Error with the cause
 */
export async function waitForPods(
  cluster: Cluster,
  { metadata: { name, namespace = '' }, spec: { replicas = 1 } }: Workload,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const count = async () => (await cluster.get<Workload>('Deployment', namespace, name))?.status?.replicas ?? 0
  const created = await poll(count, (each) => each >= replicas, { limitMs: timeoutMs, intervalMs: 250, signal })
  if (created >= replicas) return
  const cause = (await creationFailure(cluster, namespace, name)) ?? 'no event says why'
  throw new Error(`Deployment/${name} has ${created} of ${replicas} pods after ${timeoutMs / 1_000} s: ${cause}`)
}

function withReplicas(deployment: Workload, replicas: number): Workload {
  return { ...deployment, spec: { ...deployment.spec, replicas } }
}

function ownedBy(object: KubeObject, { metadata: { name, uid = '' } }: Workload): KubeObject {
  const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name, uid }
  return { ...object, metadata: { ...object.metadata, ownerReferences: [owner] } }
}

/** @throws NotReleasable if an object of this name exists that is not the canary's. */
async function requireOwn(cluster: Cluster, object: KubeObject, service: string): Promise<void> {
  const { namespace, name } = object.metadata
  const kind = kindOf(object)!
  const live = await cluster.get<KubeObject>(kind, namespace, name)
  if (live && live.metadata.labels?.[createdCanaryLabel] !== service)
    throw new NotReleasable(
      `the canary needs the ${titleOf(object)}, and one of that name exists that is not of this canary; rename it`,
    )
}

/** Rejects if the canary has changed hands: somebody else has created it anew. */
export async function removeCanary(cluster: Cluster, { metadata: { name, namespace, uid } }: Workload): Promise<void> {
  await cluster.remove('Deployment', namespace, name, uid).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 409)
      throw new Error(`the Deployment ${name} was deleted and created again meanwhile; nothing of it was removed`)
    throw error
  })
}

export async function scaleCanaryToZero(cluster: Cluster, { metadata }: Workload): Promise<void> {
  await cluster.merge('Deployment', metadata.namespace, metadata.name, { spec: { replicas: 0 } })
}

/** Waits until no pod of the service's canary is left, so that none of them is behind the next one's labels. */
export async function waitUntilGone(
  cluster: Cluster,
  namespace: string,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const labelSelector = `${createdCanaryLabel}=${service}`
  const pods = await poll(() => cluster.list<Pod>('Pod', namespace, { labelSelector }), isEmpty, {
    limitMs: timeoutMs,
    intervalMs: 500,
    signal,
  })
  if (isEmpty(pods)) return
  throw new Error(
    `the pods of the earlier canary of ${service} did not end within ${timeoutMs / 1_000} s ` +
      `(${pods.map(({ metadata }) => metadata.name).join(', ')}); delete them, and run again`,
  )
}

const isEmpty = (pods: readonly Pod[]) => pods.length === 0
