// Moves the weight in the cluster, and nothing else of the object it stands in.
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, type Cluster } from '../cluster/client.ts'
import type { VirtualService } from '../cluster/objects.ts'
import { routesTo, shift, weightsOf } from '../policies/routes.ts'
import { gatewayOf, type Weights } from '../policies/compile/index.ts'
import { isOurs } from '../policies/prune.ts'

/** Whose traffic is moved, and between which subsets. Plain data: the post step puts traffic back from it. */
export type Split = { namespace: string; service: string; stable: string; canary: string }

type Found = { object: VirtualService; weights: Weights }

/**
 * What splits the service between the two subsets: for callers in the mesh, and where the service is exposed, for those at
 * the gateway; empty without the first.
 */
async function find(cluster: Cluster, { namespace, service, stable, canary }: Split): Promise<Found[]> {
  const all = (await cluster.list<VirtualService>('VirtualService', namespace)).flatMap((object): Found[] => {
    const weights = weightsOf(object, service, namespace, [stable, canary])
    return weights ? [{ object, weights }] : []
  })
  const inMesh = all.find(({ object }) => routesTo(object, service, namespace))
  const atGateway = all.find(({ object }) => object.metadata.name === gatewayOf(service) && isOurs(object))
  return inMesh ? [inMesh, ...(atGateway ? [atGateway] : [])] : []
}

function missing({ namespace, service, stable, canary }: Split): Error {
  return new Error(`no route of a VirtualService in ${namespace} splits ${service} between ${stable} and ${canary}; run the stage policies first`)
}

/** The weights in force; rejects when no VirtualService splits the service between the two. */
export async function readSplit(cluster: Cluster, split: Split): Promise<Weights> {
  const [inMesh] = await find(cluster, split)
  if (!inMesh) throw missing(split)
  return inMesh.weights
}

/** Sets the canary's weight; reads again and repeats when somebody else wrote in between. */
export async function moveTraffic(cluster: Cluster, split: Split, weight: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const found = await find(cluster, split)
    if (found.length === 0) throw missing(split)
    try {
      for (const { object } of found) await move(cluster, split, object, weight)
      return
    } catch (error) {
      const changed = error instanceof ApiError && (error.status === 409 || error.status === 422)
      if (!changed || attempt === 5) throw error
      await sleep(100 * attempt)
    }
  }
}

async function move(cluster: Cluster, { namespace, service, stable, canary }: Split, object: VirtualService, weight: number): Promise<void> {
  const patch = shift(object, service, namespace, stable, canary, weight) ?? []
  if (patch.length > 0) await cluster.patch('VirtualService', namespace, object.metadata.name, patch)
}
