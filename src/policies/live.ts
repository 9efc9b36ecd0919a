// The routes and subsets that are in the namespace already, and the weights in force there.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenAbsent } from '../cluster/api-error.ts'
import type { Weights } from './compile/names.ts'
import type { DestinationRule, Kind, KubeObject, VirtualService } from '../cluster/objects.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { routesTo, weightsOf } from './routes.ts'

export type LiveRoutes = { virtualServices: VirtualService[]; destinationRules: DestinationRule[] }

export async function readLive(cluster: Cluster, namespace: string): Promise<LiveRoutes> {
  // Before Istio is installed the cluster does not know these kinds, and answers 404.
  const list = <T extends KubeObject>(kind: Kind) => cluster.list<T>(kind, namespace).catch(emptyWhenAbsent)
  const [virtualServices, destinationRules] = await Promise.all([
    list<VirtualService>('VirtualService'),
    list<DestinationRule>('DestinationRule'),
  ])
  return { virtualServices, destinationRules }
}

/** By service: the weights of the route that a promotion moves, else of the first route that splits the service. */
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
