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
  /** Evicts if it is time to, and otherwise what is missing of the last time. Returns the names of the evicted pods. */
  evict: (pods: Pod[], now: number) => Promise<string[]>
  /** Whether as many pods as are asked for were evicted since it was time to. */
  isComplete: () => boolean
}

/** `maxAffected`: per cent of the pods. `note`: gets a line for each refusal of a budget, once. */
export function createPodKiller(
  cluster: Cluster,
  namespace: string,
  podKill: PodKill,
  maxAffected: number,
  note: (line: string) => void,
): PodKiller {
  let startedAt: number | undefined
  let missing = 0
  let most = 0
  const refused = new Set<string>()
  /** A watch may show a pod as ready for a while after its eviction. */
  const evicted = new Set<string | undefined>()

  async function evictOne({ metadata: { name, uid } }: Pod): Promise<boolean> {
    if (await cluster.evict(namespace, name, uid)) {
      evicted.add(uid)
      return true
    }
    if (refused.has(name)) return false
    refused.add(name)
    note(`the pod ${name} may not be evicted now: a PodDisruptionBudget forbids it, or the pod is gone`)
    return false
  }

  return {
    async evict(pods, now) {
      const ready = pods.filter((pod) => isLive(pod) && isReady(pod) && !evicted.has(pod.metadata.uid))
      most = Math.max(most, ready.length)
      const isDue = startedAt === undefined || (podKill.every !== undefined && now - startedAt >= podKill.every)
      if (isDue) missing = podsToEvict(podKill, most)
      // Pods that are not back yet are affected, too.
      const allowed = Math.floor((maxAffected / 100) * most) - (most - ready.length)
      const names: string[] = []
      for (const pod of ready.slice(0, Math.max(0, Math.min(missing, allowed)))) {
        try {
          if (await evictOne(pod)) names.push(pod.metadata.name)
        } catch (problem) {
          // What is evicted is evicted, and the next call must not evict as many again.
          if (names.length === 0) throw problem
          note(`the pod ${pod.metadata.name} could not be evicted: ${messageOf(problem)}`)
        }
      }
      missing -= names.length
      if (isDue && names.length > 0) startedAt = now
      if (names.length > 0 && missing > 0) note(`${missing} of the pods to evict are still there; trying again`)
      return names
    },
    isComplete: () => startedAt !== undefined && missing === 0,
  }
}
