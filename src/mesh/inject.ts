// Sidecars: where the namespace points, and the workloads that lack the right one, to be restarted in the order given.
import type { Cluster } from '../cluster/client.ts'
import { belongs } from '../cluster/labels.ts'
import type { KubeObject, Pod, Workload } from '../cluster/objects.ts'
import type { IstioConfig } from '../config/schema.ts'
import type { Workload as Named } from '../config/values/kubernetes.ts'
import { injectionLabel, pointerOf, revisionBehind, revisionLabel, tagsOf, unnamed, type Tags } from './revisions.ts'
import { expectsSidecar, hasSidecar, isOfOther } from './sidecar.ts'

const order = ['StatefulSet', 'Deployment', 'DaemonSet'] as const

type Labels = Record<string, string | null>
/**
 * Where a namespace is to point. `labels`: those to be merged, null to take one away, and `before` to undo that; `tag`: one to be
 * moved. `from` and `revision`: whose sidecars its pods had and are to have, undefined where that is not known.
 */
export type Move = { labels?: Labels; before: Labels; tag?: TagMove; from?: string; revision?: string }
export type TagMove = { name: string; to: string; from: string | undefined }

/** What is to be done to the namespace, of what the config says and what is there. Without a revision, one that it names is respected. */
export async function moveOf(
  cluster: Cluster,
  namespace: string,
  istio: Pick<IstioConfig, 'revision' | 'tag'> | undefined,
): Promise<Move> {
  const [object, tags] = await Promise.all([
    cluster.get<KubeObject>('Namespace', undefined, namespace),
    tagsOf(cluster),
  ])
  const pointer = pointerOf(object)
  const tag = tagMove(istio, tags)
  const target = labelsFor(istio, pointer)
  const live = object?.metadata.labels ?? {}
  const before = Object.fromEntries(Object.keys(target).map((name) => [name, live[name] ?? null]))
  const behind = (name: string | undefined) =>
    name === undefined || tags === undefined ? undefined : revisionBehind(name, tags)
  const from = behind(pointer)
  const revision = istio?.revision ?? behind(pointer ?? unnamed)
  const known = revision !== undefined && (istio?.tag === undefined || tags !== undefined)
  return {
    before,
    ...(Object.entries(target).some(([name, value]) => before[name] !== value) ? { labels: target } : {}),
    ...(tag ? { tag } : {}),
    ...(from === undefined ? {} : { from }),
    ...(known ? { revision } : {}),
  }
}

/** Both labels at once would be IST0123: `istio-injection` wins. */
function labelsFor(istio: Pick<IstioConfig, 'revision' | 'tag'> | undefined, pointer: string | undefined): Labels {
  const name = istio?.tag ?? istio?.revision
  if (name === undefined) return pointer === undefined ? { [injectionLabel]: 'enabled' } : {}
  return name === unnamed
    ? { [injectionLabel]: 'enabled', [revisionLabel]: null }
    : { [revisionLabel]: name, [injectionLabel]: null }
}

/** The tag that does not point to the revision yet. `default` is one too, once it points elsewhere than to the revision without a name. */
export function tagMove(
  istio: Pick<IstioConfig, 'revision' | 'tag'> | undefined,
  tags: Tags | undefined,
): TagMove | undefined {
  const name = istio?.tag ?? (istio?.revision === unnamed && tags?.has(unnamed) ? unnamed : undefined)
  if (name === undefined || tags === undefined || tags.get(name) === istio!.revision) return undefined
  return { name, to: istio!.revision!, from: tags.get(name) }
}

/** As people read it: `istio.io/rev=canary, without istio-injection, which would win over it`. */
export function labelsForUser(labels: Labels, before: Labels): string {
  return Object.entries(labels)
    .flatMap(([name, value]) =>
      value !== null
        ? [`${name}=${value}`]
        : before[name] === null
          ? []
          : [`without ${name}=${before[name]}${name === injectionLabel ? ', which would win over it' : ''}`],
    )
    .join(', ')
}

export async function labelNamespace(cluster: Cluster, namespace: string, labels: Labels): Promise<void> {
  await cluster.merge('Namespace', undefined, namespace, { metadata: { labels } })
}

/** Of a namespace that is in ambient mode: why it gets no sidecars here. */
export function ambientFault({ metadata: { name, labels = {} } }: KubeObject): string | undefined {
  if (labels['istio.io/dataplane-mode'] !== 'ambient') return undefined
  return `namespace: ${name} is labelled istio.io/dataplane-mode=ambient, so its pods are to have no sidecars, and it is sidecars that are given, verified and counted by here; ambient mode is not supported yet: take the label away, or leave the namespace alone`
}

/** The workloads to look at: those named, or all of the namespace. */
export async function selectWorkloads(
  cluster: Cluster,
  namespace: string,
  named: readonly Named[] | 'all',
): Promise<Workload[]> {
  if (named !== 'all') {
    const found = await Promise.all(named.map(({ kind, name }) => cluster.get<Workload>(kind, namespace, name)))
    return found.filter((workload) => workload !== undefined)
  }
  return (await Promise.all(order.map((kind) => cluster.list<Workload>(kind, namespace)))).flat()
}

/** Those of the workloads with a running pod that should have a sidecar, and has none or, where a revision is given, one of another. */
export function lackingSidecar(workloads: Workload[], pods: Pod[], revision?: string): Workload[] {
  return workloads.filter((workload) =>
    pods.some((pod) => belongs(workload, pod) && expectsSidecar(pod) && (!hasSidecar(pod) || isOfOther(pod, revision))),
  )
}

export async function restart(cluster: Cluster, { kind, metadata }: Workload): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() }
  await cluster.merge(kind as Named['kind'], metadata.namespace, metadata.name, {
    spec: { template: { metadata: { annotations } } },
  })
}
