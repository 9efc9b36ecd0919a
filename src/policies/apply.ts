// A plan → the cluster, by server-side apply, in the order that never sends traffic to a subset that is not there.
import type { Cluster } from '../cluster/client.ts'
import {
  type DestinationRule,
  keyOf,
  type Kind,
  kindOf,
  type KubeObject,
  type VirtualService,
} from '../cluster/objects.ts'
import { messageOf } from '../runtime/errors.ts'
import { policyKinds } from './manifests.ts'
import { lostSubsets, serverSideApply, usesSubset, type Planned } from './plan.ts'
import { removeObject } from './prune.ts'

export type Change = { kind: string; namespace: string; name: string; action: 'created' | 'changed' | 'deleted' }

type WatchProxies = () => Promise<() => Promise<unknown>>

/**
 * Carries the plan out, and tells each change once it is in the cluster. `watchProxies`, called before a write, answers how
 * to wait until every proxy has what was written. Rejects with the cause, and with what is done and what is not.
 */
export async function apply(
  cluster: Cluster,
  planned: readonly Planned[],
  watchProxies: WatchProxies,
  told: (change: Change) => void,
): Promise<void> {
  const steps = stepsOf(inOrder(planned.filter(isDue)))
  const left = steps.flatMap(({ writes }) => writes)
  const done = new Set<string>()
  try {
    for (const { writes, settle } of steps) {
      const settled = settle ? await watchProxies() : undefined
      for (const each of writes) {
        await carryOut(cluster, each)
        left.shift()
        if (!done.has(keyOf(each.object))) told(changeOf(each))
        done.add(keyOf(each.object))
      }
      await settled?.()
    }
  } catch (error) {
    throw halfWay(error, [...done], left)
  }
}

/** `settle`: what comes next needs the proxies to have these. */
type Step = { writes: Due[]; settle: boolean }

/**
 * Make before break, in both directions: subsets, the proxies have them, the routes that use them, the proxies have these,
 * and only then the subsets, rules and hosts that nobody uses any more go.
 */
function stepsOf(todo: Due[]): Step[] {
  const rules = todo.filter(isRule)
  const routes = todo.filter(isRoute)
  const others = todo.filter((each) => !isRule(each) && !isRoute(each))
  const later = rules.filter((rule) => rule.action === 'delete' || stillUsed(rule, routes).length > 0)
  const removed = others.filter((each) => !isWrite(each)).reverse()
  const first = rules
    .filter(isWrite)
    .map((rule) => ({ ...rule, object: withSubsets(rule.object as DestinationRule, stillUsed(rule, routes)) }))
  return [
    { writes: others.filter(isWrite), settle: false },
    { writes: first, settle: first.length > 0 && routes.length > 0 },
    { writes: routes, settle: routes.length > 0 && (later.length > 0 || removed.some(isHost)) },
    { writes: [...later, ...removed], settle: false },
  ]
}

async function carryOut(cluster: Cluster, { action, object, before }: Planned): Promise<void> {
  await (action === 'delete' ? removeObject(cluster, object) : serverSideApply(cluster, object, before))
}

function halfWay(error: unknown, done: string[], left: Due[]): Error {
  const names = (keys: string[]) => [...new Set(keys)].join(', ') || 'nothing'
  return new Error(
    `${messageOf(error)}; done before that: ${names(done)}; not yet: ${names(left.map(({ object }) => keyOf(object)))}. Mend the cause and run again: the run carries on from there`,
    { cause: error },
  )
}

/** What there is to do for. */
type Due = Planned & { action: Exclude<Planned['action'], 'unchanged'> }

const isDue = (each: Planned): each is Due => each.action !== 'unchanged'
const isWrite = ({ action }: Planned) => action === 'create' || action === 'change'
const isRule = ({ object }: Planned) => object.kind === 'DestinationRule'
const isHost = ({ object }: Planned) => ['ServiceEntry', 'WorkloadEntry'].includes(object.kind)
const isRoute = ({ object }: Planned) => ['VirtualService', 'HTTPRoute', 'GRPCRoute'].includes(object.kind)

/** What lets through comes before what shuts out all the rest, and what is deleted last goes in the opposite order. */
function inOrder<T extends Planned>(planned: readonly T[]): T[] {
  const rank = ({ object }: Planned) =>
    (policyKinds as readonly (Kind | undefined)[]).indexOf(kindOf(object)) + (shutsAll(object) ? 0.5 : 0)
  return [...planned].sort((a, b) => rank(a) - rank(b))
}

function shutsAll({ kind, spec }: KubeObject & { spec?: { rules?: unknown[] } }): boolean {
  return kind === 'AuthorizationPolicy' && (spec?.rules ?? []).length === 0
}

type Subset = NonNullable<DestinationRule['spec']['subsets']>[number]

/** Subsets that the rule is to lose, while a route that is to be changed or deleted uses them yet. */
function stillUsed({ before, object }: Planned, routes: readonly Planned[]): Subset[] {
  const live = routes.flatMap((route) =>
    route.before?.kind === 'VirtualService' ? [route.before as VirtualService] : [],
  )
  return lostSubsets(before, object).filter(({ name }) =>
    live.some((route) => usesSubset(route, before as DestinationRule, name)),
  )
}

function withSubsets(rule: DestinationRule, more: Subset[]): DestinationRule {
  return more.length === 0
    ? rule
    : { ...rule, spec: { ...rule.spec, subsets: [...(rule.spec.subsets ?? []), ...more] } }
}

const pastTense = { create: 'created', change: 'changed', delete: 'deleted' } as const

function changeOf({ action, object: { kind, metadata } }: Due): Change {
  return { kind, namespace: metadata.namespace ?? '', name: metadata.name, action: pastTense[action] }
}
