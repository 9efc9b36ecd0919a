// Waits until every pod that should be in the mesh is N/N with its sidecar, within a limit, and says why one is not.
import type { Cluster } from '../cluster/client.ts'
import { matches } from '../cluster/labels.ts'
import type { Pod, Workload } from '../cluster/objects.ts'
import { expectsSidecar } from '../mesh/sidecar.ts'
import { systemClock } from '../runtime/clock.ts'
import { causeOf } from './cause.ts'
import { creationFailure } from './pod-creation.ts'
import { podRows, type PodRow } from './pods.ts'

/** `judged` picks the pods that must be right; the others are only listed. A workload that got fewer pods than it wants has a row of its own. */
export async function verifyPods(
  cluster: Cluster,
  namespace: string,
  timeoutMs: number,
  judged: (pod: Pod) => boolean,
  signal: AbortSignal,
): Promise<PodRow[]> {
  const until = systemClock.now() + timeoutMs
  for (;;) {
    // In this order: of a rollout that has ended since, the old pods are seen to go.
    const workloads = await listWorkloads(cluster, namespace)
    const pods = await cluster.list<Pod>('Pod', namespace)
    const rows = podRows(pods)
    const wrong = podRows(pods.filter(judged)).filter(({ ok }) => !ok)
    const short = workloads.filter((workload) => lacksPods(workload) && judged(template(workload)))
    if (wrong.length === 0 && short.length === 0) return rows
    const bare = pods.filter((pod) =>
      wrong.some(({ name, sidecar }) => sidecar === 'none' && name === pod.metadata.name),
    )
    // A pod without a sidecar will not get one by waiting, but one that has it may be about to take its place.
    if (systemClock.now() >= until || bare.some((pod) => !workloads.some((workload) => replaces(workload, pod))))
      return [
        ...(await explain(cluster, pods, rows, wrong)),
        ...(await Promise.all(short.map((each) => shortRow(cluster, namespace, each)))),
      ]
    await systemClock.sleep(1_000, signal)
  }
}

async function explain(cluster: Cluster, pods: Pod[], rows: PodRow[], wrong: PodRow[]): Promise<PodRow[]> {
  const causes = await Promise.all(
    wrong.map(
      async ({ name }) => [name, await causeOf(cluster, pods.find(({ metadata }) => metadata.name === name)!)] as const,
    ),
  )
  const byName = new Map(causes)
  return rows.map((row) => (byName.has(row.name) ? { ...row, cause: byName.get(row.name)! } : row))
}

async function listWorkloads(cluster: Cluster, namespace: string): Promise<Workload[]> {
  const kinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const
  return (await Promise.all(kinds.map((kind) => cluster.list<Workload>(kind, namespace)))).flat()
}

function podsOf({ kind, spec, status }: Workload): { wanted: number; there: number } {
  if (kind === 'DaemonSet')
    return { wanted: status?.desiredNumberScheduled ?? 0, there: status?.updatedNumberScheduled ?? 0 }
  // Of a rollout that is stuck, only pods of the newest template count: the old ones stay until those are there.
  return {
    wanted: spec.replicas ?? 1,
    there: status?.updatedReplicas ?? (kind === 'Deployment' ? 0 : (status?.replicas ?? 0)),
  }
}

/** The workload's rollout is under way, and the pod is one of those that stay until newer ones are ready. */
function replaces({ kind, metadata, spec, status = {} }: Workload, pod: Pod): boolean {
  const labels = spec.selector.matchLabels ?? {}
  if (Object.keys(labels).length === 0 || !matches(labels, pod.metadata.labels)) return false
  const {
    observedGeneration = 0,
    desiredNumberScheduled = 0,
    updatedNumberScheduled = 0,
    replicas = 0,
    updatedReplicas = 0,
  } = status
  return (
    observedGeneration < (metadata.generation ?? 0) ||
    (kind === 'DaemonSet' ? updatedNumberScheduled < desiredNumberScheduled : updatedReplicas < replicas)
  )
}

/** Its controller was refused pods: nothing of them is to be seen but that they are missing. */
function lacksPods(workload: Workload): boolean {
  const { wanted, there } = podsOf(workload)
  const refused =
    workload.status?.conditions?.some(({ type, status }) => type === 'ReplicaFailure' && status === 'True') ?? false
  return there < wanted && (there === 0 || refused) && expectsSidecar(template(workload))
}

/** The pod that the workload would have, for whoever picks pods by their labels. */
function template({ metadata, spec }: Workload): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...spec.template.metadata, name: metadata.name, namespace: metadata.namespace ?? '' },
    spec: spec.template.spec,
  }
}

async function shortRow(cluster: Cluster, namespace: string, workload: Workload): Promise<PodRow> {
  const { name } = workload.metadata
  const { wanted, there } = podsOf(workload)
  const cause =
    (await creationFailure(cluster, namespace, name)) ??
    `its controller has made ${there} of ${wanted} pods, and no event tells why`
  return {
    name: `${workload.kind}/${name}`,
    ready: `${there}/${wanted}`,
    sidecar: 'none',
    ok: false,
    restarts: 0,
    cause,
  }
}
