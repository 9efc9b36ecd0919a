// Reads the control planes in the cluster, the tags, and the revision of a namespace.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenUnread, isForbidden } from '../cluster/api-error.ts'
import {
  systemNamespace,
  type ConfigMap,
  type KubeObject,
  type Meta,
  type Pod,
  type Workload,
} from '../cluster/objects.ts'
import { defaultRevision, injectionLabel, revisionLabel, tagLabel } from './labels.ts'
import { hasOlderSidecar, injectedVersion, proxyVersion } from './proxy-version.ts'
import { expectsSidecar, isOfOtherRevision, sidecarRevision } from './sidecar.ts'

/** `version`: the tag of istiod's image. `metadata`: of istiod's Deployment. */
export type ControlPlane = { revision: string; version: string; ready: boolean; createdAt: string; metadata: Meta }

/** The control planes in the cluster, the oldest first. mesh-canary installs into istio-system, others elsewhere too. */
export async function listControlPlanes(cluster: Cluster): Promise<ControlPlane[]> {
  const list = (namespace?: string) => cluster.list<Workload>('Deployment', namespace, { labelSelector: 'app=istiod' })
  const istiods = await list().catch((error: unknown) => {
    if (isForbidden(error)) return list(systemNamespace)
    throw error
  })
  return istiods.flatMap(controlPlaneOf).sort((a, b) => a.createdAt.localeCompare(b.createdAt))
}

/** The control plane of the revision. One in istio-system comes before others. */
export function ofRevision(all: readonly ControlPlane[], revision: string): ControlPlane | undefined {
  const found = all.filter((each) => each.revision === revision)
  return found.find(({ metadata }) => metadata.namespace === systemNamespace) ?? found[0]
}

function controlPlaneOf({ metadata, spec, status }: Workload): ControlPlane[] {
  const image = spec.template.spec.containers.find(({ name }) => name === 'discovery')?.image
  if (!image) return []
  const imageTag = /:([^:/@]+)(@|$)/.exec(image)?.[1] ?? image
  const { labels = {}, creationTimestamp: createdAt = '' } = metadata
  return [
    {
      revision: labels[revisionLabel] ?? defaultRevision,
      version: imageTag.replace(/-(distroless|debug)$/, ''),
      ready: (status?.availableReplicas ?? 0) > 0,
      createdAt,
      metadata,
    },
  ]
}

type InjectorWebhook = KubeObject & { webhooks?: { clientConfig?: { url?: string } }[] }

/** The injectors that are not in this cluster, by their address. None if the account may not read them. */
export async function remoteInjectors(cluster: Cluster): Promise<{ name: string; revision: string }[]> {
  const query = { labelSelector: 'app=sidecar-injector' }
  const all = await cluster
    .list<InjectorWebhook>('MutatingWebhookConfiguration', undefined, query)
    .catch(emptyWhenUnread)
  return all
    .filter(({ webhooks = [] }) => webhooks.some(({ clientConfig }) => clientConfig?.url !== undefined))
    .map(({ metadata: { name, labels = {} } }) => ({ name, revision: labels[revisionLabel] ?? defaultRevision }))
}

/** Maps the name of each tag to its revision. */
export type Tags = ReadonlyMap<string, string>

/** Undefined when the account may not read them: a tag is a webhook, which belongs to the whole cluster. */
export async function tagsOf(cluster: Cluster): Promise<Tags | undefined> {
  try {
    const webhooks = await cluster.list<KubeObject>('MutatingWebhookConfiguration', undefined, {
      labelSelector: tagLabel,
    })
    return new Map(
      webhooks.map(({ metadata: { labels = {} } }) => [labels[tagLabel]!, labels[revisionLabel] ?? defaultRevision]),
    )
  } catch (error) {
    if (isForbidden(error)) return undefined
    throw error
  }
}

/**
 * The revision or tag that the namespace's labels name; undefined when they ask for no sidecars.
 * `istio-injection` outranks the revision label.
 */
export function pointerOf(namespace: KubeObject | undefined): string | undefined {
  const labels = namespace?.metadata.labels ?? {}
  if (labels[injectionLabel] !== undefined) return labels[injectionLabel] === 'enabled' ? defaultRevision : undefined
  return labels[revisionLabel]
}

/** The revision that a namespace's label means, whether it names a tag or a revision. */
export function revisionOfPointer(pointer: string, tags: Tags): string {
  return tags.get(pointer) ?? pointer
}

/** The arguments of istioctl that point the tag to the revision, even if the tag exists. */
export function setTagArgs(tag: string, revision: string): string[] {
  return ['tag', 'set', tag, '--revision', revision, '--overwrite', '-y']
}

/**
 * One sentence when pods have a sidecar of another revision than their namespace points to, as after a tag has moved,
 * and one when they have an older sidecar than their control plane injects, as after an upgrade in place. None when the
 * account may not read the tags.
 */
export async function outdatedSidecars(cluster: Cluster, namespace: string): Promise<string[]> {
  const [object, tags] = await Promise.all([
    cluster.get<KubeObject>('Namespace', undefined, namespace),
    tagsOf(cluster),
  ])
  const pointer = pointerOf(object)
  if (pointer === undefined || tags === undefined) return []
  const revision = revisionOfPointer(pointer, tags)
  const pods = (await cluster.list<Pod>('Pod', namespace)).filter(expectsSidecar)
  const version = await injectedVersion(cluster, revision)
  const ofOther = pods.filter((pod) => isOfOtherRevision(pod, revision))
  const older = pods.filter((pod) => !ofOther.includes(pod) && hasOlderSidecar(pod, version))
  const remedy = 'restart their workloads, or list these under `workloads`'
  return [
    ...namesWith(ofOther, sidecarRevision).map(
      (names) =>
        `the namespace ${namespace} points to the control plane ${revision}, but these pods still have sidecars of ` +
        `another one: ${names}; ${remedy}`,
    ),
    ...namesWith(older, proxyVersion).map(
      (names) =>
        `the control plane ${revision} injects sidecars of the version ${version}, but these pods still have older ` +
        `ones: ${names}; ${remedy}`,
    ),
  ]
}

/** `a-1 (1.30.0), b-1 (1.30.0)`; nothing for no pods. */
function namesWith(pods: Pod[], detail: (pod: Pod) => string | undefined): string[] {
  return pods.length === 0 ? [] : [pods.map((pod) => `${pod.metadata.name} (${detail(pod)})`).join(', ')]
}

/** The name of the ConfigMap that records how mesh-canary installed the revision. */
export function recordName(revision: string): string {
  return revision === defaultRevision ? 'mesh-canary-install' : `mesh-canary-install-${revision}`
}

/**
 * What mesh-canary records about an installation. `uid`: of istiod's Deployment; absent before there is one, and in
 * records of earlier releases. `takenOverFrom`: who had installed it before `istio.takeOver`, and
 * `takenOverManagers`: the field managers of that time, with spaces between them.
 */
export type InstallRecord = {
  version?: string
  fingerprint?: string
  uid?: string
  takenOverFrom?: string
  takenOverManagers?: string
}

export async function readRecord(cluster: Cluster, revision: string): Promise<InstallRecord | undefined> {
  const map = await cluster.get<ConfigMap>('ConfigMap', systemNamespace, recordName(revision))
  return map && (map.data ?? {})
}
