// A host of ours that somebody else has a route for: in the other of the two APIs, Istio's and the Gateway API, or in a
// VirtualService of another namespace. Those of our own are judged before (contradictions.ts).
import { ApiError, type Cluster } from '../cluster/client.ts'
import { keyOf, type Kind, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { hostOf } from './compile/index.ts'
import { unreadable } from './expose-checks.ts'
import { isOurs } from './prune.ts'
import { fullHost } from './routes.ts'

type HTTPRoute = KubeObject & {
  spec: { hostnames?: string[]; parentRefs?: { kind?: string; name: string; namespace?: string }[] }
}

/** A sentence for each. */
export async function hostConflicts(
  cluster: Cluster,
  objects: readonly KubeObject[],
  namespace: string,
): Promise<string[]> {
  const mine = new Set(objects.map(keyOf))
  const live = (
    await Promise.all((['HTTPRoute', 'VirtualService'] as const).map((kind) => listAll(cluster, kind, namespace)))
  ).flat()
  const others = live.filter((object) => !isOurs(object) && !mine.has(keyOf(object)))
  return objects.flatMap((ours) =>
    others.flatMap((theirs) => {
      const taken = contending(ours, theirs) ? claims(theirs) : []
      return claims(ours)
        .filter((claim) => taken.includes(claim) && (ours.kind !== theirs.kind || claim.startsWith('mesh ')))
        .map((claim) => clash(ours, theirs, claim))
    }),
  )
}

/** Of two VirtualServices only those that the sidecars of our namespace both see. */
function contending(ours: KubeObject, theirs: KubeObject): boolean {
  if (ours.kind !== theirs.kind) return true
  const { namespace = '' } = ours.metadata
  const { exportTo = ['*'] } = (theirs as KubeObject & { spec: { exportTo?: string[] } }).spec
  return (
    ours.kind === 'VirtualService' &&
    theirs.metadata.namespace !== namespace &&
    exportTo.some((place) => place === '*' || place === namespace)
  )
}

/** As far as the user may read; of a kind that the cluster lacks there is none. */
async function listAll(cluster: Cluster, kind: Kind, namespace: string): Promise<KubeObject[]> {
  const list = (place?: string) =>
    cluster
      .list<KubeObject>(kind, place)
      .catch((error: unknown) => (error instanceof ApiError && error.status === 404 ? [] : unreadable(error)))
  return (await list()) ?? (await list(namespace)) ?? []
}

/** `mesh HOST` inside the mesh, `gateway HOST` at a gateway; a route for every host claims none. */
function claims(object: KubeObject): string[] {
  if (object.kind === 'HTTPRoute') return ofRoute(object as HTTPRoute)
  return object.kind === 'VirtualService' ? ofVirtualService(object as VirtualService) : []
}

function ofRoute({ metadata: { namespace = '' }, spec: { hostnames = [], parentRefs = [] } }: HTTPRoute): string[] {
  const services = parentRefs.filter(({ kind }) => kind === 'Service')
  const atGateway = parentRefs.length > services.length ? hostnames : []
  return [
    ...services.map((parent) => `mesh ${hostOf(parent.name, parent.namespace ?? namespace)}`),
    ...atGateway.map((host) => `gateway ${host}`),
  ]
}

function ofVirtualService({ metadata: { namespace = '' }, spec }: VirtualService): string[] {
  const gateways = (spec['gateways'] as string[] | undefined) ?? ['mesh']
  const { hosts = [] } = spec
  const inMesh = gateways.includes('mesh') ? hosts : []
  const atGateway = gateways.some((gateway) => gateway !== 'mesh') ? hosts.filter((host) => host !== '*') : []
  return [...inMesh.map((host) => `mesh ${fullHost(host, namespace)}`), ...atGateway.map((host) => `gateway ${host}`)]
}

function clash(ours: KubeObject, theirs: KubeObject, claim: string): string {
  const [where, host] = claim.split(' ') as [string, string]
  const title = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
  const doubt =
    ours.kind === theirs.kind
      ? 'inside the mesh Istio follows the older of the two'
      : where === 'mesh'
        ? 'inside the mesh Istio follows the HTTPRoute, and the VirtualService has no effect'
        : 'which of the two answers depends on the gateway by which a request comes'
  return `policies: the host ${host} of the ${title(ours)} is claimed by the ${title(theirs)} as well, which is not ours: ${doubt}; keep one of them`
}
