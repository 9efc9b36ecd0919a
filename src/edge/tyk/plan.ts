// Compares the API definition in Tyk with the one that the config asks for.
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Cluster } from '../../cluster/client.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { exposedThroughTyk, tykTarget } from '../../config/edge.ts'
import type { Config } from '../../config/schema.ts'
import { ownerId, ownerOf } from '../../policies/owned-objects.ts'
import { tykApi, type TykApi } from './api.ts'
import {
  asksForKey,
  changesOf,
  isAtSamePlace,
  isOfConfig,
  isOfNamespace,
  isSameWay,
  markOf,
  provedWay,
  rivalOf,
  wanted,
  wayOf,
  type TykDefinition,
  type TykRoute,
  type TykWay,
} from './definition.ts'

/**
 * `definition`: as it should be until it is proved, or the one to delete. `diff`: what changes, as lines. `others`: at the same place,
 * which this config has made for another namespace or cluster, and which stay. `rivalAt`: another API at a place.
 */
export type TykPlan = {
  api: TykApi
  route: TykRoute
  action: 'create' | 'change' | 'delete' | 'unchanged'
  definition: TykDefinition
  diff: string[]
  others: TykDefinition[]
  rivalAt: (way: TykWay) => TykDefinition | undefined
}

/** @throws Error with one sentence if Tyk does not answer, or if it cannot be done */
export async function planTyk(cluster: Cluster, config: Config): Promise<TykPlan> {
  const { tyk } = config.edge!
  const api = tykApi(tyk.api ?? tyk.url, tyk.secret)
  const [route, all] = await Promise.all([routeOf(cluster, config), api.list()])
  const { live, others, isOurs } = findApis(route, ownerOf(config).names.map(ownerId), all, tyk.enabled)
  const rivalAt = (way: TykWay) => rivalOf(way, live, all)
  const plan = { api, route, others, rivalAt, diff: [] }
  const random = () => randomBytes(8).toString('hex')
  const fresh = { id: `mesh-canary-${random()}`, mark: random() }
  if (!tyk.enabled)
    return { ...plan, definition: live ?? wanted(route, live, fresh), action: live ? 'delete' : 'unchanged' }
  const rival = rivalAt(route)
  if (rival) throw new Error(rivalFault(route, rival, !isOurs(rival)))
  // A mark stays as it is while nothing else changes.
  const kept = wanted(route, live, { ...fresh, mark: markOf(live) ?? fresh.mark, proved: wayOf(route) })
  if (asksForKey(kept) && tyk.proof.key === undefined) throw new Error(keyFault(live))
  const diff = changesOf(live, kept)
  if (live && diff.length === 0) return { ...plan, definition: kept, action: 'unchanged' }
  return { ...plan, diff, action: live ? 'change' : 'create', definition: wanted(route, live, fresh) }
}

/**
 * `live`: what this config has made for this namespace. `mayTakeOver`: or for one that is no more, which another cluster may still use;
 * so that is not for a removal. @throws Error if it is not clear which one to change
 */
function findApis(route: TykRoute, names: readonly string[], all: readonly TykDefinition[], mayTakeOver: boolean) {
  const isOurs = (each: TykDefinition) => isOfConfig(route, names, each)
  const ofConfig = all.filter(isOurs)
  const own = ofConfig.filter((each) => isOfNamespace(route, each))
  if (own.length > 1) throw new Error(severalFault(own))
  const live = own[0] ?? (mayTakeOver ? ofConfig.find((each) => isSameWay(route, each)) : undefined)
  return { live, isOurs, others: ofConfig.filter((each) => each !== live && isAtSamePlace(route, each)) }
}

/** The API in one phrase. */
export function titleOfApi({ name, api_id: id }: TykDefinition): string {
  return `${name} (${id})`
}

function severalFault(own: TykDefinition[]): string {
  return (
    `edge.tyk: this config has made several APIs in this Tyk for this namespace: ${own.map(titleOfApi).join(', ')}; ` +
    'remove all but one of them in Tyk'
  )
}

function rivalFault({ listenPath }: TykRoute, rival: TykDefinition, isStranger: boolean): string {
  const which = `the API ${titleOfApi(rival)} of this Tyk listens at ${listenPath}, too`
  const remedy = isStranger
    ? 'choose another path or `domain`, or remove that API'
    : 'this config has made it for another cluster or namespace: remove it in Tyk if that one is gone, or choose another path or `domain`'
  return `edge.tyk.listenPath: ${which}; ${remedy}`
}

function keyFault(live: TykDefinition | undefined): string {
  const who = live ? `the API ${live.name} asks` : 'a new API asks'
  return (
    `edge.tyk.proof.key: ${who} users for a key, and without one the request that proves the way to the application is refused; ` +
    'set a key with access to it (before it exists: to all APIs), or `keyless: true`'
  )
}

async function routeOf(cluster: Cluster, config: Config): Promise<TykRoute> {
  const { listenPath, stripListenPath, domain = '', keyless } = config.edge!.tyk
  const { names, namespace } = ownerOf(config)
  const { uid } = (await cluster.get<KubeObject>('Namespace', undefined, namespace))?.metadata ?? {}
  return {
    owner: { owner: ownerId(names[0]!), namespace, ...(uid === undefined ? {} : { uid }) },
    name: `${namespace} ${exposedThroughTyk(config)?.service ?? ''} (mesh-canary)`,
    target: tykTarget(config) ?? '',
    ...{ listenPath, stripListenPath, domain, keyless },
  }
}

export async function applyTyk({ api, action, definition }: TykPlan): Promise<void> {
  if (action === 'unchanged') return
  if (action === 'create') await api.create(definition)
  if (action === 'change') await api.replace(definition)
  if (action === 'delete') await api.remove(definition.api_id)
  await api.reload()
}

/** Keeps in the definition that users reach the application by it. So a later run knows what it may return to. */
export async function recordProof(plan: TykPlan): Promise<void> {
  const { route, definition } = plan
  const proved = wanted(route, definition, {
    id: definition.api_id,
    mark: markOf(definition) ?? '',
    proved: wayOf(route),
  })
  if (changesOf(definition, proved).length > 0) await replace(plan, proved)
}

/**
 * After a failed proof: removes a new definition, or returns to the way that was proved last, also by an earlier run. What somebody
 * else has written does not come back. Returns what it did, continuing a sentence; empty if nothing was to do.
 */
export async function undoTyk(plan: TykPlan): Promise<string> {
  const { api, action, definition } = plan
  if (action === 'create') {
    await api.remove(definition.api_id)
    await api.reload()
    return 'the new API was removed again'
  }
  return action === 'change' ? returnToProved(plan) : ''
}

async function returnToProved(plan: TykPlan): Promise<string> {
  const { route, definition, rivalAt } = plan
  const proved = provedWay(definition)
  if (!proved)
    return 'the API stays as it is now, because no run has seen users get through it, so there is nothing to return to'
  if (isDeepStrictEqual(proved, wayOf(route)))
    return 'the API stays as the config says, because users have reached the application this way before'
  const rival = rivalAt(proved)
  if (rival) return `the API stays as it is now, because ${titleOfApi(rival)} listens at its place from before`
  await replace(plan, wanted({ ...route, ...proved }, definition, { id: '', mark: randomBytes(8).toString('hex') }))
  return 'the way that worked before was written back'
}

async function replace({ api }: TykPlan, definition: TykDefinition): Promise<void> {
  await api.replace(definition)
  await api.reload()
}
