// Trying again, with growing delays; and looking again, until something is so or the time is over.
import { systemClock, type Clock } from './clock.ts'

export type RetryOptions = {
  /** The most tries in a row. */
  attempts: number
  /** Before the second try; doubled for each further one. */
  firstDelayMs: number
  /** Whether another try may succeed. */
  isTransient: (error: unknown) => boolean
  /**
   * The wait that the error itself asks for, as a server does with Retry-After; a longer one than ours replaces ours.
   */
  requestedDelayMs?: (error: unknown) => number
  /** An error that would need a longer delay than this is final. */
  longestDelayMs?: number
  /** A number that grows while tries get further. When it has grown, the failed try counts as the first. */
  progress?: () => number
  signal?: AbortSignal
  clock?: Clock
}

/** @throws the last error, or the signal's reason. */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { attempts, firstDelayMs, isTransient, signal, clock = systemClock } = options
  const { requestedDelayMs = () => 0, longestDelayMs = Infinity, progress = () => 0 } = options
  let reached = progress()
  for (let failures = 0; ; ) {
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      failures = progress() > reached ? 1 : failures + 1
      reached = Math.max(reached, progress())
      const delayMs = Math.max(backOffMs(failures, firstDelayMs), requestedDelayMs(error))
      if (failures >= attempts || !isTransient(error) || delayMs > longestDelayMs) throw error
      await clock.sleep(delayMs, signal)
    }
  }
}

/** The delay after so many failures in a row: none, the first one, twice that, and so on up to the longest. */
export function backOffMs(failures: number, firstMs: number, longestMs = Infinity): number {
  return failures === 0 ? 0 : Math.min(longestMs, firstMs * 2 ** (failures - 1))
}

export type PollOptions = {
  /** How long to look. At 0 there is one look. */
  limitMs: number
  intervalMs: number
  signal?: AbortSignal | undefined
  clock?: Clock
}

/**
 * Looks until `isDone` or until the time is over, and answers the last look. The caller tells which of the two it was.
 */
export async function poll<T>(
  look: () => Promise<T>,
  isDone: (seen: T) => boolean,
  { limitMs, intervalMs, signal, clock = systemClock }: PollOptions,
): Promise<T> {
  const deadline = clock.now() + limitMs
  for (;;) {
    const seen = await look()
    if (isDone(seen) || clock.now() >= deadline) return seen
    await clock.sleep(intervalMs, signal)
  }
}
