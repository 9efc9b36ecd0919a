// Waits until every pod that should be in the mesh is ready with its sidecar, and explains the pods that are not ready
// in time.
import type { Cluster } from '../cluster/client.ts'
import { matches, owns } from '../cluster/labels.ts'
import type { Pod, Workload } from '../cluster/objects.ts'
import { expectsSidecar, templatePod } from '../mesh/sidecar.ts'
import { systemClock } from '../runtime/clock.ts'
import { causeOf, hasCrashed } from './cause.ts'
import { creationFailure } from './pod-creation.ts'
import { podRow, podRows, type PodRow } from './pods.ts'
import { whyNotReplaced } from './rollout.ts'

/**
 * `isRequired` selects the pods that must be ok; the others are only listed. A workload with too few pods gets a row of
 * its own.
 */
export async function verifyPods(
  cluster: Cluster,
  namespace: string,
  timeoutMs: number,
  isRequired: (pod: Pod) => boolean,
  signal: AbortSignal,
): Promise<PodRow[]> {
  const until = systemClock.now() + timeoutMs
  const steadiness = new Steadiness()
  for (;;) {
    // Lists workloads before pods: if a rollout ends in between, the old pods are already gone.
    const workloads = await listWorkloads(cluster, namespace)
    const pods = await cluster.list<Pod>('Pod', namespace)
    steadiness.observe(pods, systemClock.now())
    const rows = podRows(pods).map((row) => ({ ...row, ok: row.ok && steadiness.isSteady(row, systemClock.now()) }))
    const required = new Set(pods.filter(isRequired).map(({ metadata }) => metadata.name))
    const failing = rows.filter(({ name, ok }) => required.has(name) && !ok)
    const short = workloads.filter((workload) => lacksPods(workload) && isRequired(templatePod(workload)))
    if (failing.length === 0 && short.length === 0) return rows
    if (systemClock.now() >= until || isHopeless(pods, failing, workloads))
      return [
        ...(await withCauses(cluster, pods, rows, failing)),
        ...(await Promise.all(unexplained(short, failing, pods).map((each) => shortRow(cluster, namespace, each)))),
      ]
    await systemClock.sleep(1_000, signal)
  }
}

const steadyMs = 5_000

/**
 * A pod that crashes in a loop is ready for a moment after each restart. So a pod that has crashed within the last
 * minutes counts only once it has been seen ready for a while without another restart.
 */
class Steadiness {
  private readonly seen = new Map<string, { restarts: number; since: number }>()

  observe(pods: readonly Pod[], now: number): void {
    for (const pod of pods) {
      const { name, ok, restarts } = podRow(pod)
      const known = this.seen.get(name)
      if (!ok || !hasCrashed(pod)) this.seen.delete(name)
      else if (known?.restarts !== restarts) this.seen.set(name, { restarts, since: now })
    }
  }

  isSteady({ name }: PodRow, now: number): boolean {
    const { since } = this.seen.get(name) ?? {}
    return since === undefined || now - since >= steadyMs
  }
}

/** A pod without a sidecar never gets one, so waiting helps only if a new pod is about to replace it. */
function isHopeless(pods: Pod[], failing: PodRow[], workloads: Workload[]): boolean {
  const names = failing.filter(({ sidecar }) => sidecar === 'none').map(({ name }) => name)
  return pods
    .filter(({ metadata }) => names.includes(metadata.name))
    .some((pod) => !workloads.some((workload) => isReplacing(workload, pod)))
}

async function withCauses(cluster: Cluster, pods: Pod[], rows: PodRow[], failing: PodRow[]): Promise<PodRow[]> {
  const failingPods = pods.filter(({ metadata }) => failing.some(({ name }) => name === metadata.name))
  const causes = await Promise.all(
    failingPods.map(async (pod) => [pod.metadata.name, await causeOf(cluster, pod)] as const),
  )
  const byName = new Map(causes)
  return rows.map((row) => (byName.has(row.name) ? { ...row, cause: byName.get(row.name)! } : row))
}

async function listWorkloads(cluster: Cluster, namespace: string): Promise<Workload[]> {
  const kinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const
  return (await Promise.all(kinds.map((kind) => cluster.list<Workload>(kind, namespace)))).flat()
}

/** In a stuck rollout, the old pods stay until the new ones exist: then only pods of the newest template count. */
function podCounts(workload: Workload): { desired: number; created: number } {
  const { kind, spec, status = {} } = workload
  const replaces = whyNotReplaced(workload) === undefined
  if (kind === 'DaemonSet') {
    const { desiredNumberScheduled = 0, updatedNumberScheduled = 0 } = status
    const { currentNumberScheduled = updatedNumberScheduled } = status
    return {
      desired: desiredNumberScheduled,
      created: replaces && updatedNumberScheduled === 0 ? 0 : currentNumberScheduled,
    }
  }
  const counted = kind === 'Deployment' && replaces ? status.updatedReplicas : status.replicas
  return { desired: spec.replicas ?? 1, created: counted ?? 0 }
}

/** True during the workload's rollout, if a newer pod will replace this one. */
function isReplacing(workload: Workload, pod: Pod): boolean {
  const { kind, metadata, spec, status = {} } = workload
  const labels = spec.selector.matchLabels ?? {}
  if (Object.keys(labels).length === 0 || !matches(labels, pod.metadata.labels)) return false
  if (whyNotReplaced(workload) !== undefined) return false
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) return true
  return kind === 'DaemonSet'
    ? (status.updatedNumberScheduled ?? 0) < (status.desiredNumberScheduled ?? 0)
    : (status.updatedReplicas ?? 0) < (status.replicas ?? 0)
}

/**
 * True if the workload's controller could not create its pods, so that no pod shows the failure. Only a Deployment says so
 * itself.
 */
function lacksPods(workload: Workload): boolean {
  const { desired, created } = podCounts(workload)
  const { kind, status } = workload
  const isRefused =
    kind !== 'Deployment' ||
    created === 0 ||
    (status?.conditions?.some(({ type, status }) => type === 'ReplicaFailure' && status === 'True') ?? false)
  return created < desired && isRefused && expectsSidecar(templatePod(workload))
}

/** A StatefulSet creates its next pod once the one before is ready, so that pod's row explains it. */
function unexplained(short: readonly Workload[], failing: readonly PodRow[], pods: readonly Pod[]): Workload[] {
  const names = new Set(failing.map(({ name }) => name))
  const failingPods = pods.filter(({ metadata }) => names.has(metadata.name))
  return short.filter((workload) => workload.kind !== 'StatefulSet' || !failingPods.some((pod) => owns(workload, pod)))
}

async function shortRow(cluster: Cluster, namespace: string, workload: Workload): Promise<PodRow> {
  const { name } = workload.metadata
  const { desired, created } = podCounts(workload)
  const cause =
    (await creationFailure(cluster, namespace, name)) ??
    `its controller has created ${created} of ${desired} pods, and no event says why`
  return {
    name: `${workload.kind}/${name}`,
    ready: `${created}/${desired}`,
    sidecar: 'none',
    ok: false,
    restarts: 0,
    cause,
  }
}
