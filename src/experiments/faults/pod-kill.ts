// Evicts pods of a workload, a few at a time. The API server refuses an eviction that a PodDisruptionBudget forbids.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { isLive, isReady } from '../../cluster/pods.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { ExperimentConfig } from '../../config/schema.ts'

export type PodKill = NonNullable<ExperimentConfig['inject']['podKill']>

/** How many pods are evicted at a time. */
export function podsToEvict({ count = 1, share }: PodKill, pods: number): number {
  return share === undefined ? count : Math.max(1, Math.floor((share / 100) * pods))
}

export type PodKiller = {
  /** Evicts if it is time to. Returns the names of the evicted pods. */
  evict: (pods: Pod[], now: number) => Promise<string[]>
}

/** `maxAffected`: per cent of the pods. `note`: gets a line for each refusal of a budget, once. */
export function createPodKiller(
  cluster: Cluster,
  namespace: string,
  podKill: PodKill,
  maxAffected: number,
  note: (line: string) => void,
): PodKiller {
  let lastAt: number | undefined
  let most = 0
  const refused = new Set<string>()
  return {
    async evict(pods, now) {
      const isDue = lastAt === undefined || (podKill.every !== undefined && now - lastAt >= podKill.every)
      if (!isDue) return []
      const ready = pods.filter((pod) => isLive(pod) && isReady(pod))
      most = Math.max(most, ready.length)
      // Pods that are not back yet are affected, too.
      const allowed = Math.floor((maxAffected / 100) * most) - (most - ready.length)
      const chosen = ready.slice(0, Math.max(0, Math.min(podsToEvict(podKill, most), allowed)))
      const evicted: string[] = []
      for (const { metadata } of chosen) {
        const { name, uid } = metadata
        try {
          if (await cluster.evict(namespace, name, uid)) evicted.push(name)
          else if (!refused.has(name)) {
            refused.add(name)
            note(`the pod ${name} may not be evicted now: a PodDisruptionBudget forbids it, or the pod is gone`)
          }
        } catch (problem) {
          // What is evicted is evicted, and the next call must not evict as many again.
          if (evicted.length === 0) throw problem
          note(`the pod ${name} could not be evicted: ${messageOf(problem)}`)
        }
      }
      if (evicted.length > 0) lastAt = now
      return evicted
    },
  }
}
