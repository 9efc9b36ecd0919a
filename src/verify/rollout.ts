// Waits for a workload's rollout, and explains why it is not complete.
import type { Cluster } from '../cluster/client.ts'
import { belongs } from '../cluster/labels.ts'
import type { Kind, Pod, Workload } from '../cluster/objects.ts'
import { isReady } from '../cluster/pods.ts'
import { poll } from '../runtime/retry.ts'
import { causeOf } from './cause.ts'
import { creationFailure } from './pod-creation.ts'

/** True if every pod of the workload has the newest template and is available. */
export function isRolledOut({ kind, metadata, spec, status }: Workload): boolean {
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return false
  if (kind === 'DaemonSet') {
    const desired = status?.desiredNumberScheduled ?? 0
    return (status?.updatedNumberScheduled ?? 0) === desired && (status?.numberAvailable ?? 0) === desired
  }
  const desired = spec.replicas ?? 1
  const { replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status ?? {}
  return updatedReplicas === desired && availableReplicas === desired && replicas === desired
}

/** Why the workload's controller replaces no pods, and what to do, as the end of a sentence; undefined if it does. */
export function whyNotReplaced({ kind, metadata, spec }: Workload): string | undefined {
  const { name, namespace = '' } = metadata
  if (spec.paused) return `is paused; resume it (kubectl -n ${namespace} rollout resume ${kind.toLowerCase()}/${name})`
  if (spec.updateStrategy?.type !== 'OnDelete') return undefined
  return 'replaces pods only when they are deleted (updateStrategy OnDelete); delete them, or set RollingUpdate'
}

/** Rejects with the cause if the rollout is not complete after `timeoutMs`. */
export async function waitForRollout(
  cluster: Cluster,
  { kind, metadata }: Workload,
  timeoutMs: number,
  signal: AbortSignal,
  since = 'after its restart',
): Promise<void> {
  const { name, namespace = '' } = metadata
  const readWorkload = () => cluster.get<Workload>(kind as Kind, namespace, name)
  const isComplete = (workload: Workload | undefined) => workload !== undefined && isRolledOut({ ...workload, kind })
  const last = await poll(readWorkload, isComplete, { limitMs: timeoutMs, intervalMs: 500, signal })
  if (isComplete(last)) return
  const cause = await rolloutCause(cluster, namespace, last && { ...last, kind })
  throw new Error(`${kind}/${name} was not ready within ${timeoutMs / 1000} s ${since}: ${cause}`)
}

async function rolloutCause(cluster: Cluster, namespace: string, workload: Workload | undefined): Promise<string> {
  if (!workload) return 'it no longer exists'
  const why = whyNotReplaced(workload)
  if (why !== undefined) return `it ${why}`
  const pods = await cluster.list<Pod>('Pod', namespace)
  // The newest pod explains this rollout; an old pod that is not ready does not.
  const unready = pods
    .filter((pod) => belongs(workload, pod) && !isReady(pod) && pod.metadata.deletionTimestamp === undefined)
    .sort(newestFirst)[0]
  if (unready) return `${unready.metadata.name}: ${await causeOf(cluster, unready)}`
  return (await creationFailure(cluster, namespace, workload.metadata.name)) ?? 'its new pods do not exist yet'
}

function newestFirst(a: Pod, b: Pod): number {
  return (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '')
}
