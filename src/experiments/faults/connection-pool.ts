// Overload: shrinks the callers' connection pool for a service, wherever a DestinationRule sets one. Pure.
import type { PatchOperation } from '../../cluster/client.ts'
import { titleOf, type DestinationRule } from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { hostOf, object } from '../../policies/compile/names.ts'
import { coversHost } from '../../policies/merge/merge-hosts.ts'
import { fullHost } from '../../policies/routes.ts'
import { changedField, withFields, type ChangedField, type PathStep } from './changed-fields.ts'

export type Overload = NonNullable<ExperimentConfig['inject']['overload']>
type Policy = { connectionPool?: object; portLevelSettings?: { port?: { number?: number } }[] }
type Rule = { spec: { trafficPolicy?: Policy; subsets?: { name: string; trafficPolicy?: Policy }[] } }

export function rulesOf(rules: DestinationRule[], namespace: string, service: string): DestinationRule[] {
  return rules.filter(
    ({ metadata, spec }) => fullHost(spec.host, metadata.namespace ?? namespace) === hostOf(service, namespace),
  )
}

/** What shrinks every pool of the rule, and the pool of the whole host. @throws Error if a limit is smaller already. */
export function poolFields(rule: DestinationRule, overload: Overload): ChangedField[] {
  const fields = poolsOf(rule as Rule).flatMap((pool) =>
    limitsOf(overload).map(([path, value]) => changedField(rule, [...pool, ...path], value)),
  )
  // Zero is no limit to Istio.
  const raised = fields.find(({ before, wrote }) => Number(before) > 0 && Number(before) < Number(wrote))
  if (!raised) return fields
  const { path, before, wrote } = raised
  throw new Error(
    `the rule for ${rule.spec.host} limits ${path.at(-1) as string} to ${String(before)}, and the overload would raise it to ` +
      `${String(wrote)}; set \`inject.overload\` to lower limits`,
  )
}

/** @throws Error if the rules are for some of the callers: the others would get no limit. */
export function requireForAll(rules: DestinationRule[]): void {
  if (rules.some((rule) => !isForSome(rule))) return
  throw new Error(
    `the ${titleOf(rules[0]!)} is for the callers of its \`workloadSelector\` alone, so the others would get no limit; ` +
      'write a rule for all callers as well',
  )
}

const isForSome = ({ spec }: DestinationRule) => (spec as { workloadSelector?: unknown }).workloadSelector !== undefined

/** `rules`: of the namespaces of callers. @throws Error that names one that these follow for the service. */
export function requireNoRuleElsewhere(rules: DestinationRule[], namespace: string, service: string): void {
  const found = rules.find(
    (rule) => rulesOf([rule], namespace, service).length > 0 || ruleInForce([[rule]], namespace, service),
  )
  if (!found) return
  throw new Error(
    `callers in ${found.metadata.namespace ?? ''} follow the ${titleOf(found)} for ${service}, and the run changes nothing ` +
      `outside of ${namespace}, so they would get no limit; move it into ${namespace}, or do not count calls from there`,
  )
}

function poolsOf({ spec: { trafficPolicy, subsets = [] } }: Rule): PathStep[][] {
  const ofHost: PathStep[] = ['spec', 'trafficPolicy']
  return [
    [...ofHost, 'connectionPool'],
    ...portPoolsOf(trafficPolicy, ofHost),
    // A subset without a pool of its own has that of the host.
    ...subsets.flatMap(({ name, trafficPolicy: own }) => {
      const path: PathStep[] = ['spec', 'subsets', { name }, 'trafficPolicy']
      return [...(own?.connectionPool ? [[...path, 'connectionPool']] : []), ...portPoolsOf(own, path)]
    }),
  ]
}

/** A port's settings inherit no connection pool, so each of them needs its own. */
function portPoolsOf({ portLevelSettings = [] }: Policy = {}, path: PathStep[]): PathStep[][] {
  return portLevelSettings.flatMap(({ port }) =>
    port?.number === undefined ? [] : [[...path, 'portLevelSettings', { port: port.number }, 'connectionPool']],
  )
}

/** HTTP/1.1 needs a connection for each request, and HTTP/2 sends many over one. */
function limitsOf({ maxConnections, maxPendingRequests }: Overload): [path: string[], value: number][] {
  return [
    [['tcp', 'maxConnections'], maxConnections],
    [['http', 'http1MaxPendingRequests'], maxPendingRequests],
    [['http', 'http2MaxRequests'], maxConnections],
  ]
}

export function fieldsPatch(rule: DestinationRule, fields: ChangedField[]): PatchOperation[] {
  return [{ op: 'replace', path: '/spec', value: withFields(rule, fields).spec }]
}

/**
 * The rule that callers follow for a service without a rule of its own: with the longest pattern in the first of the
 * lists that has one, as Istio looks into the namespace first, and then into that of the mesh.
 */
export function ruleInForce(
  lists: DestinationRule[][],
  namespace: string,
  service: string,
): DestinationRule | undefined {
  const host = hostOf(service, namespace)
  for (const rules of lists) {
    const covering = rules.filter((rule) => rule.spec.host === host || coversHost(rule, host))
    const [longest] = covering.sort((a, b) => b.spec.host.length - a.spec.host.length)
    if (longest) return longest
  }
  return undefined
}

/** A rule for the service alone. Callers follow no other one beside it, so it keeps what `replaced` says. */
export function overloadRule(
  namespace: string,
  service: string,
  name: string,
  overload: Overload,
  replaced?: DestinationRule,
): DestinationRule {
  const spec = { ...replaced?.spec, host: hostOf(service, namespace) }
  const rule: DestinationRule = object('DestinationRule', namespace, name, spec)
  return withFields(rule, poolFields(rule, overload))
}
