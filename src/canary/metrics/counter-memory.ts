// Remembers the last reading of each pod, and computes how much its counters grew.
import type { Pod } from '../../cluster/objects.ts'
import { counterDeltas, type Reading } from '../../metrics/counters.ts'
import { podId } from './counter-reader.ts'

export type CounterMemory = {
  /** Registers the pods that run now. `sampled` are those whose counters are read from their first moment on. */
  register: (running: Pod[], sampled: Pod[]) => void
  /** Returns what the pod counted since its last reading, and stores this one. */
  deltaSince: (id: string, reading: Reading) => Reading
}

/**
 * A new pod counts from zero. A pod that may have served requests before its first reading counts from that reading.
 */
export function createCounterMemory(): CounterMemory {
  const known = new Set<string>()
  const servedBefore = new Set<string>()
  const lastReadings = new Map<string, Reading>()
  return {
    register(running, sampled) {
      const sampledIds = new Set(sampled.map(podId))
      for (const id of running.map(podId).filter((each) => !known.has(each))) {
        known.add(id)
        if (!sampledIds.has(id)) servedBefore.add(id)
      }
    },
    deltaSince(id, reading) {
      const before = lastReadings.get(id) ?? (servedBefore.has(id) ? reading : new Map<string, number>())
      lastReadings.set(id, reading)
      return counterDeltas(before, reading)
    },
  }
}
