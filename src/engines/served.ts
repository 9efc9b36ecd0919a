// Which services a Rollout or a Canary moves the traffic of. Pure.
import type { DestinationRule, VirtualService } from '../cluster/objects.ts'
import { virtualServicesOf } from './argo-rollouts.ts'
import { fullHost } from '../policies/routes.ts'
import { canaryServices } from './flagger.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'

export type Routing = { virtualServices: readonly VirtualService[]; destinationRules: readonly DestinationRule[] }

/** The names of the Services in its namespace whose traffic the Rollout moves, and of those that it moves it to. */
export function servicesOfRollout(rollout: Rollout, { virtualServices, destinationRules }: Routing): string[] {
  const { namespace = '' } = rollout.metadata
  const { stableService, canaryService, trafficRouting } = rollout.spec.strategy?.canary ?? {}
  const named = (name: string) => (each: { metadata: { name: string } }) => isNamed(each.metadata.name, name, namespace)
  const rule = trafficRouting?.istio?.destinationRule
  const hosts = [
    ...virtualServicesOf(rollout).flatMap(({ name }) => virtualServices.find(named(name))?.spec.hosts ?? []),
    ...(rule ? [destinationRules.find(named(rule.name))?.spec.host ?? []].flat() : []),
  ]
  const services = [stableService ?? [], canaryService ?? []].flat()
  return [...new Set([...hosts.flatMap((host) => serviceOf(host, namespace)), ...services])]
}

export function servicesOfCanary(canary: FlaggerCanary): string[] {
  return Object.values(canaryServices(canary))
}

/** The name of the Service of this namespace that has the host; none for a host elsewhere. */
export function serviceOf(host: string, namespace: string): string[] {
  const [name = '', ...rest] = fullHost(host, namespace).split('.')
  return rest.join('.') === `${namespace}.svc.cluster.local` ? [name] : []
}

/** Argo Rollouts names a VirtualService of another namespace `NAME.NAMESPACE`. */
function isNamed(own: string, name: string, namespace: string): boolean {
  return name === own || name === `${own}.${namespace}`
}
