// Chooses the pods whose counters are read in a sample.
import type { Pod } from '../../cluster/objects.ts'
import { podId } from './counter-reader.ts'
import type { Role } from './pod-roles.ts'

export type PodSampler = {
  choose: (running: Pod[]) => Pod[]
  /** The ids of the pods that were read until now, and that the last choice left out. */
  dropped: () => string[]
  /** Leaves these pods out of the next samples. */
  skip: (pods: Pod[]) => void
  /** Leaves these clients, which have never called, out of more samples each time. */
  skipIdle: (clients: Pod[]) => void
  /** The next sample leaves no pod out. */
  wakeAll: () => void
}

/** A pod is left out of so many samples at most. */
const longestSkip = 9

/**
 * If a role has more than `maxPods` pods, always chooses the same ones as long as they live. Clients that never call make
 * room for others. `affordable`: how many the rate of requests allows now. It counts only where it falls: a pod that is read
 * again after a long time would bring the requests of that time into one sample.
 */
export function createPodSampler(
  maxPods: number,
  roleOf: (pod: Pod) => Role,
  note: (line: string) => void,
  affordable: () => number = () => Infinity,
): PodSampler {
  let most = Infinity
  const chosen = new Set<string>()
  let dropped: string[] = []
  let isFirst = true
  const noted = new Set<string>()
  const samplesToSkip = new Map<string, number>()
  const lastSkips = new Map<string, number>()
  /** Of the pods that rest: those that may have called, and do not answer. */
  const silent = new Set<string>()

  function choose(role: Role, pods: Pod[]): Pod[] {
    const limit = Math.min(maxPods, most)
    const key = `${role} ${limit}`
    // The first choice is made while others still start, with which the rate is then shared.
    if (pods.length > limit && !isFirst && !noted.has(key)) {
      noted.add(key)
      note(tooManyPods(role, pods.length, limit, limit < maxPods ? 'limits.requestsPerSecond' : 'maxPods'))
    }
    const isResting = (pod: Pod) => (samplesToSkip.get(podId(pod)) ?? 0) > 0
    const before = pods.filter((pod) => chosen.has(podId(pod)))
    const others = pods.filter((pod) => !chosen.has(podId(pod)))
    const [resting, active] = [before.filter(isResting), before.filter((pod) => !isResting(pod))]
    const now = [...active, ...others, ...resting].slice(0, limit)
    // One that rests has never called, and is read again in its turn, unless it is only silent.
    const left = before.filter((pod) => !now.includes(pod) && (!isResting(pod) || silent.has(podId(pod)))).map(podId)
    for (const id of left) {
      chosen.delete(id)
      silent.delete(id)
    }
    dropped.push(...left)
    now.forEach((pod) => chosen.add(podId(pod)))
    return now
  }

  function isDue(pod: Pod): boolean {
    const remaining = samplesToSkip.get(podId(pod)) ?? 0
    if (remaining > 0) samplesToSkip.set(podId(pod), remaining - 1)
    return remaining === 0
  }

  return {
    choose: (running) => {
      most = Math.min(most, affordable())
      dropped = []
      const { canary = [], stable = [], client = [] } = Object.groupBy(running, roleOf)
      const now = [...choose('canary', canary), ...choose('stable', stable), ...choose('client', client)]
      isFirst = false
      return now.filter(isDue)
    },
    dropped: () => dropped,
    skip: (pods) => {
      for (const id of pods.map(podId)) {
        silent.add(id)
        samplesToSkip.set(id, longestSkip)
      }
    },
    // A client that begins to call with the first weight, such as a gateway with synthetic requests, is seen soon.
    skipIdle: (clients) => {
      for (const id of clients.map(podId)) {
        const samples = Math.min(2 * (lastSkips.get(id) ?? 0.5), longestSkip)
        silent.delete(id)
        lastSkips.set(id, samples)
        samplesToSkip.set(id, samples)
      }
    },
    wakeAll: () => samplesToSkip.clear(),
  }
}

function tooManyPods(role: Role, count: number, maxPods: number, key: string): string {
  const pods = role === 'client' ? 'client pods' : `${role} pods`
  return `there are ${count} ${pods}: only the sidecars of ${maxPods} of them are read (\`${key}\`)`
}
