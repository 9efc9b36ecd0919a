// Sidecar injection: the labels of the namespace, and the workloads to restart because their pods lack the right
// sidecar.
import type { Cluster } from '../cluster/client.ts'
import { owns } from '../cluster/labels.ts'
import type { KubeObject, Pod, Workload } from '../cluster/objects.ts'
import type { IstioConfig } from '../config/schema.ts'
import type { WorkloadRef } from '../config/values/kubernetes.ts'
import { dataplaneModeLabel, defaultRevision, injectionLabel, revisionLabel } from './labels.ts'
import { pointerOf, revisionOfPointer, tagsOf, type Tags } from './revisions.ts'
import { expectsSidecar, hasSidecar, isOfOtherRevision } from './sidecar.ts'

type Labels = Record<string, string | null>
type RevisionChoice = Pick<IstioConfig, 'revision' | 'tag'>

/** The changes that point a namespace to the revision of the config. */
export type NamespaceMove = {
  /** The labels to merge into the namespace; null removes one. Absent if they are right already. */
  labels?: Labels
  /** The current values of these labels, to undo the change. */
  before: Labels
  tag?: TagMove
  /** The revision of the current sidecars; absent if unknown. */
  from?: string
  /** The revision of the sidecars after the change; absent if unknown. */
  revision?: string
}
export type TagMove = { name: string; to: string; from: string | undefined }

/** Compares the config with the namespace's labels. If the config has no revision, the labels stay as they are. */
export async function planNamespaceMove(
  cluster: Cluster,
  namespace: string,
  istio: RevisionChoice | undefined,
): Promise<NamespaceMove> {
  const [object, tags] = await Promise.all([
    cluster.get<KubeObject>('Namespace', undefined, namespace),
    tagsOf(cluster),
  ])
  const pointer = pointerOf(object)
  const tag = planTagMove(istio, tags)
  const labels = labelsFor(istio, pointer)
  const liveLabels = object?.metadata.labels ?? {}
  const before = Object.fromEntries(Object.keys(labels).map((name) => [name, liveLabels[name] ?? null]))
  const revisionOf = (name: string | undefined) =>
    name === undefined || tags === undefined ? undefined : revisionOfPointer(name, tags)
  const from = revisionOf(pointer)
  const revision = istio?.revision ?? revisionOf(pointer ?? defaultRevision)
  const isKnown = revision !== undefined && (istio?.tag === undefined || tags !== undefined)
  return {
    before,
    ...(Object.entries(labels).some(([name, value]) => before[name] !== value) ? { labels } : {}),
    ...(tag ? { tag } : {}),
    ...(from === undefined ? {} : { from }),
    ...(isKnown ? { revision } : {}),
  }
}

/** Sets one label and removes the other: with both, `istio-injection` wins, and istioctl reports IST0123. */
function labelsFor(istio: RevisionChoice | undefined, pointer: string | undefined): Labels {
  const name = istio?.tag ?? istio?.revision
  if (name === undefined) return pointer === undefined ? { [injectionLabel]: 'enabled' } : {}
  return name === defaultRevision
    ? { [injectionLabel]: 'enabled', [revisionLabel]: null }
    : { [revisionLabel]: name, [injectionLabel]: null }
}

/**
 * The tag to move, unless it already points to the revision. If the cluster has the tag `default`, the config moves
 * that one too, because `istio-injection` follows it.
 */
export function planTagMove(istio: RevisionChoice | undefined, tags: Tags | undefined): TagMove | undefined {
  const isDefault = istio?.revision === defaultRevision && tags?.has(defaultRevision)
  const name = istio?.tag ?? (isDefault ? defaultRevision : undefined)
  if (name === undefined || tags === undefined || tags.get(name) === istio!.revision) return undefined
  return { name, to: istio!.revision!, from: tags.get(name) }
}

/** Describes the label change: `istio.io/rev=canary, without istio-injection=enabled, which would win over it`. */
export function describeLabels(labels: Labels, before: Labels): string {
  return Object.entries(labels)
    .flatMap(([name, value]) => {
      if (value !== null) return [`${name}=${value}`]
      if (before[name] === null) return []
      return [`without ${name}=${before[name]}${name === injectionLabel ? ', which would win over it' : ''}`]
    })
    .join(', ')
}

export async function labelNamespace(cluster: Cluster, namespace: string, labels: Labels): Promise<void> {
  await cluster.merge('Namespace', undefined, namespace, { metadata: { labels } })
}

/** Why a namespace in ambient mode gets no sidecars; undefined for any other namespace. */
export function ambientFault({ metadata: { name, labels = {} } }: KubeObject): string | undefined {
  if (labels[dataplaneModeLabel] !== 'ambient') return undefined
  return (
    `namespace: ${name} has the label ${dataplaneModeLabel}=ambient, so its pods get no sidecars, and mesh-canary ` +
    'works only with sidecars: ambient mode is not supported yet; remove the label, or choose another namespace'
  )
}

/** Why a namespace whose owner turned sidecars off gets none; undefined for any other namespace. */
export function disabledFault({ metadata: { name, labels = {} } }: KubeObject): string | undefined {
  if (labels[injectionLabel] !== 'disabled') return undefined
  return (
    `namespace: ${name} has the label ${injectionLabel}=disabled, which keeps its pods out of the mesh, so nothing was ` +
    `restarted; if they should get sidecars, remove the label (kubectl label namespace ${name} ${injectionLabel}-), ` +
    'else leave `workloads` out'
  )
}

const workloadKinds = ['StatefulSet', 'Deployment', 'DaemonSet'] as const

/** The workloads that the config names, or all workloads of the namespace, in restart order. */
export async function selectWorkloads(
  cluster: Cluster,
  namespace: string,
  named: readonly WorkloadRef[] | 'all',
): Promise<Workload[]> {
  if (named !== 'all') {
    const found = await Promise.all(named.map(({ kind, name }) => cluster.get<Workload>(kind, namespace, name)))
    return found.filter((workload) => workload !== undefined)
  }
  return (await Promise.all(workloadKinds.map((kind) => cluster.list<Workload>(kind, namespace)))).flat()
}

/** The workloads with a pod that should have a sidecar and has none or, given a `revision`, one of another revision. */
export function lackingSidecar(workloads: Workload[], pods: Pod[], revision?: string): Workload[] {
  const lacks = (pod: Pod) => expectsSidecar(pod) && (!hasSidecar(pod) || isOfOtherRevision(pod, revision))
  return workloads.filter((workload) => pods.some((pod) => owns(workload, pod) && lacks(pod)))
}

export async function restart(cluster: Cluster, { kind, metadata }: Workload): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() }
  await cluster.merge(kind as WorkloadRef['kind'], metadata.namespace, metadata.name, {
    spec: { template: { metadata: { annotations } } },
  })
}
