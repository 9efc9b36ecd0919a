// Subsets that a DestinationRule loses, and the VirtualServices that send traffic to a subset. Pure.
import type { Destination, DestinationRule, HttpRoute, KubeObject, VirtualService } from '../cluster/objects.ts'
import { fullHost } from './routes.ts'

export type Subset = NonNullable<DestinationRule['spec']['subsets']>[number]

/** The subsets that `before` has and `after` lacks; none unless `before` is a DestinationRule. */
export function lostSubsets(before: KubeObject | undefined, after: KubeObject | undefined): Subset[] {
  if (before?.kind !== 'DestinationRule') return []
  const kept = (after as DestinationRule | undefined)?.spec.subsets ?? []
  return ((before as DestinationRule).spec.subsets ?? []).filter(
    ({ name }) => !kept.some((subset) => subset.name === name),
  )
}

export function usesSubset(route: VirtualService, rule: DestinationRule, subset: string): boolean {
  const full = (host: string, { metadata }: KubeObject) => fullHost(host, metadata.namespace ?? '')
  const routes = (['http', 'tcp', 'tls'] as const).flatMap((section): HttpRoute[] => route.spec[section] ?? [])
  const destinations = routes.flatMap((each) => [
    ...(each.route ?? []).map(({ destination }) => destination),
    ...mirrorsOf(each),
  ])
  return destinations.some(
    (destination) => destination.subset === subset && full(destination.host, route) === full(rule.spec.host, rule),
  )
}

function mirrorsOf(route: HttpRoute): Destination[] {
  const mirrors = (route['mirrors'] as { destination: Destination }[] | undefined) ?? []
  return [
    ...(route['mirror'] ? [route['mirror'] as Destination] : []),
    ...mirrors.map(({ destination }) => destination),
  ]
}
