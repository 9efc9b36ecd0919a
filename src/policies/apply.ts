// A plan → the cluster, by server-side apply, in the order that never sends traffic to a subset that is not there.
import type { Cluster } from '../cluster/client.ts'
import { kindOf, type DestinationRule, type Kind, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { hostOf, servicesOf, type Weights } from './compile/index.ts'
import { policyKinds } from './manifests.ts'
import { lostSubsets, serverSideApply, usesSubset, type Planned } from './plan.ts'
import { emptyWhenAbsent, isOurs, managedByLabel, manager, removeObject } from './prune.ts'
import { fullHost, routesTo, weightsOf } from './routes.ts'

export type Change = { kind: string; namespace: string; name: string; action: 'created' | 'changed' | 'deleted' }

/** What of the mesh's objects is in the namespace. */
export type Live = { virtualServices: VirtualService[]; destinationRules: DestinationRule[] }

export async function readLive(cluster: Cluster, namespace: string): Promise<Live> {
  // Before Istio is installed the kinds are not known: the list is then not found, and so empty.
  const list = <T extends KubeObject>(kind: Kind) => cluster.list<T>(kind, namespace).catch(emptyWhenAbsent)
  const [virtualServices, destinationRules] = await Promise.all([list<VirtualService>('VirtualService'), list<DestinationRule>('DestinationRule')])
  return { virtualServices, destinationRules }
}

/** An object of somebody else's for a host that we are to write: one sentence each. */
export function strangers(config: Config, { virtualServices, destinationRules }: Live): string[] {
  const { namespace } = config
  return Object.keys(servicesOf(config)).flatMap((service) => [
    ...virtualServices.filter((object) => !isOurs(object) && routesTo(object, service, namespace)),
    ...destinationRules.filter((object) => !isOurs(object) && fullHost(object.spec.host, namespace) === hostOf(service, namespace)),
  ].map(({ kind, metadata }) => `services.${service}: the host ${hostOf(service, namespace)} already has the ${kind} ${namespace}/${metadata.name}, which is not ours, and a second one for the same host would hide one of the two; move its policies into \`services.${service}\` and delete it, or label it ${managedByLabel}=${manager} to hand it over`))
}

/** Subsets that hold traffic now and that the config does not define: writing its policies would move that traffic. */
export function orphans(config: Config, live: Live): string[] {
  const weights = liveWeights(config, live)
  return Object.entries(servicesOf(config)).flatMap(([service, { subsets = {}, traffic }]) => {
    const lost = Object.entries(weights[service] ?? {}).filter(([subset, weight]) => weight > 0 && !(subset in subsets))
    if (traffic && config.canary?.service !== service) return []
    return lost.map(([subset, weight]) => `services.${service}.subsets: the subset ${subset} holds ${weight}% of the traffic now and is not defined here; add it with its labels, or state \`traffic\` to move it`)
  })
}

/** By service: of the route that a promotion moves where there is one, else of the first that splits the service. */
export function liveWeights(config: Config, live: Live): Record<string, Weights> {
  const { namespace, canary } = config
  const found = Object.keys(servicesOf(config)).flatMap((service): [string, Weights][] => {
    const read = (subsets: string[]) => live.virtualServices.filter((object) => routesTo(object, service, namespace)).map((object) => weightsOf(object, service, namespace, subsets)).find((weights) => weights !== undefined)
    const weights = (canary?.service === service ? read([canary.stable, canary.canary]) : undefined) ?? read([])
    return weights ? [[service, weights]] : []
  })
  return Object.fromEntries(found)
}

type WatchProxies = () => Promise<() => Promise<unknown>>

/**
 * Make before break, in both directions: subsets, the proxies have them, the routes that use them, the proxies have these,
 * and only then the subsets and rules that nobody uses any more go. `watchProxies`, called before a write, answers how to
 * wait until every proxy has what was written. Answers what was changed, in the order of the plan.
 */
export async function apply(cluster: Cluster, planned: readonly Planned[], watchProxies: WatchProxies): Promise<Change[]> {
  const todo = inOrder(planned.filter(({ action }) => action !== 'unchanged'))
  const rules = todo.filter(isRule)
  const routes = todo.filter(isRoute)
  const others = todo.filter((each) => !isRule(each) && !isRoute(each))
  const later = rules.filter((rule) => rule.action === 'delete' || stillUsed(rule, routes).length > 0)

  for (const each of others.filter(isWrite)) await serverSideApply(cluster, each.object, each.before)
  await settledAfter(rules.some(isWrite) && routes.length > 0, watchProxies, async () => {
    for (const rule of rules.filter(isWrite)) await serverSideApply(cluster, withSubsets(rule.object as DestinationRule, stillUsed(rule, routes)), rule.before)
  })
  await settledAfter(later.length > 0 && routes.length > 0, watchProxies, async () => {
    for (const each of routes) await carryOut(cluster, each)
  })
  for (const rule of later) await carryOut(cluster, rule)
  for (const each of others.filter((one) => !isWrite(one)).reverse()) await carryOut(cluster, each)
  return planned.flatMap(changeOf)
}

async function settledAfter(wanted: boolean, watchProxies: WatchProxies, write: () => Promise<void>): Promise<void> {
  const settled = wanted ? await watchProxies() : undefined
  await write()
  await settled?.()
}

async function carryOut(cluster: Cluster, { action, object, before }: Planned): Promise<void> {
  await (action === 'delete' ? removeObject(cluster, object) : serverSideApply(cluster, object, before))
}

const isWrite = ({ action }: Planned) => action === 'create' || action === 'change'
const isRule = ({ object }: Planned) => object.kind === 'DestinationRule'
const isRoute = ({ object }: Planned) => ['VirtualService', 'HTTPRoute', 'GRPCRoute'].includes(object.kind)

/** What lets through comes before what shuts out all the rest, and what is deleted last goes in the opposite order. */
function inOrder(planned: readonly Planned[]): Planned[] {
  const rank = ({ object }: Planned) => (policyKinds as readonly (Kind | undefined)[]).indexOf(kindOf(object)) + (shutsAll(object) ? 0.5 : 0)
  return [...planned].sort((a, b) => rank(a) - rank(b))
}

function shutsAll({ kind, spec }: KubeObject & { spec?: { rules?: unknown[] } }): boolean {
  return kind === 'AuthorizationPolicy' && (spec?.rules ?? []).length === 0
}

type Subset = NonNullable<DestinationRule['spec']['subsets']>[number]

/** Subsets that the rule is to lose, while a route that is to be changed or deleted uses them yet. */
function stillUsed({ before, object }: Planned, routes: readonly Planned[]): Subset[] {
  const live = routes.flatMap((route) => (route.before?.kind === 'VirtualService' ? [route.before as VirtualService] : []))
  return lostSubsets(before, object).filter(({ name }) => live.some((route) => usesSubset(route, before as DestinationRule, name)))
}

function withSubsets(rule: DestinationRule, more: Subset[]): DestinationRule {
  return more.length === 0 ? rule : { ...rule, spec: { ...rule.spec, subsets: [...(rule.spec.subsets ?? []), ...more] } }
}

const pastTense = { create: 'created', change: 'changed', delete: 'deleted' } as const

function changeOf({ action, object: { kind, metadata } }: Planned): Change[] {
  return action === 'unchanged' ? [] : [{ kind, namespace: metadata.namespace ?? '', name: metadata.name, action: pastTense[action] }]
}
