// Finds every path by which requests can reach a canary's pods past its split, as far as the account can read.
import type { Cluster } from '../../cluster/client.ts'
import { isNotFound, undefinedWhenForbidden } from '../../cluster/api-error.ts'
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
  describeBypass,
  findBypasses,
  findPinnedVersions,
  isMeshRouteFor,
  type Bypass,
  type PinnedVersions,
} from '../../policies/bypass.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { isVirtualService, splitsIn, type Routed, type Split } from '../../policies/routes.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { hasManagedMirror } from './mirror.ts'
import { hiddenCallers, type Sidecar } from './hidden-callers.ts'
import { ingressFaults, ingressSuspects, type Ingress } from './ingresses.ts'
import { isSuspectOnly, otherServices, serviceFault, serviceSuspects, sharedSubsets } from './other-services.ts'

/** What a run writes and deletes before the promotion; the objects in force are these and the live ones. */
export type PendingRoutes = { written: readonly KubeObject[]; isDeleted: (live: KubeObject) => boolean }

const nothingPending: PendingRoutes = { written: [], isDeleted: () => false }

/**
 * `faults`: paths past the split, a sentence each. `suspects`: what may be such a path, if somebody uses it.
 * `unseen`: what the account could not read. `pinned`: see PinnedVersions. `routes`: all that are in force.
 */
export type Paths = {
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
export type PathOptions = {
  pending?: PendingRoutes
  sourceOf?: (bypass: Bypass) => string | undefined
  pods?: Pod[]
}

export async function findPaths(
  cluster: Cluster,
  split: Split,
  { clients = [] }: Pick<CanaryConfig, 'clients'>,
  selectors: VersionSelectors,
  { pending = nothingPending, sourceOf = () => undefined, pods }: PathOptions = {},
): Promise<Paths> {
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
      ...findBypasses(routes, split, { hosts, subsets }).map((bypass) => describeBypass(bypass, sourceOf(bypass))),
      ...others.filter((each) => !isSuspect(each) && !isRouted(each)).map((each) => serviceFault(each, split)),
      ...clients.flatMap((namespace) => exportFault(routes, main, split, namespace)),
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
  const places = [...new Set([namespace, ...clients])]
  const everywhere = <T extends KubeObject>(kind: Kind) => listEverywhere<T>(cluster, kind, places, unseen)
  const inPlaces = async <T extends KubeObject>(kind: Kind, wanted: string[]) =>
    (await Promise.all(wanted.map((place) => listIn<T>(cluster, kind, place, unseen)))).flat()
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

/** All objects of a kind or, without the right to read them, those of the given namespaces. */
async function listEverywhere<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  places: string[],
  unseen: string[],
): Promise<T[]> {
  const all = await cluster.list<T>(kind).catch(emptyOrForbidden)
  if (all) return all
  const lists = places.map((place) => cluster.list<T>(kind, place).catch(absentOrForbidden))
  const found = await Promise.all(lists)
  // Without rights, only a namespace of its own tells that the cluster lacks the kind.
  if (found.includes('absent')) return []
  unseen.push(
    `${kind}s of other namespaces`,
    ...places.flatMap((place, i) => (found[i] ? [] : [`${kind}s of ${place}`])),
  )
  return found.flatMap((each) => (Array.isArray(each) ? each : []))
}

function absentOrForbidden(error: unknown): 'absent' | undefined {
  return isNotFound(error) ? 'absent' : undefinedWhenForbidden(error)
}

async function listIn<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  place: string,
  unseen: string[],
): Promise<T[]> {
  const found = await cluster.list<T>(kind, place).catch(emptyOrForbidden)
  if (!found) unseen.push(`${kind}s of ${place}`)
  return found ?? []
}

function emptyOrForbidden(error: unknown): [] | undefined {
  return isNotFound(error) ? [] : undefinedWhenForbidden(error)
}

/** The routes as they will be: those that the run writes, and the live ones that it neither replaces nor deletes. */
function routesInForce({ routes }: Found, pending: PendingRoutes): Routed[] {
  const written = (['VirtualService', 'HTTPRoute', 'GRPCRoute'] as const).flatMap((kind) =>
    ofKind<Routed>(pending, kind),
  )
  return inForce(routes, written, pending)
}

function inForce<T extends KubeObject>(live: T[], written: T[], { isDeleted }: PendingRoutes): T[] {
  const keys = new Set(written.map(keyOf))
  return [...written, ...live.filter((each) => !keys.has(keyOf(each)) && !isDeleted(each))]
}

function ofKind<T extends KubeObject>({ written }: PendingRoutes, kind: string): T[] {
  return written.filter((each) => each.kind === kind) as T[]
}

function hasMeshRoute(routes: Routed[], host: string): boolean {
  return routes.some((each) => isVirtualService(each) && isMeshRouteFor(each, host))
}

function hasGatewaySplit(routes: Routed[], split: Split): boolean {
  const isAtGateway = (each: Routed) =>
    !isVirtualService(each) || ((each.spec['gateways'] as string[] | undefined) ?? []).some((name) => name !== 'mesh')
  return routes.some((each) => isAtGateway(each) && splitsIn(each, split).length > 0)
}

type Exported = { exportTo?: string[] }

function isExported(exportTo: readonly string[] | undefined, own: string, namespace: string): boolean {
  if (exportTo === undefined || exportTo.length === 0) return true
  return exportTo.some((place) => place === '*' || place === namespace || (place === '.' && own === namespace))
}

const serviceExportAnnotation = 'networking.istio.io/exportTo'

/** Callers in a namespace that does not see the split, or the Service itself, reach all pods of both versions. */
function exportFault(routes: Routed[], main: Service | undefined, split: Split, namespace: string): string[] {
  const host = hostOf(split.service, split.namespace)
  const remedy = `add ${namespace} to it, or remove the field`
  const effect = `so the callers in ${namespace} (\`clients\`) reach the pods of both versions past the split`
  const ofService = main?.metadata.annotations?.[serviceExportAnnotation]?.split(',').map((place) => place.trim())
  if (main && !isExported(ofService, split.namespace, namespace))
    return [
      `the annotation ${serviceExportAnnotation} of the ${titleOf(main)} is ${ofService!.join(',')}, ${effect}; ${remedy}`,
    ]
  const forMesh = routes.filter(
    (each): each is VirtualService =>
      isVirtualService(each) && isMeshRouteFor(each, host) && splitsIn(each, split).length > 0,
  )
  const exportOf = ({ spec }: VirtualService) => (spec as Exported).exportTo
  if (forMesh.length === 0) return []
  if (forMesh.some((each) => isExported(exportOf(each), each.metadata.namespace ?? '', namespace))) return []
  const [first] = forMesh as [VirtualService]
  return [`\`exportTo\` of the ${titleOf(first)} is ${exportOf(first)!.join(', ')}, ${effect}; ${remedy}`]
}
