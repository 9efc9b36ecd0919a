// Finds hosts that a route outside mesh-canary claims too: in the other API (Istio's or the Gateway API), or in a
// VirtualService of another namespace. contradictions.ts finds conflicts within the namespace.
import type { Cluster } from '../../cluster/client.ts'
import { listReadableEverywhere } from '../../cluster/readable.ts'
import { hostOf } from '../compile/names.ts'
import { keyOf, titleOf, type KubeObject, type VirtualService } from '../../cluster/objects.ts'
import { isOurs } from '../owned-objects.ts'
import { isVisibleTo } from './export-to.ts'
import { isForSidecarsOnly, meshHosts } from '../merge/merge-hosts.ts'

type HTTPRoute = KubeObject & {
  spec: { hostnames?: string[]; parentRefs?: { kind?: string; name: string; namespace?: string }[] }
}

/** One sentence for each conflict. */
export async function hostConflicts(
  cluster: Cluster,
  objects: readonly KubeObject[],
  namespace: string,
): Promise<string[]> {
  const own = new Set(objects.map(keyOf))
  const live = await Promise.all(
    (['HTTPRoute', 'VirtualService'] as const).map((kind) => listReadableEverywhere(cluster, kind, [namespace])),
  )
  const others = live.flatMap(({ objects }) => objects).filter((object) => !isOurs(object) && !own.has(keyOf(object)))
  return objects.flatMap((ours) =>
    others.flatMap((theirs) => {
      const theirClaims = canConflict(ours, theirs) ? hostKeys(theirs) : []
      return hostKeys(ours)
        .filter((claim) => theirClaims.includes(claim) && (ours.kind !== theirs.kind || claim.startsWith('mesh ')))
        .map((claim) => conflict(ours, theirs, claim))
    }),
  )
}

/** Two VirtualServices conflict only when the sidecars of our namespace see both. */
function canConflict(ours: KubeObject, theirs: KubeObject): boolean {
  if (ours.kind !== theirs.kind) return true
  const { namespace = '' } = ours.metadata
  return ours.kind === 'VirtualService' && theirs.metadata.namespace !== namespace && isVisibleTo(theirs, namespace)
}

/** `mesh HOST` for the sidecars, `gateway HOST` for a gateway; a route for every host claims none. */
function hostKeys(object: KubeObject): string[] {
  if (object.kind === 'HTTPRoute') return routeHostKeys(object as HTTPRoute)
  return object.kind === 'VirtualService' ? virtualServiceHostKeys(object as VirtualService) : []
}

function routeHostKeys({
  metadata: { namespace = '' },
  spec: { hostnames = [], parentRefs = [] },
}: HTTPRoute): string[] {
  const services = parentRefs.filter(({ kind }) => kind === 'Service')
  const atGateway = parentRefs.length > services.length ? hostnames : []
  return [
    ...services.map((parent) => `mesh ${hostOf(parent.name, parent.namespace ?? namespace)}`),
    ...atGateway.map((host) => `gateway ${host}`),
  ]
}

function virtualServiceHostKeys(object: VirtualService): string[] {
  const { hosts = [] } = object.spec
  const atGateway = isForSidecarsOnly(object) ? [] : hosts.filter((host) => host !== '*')
  return [...meshHosts(object).map((host) => `mesh ${host}`), ...atGateway.map((host) => `gateway ${host}`)]
}

function conflict(ours: KubeObject, theirs: KubeObject, claim: string): string {
  const [place, host] = claim.split(' ') as [string, string]
  return (
    `policies: the ${titleOf(theirs)}, which mesh-canary does not manage, claims the host ${host} of the ` +
    `${titleOf(ours)} too: ${effectOf(ours.kind === theirs.kind, place)}; keep one of them`
  )
}

function effectOf(isSameKind: boolean, place: string): string {
  if (isSameKind) return 'inside the mesh Istio follows the older of the two'
  if (place === 'mesh') return 'inside the mesh Istio follows the HTTPRoute, and the VirtualService has no effect'
  return 'which of the two gets a request depends on the gateway through which it comes'
}
