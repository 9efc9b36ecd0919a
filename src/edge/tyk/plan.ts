// Compares the API definition in Tyk with the one that the config asks for.
import type { Cluster } from '../../cluster/client.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { exposedThroughTyk, tykTarget } from '../../config/edge.ts'
import type { Config } from '../../config/schema.ts'
import { ownerId, ownerOf } from '../../policies/owned-objects.ts'
import { tykApi, type TykApi } from './api.ts'
import { changesOf, rivalOf, wanted, type TykDefinition, type TykRoute } from './definition.ts'

/** `diff`: what changes, as lines. */
export type TykPlan = {
  api: TykApi
  route: TykRoute
  action: 'create' | 'change' | 'delete' | 'unchanged'
  definition: TykDefinition
  diff: string[]
}

/** @throws Error with one sentence if Tyk does not answer, or if another definition gets the same requests */
export async function planTyk(cluster: Cluster, config: Config): Promise<TykPlan> {
  const { tyk } = config.edge!
  const api = tykApi(tyk.api ?? tyk.url, tyk.secret)
  const route = await routeOf(cluster, config)
  const all = await api.list()
  const live = await api.read(route.id)
  if (!tyk.enabled) {
    const definition = live ?? wanted(route, live)
    return { api, route, action: live ? 'delete' : 'unchanged', definition, diff: [] }
  }
  const rival = rivalOf(route, all)
  if (rival)
    throw new Error(
      `edge.tyk.listenPath: the API ${rival.name} (${rival.api_id}) of this Tyk listens at ${route.listenPath}, too; ` +
        'choose another path or `domain`, or remove that API',
    )
  const definition = wanted(route, live)
  const diff = changesOf(live, definition)
  return {
    api,
    route,
    definition,
    diff,
    action: live === undefined ? 'create' : diff.length > 0 ? 'change' : 'unchanged',
  }
}

/** A preview in another cluster may have the same config and the same Tyk, so the UID of the namespace counts. */
async function routeOf(cluster: Cluster, config: Config): Promise<TykRoute> {
  const { listenPath, stripListenPath, domain = '', keyless } = config.edge!.tyk
  const { names, namespace } = ownerOf(config)
  const { uid = 'unknown' } = (await cluster.get<KubeObject>('Namespace', undefined, namespace))?.metadata ?? {}
  return {
    id: `mesh-canary-${ownerId(`${names[0]}\n${uid}`)}`,
    name: `${namespace} ${exposedThroughTyk(config)!.service} (mesh-canary)`,
    target: tykTarget(config)!,
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
