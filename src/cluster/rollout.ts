// A workload's rollout: whether it is through, the wait for it, and why it is not.
import type { Cluster } from './client.ts'
import { belongs } from './labels.ts'
import type { Kind, Pod, Workload } from './objects.ts'
import { isReady } from '../mesh/sidecar.ts'
import { poll } from '../runtime/retry.ts'
import { causeOf } from '../verify/cause.ts'
import { creationFailure } from '../verify/pod-creation.ts'

/** True when every pod of the workload is of its newest template and available. */
export function isRolledOut({ kind, metadata, spec, status }: Workload): boolean {
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return false
  if (kind === 'DaemonSet') {
    const wanted = status?.desiredNumberScheduled ?? 0
    return (status?.updatedNumberScheduled ?? 0) === wanted && (status?.numberAvailable ?? 0) === wanted
  }
  const wanted = spec.replicas ?? 1
  const { replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status ?? {}
  return updatedReplicas === wanted && availableReplicas === wanted && replicas === wanted
}

/** Rejects with the cause when the workload is not through within the limit. */
export async function waitForRollout(
  cluster: Cluster,
  { kind, metadata }: Workload,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace = '' } = metadata
  const look = () => cluster.get<Workload>(kind as Kind, namespace, name)
  const isThrough = (workload: Workload | undefined) => workload !== undefined && isRolledOut({ ...workload, kind })
  const last = await poll(look, isThrough, { limitMs: timeoutMs, intervalMs: 500, signal })
  if (isThrough(last)) return
  throw new Error(
    `${kind}/${name} was not ready within ${timeoutMs / 1000} s after its restart: ${await cause(cluster, namespace, last)}`,
  )
}

async function cause(cluster: Cluster, namespace: string, workload: Workload | undefined): Promise<string> {
  if (!workload) return 'it is gone'
  const pods = await cluster.list<Pod>('Pod', namespace)
  // The newest: an old pod that was not ready either says nothing of this rollout.
  const bad = pods
    .filter((pod) => belongs(workload, pod) && !isReady(pod) && pod.metadata.deletionTimestamp === undefined)
    .sort(newestFirst)[0]
  if (bad) return `${bad.metadata.name}: ${await causeOf(cluster, bad)}`
  return (await creationFailure(cluster, namespace, workload.metadata.name)) ?? 'its new pods are not there yet'
}

function newestFirst(a: Pod, b: Pod): number {
  return (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '')
}
