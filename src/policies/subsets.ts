// The labels that DestinationRules state for subsets, the subsets that a DestinationRule loses, and the VirtualServices
// that send traffic to a subset. Pure.
import type { Destination, DestinationRule, HttpRoute, KubeObject, VirtualService } from '../cluster/objects.ts'
import { canariesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { hostOf } from './compile/names.ts'
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

/**
 * The labels that the rules state for a subset of the service; undefined if none does. A rule for some callers only
 * (`workloadSelector`) does not count.
 */
export function statedLabels(
  rules: readonly DestinationRule[],
  service: string,
  namespace: string,
  subset: string,
): Record<string, string> | undefined {
  const stated = rules
    .filter(({ metadata, spec }) => {
      const isForAll = spec['workloadSelector'] === undefined
      return isForAll && fullHost(spec.host, metadata.namespace ?? namespace) === hostOf(service, namespace)
    })
    .flatMap(({ spec }) => spec.subsets ?? [])
    .find(({ name }) => name === subset)
  return stated && (stated.labels ?? {})
}

/**
 * The config in which the two subsets of each canary have the labels that the rules state, unless the config states
 * them itself. Without either, a subset selects by the label `version`.
 */
export function withStatedSubsets(config: Config, rules: readonly DestinationRule[]): Config {
  const services = { ...config.services }
  for (const { service } of canariesOf(config)) {
    const stated = (splitSubsets(config, service) ?? []).flatMap((subset) => {
      const labels = statedLabels(rules, service, config.namespace, subset)
      return labels ? [[subset, labels] as const] : []
    })
    if (stated.length === 0) continue
    const subsets = { ...Object.fromEntries(stated), ...services[service]?.subsets }
    services[service] = { ...services[service], subsets }
  }
  return Object.keys(services).length === 0 ? config : { ...config, services }
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
