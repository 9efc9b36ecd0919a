// Moves the weight in the cluster, and nothing else of the object it stands in.
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, type Cluster } from '../cluster/client.ts'
import type { VirtualService } from '../cluster/objects.ts'
import { routesTo, shift, weightsOf } from '../policies/routes.ts'
import type { Weights } from '../policies/compile/index.ts'

/** Whose traffic is moved, and between which subsets. Plain data: the post step puts traffic back from it. */
export type Split = { namespace: string; service: string; stable: string; canary: string }

/** The VirtualService whose routes split the service between the two subsets, with the weights in force there. */
async function find(cluster: Cluster, { namespace, service, stable, canary }: Split): Promise<{ object: VirtualService; weights: Weights } | undefined> {
  const all = await cluster.list<VirtualService>('VirtualService', namespace)
  for (const object of all.filter((each) => routesTo(each, service, namespace))) {
    const weights = weightsOf(object, service, namespace, [stable, canary])
    if (weights) return { object, weights }
  }
  return undefined
}

function missing({ namespace, service, stable, canary }: Split): Error {
  return new Error(`no route of a VirtualService in ${namespace} splits ${service} between ${stable} and ${canary}; run the stage policies first`)
}

/** The weights in force; rejects when no VirtualService splits the service between the two. */
export async function readSplit(cluster: Cluster, split: Split): Promise<Weights> {
  const found = await find(cluster, split)
  if (!found) throw missing(split)
  return found.weights
}

/** Sets the canary's weight; reads again and repeats when somebody else wrote in between. */
export async function moveTraffic(cluster: Cluster, split: Split, weight: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const found = await find(cluster, split)
    const patch = found && shift(found.object, split.service, split.namespace, split.stable, split.canary, weight)
    if (!patch) throw missing(split)
    if (patch.length === 0) return
    try {
      await cluster.patch('VirtualService', split.namespace, found.object.metadata.name, patch)
      return
    } catch (error) {
      const changed = error instanceof ApiError && (error.status === 409 || error.status === 422)
      if (!changed || attempt === 5) throw error
      await sleep(100 * attempt)
    }
  }
}
