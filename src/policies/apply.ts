// Applies a plan with server-side apply, in an order that never sends traffic to a missing subset.
import pMap from 'p-map'
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
import { policyKinds } from './policy-kinds.ts'
import { writeObject, type PlannedChange } from './plan.ts'
import { removeObject } from './owned-objects.ts'
import { isRouted } from './routes.ts'
import { lostSubsets, usesSubset, type Subset } from './subsets.ts'

/** `moved`: by a promotion or a rollback, and not by what was planned. */
export type Change = {
  kind: string
  namespace: string
  name: string
  action: 'created' | 'changed' | 'deleted'
  moved?: true
}

type WatchProxies = () => Promise<() => Promise<unknown>>

/**
 * Calls `onChange` after each change. Before a write it calls `watchProxies`, which returns a function that waits until
 * the proxies have received the write, or until its time limit. Rejects with the cause, and names what is done and what
 * is not.
 */
export async function apply(
  cluster: Cluster,
  planned: readonly PlannedChange[],
  watchProxies: WatchProxies,
  onChange: (change: Change) => void,
): Promise<void> {
  const groups = groupsOf(inOrder(planned.filter(isDue)))
  const pending = new Set(groups.flat())
  const done = new Set<string>()
  const write = async (each: Due) => {
    await carryOut(cluster, each)
    pending.delete(each)
    if (!done.has(keyOf(each.object))) onChange(changeOf(each))
    done.add(keyOf(each.object))
  }
  try {
    for (const writes of groups) {
      const waitForProxies = writes.some(concernsSidecars) ? await watchProxies() : undefined
      for (const sameRank of batchesOf(writes)) await writeTogether(sameRank, write)
      await waitForProxies?.()
    }
  } catch (error) {
    throw partialFailure(error, [...done], [...pending])
  }
}

/** So many services are written at a time. */
const concurrency = 8

/**
 * Writes objects of one kind: those of a service one after the other, those of several services at the same time. After a
 * failure it begins no more, and waits for those under way. @throws the first failure
 */
async function writeTogether(writes: readonly Due[], write: (each: Due) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  const writeService = async (ofService: readonly Due[]) => {
    for (const each of ofService)
      if (failures.length === 0) await write(each).catch((error: unknown) => void failures.push(error))
  }
  await pMap(Map.groupBy(writes, serviceKeyOf).values(), writeService, { concurrency })
  if (failures.length > 0) throw failures[0]
}

/** What the object is about: the first host of a route or a rule, or its own name. */
function serviceKeyOf({ object }: Due): string {
  const { metadata, spec } = object as KubeObject & { spec?: { host?: string; hosts?: string[] } }
  return `${metadata.namespace} ${spec?.host ?? spec?.hosts?.[0] ?? metadata.name}`
}

/** The writes in their order, split where the order matters. */
function batchesOf(writes: readonly Due[]): Due[][] {
  const batches: Due[][] = []
  for (const each of writes) {
    const last = batches.at(-1)
    if (last && last[0]!.object.kind === each.object.kind && rankOf(last[0]!) === rankOf(each)) last.push(each)
    else batches.push([each])
  }
  return batches
}

/**
 * Make before break, in five groups: other policies; subsets, old and new; the routes that use them; the objects by which a
 * controller moves the traffic of those; removals. After each group the proxies must catch up.
 */
function groupsOf(todo: Due[]): Due[][] {
  const rules = todo.filter(isRule)
  const routes = todo.filter(isRoute)
  const movers = todo.filter((each) => isMover(each) && isWrite(each))
  const others = todo.filter((each) => !isRule(each) && !isRoute(each) && !movers.includes(each))
  const later = rules.filter((rule) => rule.action === 'delete' || stillUsed(rule, routes).length > 0)
  const removals = [...later, ...others.filter((each) => !isWrite(each)).reverse()]
  const widenedRules = rules
    .filter(isWrite)
    .map((rule) => ({ ...rule, object: withSubsets(rule.object as DestinationRule, stillUsed(rule, routes)) }))
  return [others.filter(isWrite), widenedRules, routes, movers, removals]
}

async function carryOut(cluster: Cluster, { action, object, before }: PlannedChange): Promise<void> {
  await (action === 'delete' ? removeObject(cluster, object) : writeObject(cluster, object, before))
}

function partialFailure(error: unknown, done: string[], pending: Due[]): Error {
  const names = (keys: string[]) => [...new Set(keys)].join(', ') || 'nothing'
  return new Error(
    `${messageOf(error)}; done before: ${names(done)}; ` +
      `not done: ${names(pending.map(({ object }) => keyOf(object)))}. ` +
      'Fix the cause and run again: the run continues from there',
    { cause: error },
  )
}

/** A change that is still due. */
type Due = PlannedChange & { action: Exclude<PlannedChange['action'], 'unchanged'> }

const isDue = (each: PlannedChange): each is Due => each.action !== 'unchanged'
const isWrite = ({ action }: PlannedChange) => action === 'create' || action === 'change'
const isRule = ({ object }: PlannedChange) => object.kind === 'DestinationRule'
const isRoute = ({ object }: PlannedChange) => isRouted(object)
/** Of Argo Rollouts and Flagger: they read at once what it names. */
const isMover = ({ object }: PlannedChange) => object.kind === 'Rollout' || object.kind === 'Canary'
type GatewayReferences = { gateways?: string[]; parentRefs?: { kind?: string }[] }

/** istiod sends it to sidecars, and not to gateways only: as it is now, or as it was before. */
function concernsSidecars({ object, before }: PlannedChange): boolean {
  return [object, before].some((each) => each !== undefined && reachesSidecars(each))
}

function reachesSidecars({ kind, spec }: KubeObject & { spec?: GatewayReferences }): boolean {
  if (kind === 'Gateway') return false
  if (kind === 'VirtualService') return spec?.gateways?.includes('mesh') ?? true
  return spec?.parentRefs?.some(({ kind: parent = 'Gateway' }) => parent !== 'Gateway') ?? true
}

/** Policies that allow traffic come before the policy that denies the rest; deletions happen in reverse order. */
function inOrder<T extends PlannedChange>(planned: readonly T[]): T[] {
  return [...planned].sort((a, b) => rankOf(a) - rankOf(b))
}

function rankOf({ object }: PlannedChange): number {
  return (policyKinds as readonly (Kind | undefined)[]).indexOf(kindOf(object)) + (deniesAll(object) ? 0.5 : 0)
}

function deniesAll({ kind, spec }: KubeObject & { spec?: { rules?: unknown[] } }): boolean {
  return kind === 'AuthorizationPolicy' && (spec?.rules ?? []).length === 0
}

/** Subsets that the rule loses although a route that the plan has not changed yet uses them. */
function stillUsed({ before, object }: PlannedChange, routes: readonly PlannedChange[]): Subset[] {
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
