// Labels that say which config owns an object, and the objects that a config no longer asks for.
import { managedByLabel, manager } from '../cluster/labels.ts'
import { createHash } from 'node:crypto'
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenAbsent, isForbidden } from '../cluster/api-error.ts'
import { keyOf, type Kind, kindOf, type KubeObject, systemNamespace, titleOf } from '../cluster/objects.ts'
import { unnamed } from '../config/schema.ts'
import { policyKinds } from './policy-kinds.ts'

export const configLabel = 'mesh-canary.io/config'
/** Set on an object outside its config's namespace, because configs of the same name may write there. */
export const namespaceLabel = 'mesh-canary.io/namespace'

/**
 * One config in one namespace, which may delete what it created. `prunes` is false for inputs without a name: two
 * steps of a workflow, each with its own inputs, would delete each other's objects.
 */
export type Owner = { id: string; namespace: string; prunes: boolean }

/** `name`: the config's name, else its file's path, else `inputs`. */
export function ownerOf(name: string, namespace: string): Owner {
  return { id: createHash('sha256').update(name).digest('hex').slice(0, 8), namespace, prunes: name !== unnamed }
}

/** The object with the labels that mark the owner. */
export function withOwnerLabels<T extends KubeObject>(object: T, { id, namespace }: Owner): T {
  const place = object.metadata.namespace === namespace ? {} : { [namespaceLabel]: namespace }
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...object.metadata.labels, [managedByLabel]: manager, [configLabel]: id, ...place },
    },
  }
}

/** True for objects that mesh-canary manages, for any config. */
export function isOurs({ metadata: { labels = {} } }: KubeObject): boolean {
  return labels[managedByLabel] === manager
}

/** True for an object that the user handed over by its label, and that no config owns yet. */
export function isUnclaimed(object: KubeObject): boolean {
  return isOurs(object) && object.metadata.labels?.[configLabel] === undefined
}

/** True for objects that this config owns. */
export function isOf({ id, namespace }: Owner, object: KubeObject): boolean {
  const labels = object.metadata.labels ?? {}
  return (
    isOurs(object) && labels[configLabel] === id && (labels[namespaceLabel] ?? object.metadata.namespace) === namespace
  )
}

/** Why the owner must not write a live object; undefined when it may. */
export function foreignOwner(live: KubeObject, owner: Owner): string | undefined {
  const { labels = {} } = live.metadata
  const title = titleOf(live)
  if (!isOurs(live))
    return (
      `${title} exists already, and mesh-canary does not manage it; rename yours, delete it, ` +
      `or label it ${managedByLabel}=${manager} to hand it over`
    )
  if (isUnclaimed(live) || isOf(owner, live)) return undefined
  const namespace = labels[namespaceLabel]
  const ofNamespace = namespace === undefined ? '' : `, of the namespace ${namespace}`
  return (
    `${title} belongs to another config of mesh-canary (${configLabel}=${labels[configLabel]}${ofNamespace}); ` +
    'remove it from one of the two, or give both the same `name`'
  )
}

/** The policies that match the selector, in the namespace or in all namespaces. Skips kinds that the cluster lacks. */
export async function listPolicies(
  cluster: Cluster,
  namespace: string | undefined,
  labelSelector?: string,
): Promise<KubeObject[]> {
  const query = labelSelector === undefined ? {} : { labelSelector }
  const lists = policyKinds.map((kind) => cluster.list<KubeObject>(kind, namespace, query).catch(emptyWhenAbsent))
  return (await Promise.all(lists)).flat()
}

function emptyWhenForbidden(error: unknown): [] {
  if (isForbidden(error)) return []
  throw error
}

/** The owner's objects in the cluster. An account that may not read istio-system has written nothing there. */
export async function ownedBy(cluster: Cluster, owner: Owner): Promise<KubeObject[]> {
  const selector = `${managedByLabel}=${manager},${configLabel}=${owner.id}`
  const own = await listPolicies(cluster, owner.namespace, selector)
  const system =
    owner.namespace === systemNamespace
      ? []
      : await listPolicies(cluster, systemNamespace, selector).catch(emptyWhenForbidden)
  return [...own, ...system].filter((object) => isOf(owner, object))
}

/** The owned objects that are no longer desired. */
export function obsolete(owned: readonly KubeObject[], desired: readonly KubeObject[]): KubeObject[] {
  const desiredKeys = new Set(desired.map(keyOf))
  return owned.filter((object) => !desiredKeys.has(keyOf(object)))
}

export async function removeObject(cluster: Cluster, object: KubeObject): Promise<void> {
  await cluster.remove(
    kindOf(object) ?? (object.kind as Kind),
    object.metadata.namespace,
    object.metadata.name,
    object.metadata.uid,
  )
}
