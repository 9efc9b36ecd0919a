// Control planes side by side: which revisions there are, which one a namespace points to, and who still uses one.
import { ApiError, type Cluster } from '../cluster/client.ts'
import { systemNamespace, type KubeObject, type Pod, type Workload } from '../cluster/objects.ts'
import { poll } from '../runtime/retry.ts'
import { ended, expectsSidecar, hasSidecar, isOfOther, sidecarRevision } from './sidecar.ts'

/** What Istio calls the revision without a name, and the tag to which `istio-injection` belongs. */
export const unnamed = 'default'
export const revisionLabel = 'istio.io/rev'
export const injectionLabel = 'istio-injection'
export const tagLabel = 'istio.io/tag'

/** `version` is that of the image which istiod runs. */
export type ControlPlane = { revision: string; version: string; ready: boolean; createdAt: string }

/** The control planes in the cluster, the oldest first. */
export async function listControlPlanes(cluster: Cluster): Promise<ControlPlane[]> {
  const istiods = await cluster.list<Workload>('Deployment', systemNamespace, { labelSelector: 'app=istiod' })
  return istiods.flatMap(planeOf).sort((a, b) => a.createdAt.localeCompare(b.createdAt))
}

function planeOf({ metadata, spec, status }: Workload): ControlPlane[] {
  const image = spec.template.spec.containers.find(({ name }) => name === 'discovery')?.image
  if (!image) return []
  const tag = /:([^:/@]+)(@|$)/.exec(image)?.[1] ?? image
  const { labels = {}, creationTimestamp: createdAt = '' } = metadata
  return [
    {
      revision: labels[revisionLabel] ?? unnamed,
      version: tag.replace(/-(distroless|debug)$/, ''),
      ready: (status?.availableReplicas ?? 0) > 0,
      createdAt,
    },
  ]
}

/** The revision that each tag points to, by the tag's name. */
export type Tags = ReadonlyMap<string, string>

/** Undefined for an account that may not read them: they are webhooks, which are the whole cluster's. */
export async function tagsOf(cluster: Cluster): Promise<Tags | undefined> {
  try {
    const webhooks = await cluster.list<KubeObject>('MutatingWebhookConfiguration', undefined, {
      labelSelector: tagLabel,
    })
    return new Map(
      webhooks.map(({ metadata: { labels = {} } }) => [labels[tagLabel]!, labels[revisionLabel] ?? unnamed]),
    )
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return undefined
    throw error
  }
}

/** The revision or tag that the namespace's labels name; undefined where they ask for no sidecars. `istio-injection` outranks the other. */
export function pointerOf(namespace: KubeObject | undefined): string | undefined {
  const labels = namespace?.metadata.labels ?? {}
  if (labels[injectionLabel] !== undefined) return labels[injectionLabel] === 'enabled' ? unnamed : undefined
  return labels[revisionLabel]
}

export function revisionBehind(pointer: string, tags: Tags): string {
  return tags.get(pointer) ?? pointer
}

/** istioctl's arguments that make a tag point to a revision, wherever it pointed. */
export function settingTag(name: string, revision: string): string[] {
  return ['tag', 'set', name, '--revision', revision, '--overwrite', '-y']
}

/** What still needs the revision, a phrase each: namespaces, tags and pods, wherever they are. */
export async function usersOf(cluster: Cluster, revision: string): Promise<string[]> {
  const [namespaces, pods, tags = new Map<string, string>()] = await Promise.all([
    cluster.list<KubeObject>('Namespace'),
    cluster.list<Pod>('Pod'),
    tagsOf(cluster),
  ])
  const pointing = namespaces.filter((namespace) => {
    const pointer = pointerOf(namespace)
    return pointer !== undefined && revisionBehind(pointer, tags) === revision
  })
  const served = pods.filter(
    (pod) =>
      hasSidecar(pod) &&
      !ended(pod) &&
      pod.metadata.deletionTimestamp === undefined &&
      sidecarRevision(pod) === revision,
  )
  return [
    ...pointing.map(({ metadata }) => `namespace ${metadata.name}`),
    // The tag of all that name none goes over to whoever stays.
    ...[...tags].filter(([name, target]) => name !== unnamed && target === revision).map(([name]) => `tag ${name}`),
    ...served.map(({ metadata: { namespace = '', name } }) =>
      namespace === systemNamespace ? `gateway pod ${namespace}/${name}` : `pod ${namespace}/${name}`,
    ),
  ]
}

export type Removing = { istioctl: (args: string[]) => Promise<void>; timeoutMs: number; signal: AbortSignal }

/** The control plane goes, with what names no revision handed over to `heir`, and is seen to be gone. Only for one that nothing uses. */
export async function removePlane(
  cluster: Cluster,
  revision: string,
  heir: string,
  { istioctl, timeoutMs, signal }: Removing,
): Promise<void> {
  const tags = await tagsOf(cluster)
  // Else what checks Istio's objects when they are written would stay behind, ask an istiod that is gone, and refuse every write.
  if ((tags?.get(unnamed) ?? unnamed) === revision) await istioctl(settingTag(unnamed, heir))
  await istioctl(['uninstall', '--revision', revision, '-y'])
  await cluster.remove('ConfigMap', systemNamespace, recordName(revision))
  const isGone = async () => !(await listControlPlanes(cluster)).some((plane) => plane.revision === revision)
  if (await poll(isGone, (gone) => gone, { limitMs: timeoutMs, intervalMs: 500, signal })) return
  throw new Error(
    `the control plane ${revision} is still there ${timeoutMs / 1000} s after istioctl removed it; look at what holds its Deployment in ${systemNamespace} (finalizers, another tool that puts it back)`,
  )
}

/** Pods whose sidecar is not of the revision that their namespace points to, as after a tag has moved: a sentence, if there are any. */
export async function outdatedSidecars(cluster: Cluster, namespace: string): Promise<string | undefined> {
  const [object, tags] = await Promise.all([
    cluster.get<KubeObject>('Namespace', undefined, namespace),
    tagsOf(cluster),
  ])
  const pointer = pointerOf(object)
  if (pointer === undefined || tags === undefined) return undefined
  const revision = revisionBehind(pointer, tags)
  const pods = (await cluster.list<Pod>('Pod', namespace)).filter(
    (pod) => expectsSidecar(pod) && isOfOther(pod, revision),
  )
  if (pods.length === 0) return undefined
  return `the namespace ${namespace} points to the control plane ${revision}, and these pods still have sidecars of another: ${pods.map((pod) => `${pod.metadata.name} (${sidecarRevision(pod)})`).join(', ')}; restart their workloads, or name them under workloads`
}

/** The ConfigMap in which it is written how the revision was installed. */
export function recordName(revision: string): string {
  return revision === unnamed ? 'mesh-canary-install' : `mesh-canary-install-${revision}`
}
