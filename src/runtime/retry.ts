// Retries work with growing delays, and polls until a condition holds or the time is over.
import { systemClock, type Clock } from './clock.ts'

export type RetryOptions = {
  /** The maximum number of attempts in a row. */
  attempts: number
  /** The delay before the second attempt; it doubles with each further one. */
  firstDelayMs: number
  /** True if another attempt may succeed. */
  isTransient: (error: unknown) => boolean
  /** The delay that the error requests, such as a server's Retry-After. It applies if it is longer than ours. */
  requestedDelayMs?: (error: unknown) => number
  /** An error that would need a longer delay than this is final. */
  longestDelayMs?: number
  /** A number that grows with progress. If it has grown, the failed attempt counts as the first. */
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

/** The delay after this many failures in a row: none, the first delay, twice that, and so on up to the longest. */
export function backOffMs(failures: number, firstMs: number, longestMs = Infinity): number {
  return failures === 0 ? 0 : Math.min(longestMs, firstMs * 2 ** (failures - 1))
}

export type PollOptions = {
  /** The time limit. With 0, it reads once. */
  limitMs: number
  intervalMs: number
  signal?: AbortSignal | undefined
  clock?: Clock
}

/**
 * Reads until `isDone` or until the time is over, and returns the last value. The caller checks which of the two it
 * was.
 */
export async function poll<T>(
  read: () => Promise<T>,
  isDone: (value: T) => boolean,
  { limitMs, intervalMs, signal, clock = systemClock }: PollOptions,
): Promise<T> {
  const deadline = clock.now() + limitMs
  for (;;) {
    const value = await read()
    if (isDone(value) || clock.now() >= deadline) return value
    await clock.sleep(intervalMs, signal)
  }
}

/** `limitMs`: how long to go on after the first failure. */
export type PersistOptions = {
  limitMs: number
  intervalMs: number
  isTransient: (error: unknown) => boolean
  signal?: AbortSignal | undefined
  clock?: Clock
}

/** Repeats work that must not fail for a passing reason. @throws the last error, or the first that is not transient. */
export async function persist<T>(
  work: () => Promise<T>,
  { limitMs, intervalMs, isTransient, signal, clock = systemClock }: PersistOptions,
): Promise<T> {
  const deadline = clock.now() + limitMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (signal?.aborted || clock.now() >= deadline || !isTransient(error)) throw error
      await clock.sleep(intervalMs)
    }
  }
}
