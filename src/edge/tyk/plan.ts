// Compares the API definition in Tyk with the one that the config asks for.
import { createHash, randomBytes } from 'node:crypto'
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
  wasCreatedByConfig,
  wasCreatedForNamespace,
  isSameRouting,
  markOf,
  findConflictingApi,
  wanted,
  routingOf,
  type TykDefinition,
  type TykRoute,
} from './definition.ts'

/**
 * `before`: as it was in Tyk. `definition`: as it should be until it is verified, or the one to delete. `diff`: what
 * changes, as lines. `others`: at the same place, which this config has made for another namespace or cluster, and which
 * stay.
 */
export type TykPlan = {
  api: TykApi
  route: TykRoute
  action: 'create' | 'change' | 'delete' | 'unchanged'
  before?: TykDefinition
  definition: TykDefinition
  diff: string[]
  others: TykDefinition[]
}

/** @throws Error with one sentence if Tyk does not answer, or if it cannot be done */
export async function planTyk(cluster: Cluster, config: Config): Promise<TykPlan> {
  const { tyk } = config.edge!
  const api = tykApi(tyk.api === undefined ? 'edge.tyk.url' : 'edge.tyk.api', tyk.api ?? tyk.url, tyk.secret)
  const [route, all] = await Promise.all([routeOf(cluster, config), api.list()])
  const { live, others, isOurs } = findApis(route, ownerOf(config).names.map(ownerId), all, tyk.enabled)
  const plan = { api, route, others, diff: [], ...(live ? { before: live } : {}) }
  const random = () => randomBytes(8).toString('hex')
  const fresh = { id: newId(route, all), mark: random() }
  if (!tyk.enabled)
    return { ...plan, definition: live ?? wanted(route, live, fresh), action: live ? 'delete' : 'unchanged' }
  const conflicting = findConflictingApi(route, live, all)
  if (conflicting) throw new Error(conflictFault(route, conflicting, !isOurs(conflicting)))
  // A mark stays as it is while nothing else changes.
  const kept = wanted(route, live, { ...fresh, mark: markOf(live) ?? fresh.mark, lastVerified: routingOf(route) })
  if (asksForKey(kept) && tyk.probe.key === undefined) throw new Error(keyFault(live))
  const diff = changesOf(live, kept)
  if (live && diff.length === 0) return { ...plan, definition: kept, action: 'unchanged' }
  return { ...plan, diff, action: live ? 'change' : 'create', definition: wanted(route, live, fresh) }
}

/**
 * The same for each run: what one has created and Tyk has not loaded is in no list, and the next run writes over it.
 * Where somebody has made that definition theirs, another id.
 */
function newId({ owner: { owner, namespace, uid = '' } }: TykRoute, all: readonly TykDefinition[]): string {
  const id = `mesh-canary-${createHash('sha256').update([owner, namespace, uid].join('\n')).digest('hex').slice(0, 16)}`
  return all.some(({ api_id: taken }) => taken === id) ? `${id}-${randomBytes(4).toString('hex')}` : id
}

/**
 * `live`: what this config has made for this namespace. `mayTakeOver`: or for one that is no more, which another cluster
 * may still use; so that is not for a removal. @throws Error if it is not clear which one to change
 */
function findApis(route: TykRoute, names: readonly string[], all: readonly TykDefinition[], mayTakeOver: boolean) {
  const isOurs = (each: TykDefinition) => wasCreatedByConfig(route, names, each)
  const ofConfig = all.filter(isOurs)
  const own = ofConfig.filter((each) => wasCreatedForNamespace(route, each))
  if (own.length > 1) throw new Error(severalFault(own))
  const live = own[0] ?? (mayTakeOver ? ofConfig.find((each) => isSameRouting(route, each)) : undefined)
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

function conflictFault({ listenPath }: TykRoute, conflicting: TykDefinition, isStranger: boolean): string {
  const which = `the API ${titleOfApi(conflicting)} of this Tyk listens at ${listenPath}, too`
  const remedy = isStranger
    ? 'choose another path or `domain`, or remove that API'
    : 'this config created it for another cluster or namespace: delete it in Tyk if nothing uses it any more, or choose another path or `domain`'
  return `edge.tyk.listenPath: ${which}; ${remedy}`
}

function keyFault(live: TykDefinition | undefined): string {
  const who = live ? `the API ${live.name} asks` : 'a new API asks'
  return (
    `edge.tyk.probe.key: ${who} users for a key, and without one the request that probes the way to the application is refused; ` +
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
    listenPath,
    stripListenPath,
    domain,
    keyless,
  }
}
