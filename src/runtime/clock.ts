// The clock, as a value that tests replace.
import { setTimeout } from 'node:timers/promises'

export type Clock = {
  /**
   * Milliseconds since the epoch, by a clock that only moves forward. Someone may set the machine's clock during a
   * promotion, and no step may pass or end because of that.
   */
  now(): number
  /** @throws the signal's reason if it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The longest delay of a timer, almost 25 days. Node.js fires a longer one after a millisecond. */
export const longestTimerMs = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Math.round(performance.timeOrigin + performance.now()),
  sleep: async (ms, signal) => {
    try {
      for (let left = ms; left >= 0; left -= longestTimerMs)
        await setTimeout(Math.min(left, longestTimerMs), undefined, signal && { signal })
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    }
  },
}
