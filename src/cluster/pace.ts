// Paces the requests to the API server that can wait: lists, counters, logs and server-side applies. What a promotion needs
// at once, such as its Lease and a rollback, never waits here.
import { systemClock, type Clock } from '../runtime/clock.ts'

export type Pace = {
  /**
   * Does the work when it is its turn. @throws PaceError if that would be later than `waitMs` from now: whoever asked has
   * given up by then, and its request would only keep the next ones waiting.
   */
  inTurn: <T>(work: () => Promise<T>, waitMs?: number) => Promise<T>
  /** Counts a request that does not wait, so that the others wait longer, but never for more than a second. */
  count: () => void
  /** No turn begins in this time: the API server is busy and has said for how long. */
  pause: (ms: number) => void
}

export class PaceError extends Error {
  override name = 'PaceError'
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
  let pausedUntil = -Infinity

  /** When the next place is free. */
  const nextPlace = () => Math.max(nextAt, clock.now() - burstMs)

  /** Takes the next place, and waits for it and for the end of a pause, which may become longer meanwhile. */
  async function waitForPlace(latestAt: number): Promise<void> {
    const at = nextPlace()
    let until = Math.max(at, pausedUntil, clock.now())
    if (until <= latestAt) nextAt = at + intervalMs
    for (; ; until = pausedUntil) {
      if (until > latestAt) throw tooBusy()
      if (until > clock.now()) await clock.sleep(until - clock.now())
      if (pausedUntil <= until) return
    }
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
    inTurn: async (work, waitMs = Infinity) => {
      const latestAt = clock.now() + waitMs
      await enter()
      try {
        await waitForPlace(latestAt)
        return await work()
      } finally {
        leave()
      }
    },
    count: () => {
      nextAt = Math.min(nextPlace() + intervalMs, Math.max(nextAt, clock.now() + burstMs))
    },
    pause: (ms) => {
      pausedUntil = Math.max(pausedUntil, clock.now() + ms)
    },
  }
}

function tooBusy(): PaceError {
  return new PaceError('the API server is busy, or `limits.requestsPerSecond` allows no request in time')
}
