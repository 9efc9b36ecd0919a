// Which services a Rollout or a Canary moves the traffic of. Pure.
import type { DestinationRule, VirtualService } from '../cluster/objects.ts'
import { virtualServicesOf } from './argo-rollouts.ts'
import { canaryServices } from './flagger.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'

export type Routing = { virtualServices: readonly VirtualService[]; destinationRules: readonly DestinationRule[] }

/** The names of the Services in its namespace whose traffic the Rollout moves, and of those that it moves it to. */
export function servicesOfRollout(rollout: Rollout, { virtualServices, destinationRules }: Routing): string[] {
  const { stableService, canaryService, trafficRouting } = rollout.spec.strategy?.canary ?? {}
  const named = (name: string) => (each: { metadata: { name: string } }) => each.metadata.name === shortName(name)
  const rule = trafficRouting?.istio?.destinationRule
  const hosts = [
    ...virtualServicesOf(rollout).flatMap(({ name }) => virtualServices.find(named(name))?.spec.hosts ?? []),
    ...(rule ? [destinationRules.find(named(rule.name))?.spec.host ?? []].flat() : []),
  ]
  const services = [stableService ?? [], canaryService ?? []].flat()
  return [...new Set([...hosts.map(shortName), ...services])]
}

export function servicesOfCanary(canary: FlaggerCanary): string[] {
  return Object.values(canaryServices(canary))
}

/** Of a host such as `backend.shop.svc.cluster.local`, or of a name with its namespace. */
function shortName(host: string): string {
  return host.split('.')[0] ?? host
}
