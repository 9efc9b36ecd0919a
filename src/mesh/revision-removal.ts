// Removes one control plane, and finds what still uses its revision.
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type KubeObject, type Pod } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { poll } from '../runtime/retry.ts'
import { defaultRevision } from './labels.ts'
import {
  listControlPlanes,
  ofRevision,
  pointerOf,
  recordName,
  revisionOfPointer,
  setTagArgs,
  tagsOf,
} from './revisions.ts'
import { hasSidecar, sidecarRevision } from './sidecar.ts'

/** One entry for each namespace, tag and pod in the cluster that still needs the revision. */
export async function usersOf(cluster: Cluster, revision: string): Promise<string[]> {
  const [namespaces, pods, tags = new Map<string, string>()] = await Promise.all([
    cluster.list<KubeObject>('Namespace'),
    cluster.list<Pod>('Pod'),
    tagsOf(cluster),
  ])
  const pointing = namespaces.filter((namespace) => {
    const pointer = pointerOf(namespace)
    return pointer !== undefined && revisionOfPointer(pointer, tags) === revision
  })
  const served = pods.filter((pod) => hasSidecar(pod) && isLive(pod) && sidecarRevision(pod) === revision)
  return [
    ...pointing.map(({ metadata }) => `namespace ${metadata.name}`),
    // The tag `default` does not count: it moves to a control plane that stays.
    ...[...tags]
      .filter(([name, target]) => name !== defaultRevision && target === revision)
      .map(([name]) => `tag ${name}`),
    ...served.map(({ metadata: { namespace = '', name } }) =>
      namespace === systemNamespace ? `gateway pod ${namespace}/${name}` : `pod ${namespace}/${name}`,
    ),
  ]
}

export type RevisionRemoval = { istioctl: (args: string[]) => Promise<void>; timeoutMs: number; signal: AbortSignal }

/**
 * Removes a control plane that nothing uses, and waits until it is gone. The tag `default` moves to the revision
 * `successor`. Rejects if the control plane still exists after `timeoutMs`.
 */
export async function removeRevision(
  cluster: Cluster,
  revision: string,
  successor: string,
  { istioctl, timeoutMs, signal }: RevisionRemoval,
): Promise<void> {
  const tags = await tagsOf(cluster)
  // The tag moves first. Otherwise the webhook that validates Istio's objects would stay, call an istiod that is gone,
  // and refuse every write.
  if ((tags?.get(defaultRevision) ?? defaultRevision) === revision)
    await istioctl(setTagArgs(defaultRevision, successor))
  await istioctl(['uninstall', '--revision', revision, '-y'])
  await cluster.remove('ConfigMap', systemNamespace, recordName(revision))
  const isGone = async () =>
    ofRevision(await listControlPlanes(cluster), revision)?.metadata.namespace !== systemNamespace
  if (await poll(isGone, (gone) => gone, { limitMs: timeoutMs, intervalMs: 500, signal })) return
  throw new Error(
    `the control plane ${revision} still exists ${timeoutMs / 1000} s after istioctl removed it; ` +
      `check what keeps its Deployment in ${systemNamespace} (a finalizer, or another tool that restores it)`,
  )
}
