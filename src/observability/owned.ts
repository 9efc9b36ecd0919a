// The objects of the section `observability` in the cluster: whose they are, and which of them a run must leave alone.
import { emptyWhenAbsent, emptyWhenUnread, isForbidden, undefinedWhenForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import { keyOf, kindOf, titleOf, type KubeObject } from '../cluster/objects.ts'
import { usersObjects } from '../cluster/namespace-content.ts'
import { configLabel, isOf, isOurs, mayWrite, type Owner } from '../policies/owned-objects.ts'
import { listNames } from '../runtime/errors.ts'
import { isShared } from './compile.ts'
import { component, componentLabel, observabilityKinds } from './objects.ts'

const labelSelector = `${managedByLabel}=${manager},${componentLabel}=${component},${configLabel}`

/** Those of all configs, as far as the account may read them: it has written nothing elsewhere. */
export async function listObservability(cluster: Cluster, places: readonly string[]): Promise<KubeObject[]> {
  const lists = observabilityKinds.map((kind) =>
    cluster.list<KubeObject>(kind, undefined, { labelSelector }).catch(async (error: unknown) => {
      if (!isForbidden(error)) return emptyWhenAbsent(error)
      if (kind === 'Namespace') return []
      const perPlace = places.map((place) =>
        cluster.list<KubeObject>(kind, place, { labelSelector }).catch(emptyWhenUnread),
      )
      return (await Promise.all(perPlace)).flat()
    }),
  )
  return (await Promise.all(lists)).flat()
}

/** The owner's objects that may be deleted. */
export function removable(
  cluster: Cluster,
  all: readonly KubeObject[],
  owner: Owner,
  note: (line: string) => void,
): Promise<KubeObject[]> {
  return withoutUsedNamespaces(
    cluster,
    all.filter((object) => isOf(owner, object)),
    note,
  )
}

/** A namespace stays while it holds something of somebody else's; `note` says so. */
export async function withoutUsedNamespaces(
  cluster: Cluster,
  own: readonly KubeObject[],
  note: (line: string) => void,
): Promise<KubeObject[]> {
  const kept = await Promise.all(
    own.map(async (object) => object.kind === 'Namespace' && (await isInUse(cluster, object, own, note))),
  )
  return own.filter((_, i) => !kept[i])
}

async function isInUse(
  cluster: Cluster,
  { metadata: { name } }: KubeObject,
  own: readonly KubeObject[],
  note: (line: string) => void,
): Promise<boolean> {
  const keys = new Set(own.map(keyOf))
  const content = await usersObjects(cluster, name).catch(undefinedWhenForbidden)
  const others = content?.filter((object) => !keys.has(keyOf(object))).map(titleOf)
  if (others?.length === 0) return false
  note(`the namespace ${name} stays: ${others ? `it also holds ${listNames(others)}` : 'cannot see what it holds'}`)
  return true
}

/** Without those that several configs may share and that somebody else has made already. */
export async function withoutOthers(
  cluster: Cluster,
  desired: readonly KubeObject[],
  owner: Owner,
): Promise<KubeObject[]> {
  const kept = await Promise.all(
    desired.map(async (object) => {
      if (!isShared(object)) return true
      const { namespace, name } = object.metadata
      const live = await cluster.get<KubeObject>(kindOf(object)!, namespace, name)
      return live === undefined || mayWrite(owner, live) || (object.kind !== 'Namespace' && !isOurs(live))
    }),
  )
  return desired.filter((_, i) => kept[i])
}
