// Whose an object is, by its labels; and which of ours are asked for no more.
import { managedByLabel, manager } from '../cluster/labels.ts'
import { createHash } from 'node:crypto'
import { ApiError, type Cluster, emptyWhenAbsent } from '../cluster/client.ts'
import { keyOf, type Kind, kindOf, type KubeObject, systemNamespace } from '../cluster/objects.ts'
import { unnamed } from '../config/schema.ts'
import { policyKinds } from './manifests.ts'

export const configLabel = 'mesh-canary.io/config'
/** On what lives outside its config's namespace, where configs of the same name may meet. */
export const namespaceLabel = 'mesh-canary.io/namespace'

/**
 * One config in one namespace: what it created is its own to delete. Inputs without a name are no config: two steps of a
 * workflow, each with its own, would delete each other's objects, and so `prunes` is false for them.
 */
export type Owner = { id: string; namespace: string; prunes: boolean }

/** `name`: the config's name, else its file's path, else `inputs`. */
export function ownerOf(name: string, namespace: string): Owner {
  return { id: createHash('sha256').update(name).digest('hex').slice(0, 8), namespace, prunes: name !== unnamed }
}

/** The object with the labels that make it the owner's. */
export function marked<T extends KubeObject>(object: T, { id, namespace }: Owner): T {
  const place = object.metadata.namespace === namespace ? {} : { [namespaceLabel]: namespace }
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...object.metadata.labels, [managedByLabel]: manager, [configLabel]: id, ...place },
    },
  }
}

/** Of mesh-canary, whatever the config. */
export function isOurs({ metadata: { labels = {} } }: KubeObject): boolean {
  return labels[managedByLabel] === manager
}

/** Handed over to us by its label, and not of any config yet. */
export function isUnclaimed(object: KubeObject): boolean {
  return isOurs(object) && object.metadata.labels?.[configLabel] === undefined
}

/** Created by this config. */
export function isOf({ id, namespace }: Owner, object: KubeObject): boolean {
  const labels = object.metadata.labels ?? {}
  return (
    isOurs(object) && labels[configLabel] === id && (labels[namespaceLabel] ?? object.metadata.namespace) === namespace
  )
}

/** Why the owner must leave a live object alone; undefined when it is its own, or has no owner yet. */
export function foreignOwner(live: KubeObject, owner: Owner): string | undefined {
  const { labels = {}, name, namespace = '' } = live.metadata
  const title = `${live.kind} ${namespace}/${name}`
  if (!isOurs(live))
    return `${title} is there already and is not ours; give yours another name, delete it, or label it ${managedByLabel}=${manager} to hand it over`
  if (isUnclaimed(live) || isOf(owner, live)) return undefined
  return `${title} belongs to another config of mesh-canary (${configLabel}=${labels[configLabel]}${labels[namespaceLabel] === undefined ? '' : `, of the namespace ${labels[namespaceLabel]}`}); take it out of one of the two, or give both the same \`name\``
}

/** The objects of policies in the namespace, or in all, that the selector takes; kinds that the cluster lacks have none. */
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
  if (error instanceof ApiError && error.status === 403) return []
  throw error
}

/** What the owner has in the cluster; who may not look into istio-system has put nothing there. */
export async function ownedBy(cluster: Cluster, owner: Owner): Promise<KubeObject[]> {
  const selector = `${managedByLabel}=${manager},${configLabel}=${owner.id}`
  const own = await listPolicies(cluster, owner.namespace, selector)
  const system =
    owner.namespace === systemNamespace
      ? []
      : await listPolicies(cluster, systemNamespace, selector).catch(emptyWhenForbidden)
  return [...own, ...system].filter((object) => isOf(owner, object))
}

/** What of the owner's is not desired any more. */
export function obsolete(owned: readonly KubeObject[], desired: readonly KubeObject[]): KubeObject[] {
  const wanted = new Set(desired.map(keyOf))
  return owned.filter((object) => !wanted.has(keyOf(object)))
}

export async function removeObject(cluster: Cluster, object: KubeObject): Promise<void> {
  await cluster.remove(
    kindOf(object) ?? (object.kind as Kind),
    object.metadata.namespace,
    object.metadata.name,
    object.metadata.uid,
  )
}
