// Moves the weight in the cluster, and nothing else of the object it stands in.
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, type Cluster } from '../cluster/client.ts'
import type { VirtualService } from '../cluster/objects.ts'
import { routesTo, shift, weightsOf } from '../policies/routes.ts'
import type { Weights } from '../policies/compile.ts'

/** Whose traffic is moved, and between which subsets. Plain data: the post step puts traffic back from it. */
export type Split = { namespace: string; service: string; stable: string; canary: string }

async function find(cluster: Cluster, { namespace, service }: Split): Promise<VirtualService | undefined> {
  const all = await cluster.list<VirtualService>('VirtualService', namespace)
  return all.find((object) => routesTo(object, service, namespace) && weightsOf(object, service, namespace))
}

/** The weights in force; undefined when no VirtualService splits the service. */
export async function readSplit(cluster: Cluster, split: Split): Promise<Weights | undefined> {
  const object = await find(cluster, split)
  return object && weightsOf(object, split.service, split.namespace)
}

/** Sets the canary's weight; reads again and repeats when somebody else wrote in between. */
export async function moveTraffic(cluster: Cluster, split: Split, weight: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const object = await find(cluster, split)
    if (!object) throw new Error(`no VirtualService in ${split.namespace} splits ${split.service} between subsets; run the stage policies first`)
    const { namespace = split.namespace, name } = object.metadata
    const patch = shift(object, split.service, split.namespace, split.stable, split.canary, weight)
    if (patch.length === 0) return
    try {
      await cluster.patch('VirtualService', namespace, name, patch)
      return
    } catch (error) {
      const changed = error instanceof ApiError && (error.status === 409 || error.status === 422)
      if (!changed || attempt === 5) throw error
      await sleep(100 * attempt)
    }
  }
}
