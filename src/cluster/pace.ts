// Paces the requests to the API server that can wait: lists, counters, logs and server-side applies. What a promotion needs
// at once, such as its Lease and a rollback, never waits here.
import { systemClock, type Clock } from '../runtime/clock.ts'

export type Pace = {
  /** Does the work when it is its turn. */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>
  /** Counts a request that does not wait, so that the others wait longer. */
  count: () => void
  /** No turn begins in this time: the API server is busy and has said for how long. */
  pause: (ms: number) => void
}

/** More connections at a time make no list faster, and cost the API server memory. */
const defaultConcurrency = 32
/** What was not used in the last second may be used at once. */
const burstMs = 1_000

export function createPace({
  requestsPerSecond = Infinity,
  concurrency = defaultConcurrency,
  clock = systemClock,
}: {
  requestsPerSecond?: number | undefined
  concurrency?: number
  clock?: Clock
} = {}): Pace {
  const intervalMs = 1_000 / requestsPerSecond
  const waiting: (() => void)[] = []
  let running = 0
  let nextAt = -Infinity

  /** Returns the time until the next free place, and takes it. */
  function takePlace(): number {
    const now = clock.now()
    const at = Math.max(nextAt, now - burstMs)
    nextAt = at + intervalMs
    return at - now
  }

  /** Of the places at a time. Who leaves hands its own over. */
  async function enter(): Promise<void> {
    if (running < concurrency) return void running++
    await new Promise<void>((resolve) => waiting.push(resolve))
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else running--
  }

  return {
    inTurn: async (work) => {
      await enter()
      try {
        const waitMs = takePlace()
        if (waitMs > 0) await clock.sleep(waitMs)
        return await work()
      } finally {
        leave()
      }
    },
    count: () => void takePlace(),
    pause: (ms) => {
      nextAt = Math.max(nextAt, clock.now() + ms)
    },
  }
}
