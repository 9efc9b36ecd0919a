// Compiled policies → the cluster, by server-side apply, in the order that never sends traffic to a subset that is not there.
import { isDeepStrictEqual } from 'node:util'
import { ApiError, fieldManager, type Cluster } from '../cluster/client.ts'
import type { DestinationRule, Kind, KubeObject, VirtualService } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { compile, hostOf, managedBy, servicesOf, type Weights } from './compile/index.ts'
import { fullHost, routesTo, weightsOf } from './routes.ts'

export type Change = { kind: string; namespace: string; name: string; action: 'created' | 'changed' | 'deleted' }

/** What of the mesh's objects is in the namespace. */
export type Live = { virtualServices: VirtualService[]; destinationRules: DestinationRule[] }

export async function readLive(cluster: Cluster, namespace: string): Promise<Live> {
  // Before Istio is installed the kinds are not known: the list is then not found, and so empty.
  const list = <T extends KubeObject>(kind: Kind) => cluster.list<T>(kind, namespace).catch(emptyWhenAbsent<T>)
  const [virtualServices, destinationRules] = await Promise.all([list<VirtualService>('VirtualService'), list<DestinationRule>('DestinationRule')])
  return { virtualServices, destinationRules }
}

function emptyWhenAbsent<T>(error: unknown): T[] {
  if (error instanceof ApiError && error.status === 404) return []
  throw error
}

/** An object of somebody else's for a host that we are to write: one sentence each. */
export function strangers(config: Config, { virtualServices, destinationRules }: Live): string[] {
  const { namespace } = config
  return Object.keys(servicesOf(config)).flatMap((service) => [
    ...virtualServices.filter((object) => !ours(object) && routesTo(object, service, namespace)),
    ...destinationRules.filter((object) => !ours(object) && fullHost(object.spec.host, namespace) === hostOf(service, namespace)),
  ].map(({ kind, metadata }) => `services.${service}: the host ${hostOf(service, namespace)} already has the ${kind} ${namespace}/${metadata.name}, which is not ours, and a second one for the same host would hide one of the two; move its policies into \`services.${service}\` and delete it, or label it app.kubernetes.io/managed-by=mesh-canary to hand it over`))
}

/** Subsets that hold traffic now and that the config does not define: writing its policies would move that traffic. */
export function orphans(config: Config, live: Live): string[] {
  const weights = liveWeights(config, live)
  return Object.entries(servicesOf(config)).flatMap(([service, { subsets = {}, traffic }]) => {
    const lost = Object.entries(weights[service] ?? {}).filter(([subset, weight]) => weight > 0 && !(subset in subsets))
    if (traffic && config.canary?.service !== service) return []
    return lost.map(([subset, weight]) => `services.${service}.subsets: the subset ${subset} holds ${weight}% of the traffic now and is not defined here; add it with its labels, or state \`traffic\` to move it`)
  })
}

function ours({ metadata }: KubeObject): boolean {
  return metadata.labels?.['app.kubernetes.io/managed-by'] === managedBy['app.kubernetes.io/managed-by']
}

/** By service: of the route that a promotion moves where there is one, else of the first that splits the service. */
function liveWeights(config: Config, live: Live): Record<string, Weights> {
  const { namespace, canary } = config
  const found = Object.keys(servicesOf(config)).flatMap((service): [string, Weights][] => {
    const read = (subsets: string[]) => live.virtualServices.filter((object) => routesTo(object, service, namespace)).map((object) => weightsOf(object, service, namespace, subsets)).find((weights) => weights !== undefined)
    const weights = (canary?.service === service ? read([canary.stable, canary.canary]) : undefined) ?? read([])
    return weights ? [[service, weights]] : []
  })
  return Object.fromEntries(found)
}

/**
 * `watchProxies`, called before the first write, answers how to wait until every proxy has what was written:
 * that is done between subsets and the weights that use them.
 */
export async function applyPolicies(cluster: Cluster, config: Config, live: Live, watchProxies: () => Promise<() => Promise<unknown>>): Promise<Change[]> {
  const { objects } = compile(config, liveWeights(config, live))
  const isLast = ({ kind }: KubeObject) => kind === 'VirtualService'
  const usesSubsets = objects.some(({ kind }) => kind === 'DestinationRule') && objects.some(isLast)
  const settled = usesSubsets ? await watchProxies() : undefined
  const first = await applyAll(cluster, objects.filter((object) => !isLast(object)))
  if (first.some(({ kind }) => kind === 'DestinationRule')) await settled?.()
  return [...first, ...(await applyAll(cluster, objects.filter(isLast)))]
}

async function applyAll(cluster: Cluster, objects: KubeObject[]): Promise<Change[]> {
  const changes: Change[] = []
  for (const object of objects) {
    const { kind, metadata } = object
    const namespace = metadata.namespace ?? ''
    const before = await cluster.get(kind as Kind, namespace, metadata.name)
    const after = await applyOurs(cluster, object)
    if (!before || !same(before, after))
      changes.push({ kind, namespace, name: metadata.name, action: before ? 'changed' : 'created' })
  }
  return changes
}

/** Alike in what counts: an apply may change who owns a field, and nothing else. */
function same(before: KubeObject, after: KubeObject): boolean {
  const telling = (object: KubeObject & { spec?: unknown }) => [object.metadata.labels, object.spec]
  return isDeepStrictEqual(telling(before), telling(after))
}

/** A conflict with ourselves (a promotion patched the weights) is none; one with another manager is an error that names it. */
async function applyOurs(cluster: Cluster, object: KubeObject): Promise<KubeObject> {
  try {
    return await cluster.apply(object)
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error
    if (error.causes.length > 0 && error.causes.every((cause) => cause.startsWith(`conflict with "${fieldManager}"`))) return cluster.apply(object, true)
    throw new ApiError(409, `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name} has fields that somebody else owns: ${error.causes.join('; ') || error.message}; remove them there, or here`)
  }
}
