// Which services a Rollout or a Canary moves the traffic of. Pure.
import type { DestinationRule, KubeObject, VirtualService } from '../cluster/objects.ts'
import { nameIn, virtualServicesOf } from './argo-rollouts.ts'
import { fullHost } from '../policies/routes.ts'
import { canaryServices } from './flagger.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'

export type Routing = { virtualServices: readonly VirtualService[]; destinationRules: readonly DestinationRule[] }

/** The names of the Services in its namespace whose traffic the Rollout moves, and of those that it moves it to. */
export function servicesOfRollout(rollout: Rollout, { virtualServices, destinationRules }: Routing): string[] {
  const { namespace = '' } = rollout.metadata
  const { stableService, canaryService, trafficRouting } = rollout.spec.strategy?.canary ?? {}
  const find = <T extends KubeObject>(objects: readonly T[], name: string | undefined) =>
    objects.find((each) => each.metadata.name === name && (each.metadata.namespace ?? namespace) === namespace)
  const rule = trafficRouting?.istio?.destinationRule
  const hosts = [
    ...virtualServicesOf(rollout).flatMap(
      ({ name }) => find(virtualServices, nameIn(namespace, name))?.spec.hosts ?? [],
    ),
    find(destinationRules, rule?.name)?.spec.host ?? [],
  ].flat()
  const services = [stableService ?? [], canaryService ?? []].flat()
  return [...new Set([...hosts.flatMap((host) => serviceOf(host, namespace)), ...services])]
}

/** The same for the object of either engine. */
export function servicesMovedBy(kind: 'Rollout' | 'Canary', object: KubeObject, routing: Routing): string[] {
  return kind === 'Rollout' ? servicesOfRollout(object as Rollout, routing) : servicesOfCanary(object as FlaggerCanary)
}

export function servicesOfCanary(canary: FlaggerCanary): string[] {
  return Object.values(canaryServices(canary))
}

/** The name of the Service of this namespace that has the host; none for a host elsewhere. */
export function serviceOf(host: string, namespace: string): string[] {
  const [name = '', ...rest] = fullHost(host, namespace).split('.')
  return rest.join('.') === `${namespace}.svc.cluster.local` ? [name] : []
}
