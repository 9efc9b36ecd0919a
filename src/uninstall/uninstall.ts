// Removes the mesh: policies, sidecars, the control plane, and what Istio itself leaves behind. If that would also
// remove something that belongs to others, it refuses and changes nothing.
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, titleOf, type KubeObject, type Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { restart } from '../mesh/inject.ts'
import { watchProxyUpdates } from '../mesh/propagation.ts'
import { removeRevision, usersOf } from '../mesh/revision-removal.ts'
import { listControlPlanes, tagsOf, type ControlPlane } from '../mesh/revisions.ts'
import { providerTitles, removeProviders } from '../observability/providers.ts'
import { apply } from '../policies/apply.ts'
import type { PlannedChange } from '../policies/plan.ts'
import { removeObject } from '../policies/owned-objects.ts'
import { listNames } from '../runtime/errors.ts'
import { poll } from '../runtime/retry.ts'
import { waitForRollout } from '../verify/rollout.ts'
import {
  labelTitle,
  listRemains,
  takeInventory,
  takeOwnInventory,
  type Inventory,
  type InventoryScope,
} from './inventory.ts'
import { isIstiod, isRuntimeObject, listLeftovers, listMeshObjects } from './istio-objects.ts'
import { keptControlPlanes, keptParts } from './kept-parts.ts'

export type Removal = InventoryScope & {
  /** The one control plane to remove. Without it, the whole mesh is removed. */
  revision?: string
  /** Removes a control plane that somebody else installed, too. */
  takesOver: boolean
  dryRun: boolean
  timeoutMs: number
  signal: AbortSignal
  /** Runs istioctl with the arguments, and rejects with the cause when it fails. */
  istioctl: (args: string[]) => Promise<void>
  /** Gets one line for each step. */
  note: (line: string) => void
  /** Runs once nothing refuses, before the first removal, if the routes go: not for one control plane of several. */
  beforeRoutes: () => Promise<void>
}
/**
 * Each entry is `Kind namespace/name`. `removed`: what was removed, or would be in a dry run. `remains`: what should be
 * gone and still exists.
 */
export type Removed = { removed: string[]; restarted: string[]; remains: string[] }

/** Filled with each step, so that a removal that fails can report what it did. */
type Progress = Pick<Removed, 'removed' | 'restarted'>

/** @throws ConfigError, before any change, if others still need the mesh. */
export async function uninstall(
  cluster: Cluster,
  removal: Removal,
  progress: Progress = { removed: [], restarted: [] },
): Promise<Removed> {
  const { namespace, revision, dryRun, timeoutMs, signal } = removal
  const all = await listControlPlanes(cluster)
  const others = all.filter((each) => each.revision !== revision)
  if (revision !== undefined && others.length > 0)
    return { ...progress, removed: await removeOne(cluster, removal, all, revision), remains: [] }
  if (others.length > 1)
    throw new ConfigError(
      `uninstall: the cluster has several control planes (${others.map((each) => each.revision).join(', ')}), ` +
        'and this run would remove all of them; set `istio.revision` to the one to remove ' +
        '(`default` for the one without a name), and leave it out to remove the last one',
    )
  const kept = await keptParts(cluster, all, removal.takesOver)
  if (removal.takesOver && kept.length > 0) throw new ConfigError(kept.map((each) => `uninstall: ${each}`).join('\n'))
  kept.forEach(removal.note)
  const inventory = await (kept.length > 0 ? takeOwnInventory : takeInventory)(cluster, removal)
  await removal.beforeRoutes()
  if (dryRun) return { ...planOf(inventory, namespace), remains: [] }
  await removeAll(cluster, removal, inventory, progress)
  const readRemains = () => listRemains(cluster, namespace, inventory)
  const isNone = (remains: string[]) => remains.length === 0
  return { ...progress, remains: await poll(readRemains, isNone, { limitMs: timeoutMs, intervalMs: 500, signal }) }
}

/** Removes one control plane of several; the rest of the mesh stays, with its policies and sidecars. */
async function removeOne(cluster: Cluster, removal: Removal, all: ControlPlane[], revision: string): Promise<string[]> {
  const plane = all.find((each) => each.revision === revision)
  if (plane === undefined) return []
  const [kept] = await keptControlPlanes(cluster, [plane], removal.takesOver)
  if (kept !== undefined) throw new ConfigError(`uninstall: ${kept}`)
  const users = await usersOf(cluster, revision)
  if (users.length > 0)
    throw new ConfigError(
      `uninstall: the control plane ${revision} is still used by ${listNames(users)}; move these to another revision ` +
        'first (a gateway moves when the other control plane is installed with it)',
    )
  // The newest of the others becomes the successor, because the oldest is the next to be removed.
  const successor = all.findLast((each) => each.revision !== revision)!.revision
  if (!removal.dryRun) await removeRevision(cluster, revision, successor, removal)
  return [`control plane ${revision}`]
}

function planOf(inventory: Inventory, namespace: string): Progress {
  const { promotions, policies, observability, providers, labels, workloads, meshObjects, deletesSystemNamespace } =
    inventory
  return {
    removed: [
      ...promotions.map(titleOf),
      ...policies.map(titleOf),
      ...providers.flatMap(providerTitles),
      ...observability.map(titleOf),
      ...labels.map((name) => labelTitle(name, namespace)),
      ...meshObjects.map(titleOf),
      ...(deletesSystemNamespace ? [`Namespace ${systemNamespace}`] : []),
    ],
    restarted: workloads.map(nameOf),
  }
}

function nameOf({ kind, metadata }: Workload): string {
  return `${kind}/${metadata.name}`
}

async function removeAll(
  cluster: Cluster,
  removal: Removal,
  inventory: Inventory,
  { removed, restarted }: Progress,
): Promise<void> {
  const { namespace } = removal
  const { promotions, policies, labels, workloads, meshObjects, deletesSystemNamespace, keepsMesh } = inventory
  for (const object of promotions) {
    await removeObject(cluster, object)
    removed.push(titleOf(object))
  }
  const onRemoved = (title: string) => removed.push(title)
  await removePolicies(cluster, policies, namespace, keepsMesh || meshObjects.some(isIstiod), onRemoved)
  await removeObservability(cluster, inventory, onRemoved)
  await removeLabels(cluster, namespace, labels)
  removed.push(...labels.map((name) => labelTitle(name, namespace)))
  for (const workload of workloads) {
    const onRestart = () => restarted.push(nameOf(workload))
    await removeSidecars(cluster, workload, removal, onRestart)
  }
  if (keepsMesh) return
  await removeIstio(cluster, removal, meshObjects)
  removed.push(...meshObjects.map(titleOf))
  if (deletesSystemNamespace) {
    await cluster.remove('Namespace', undefined, systemNamespace)
    removed.push(`Namespace ${systemNamespace}`)
  } else await Promise.all((await listLeftovers(cluster)).map((object) => removeObject(cluster, object)))
}

/** The providers come before the Services that they name. */
async function removeObservability(
  cluster: Cluster,
  { providers, observability }: Inventory,
  onRemoved: (title: string) => void,
): Promise<void> {
  for (const each of providers) {
    await removeProviders(cluster, each)
    providerTitles(each).forEach(onRemoved)
  }
  for (const object of observability.toReversed()) {
    await removeObject(cluster, object)
    onRemoved(titleOf(object))
  }
}

/**
 * Removes policies in the order of an apply: first routes and, after the proxies have the change, subsets. Without
 * istiod, no proxy gets updates.
 */
async function removePolicies(
  cluster: Cluster,
  policies: KubeObject[],
  namespace: string,
  hasIstiod: boolean,
  onRemoved: (title: string) => void,
): Promise<void> {
  const planned = policies.map((object): PlannedChange => ({ action: 'delete', object, before: object, diff: [] }))
  const noProxies = () => Promise.resolve(() => Promise.resolve())
  const watchProxies = hasIstiod ? () => watchProxyUpdates(cluster, namespace) : noProxies
  await apply(cluster, planned, watchProxies, ({ kind, namespace, name }) => onRemoved(`${kind} ${namespace}/${name}`))
}

async function removeLabels(cluster: Cluster, namespace: string, labels: string[]): Promise<void> {
  if (labels.length === 0) return
  const removed = Object.fromEntries(labels.map((name) => [name, null]))
  await cluster.merge('Namespace', undefined, namespace, { metadata: { labels: removed } })
}

async function removeSidecars(
  cluster: Cluster,
  workload: Workload,
  { timeoutMs, signal, note }: Removal,
  onRestart: () => void,
): Promise<void> {
  await restart(cluster, workload)
  onRestart()
  note(`${nameOf(workload)}: restarted to remove its sidecar`)
  await waitForRollout(cluster, workload, timeoutMs, signal)
}

async function removeIstio(cluster: Cluster, { istioctl }: Removal, meshObjects: KubeObject[]): Promise<void> {
  if (meshObjects.length > 0) {
    // The purge leaves a user's tags behind. Their webhooks would continue to refuse pods, because istiod is gone.
    for (const tag of (await tagsOf(cluster))?.keys() ?? []) await istioctl(['tag', 'remove', tag, '-y'])
    await istioctl(['uninstall', '--purge', '-y'])
  }
  for (const object of await listMeshObjects(cluster)) if (isRuntimeObject(object)) await removeObject(cluster, object)
}
