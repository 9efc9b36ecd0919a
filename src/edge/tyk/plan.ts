// Compares the API definition in Tyk with the one that the config asks for.
import { randomBytes } from 'node:crypto'
import type { Cluster } from '../../cluster/client.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { exposedThroughTyk, tykTarget } from '../../config/edge.ts'
import type { Config } from '../../config/schema.ts'
import { ownerId, ownerOf } from '../../policies/owned-objects.ts'
import { tykApi, type TykApi } from './api.ts'
import {
  asksForKey,
  changesOf,
  isDrift,
  isOfConfig,
  markOf,
  ownDefinition,
  rivalOf,
  wanted,
  type TykDefinition,
  type TykRoute,
} from './definition.ts'

/**
 * `definition`: as it should be, or the one to delete. `diff`: what changes, as lines. `before`: what a failed proof brings back; absent if
 * somebody else has changed it. `left`: which definition of this config is not removed, in a sentence.
 */
export type TykPlan = { api: TykApi; route: TykRoute; diff: string[]; definition: TykDefinition } & (
  | { action: 'create' | 'delete' }
  | { action: 'unchanged'; left?: string }
  | { action: 'change'; before: TykDefinition | undefined }
)

/** @throws Error with one sentence if Tyk does not answer, or if it cannot be done */
export async function planTyk(cluster: Cluster, config: Config): Promise<TykPlan> {
  const { tyk } = config.edge!
  const api = tykApi(tyk.api ?? tyk.url, tyk.secret)
  const [route, all] = await Promise.all([routeOf(cluster, config), api.list()])
  const names = ownerOf(config).names.map(ownerId)
  const live = ownDefinition(route, names, all)
  const rival = rivalOf(route, live, all)
  const fault = rival && rivalFault(route, rival, !isOfConfig(route, names, rival))
  if (!tyk.enabled) return removal(api, route, live, rival && isOfConfig(route, names, rival) ? fault : undefined)
  if (fault !== undefined) throw new Error(fault)
  const random = () => randomBytes(8).toString('hex')
  const fresh = { id: `mesh-canary-${random()}`, mark: random() }
  // A mark stays as it is while nothing else changes.
  const kept = wanted(route, live, { ...fresh, mark: markOf(live) ?? fresh.mark })
  if (asksForKey(kept) && tyk.proof.key === undefined) throw new Error(keyFault(live))
  const diff = changesOf(live, kept)
  if (!live) return { api, route, definition: kept, diff: diff!, action: 'create' }
  if (!diff) return { api, route, definition: kept, diff: [], action: 'unchanged' }
  const before = isDrift(route, live) ? undefined : live
  return { api, route, definition: wanted(route, live, fresh), diff, action: 'change', before }
}

function removal(api: TykApi, route: TykRoute, live: TykDefinition | undefined, fault: string | undefined): TykPlan {
  if (live) return { api, route, definition: live, diff: [], action: 'delete' }
  const definition = { api_id: '', name: route.name }
  return { api, route, definition, diff: [], action: 'unchanged', ...(fault === undefined ? {} : { left: fault }) }
}

function rivalFault(
  { listenPath, target }: TykRoute,
  { name, api_id: id }: TykDefinition,
  isStranger: boolean,
): string {
  const which = `the API ${name} (${id}) of this Tyk listens at ${listenPath}, too`
  return isStranger
    ? `edge.tyk.listenPath: ${which}; choose another path or \`domain\`, or remove that API`
    : `edge.tyk.target: ${which}; this config has made it for another cluster or namespace, and it does not lead to ` +
        `${target || 'an address that is known here'}: if that cluster or namespace is gone, remove it in Tyk`
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

/** What was there before is there again. Returns what it did, continuing a sentence; empty if nothing was to do. */
export async function undoTyk(plan: TykPlan): Promise<string> {
  if (plan.action === 'create') {
    await plan.api.remove(plan.definition.api_id)
    await plan.api.reload()
    return 'the new API was removed again'
  }
  if (plan.action !== 'change') return ''
  if (!plan.before) return 'the definition stays, because the config asked for the same before'
  await plan.api.replace(plan.before)
  await plan.api.reload()
  return 'the definition from before was written back'
}
