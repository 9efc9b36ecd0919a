// Remembers the last reading of each pod, and computes how much its counters grew.
import type { Pod } from '../../cluster/objects.ts'
import { counterDeltas, hasDecrease, type Reading } from '../../envoy/counters.ts'
import { podId } from './counter-reader.ts'

export type CounterMemory = {
  /**
   * Registers the pods that run now. `sampled` are those whose counters are read from their first moment on. Forgets the
   * readings of all pods that are not in `existing`, which has those whose sidecar is down for a moment, too.
   */
  register: (running: Pod[], sampled: Pod[], existing: Pod[]) => void
  /** Nobody reads this pod any more. If it is read again, it counts from that reading. */
  forget: (id: string) => void
  /**
   * Returns what the pod counted since its last reading, and stores this one. `restarts`: how often its sidecar has
   * restarted; undefined if the reading may be older than the pod's status. `hasDurations`: true by default.
   */
  deltaSince: (id: string, reading: Reading, restarts: number | undefined, hasDurations?: boolean) => Reading
}

/** `isRestartCounted`: a counter went down before the pod's status showed a restart. */
type LastReading = { reading: Reading; restarts: number | undefined; isRestartCounted: boolean; hasDurations: boolean }

/**
 * A new pod counts from zero. A pod that may have served requests before its first reading counts from that reading, as
 * does one whose earlier readings lack the durations.
 */
export function createCounterMemory(): CounterMemory {
  const known = new Set<string>()
  const servedBefore = new Set<string>()
  const lastReadings = new Map<string, LastReading>()
  return {
    register(running, sampled, existing) {
      const sampledIds = new Set(sampled.map(podId))
      for (const id of running.map(podId).filter((each) => !known.has(each))) {
        known.add(id)
        if (!sampledIds.has(id)) servedBefore.add(id)
      }
      const existingIds = new Set(existing.map(podId))
      for (const forgotten of [known, servedBefore, lastReadings])
        for (const id of [...forgotten.keys()].filter((each) => !existingIds.has(each))) forgotten.delete(id)
    },
    forget(id) {
      lastReadings.delete(id)
      servedBefore.add(id)
    },
    deltaSince(id, reading, restarts, hasDurations = true) {
      const stored = lastReadings.get(id)
      const isFirstWithDurations = hasDurations && stored?.hasDurations === false
      const last = isFirstWithDurations ? undefined : stored
      const before = last?.reading ?? (isFirstWithDurations || servedBefore.has(id) ? reading : nothing)
      const hasRestarted = last !== undefined && last.restarts !== restarts
      const isNewProcess = hasRestarted && !last.isRestartCounted
      const isRestartCounted = !hasRestarted && ((last?.isRestartCounted ?? false) || hasDecrease(before, reading))
      lastReadings.set(id, { reading, restarts, isRestartCounted, hasDurations })
      return counterDeltas(isNewProcess ? nothing : before, reading)
    },
  }
}

const nothing: Reading = new Map()
