// Time limits, as signals: every request and every program that a run starts ends when its signal aborts.
import { longestTimerMs } from './clock.ts'

/**
 * Aborts with `signal`, or after `ms` with an error that names `what` took too long and `key`, the setting that allows
 * more. The timer does not keep the program alive.
 */
export function withTimeout(signal: AbortSignal | undefined, ms: number, what: string, key?: string): AbortSignal {
  const setting = key === undefined ? '' : ` (\`${key}\`)`
  return withDeadline(signal, ms, () => new Error(`${what} timed out after ${ms / 1000} s${setting}`))
}

/** Like `withTimeout`, but creates the error when the time is over, so that it can report the progress. */
export function withDeadline(signal: AbortSignal | undefined, ms: number, error: () => Error): AbortSignal {
  const timeout = new AbortController()
  startTimer(ms, () => timeout.abort(error()))
  return signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal])
}

/** Does not keep the program alive. */
function startTimer(ms: number, onEnd: () => void): void {
  const left = ms - longestTimerMs
  setTimeout(left > 0 ? () => startTimer(left, onEnd) : onEnd, Math.min(ms, longestTimerMs)).unref()
}

/**
 * Settles like `work`, or rejects with the signal's reason. For work that takes no signal: it continues, and its result
 * is ignored.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  // Time limits do not keep the process alive, and the work may hold nothing that does.
  const keepAlive = setInterval(() => undefined, 60_000)
  const abort = () => aborted.reject(signal.reason as Error)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  return Promise.race([work, aborted.promise]).finally(() => {
    clearInterval(keepAlive)
    signal.removeEventListener('abort', abort)
  })
}
