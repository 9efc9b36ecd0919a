// Limits the rate of the requests to the API server that can wait: lists, counters, logs and server-side applies. What a
// promotion needs at once, such as its Lease and a rollback, never waits here.
import { systemClock, type Clock } from '../runtime/clock.ts'

export type RateLimiter = {
  /**
   * Does the work when it is its turn. @throws RateLimitError if that would be later than `waitMs` from now: whoever asked
   * has given up by then, and its request would only keep the next ones waiting.
   */
  schedule: <T>(work: () => Promise<T>, waitMs?: number) => Promise<T>
  /** Counts a request that does not wait, so that the others wait longer, but never for more than a second. */
  countUrgent: () => void
  /** No turn begins in this time: the API server is busy and has said for how long. */
  pauseFor: (ms: number) => void
}

export class RateLimitError extends Error {
  override name = 'RateLimitError'
}

/** More connections at a time make no list faster, and cost the API server memory. */
const defaultConcurrency = 32
/** What was not used in the last second may be used at once. */
const burstMs = 1_000

export function createRateLimiter({
  requestsPerSecond = Infinity,
  concurrency = defaultConcurrency,
  clock = systemClock,
}: {
  requestsPerSecond?: number | undefined
  concurrency?: number
  clock?: Clock
} = {}): RateLimiter {
  const intervalMs = 1_000 / requestsPerSecond
  const waiting: (() => void)[] = []
  let running = 0
  let nextAt = -Infinity
  let pausedUntil = -Infinity

  /** When the next request may begin. */
  const nextSlot = () => Math.max(nextAt, clock.now() - burstMs, pausedUntil)

  /** Takes the next slot and waits for it. One in a pause that began meanwhile is void: all of them would begin at its end. */
  async function waitForSlot(latestAt: number): Promise<void> {
    for (let knownPause; knownPause !== pausedUntil; ) {
      knownPause = pausedUntil
      const at = nextSlot()
      if (Math.max(at, clock.now()) > latestAt) throw new RateLimitError(explainDelay())
      nextAt = at + intervalMs
      if (at > clock.now()) await clock.sleep(at - clock.now())
    }
  }

  function explainDelay(): string {
    if (pausedUntil > clock.now()) return 'the API server is busy (429) and asks to wait longer than this request may'
    if (requestsPerSecond === Infinity)
      return `${concurrency} requests are under way, and the API server answers too late`
    return `more than \`limits.requestsPerSecond\` (${requestsPerSecond}) requests are waiting; raise it`
  }

  /** At most `concurrency` run at a time. Who leaves lets the next one in. */
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
    schedule: async (work, waitMs = Infinity) => {
      const latestAt = clock.now() + waitMs
      await enter()
      try {
        await waitForSlot(latestAt)
        return await work()
      } finally {
        leave()
      }
    },
    countUrgent: () => {
      nextAt = Math.min(nextSlot() + intervalMs, Math.max(nextAt, clock.now() + burstMs))
    },
    pauseFor: (ms) => {
      const until = clock.now() + ms
      if (until <= pausedUntil) return
      pausedUntil = until
      // All slots that were taken are void now, so none of them keeps others waiting.
      nextAt = Math.min(nextAt, until)
    },
  }
}
