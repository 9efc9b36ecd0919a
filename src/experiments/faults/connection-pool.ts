// Overload: shrinks the callers' connection pool for a service, wherever a DestinationRule sets one. Pure.
import type { PatchOperation } from '../../cluster/client.ts'
import type { DestinationRule } from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { hostOf, object } from '../../policies/compile/names.ts'
import { fullHost } from '../../policies/routes.ts'
import type { ChangedField } from './fault-object.ts'

type Overload = NonNullable<ExperimentConfig['inject']['overload']>
type Pool = { tcp?: object; http?: object; [key: string]: unknown }
type Policy = { connectionPool?: Pool; portLevelSettings?: Policy[]; [key: string]: unknown }
type Rule = { spec: { trafficPolicy?: Policy; subsets?: { trafficPolicy?: Policy }[] } }

export function rulesOf(rules: DestinationRule[], namespace: string, service: string): DestinationRule[] {
  return rules.filter(
    ({ metadata, spec }) => fullHost(spec.host, metadata.namespace ?? namespace) === hostOf(service, namespace),
  )
}

/** Every place of the rule that limits connections, and the policy of the whole host. */
export function poolFields(rule: DestinationRule, overload: Overload): ChangedField[] {
  const { trafficPolicy, subsets = [] } = (rule as Rule).spec
  const ofSubsets = subsets.flatMap(({ trafficPolicy: policy }, i) =>
    policy ? fieldsOf(policy, `/spec/subsets/${i}/trafficPolicy`, overload, policy.connectionPool !== undefined) : [],
  )
  if (!trafficPolicy)
    return [{ path: '/spec/trafficPolicy', wrote: { connectionPool: smallPool({}, overload) } }, ...ofSubsets]
  return [...fieldsOf(trafficPolicy, '/spec/trafficPolicy', overload, true), ...ofSubsets]
}

/** A port's settings inherit no connection pool, so each of them needs its own. */
function fieldsOf(policy: Policy, path: string, overload: Overload, isOwn: boolean): ChangedField[] {
  const { connectionPool: before, portLevelSettings = [] } = policy
  const own: ChangedField = {
    path: `${path}/connectionPool`,
    ...(before ? { before } : {}),
    wrote: smallPool(before ?? {}, overload),
  }
  const ofPorts = portLevelSettings.flatMap((each, i) =>
    fieldsOf(each, `${path}/portLevelSettings/${i}`, overload, true),
  )
  return [...(isOwn ? [own] : []), ...ofPorts]
}

/** HTTP/1.1 needs a connection for each request, and HTTP/2 sends many over one. */
function smallPool(pool: Pool, { maxConnections, maxPendingRequests }: Overload): Pool {
  return {
    ...pool,
    tcp: { ...pool.tcp, maxConnections },
    http: { ...pool.http, http1MaxPendingRequests: maxPendingRequests, http2MaxRequests: maxConnections },
  }
}

export function fieldsPatch(fields: ChangedField[]): PatchOperation[] {
  return fields.map(({ path, wrote }) => ({ op: 'add', path, value: wrote }))
}

export function overloadRule(namespace: string, service: string, name: string, overload: Overload) {
  return object('DestinationRule', namespace, name, {
    host: hostOf(service, namespace),
    trafficPolicy: { connectionPool: smallPool({}, overload) },
  })
}
