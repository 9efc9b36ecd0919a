// Time limits, as signals: every request and every program that a run starts ends when its signal aborts.

/**
 * Aborts with `signal`, or after `ms` with an error that names `what` took too long and `key`, the setting that allows
 * more. The timer does not keep the program alive.
 */
export function withTimeout(signal: AbortSignal | undefined, ms: number, what: string, key?: string): AbortSignal {
  const setting = key === undefined ? '' : ` (\`${key}\`)`
  return withDeadline(signal, ms, () => new Error(`${what} timed out after ${ms / 1000} s${setting}`))
}

/** Like `withTimeout`, with an error that is made when the time is over: it can tell how far the work came. */
export function withDeadline(signal: AbortSignal | undefined, ms: number, error: () => Error): AbortSignal {
  const timeout = new AbortController()
  setTimeout(() => timeout.abort(error()), ms).unref()
  return signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal])
}

/** Settles as `work` does, or rejects with the signal's reason: for work that takes no signal and goes on unheard. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason as Error)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener('abort', abort))
}
