// The API server's refusals, as errors, and what callers make of the expected ones.

/**
 * A failed request to the API server: its HTTP status, or 0 when there was no answer. `remedy`: what to do, if the way
 * to the server or the credentials are at fault. `retryAfterMs`: how long a busy server asks to wait.
 */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: number
  readonly causes: string[]
  readonly remedy: string | undefined
  readonly retryAfterMs: number | undefined
  constructor(status: number, message: string, causes: string[] = [], remedy?: string, retryAfterMs?: number) {
    super(message)
    this.status = status
    this.causes = causes
    this.remedy = remedy
    this.retryAfterMs = retryAfterMs
  }
}

/** `what`: the request, for an answer that does not explain itself. */
export function refusal(status: number, what: string, text: string, retryAfterMs?: number): ApiError {
  try {
    // Some Services behind the API server call the message `error`, as Prometheus does.
    const {
      error,
      message = error,
      details,
    } = JSON.parse(text) as { error?: string; message?: string; details?: { causes?: { message: string }[] } }
    return new ApiError(
      status,
      `${message ?? what} (HTTP ${status})`,
      details?.causes?.map((cause) => cause.message) ?? [],
      undefined,
      retryAfterMs,
    )
  } catch {
    return new ApiError(status, `${what}: HTTP ${status} ${text.slice(0, 200).trim()}`, [], undefined, retryAfterMs)
  }
}

/** In milliseconds. The header has seconds, or a date of HTTP; undefined for anything else. */
export function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header)) return 1_000 * Number(header)
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

export function isNotFound(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 404
}

export function isForbidden(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 403
}

/** True if the account lacks a right. Quotas, pod security and policy webhooks refuse with the same status. */
export function lacksRights(error: unknown): error is ApiError {
  return isForbidden(error) && /\bcannot \w+ resource\b|attempting to grant RBAC permissions/.test(error.message)
}

/** For a kind that the cluster lacks. */
export function emptyWhenAbsent(error: unknown): [] {
  if (isNotFound(error)) return []
  throw error
}

/** For a kind that the cluster lacks, or that the account may not read. */
export function emptyWhenUnread(error: unknown): [] {
  return isForbidden(error) ? [] : emptyWhenAbsent(error)
}

/** For what the account may not read. */
export function undefinedWhenForbidden(error: unknown): undefined {
  if (isForbidden(error)) return undefined
  throw error
}

/** True if a write with a test failed because another writer has changed or removed the object since it was read. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && [404, 409, 422].includes(error.status)
}
