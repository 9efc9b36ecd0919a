// Carries a service's traffic policy to the places of a DestinationRule where Istio would not follow it: settings for
// one port and those of a subset replace it, and a rule for some callers, or one that is more specific, hides it. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { DestinationRule } from '../../cluster/objects.ts'
import { isMap } from '../../runtime/is-map.ts'
import type { Fields } from './merge-fields.ts'
import { omit } from './merge-fields.ts'

type Report = (sentence: string) => void
type PortSettings = Fields & { port?: { number?: number } }
type Spec = DestinationRule['spec']

/** The policy in every part of the rule. What a part states itself stays, and is reported if it differs. */
export function spreadPolicy(spec: Spec, policy: Fields, report: Report): Spec {
  const own = spec['trafficPolicy'] as Fields | undefined
  const subsets = spec.subsets?.map((subset) => {
    const { trafficPolicy } = subset as { trafficPolicy?: Fields }
    if (!trafficPolicy) return subset
    const place = `the subset ${subset.name}`
    const filled = withPorts(fillStated(trafficPolicy, policy, place, report), policy, `${place}, `, report)
    return { ...subset, trafficPolicy: filled }
  })
  return {
    ...spec,
    ...(own ? { trafficPolicy: withPorts(own, policy, '', report) } : {}),
    ...(subsets ? { subsets } : {}),
  }
}

/** Settings of a port replace the whole policy, except for what can only be set for all ports. */
function withPorts(policy: Fields, added: Fields, place: string, report: Report): Fields {
  const ports = policy['portLevelSettings'] as PortSettings[] | undefined
  if (!ports) return policy
  const forPort = omit(added, 'retryBudget', 'portLevelSettings', 'tunnel', 'proxyProtocol')
  const filled = ports.map((settings) => fill(settings, forPort, `${place}port ${settings.port?.number}`, report))
  return { ...policy, portLevelSettings: filled }
}

/** Only the parts that the subset states: it inherits the others. */
function fillStated(stated: Fields, policy: Fields, place: string, report: Report): Fields {
  return fill(stated, Object.fromEntries(Object.entries(policy).filter(([key]) => key in stated)), place, report)
}

/** Adds what `stated` lacks. A load balancer is one choice, not a set of fields. */
export function fill(stated: Fields, added: Fields, place: string, report: Report): Fields {
  const missing = omit(added, ...Object.keys(stated))
  const shared = Object.keys(added).filter((key) => key in stated)
  const filled = shared.map((key): [string, unknown] => {
    const [own, other] = [stated[key], added[key]]
    if (isDeepStrictEqual(own, other)) return [key, own]
    if (key !== 'loadBalancer' && isMap(own) && isMap(other)) return [key, fill(own, other, place, report)]
    report(
      `\`${key}\` (${JSON.stringify(other)}) does not reach ${place}, which states its own (${JSON.stringify(own)})`,
    )
    return [key, own]
  })
  return { ...stated, ...Object.fromEntries(filled), ...missing }
}

/** The rule for some callers only, with the policy and the subsets that all other callers have. */
export function shareWith(spec: Spec, { trafficPolicy, subsets }: Spec, report: Report): Spec {
  const names = new Set(spec.subsets?.map(({ name }) => name))
  const all = [...(spec.subsets ?? []), ...(subsets ?? []).filter(({ name }) => !names.has(name))]
  const policy = trafficPolicy as Fields | undefined
  const own = (spec['trafficPolicy'] ?? {}) as Fields
  const filled = policy ? fill(own, omit(policy, 'portLevelSettings'), 'these callers', report) : own
  const shared = {
    ...spec,
    ...(Object.keys(filled).length > 0 ? { trafficPolicy: filled } : {}),
    ...(all.length > 0 ? { subsets: all } : {}),
  }
  return policy ? spreadPolicy(shared, policy, report) : shared
}
