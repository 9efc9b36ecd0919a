// What an installation would change in the cluster: each manifest of istioctl as a dry run of the API server, and the
// objects that istioctl would remove. Changes nothing.
import type { Cluster } from '../cluster/client.ts'
import { ApiError, emptyWhenUnread, isForbidden, isNotFound } from '../cluster/api-error.ts'
import { leafChanges, type LeafChange } from '../cluster/leaves.ts'
import { keyOf, kindOf, type Kind, type KubeObject } from '../cluster/objects.ts'
import { settleAll } from '../runtime/settle-all.ts'
import { installerMarkedOn, isHelper, istioctlManager } from './installer.ts'
import { contentOf, isInstallLabel } from './manifests.ts'

/**
 * `owners`: others who installed the object, or set what would be overwritten. `leaves`: what would change inside an
 * object that exists.
 */
export type ControlPlaneChange = {
  action: 'create' | 'change' | 'delete'
  object: KubeObject
  leaves: LeafChange[]
  owners: string[]
}
/** `unseen`: the objects that could not be compared, and why. */
export type ControlPlaneChanges = { changes: ControlPlaneChange[]; unseen: Unseen[] }
export type Unseen = { object: KubeObject; why: string }

type Compared = ControlPlaneChange | Unseen | undefined

/** `objects`: the manifests of the control plane `revision`. */
export async function controlPlaneChanges(
  cluster: Cluster,
  objects: readonly KubeObject[],
  revision: string,
): Promise<ControlPlaneChanges> {
  const compared = await settleAll(
    objects.filter((object) => !isCopyOfValues(object)).map((each) => compare(cluster, each)),
  )
  const removed = await pruned(cluster, objects, revision)
  return {
    changes: [...compared.filter((each) => each !== undefined && 'action' in each), ...removed],
    unseen: compared.filter((each) => each !== undefined && 'why' in each),
  }
}

/** The charts store all their values in a ConfigMap that no program reads; what the values do is in the other objects. */
function isCopyOfValues({ kind, metadata }: KubeObject): boolean {
  return kind === 'ConfigMap' && /^values(-|$)/.test(metadata.name)
}

async function compare(cluster: Cluster, object: KubeObject): Promise<Compared> {
  const kind = kindOf(object)
  if (kind === undefined) return { object, why: 'its kind is unknown here' }
  try {
    const before = await cluster.get<KubeObject>(kind, object.metadata.namespace, object.metadata.name)
    if (!before) return { action: 'create', object, leaves: [], owners: [] }
    const { after, writers } = await dryRun(cluster, withInstallLabels(object, before))
    const leaves = leafChanges(contentOf(before), contentOf(after), { byName: true }).filter(
      (leaf) => !isWrittenLater(before, leaf),
    )
    if (leaves.length === 0) return undefined
    return { action: 'change', object, leaves, owners: [...installersOf(before), ...writers] }
  } catch (error) {
    // Without its CRD, an object does not exist.
    if (isNotFound(error)) return { action: 'create', object, leaves: [], owners: [] }
    if (isForbidden(error)) return { object, why: error.message }
    throw error
  }
}

/**
 * True for what others write into the webhooks after each installation: istiod its CA, and istioctl selectors that match
 * nothing, in the webhook that the tag `default` replaces.
 */
function isWrittenLater(before: KubeObject, { path }: LeafChange): boolean {
  if (/\.(caBundle|failurePolicy)$/.test(path)) return true
  const isReplaced = before.kind.startsWith('Mutating') && JSON.stringify(before).includes('istio.io/deactivated')
  return isReplaced && /\.(namespace|object)Selector\b/.test(path)
}

function withInstallLabels(object: KubeObject, { metadata: { labels = {} } }: KubeObject): KubeObject {
  const added = Object.fromEntries(Object.entries(labels).filter(([name]) => isInstallLabel(name)))
  return { ...object, metadata: { ...object.metadata, labels: { ...added, ...object.metadata.labels } } }
}

/** Applies as istioctl does. `writers`: the field managers whose values that overwrites. */
async function dryRun(cluster: Cluster, object: KubeObject): Promise<{ after: KubeObject; writers: string[] }> {
  try {
    return { after: await cluster.apply(object, false, true, istioctlManager), writers: [] }
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error
    const writers = error.causes.flatMap((cause) => /conflict with "([^"]+)"/.exec(cause)?.[1] ?? [])
    const others = [...new Set(writers)].filter((name) => !isHelper(name))
    return { after: await cluster.apply(object, true, true, istioctlManager), writers: others }
  }
}

/** The kinds of objects that istioctl removes when a component is no longer asked for. */
const prunedKinds: Kind[] = [
  'Deployment',
  'DaemonSet',
  'Service',
  'ConfigMap',
  'ServiceAccount',
  'Role',
  'RoleBinding',
  'PodDisruptionBudget',
  'HorizontalPodAutoscaler',
  'EnvoyFilter',
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'ClusterRole',
  'ClusterRoleBinding',
]

async function pruned(
  cluster: Cluster,
  objects: readonly KubeObject[],
  revision: string,
): Promise<ControlPlaneChange[]> {
  const labelSelector = `operator.istio.io/component,istio.io/rev=${revision}`
  const lists = prunedKinds.map((kind) =>
    cluster.list<KubeObject>(kind, undefined, { labelSelector }).catch(emptyWhenUnread),
  )
  const kept = new Set(objects.map(keyOf))
  const removed = (await Promise.all(lists)).flat().filter((object) => !kept.has(keyOf(object)))
  return removed.map((object) => ({ action: 'delete', object, leaves: [], owners: installersOf(object) }))
}

function installersOf({ metadata }: KubeObject): string[] {
  const installer = installerMarkedOn(metadata)
  return installer === undefined ? [] : [installer]
}
