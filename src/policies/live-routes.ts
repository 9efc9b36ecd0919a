// Reads the routes and subsets that exist in the namespace, and the weights in force.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenAbsent } from '../cluster/api-error.ts'
import type { Weights } from './compile/names.ts'
import {
  systemNamespace,
  type DestinationRule,
  type Kind,
  type KubeObject,
  type VirtualService,
} from '../cluster/objects.ts'
import { listReadable } from '../cluster/readable.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { routesTo, weightsOf } from './routes.ts'

/**
 * `destinationRules`: also those of the mesh's own namespace that have a wildcard for their host; `lacksMeshRules` if the
 * account may not read them.
 */
export type LiveRoutes = {
  virtualServices: VirtualService[]
  destinationRules: DestinationRule[]
  lacksMeshRules?: boolean
}

export async function readLive(cluster: Cluster, namespace: string): Promise<LiveRoutes> {
  // Before Istio is installed the cluster does not know these kinds, and answers 404.
  const list = <T extends KubeObject>(kind: Kind) => cluster.list<T>(kind, namespace).catch(emptyWhenAbsent)
  const [virtualServices, destinationRules, ofMesh] = await Promise.all([
    list<VirtualService>('VirtualService'),
    list<DestinationRule>('DestinationRule'),
    namespace === systemNamespace ? [] : rulesOfMesh(cluster),
  ])
  return {
    virtualServices,
    destinationRules: [...destinationRules, ...(ofMesh ?? [])],
    ...(ofMesh ? {} : { lacksMeshRules: true }),
  }
}

/** Rules for the services of all namespaces; undefined if the account may not read them. */
async function rulesOfMesh(cluster: Cluster): Promise<DestinationRule[] | undefined> {
  const { objects, unread } = await listReadable<DestinationRule>(cluster, 'DestinationRule', [systemNamespace])
  return unread.length > 0 ? undefined : objects.filter(({ spec }) => spec.host.startsWith('*'))
}

/**
 * The weights of each service: those of the route that a promotion moves, or of the first route that splits the
 * service.
 */
export function liveWeights(config: Config, { virtualServices }: LiveRoutes): Record<string, Weights> {
  const found = Object.keys(servicesOf(config)).flatMap((service): [string, Weights][] => {
    const read = (subsets: string[]) => firstSplit(virtualServices, service, config.namespace, subsets)
    const subsets = splitSubsets(config, service)
    const weights = (subsets && read(subsets)) ?? read([])
    return weights ? [[service, weights]] : []
  })
  return Object.fromEntries(found)
}

/** The weights of the first VirtualService that splits the service, and names all of the given subsets. */
export function firstSplit(
  virtualServices: readonly VirtualService[],
  service: string,
  namespace: string,
  subsets: string[] = [],
): Weights | undefined {
  const splits = virtualServices
    .filter((object) => routesTo(object, service, namespace))
    .map((object) => weightsOf(object, service, namespace, subsets))
  return splits.find((weights) => weights !== undefined)
}
