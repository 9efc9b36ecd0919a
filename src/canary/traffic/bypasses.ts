// Finds every bypass of a split: a route or another way by which requests reach the pods of both versions whatever the
// weight is. Reads what the account may read.
import type { Cluster } from '../../cluster/client.ts'
import { listReadable, listReadableEverywhere, type Readable } from '../../cluster/readable.ts'
import {
  keyOf,
  titleOf,
  type DestinationRule,
  type GatewayRoute,
  type Kind,
  type KubeObject,
  type Pod,
  type Service,
  type VirtualService,
} from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import {
  describeRouteBypass,
  findRouteBypasses,
  findPinnedVersions,
  type RouteBypass,
  type PinnedVersions,
} from '../../policies/weights/route-bypasses.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { hiddenSplit, isVisibleTo } from '../../policies/conflicts/export-to.ts'
import { isForSidecarsOnly, meshHosts } from '../../policies/merge/merge-hosts.ts'
import { isRouted, isVirtualService, splitsIn, type Routed, type Split } from '../../policies/routes.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { hasManagedMirror } from './mirror.ts'
import { hiddenCallers, type Sidecar } from './hidden-callers.ts'
import { ingressFaults, ingressSuspects, type Ingress } from './ingresses.ts'
import { isSuspectOnly, otherServices, serviceFault, serviceSuspects, sharedSubsets } from './other-services.ts'

/** What a run writes and deletes before the promotion; the objects in force are these and the live ones. */
export type PendingRoutes = { written: readonly KubeObject[]; isDeleted: (live: KubeObject) => boolean }

const nothingPending: PendingRoutes = { written: [], isDeleted: () => false }

/**
 * `faults`: bypasses, a sentence each. `suspects`: what may be one, if somebody uses it.
 * `unseen`: what the account could not read. `pinned`: see PinnedVersions. `routes`: all that are in force.
 */
export type Bypasses = {
  faults: string[]
  suspects: string[]
  unseen: string[]
  pinned: PinnedVersions
  routes: Routed[]
}

/**
 * `sourceOf`: where the user wrote the route, as `file:line`. `pods`: those of the namespaces of the service and its
 * clients, if they are known already.
 */
export type BypassOptions = {
  pending?: PendingRoutes
  sourceOf?: (bypass: RouteBypass) => string | undefined
  pods?: Pod[]
}

export async function findBypasses(
  cluster: Cluster,
  split: Split,
  { clients = [] }: Pick<CanaryConfig, 'clients'>,
  selectors: VersionSelectors,
  { pending = nothingPending, sourceOf = () => undefined, pods }: BypassOptions = {},
): Promise<Bypasses> {
  const found = await readObjects(cluster, split.namespace, clients, pods)
  const routes = routesInForce(found, pending)
  const others = otherServices(found.services, found.pods, split, selectors)
  const hosts = others.map(({ metadata }) => hostOf(metadata.name, split.namespace))
  const rules = inForce(found.rules, ofKind<DestinationRule>(pending, 'DestinationRule'), pending)
  const subsets = sharedSubsets(rules, found.pods, split, selectors)
  const main = found.services.find(({ metadata }) => metadata.name === split.service)
  const isSuspect = (each: Service) => isSuspectOnly(each) || each === main
  const isRouted = (service: Service) => hasMeshRoute(routes, hostOf(service.metadata.name, split.namespace))
  const sidecars = hiddenCallers(
    inForce(found.sidecars, ofKind<Sidecar>(pending, 'Sidecar'), pending),
    found.pods,
    split,
    { clients, selectors, hasGateway: hasGatewaySplit(routes, split) },
  )
  return {
    faults: [
      ...findRouteBypasses(routes, split, { hosts, subsets }).map((bypass) =>
        describeRouteBypass(bypass, sourceOf(bypass)),
      ),
      ...others.filter((each) => !isSuspect(each) && !isRouted(each)).map((each) => serviceFault(each, split)),
      ...hiddenService(main, clients),
      ...hiddenSplit(routes, split, clients),
      ...sidecars.faults,
      ...ingressFaults(found.ingresses, split),
    ],
    suspects: [
      ...others.filter((each) => isSuspect(each) && !isRouted(each)).map((each) => titleOf(each)),
      ...serviceSuspects(main),
      ...ingressSuspects(found.ingresses, split),
      ...sidecars.suspects,
    ],
    unseen: found.unseen,
    pinned: findPinnedVersions(routes.map(withoutManagedMirror), split),
    routes,
  }
}

/** A run that died may have left a mirror, which the promotion removes before it begins. */
function withoutManagedMirror(object: Routed): Routed {
  if (!isVirtualService(object) || !hasManagedMirror(object)) return object
  return { ...object, spec: { ...object.spec, http: (object.spec.http ?? []).map(({ mirror: _, ...route }) => route) } }
}

type Found = {
  routes: Routed[]
  services: Service[]
  rules: DestinationRule[]
  ingresses: Ingress[]
  pods: Pod[]
  sidecars: Sidecar[]
  unseen: string[]
}

async function readObjects(
  cluster: Cluster,
  namespace: string,
  clients: string[],
  known: Pod[] | undefined,
): Promise<Found> {
  const unseen: string[] = []
  const noted = <T>({ objects, unread }: Readable<T>) => {
    unseen.push(...unread)
    return objects
  }
  const places = [...new Set([namespace, ...clients])]
  const everywhere = async <T extends KubeObject>(kind: Kind) =>
    noted(await listReadableEverywhere<T>(cluster, kind, places))
  const inPlaces = async <T extends KubeObject>(kind: Kind, wanted: string[]) =>
    noted(await listReadable<T>(cluster, kind, wanted))
  const [virtualServices, httpRoutes, grpcRoutes, services, rules, ingresses, pods, sidecars] = await Promise.all([
    everywhere<VirtualService>('VirtualService'),
    everywhere<GatewayRoute>('HTTPRoute'),
    everywhere<GatewayRoute>('GRPCRoute'),
    inPlaces<Service>('Service', [namespace]),
    inPlaces<DestinationRule>('DestinationRule', [namespace]),
    inPlaces<Ingress>('Ingress', [namespace]),
    known ?? inPlaces<Pod>('Pod', places),
    inPlaces<Sidecar>('Sidecar', places),
  ])
  const routes = [...virtualServices, ...httpRoutes, ...grpcRoutes]
  return { routes, services, rules, ingresses, pods, sidecars, unseen }
}

/** The routes as they will be: those that the run writes, and the live ones that it neither replaces nor deletes. */
function routesInForce({ routes }: Found, pending: PendingRoutes): Routed[] {
  return inForce(routes, pending.written.filter(isRouted), pending)
}

function inForce<T extends KubeObject>(live: T[], written: T[], { isDeleted }: PendingRoutes): T[] {
  const keys = new Set(written.map(keyOf))
  return [...written, ...live.filter((each) => !keys.has(keyOf(each)) && !isDeleted(each))]
}

function ofKind<T extends KubeObject>({ written }: PendingRoutes, kind: string): T[] {
  return written.filter((each) => each.kind === kind) as T[]
}

function hasMeshRoute(routes: Routed[], host: string): boolean {
  return routes.some((each) => meshHosts(each).includes(host))
}

function hasGatewaySplit(routes: Routed[], split: Split): boolean {
  const isAtGateway = (each: Routed) => !isVirtualService(each) || !isForSidecarsOnly(each)
  return routes.some((each) => isAtGateway(each) && splitsIn(each, split).length > 0)
}

const serviceExportAnnotation = 'networking.istio.io/exportTo'

/** Callers that do not see the Service itself reach all pods of both versions. */
function hiddenService(main: Service | undefined, clients: string[]): string[] {
  const places = main?.metadata.annotations?.[serviceExportAnnotation]
  if (!main || places === undefined) return []
  const exported = { ...main, spec: { exportTo: places.split(',').map((place) => place.trim()) } }
  return clients
    .filter((namespace) => !isVisibleTo(exported, namespace))
    .map(
      (namespace) =>
        `the annotation ${serviceExportAnnotation} of the ${titleOf(main)} is ${places}, so the callers in ${namespace} ` +
        `(\`clients\`) reach the pods of both versions past the split; add ${namespace} to it, or remove the field`,
    )
}
