// Labels that say which config owns an object, and the objects that a config no longer asks for.
import { managedByLabel, manager } from '../cluster/labels.ts'
import { createHash } from 'node:crypto'
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenAbsent, emptyWhenUnread } from '../cluster/api-error.ts'
import { keyOf, type Kind, kindOf, type KubeObject, systemNamespace, titleOf } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { policyKinds } from './policy-kinds.ts'

export const configLabel = 'mesh-canary.io/config'
/** The owner in words. Objects of earlier versions lack it. */
export const ownerAnnotation = 'mesh-canary.io/owner'
/** Set on an object outside its config's namespace, because one config may be for several namespaces. */
export const ownerNamespaceLabel = 'mesh-canary.io/namespace'

/** One config in one namespace. `names`: as which it owns objects; the first is written. See Identity. */
export type Owner = { names: readonly string[]; earlier: readonly string[]; namespace: string; prunes: boolean }

export function ownerOf({ identity, namespace }: Pick<Config, 'identity' | 'namespace'>): Owner {
  const { owner, withoutName = owner, earlier, prunes } = identity
  return { names: [...new Set([owner, withoutName])], earlier, namespace, prunes }
}

/** The value of the label for an owner's name. */
export function ownerId(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 8)
}

/** The object with the labels and the annotation that mark the owner. */
export function withOwnerMarks<T extends KubeObject>(object: T, { names: [name = ''], namespace }: Owner): T {
  const place = object.metadata.namespace === namespace ? {} : { [ownerNamespaceLabel]: namespace }
  return {
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...object.metadata.labels, [managedByLabel]: manager, [configLabel]: ownerId(name), ...place },
      annotations: { ...object.metadata.annotations, [ownerAnnotation]: name },
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
export function isOf(owner: Owner, object: KubeObject): boolean {
  const name = ownerNameOf(object)
  return name !== undefined && owner.names.includes(name) && hasId(owner, object, owner.names)
}

/** True for objects that an earlier version wrote for this config, or for one of the same path in another repository. */
export function isOfEarlier(owner: Owner, object: KubeObject): boolean {
  return ownerNameOf(object) === undefined && hasId(owner, object, owner.earlier)
}

function hasId({ namespace }: Owner, object: KubeObject, names: readonly string[]): boolean {
  const { labels = {}, namespace: place } = object.metadata
  return (
    isOurs(object) &&
    names.some((name) => labels[configLabel] === ownerId(name)) &&
    (labels[ownerNamespaceLabel] ?? place) === namespace
  )
}

function ownerNameOf({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[ownerAnnotation]
}

/** True if the owner may write the object, when it writes one of that name. */
export function mayWrite(owner: Owner, object: KubeObject): boolean {
  return isUnclaimed(object) || isOf(owner, object) || isOfEarlier(owner, object)
}

/** The owner of an object that another config wrote: `github.com/acme/shop mesh.yaml`, or its label. */
export function ownerTitle(object: KubeObject): string {
  const { labels = {} } = object.metadata
  const namespace = labels[ownerNamespaceLabel]
  const name = ownerNameOf(object) ?? `${configLabel}=${labels[configLabel]}`
  return namespace === undefined ? name : `${name}, of the namespace ${namespace}`
}

/** The repository of an object's owner; undefined if its owner has a name of its own. */
export function repositoryOf(object: KubeObject): string | undefined {
  return /^([^\s/:]+\/\S+) ./.exec(ownerNameOf(object) ?? '')?.[1]
}

/** Why the owner must not write a live object; undefined when it may. */
export function foreignOwner(live: KubeObject, owner: Owner): string | undefined {
  const title = titleOf(live)
  if (!isOurs(live))
    return (
      `${title} exists already, and mesh-canary does not manage it; rename yours, delete it, ` +
      `or label it ${managedByLabel}=${manager} to hand it over`
    )
  if (mayWrite(owner, live)) return undefined
  return (
    `${title} belongs to another config of mesh-canary (${ownerTitle(live)}); remove it from one of the two, ` +
    `give both the same \`name\`, or remove its label ${configLabel} to hand it over`
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

/** The owner's objects in the cluster. */
export async function ownedBy(cluster: Cluster, owner: Owner): Promise<KubeObject[]> {
  return ownedAmong(await listClaimed(cluster, owner), owner)
}

export function ownedAmong(objects: readonly KubeObject[], owner: Owner): KubeObject[] {
  return objects.filter((object) => isOf(owner, object))
}

/** What an earlier version wrote and the config does not ask for. It may be another repository's, so nobody deletes it. */
export async function leftByEarlier(
  cluster: Cluster,
  owner: Owner,
  desired: readonly KubeObject[],
): Promise<KubeObject[]> {
  const claimed = await listClaimed(cluster, owner)
  return obsolete(
    claimed.filter((object) => isOfEarlier(owner, object)),
    desired,
  )
}

/** The objects that some config owns. An account that may not read istio-system has written nothing there. */
async function listClaimed(cluster: Cluster, { namespace }: Owner): Promise<KubeObject[]> {
  const selector = `${managedByLabel}=${manager},${configLabel}`
  const own = await listPolicies(cluster, namespace, selector)
  const system =
    namespace === systemNamespace ? [] : await listPolicies(cluster, systemNamespace, selector).catch(emptyWhenUnread)
  return [...own, ...system]
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
