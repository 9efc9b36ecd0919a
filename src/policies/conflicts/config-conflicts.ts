// Finds hosts that another config of mesh-canary has claimed already: at a gateway, or in the mesh from another
// namespace. contradictions.ts finds those in the mesh within the namespace.
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, titleOf, type KubeObject } from '../../cluster/objects.ts'
import { listReadableEverywhere } from '../../cluster/readable.ts'
import { exportsOf } from './export-to.ts'
import { meshHosts } from '../merge/merge-hosts.ts'
import { isOf, isOfEarlier, isOurs, isUnclaimed, ownerTitle, type Owner } from '../owned-objects.ts'

type Policy = KubeObject & { spec?: Record<string, unknown> }
/** `key`: equal for two claims that exclude each other. */
type Claim = { key: string; host: string }

const kinds = ['Gateway', 'HTTPRoute', 'VirtualService'] as const

/** One sentence for each host of ours that an object of another config claims. */
export async function configConflicts(
  cluster: Cluster,
  objects: readonly KubeObject[],
  owner: Owner,
): Promise<string[]> {
  const wanted = kinds.filter((kind) => objects.some((object) => object.kind === kind))
  const live = await Promise.all(wanted.map((kind) => listReadableEverywhere(cluster, kind, [owner.namespace])))
  const own = new Set(objects.map(keyOf))
  const others = live
    .flatMap(({ objects }) => objects)
    .filter((object) => isOfOther(owner, object) && !own.has(keyOf(object)))
  const sentences = objects.flatMap((ours) =>
    others.flatMap((theirs) => sharedHosts(ours, theirs).map((host) => sentence(ours, theirs, host))),
  )
  return [...new Set(sentences)]
}

function isOfOther(owner: Owner, object: KubeObject): boolean {
  return isOurs(object) && !isUnclaimed(object) && !isOf(owner, object) && !isOfEarlier(owner, object)
}

function sharedHosts(ours: KubeObject, theirs: KubeObject): string[] {
  if (ours.kind !== theirs.kind) return []
  const keys = new Set(claimsOf(theirs, ours).map(({ key }) => key))
  const shared = claimsOf(ours, theirs).filter(({ key }) => keys.has(key))
  return [...new Set(shared.map(({ host }) => host))]
}

function claimsOf(object: Policy, other: Policy): Claim[] {
  switch (object.kind) {
    case 'Gateway':
      return gatewayClaims(object)
    case 'HTTPRoute':
      return routeClaims(object)
    default:
      return object.metadata.namespace === other.metadata.namespace ? [] : meshClaims(object)
  }
}

type Server = { port?: { number?: number }; hosts?: string[] }

/** Two Gateways for the same pods, port and host: requests follow only the routes of one of them. */
function gatewayClaims({ spec = {} }: Policy): Claim[] {
  const pods = Object.entries((spec['selector'] ?? {}) as Record<string, string>).sort()
  return ((spec['servers'] ?? []) as Server[]).flatMap(({ port, hosts = [] }) =>
    hosts.map((each) => {
      const host = each.slice(each.indexOf('/') + 1)
      return { key: JSON.stringify([pods, port?.number, host]), host }
    }),
  )
}

type Rule = { matches?: { path?: { value?: string }; headers?: unknown; queryParams?: unknown; method?: unknown }[] }
type Parent = { kind?: string; name: string; namespace?: string; sectionName?: string }

/** Two HTTPRoutes may share a host, but not all requests for one of its paths. */
function routeClaims({ metadata, spec = {} }: Policy): Claim[] {
  const parents = ((spec['parentRefs'] ?? []) as Parent[]).filter(({ kind = 'Gateway' }) => kind === 'Gateway')
  const paths = ((spec['rules'] ?? [{}]) as Rule[]).flatMap(({ matches = [{}] }) =>
    matches
      .filter(({ headers, queryParams, method }) => (headers ?? queryParams ?? method) === undefined)
      .map(({ path }) => path?.value ?? '/'),
  )
  return parents.flatMap(({ name, namespace = metadata.namespace, sectionName = '' }) =>
    ((spec['hostnames'] ?? ['*']) as string[]).flatMap((host) =>
      paths.map((path) => ({ key: JSON.stringify([namespace, name, sectionName, host, path]), host })),
    ),
  )
}

/** The sidecars of our namespace follow the older of two VirtualServices for a host. */
function meshClaims(object: Policy): Claim[] {
  return exportsOf(object).includes('*') ? meshHosts(object).map((host) => ({ key: host, host })) : []
}

function sentence(ours: KubeObject, theirs: KubeObject, host: string): string {
  return (
    `policies: the host ${host} of the ${titleOf(ours)} belongs to another config of mesh-canary already ` +
    `(${ownerTitle(theirs)}), with the ${titleOf(theirs)}; give each config its own host, or delete that object`
  )
}
