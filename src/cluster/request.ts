// HTTP requests to the API server: retries, timeouts, and bodies as text or as lines.
import http from 'node:http'
import https from 'node:https'
import { retry } from '../runtime/retry.ts'
import { withDeadline } from '../runtime/timeout.ts'
import { ApiError, parseRetryAfter, refusal } from './api-error.ts'
import type { ApiAccess, Cached } from './credentials.ts'
import { createRateLimiter, RateLimitError, type RateLimiter } from './rate-limiter.ts'
import { noAnswerFault, refusedFault } from './connection-fault.ts'

/**
 * How long a request, and a program that makes credentials, may take, in milliseconds. `requestsPerSecond`: at most so many
 * of the requests that can wait.
 */
export type Limits = { request: number; credentials: number; requestsPerSecond?: number | undefined }

/**
 * `timeoutMs`: how long the server may be silent. `totalMs`: how long the whole answer may take; four times that by
 * default. `limit`: the config key of `timeoutMs`, for the error. `canWait`: the request waits for its turn; at most
 * `waitMs`, if given. `is429FromTarget`: the status 429 is not of a busy API server, but of a program behind it, or of a
 * PodDisruptionBudget.
 */
export type RequestOptions = {
  method?: string
  query?: Record<string, string>
  body?: unknown
  type?: string
  headers?: Record<string, string>
  attempts?: number
  timeoutMs?: number
  totalMs?: number
  maxBytes?: number
  limit?: string
  signal?: AbortSignal
  canWait?: boolean
  waitMs?: number
  is429FromTarget?: boolean
  /** Called when a successful answer begins. */
  onOpen?: () => void
}

/** The longest delay that a busy server can ask for. */
const longestRetryAfterMs = 60_000
/**
 * The same for what cannot wait: a guard takes the traffic from a run that does not renew its Lease in time, and a
 * rollback is late.
 */
const longestUrgentDelayMs = 1_000
/** If a busy server does not say for how long. */
const defaultPauseMs = 1_000

/** Sends a request, again when the server did not answer or is busy. */
export function requester(
  connection: ApiAccess,
  credentials: Cached<https.RequestOptions>,
  timeoutMs: number,
  limiter: RateLimiter = createRateLimiter(),
) {
  return async (path: string, given: RequestOptions = {}): Promise<string> => {
    const options: RequestOptions =
      given.timeoutMs === undefined ? { ...given, timeoutMs, limit: 'limits.request' } : given
    const { attempts = 5, canWait = false, waitMs, is429FromTarget = false } = options
    const longestMs = canWait ? longestRetryAfterMs : longestUrgentDelayMs
    const requestedDelayMs = (error: unknown) => Math.min(retryAfterOf(error) ?? 0, longestMs)
    let isRenewed = attempts === 1
    const request = async (): Promise<string> => {
      const security = await credentials()
      const send = () => requestText(connection.server, path, options, security)
      if (!canWait) limiter.countUrgent()
      try {
        return await (canWait ? limiter.schedule(send, waitMs) : send())
      } catch (error) {
        if (error instanceof RateLimitError)
          throw new ApiError(0, `${options.method ?? 'GET'} ${path}: ${error.message}`)
        if (isTooManyRequests(error) && !is429FromTarget)
          limiter.pauseFor(Math.min(retryAfterOf(error) ?? defaultPauseMs, longestRetryAfterMs))
        if (!(error instanceof ApiError && error.status === 401)) throw error
        if (isRenewed) throw refused(connection, error)
        // The token may have expired early: new credentials are tried, once.
        isRenewed = true
        credentials.expire(security)
        return request()
      }
    }
    return retry(request, { attempts, firstDelayMs: 200, isTransient, requestedDelayMs })
  }
}

function refused({ config }: ApiAccess, { status, message }: ApiError): ApiError {
  const { cause, remedy } = refusedFault(config.getCurrentUser(), message)
  return new ApiError(status, cause, [], remedy)
}

function isTooManyRequests(error: unknown): boolean {
  return error instanceof ApiError && error.status === 429
}

function retryAfterOf(error: unknown): number | undefined {
  return error instanceof ApiError ? error.retryAfterMs : undefined
}

/** The server did not answer, or is busy. */
function isTransient(error: unknown): boolean {
  return error instanceof ApiError && [0, 429, 500, 502, 503, 504].includes(error.status)
}

const defaultTimeoutMs = 15_000
/** No list of a large cluster is longer. */
const defaultMaxBytes = 512 * 1024 * 1024

/** The whole body. A server that sends a byte now and then must not hold the run up. */
async function requestText(
  server: string,
  path: string,
  options: RequestOptions,
  security: https.RequestOptions,
): Promise<string> {
  const { maxBytes = defaultMaxBytes } = options
  const totalMs = options.totalMs ?? 4 * (options.timeoutMs ?? defaultTimeoutMs)
  const late = () => new ApiError(0, `${options.method ?? 'GET'} ${path} did not end within ${totalMs / 1_000} s`)
  const limit = withDeadline(undefined, totalMs, late)
  // Decoded as it arrives: the bytes of a long list need not be in memory beside its text.
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of responseBody(server, path, options, security, limit)) {
    text += decoder.decode(chunk, { stream: true })
    bytes += chunk.length
    if (bytes > maxBytes) throw new ApiError(0, `the answer to ${path} has more than ${maxBytes} bytes`)
  }
  return text + decoder.decode()
}

/** The response line by line, each as soon as it arrives. */
export async function* requestLines(
  server: string,
  path: string,
  options: RequestOptions,
  security: https.RequestOptions,
): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of responseBody(server, path, options, security)) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = parts.pop()!
    yield* parts.filter((part) => part !== '')
  }
}

/**
 * The body of a successful response, as it arrives. When the options' signal aborts, it ends without an error; when
 * `limit` aborts, it fails with its reason.
 */
async function* responseBody(
  server: string,
  path: string,
  options: RequestOptions,
  security: https.RequestOptions,
  limit?: AbortSignal,
): AsyncGenerator<Buffer> {
  const url = new URL(server.replace(/\/$/, '') + path)
  for (const [key, value] of Object.entries(options.query ?? {})) url.searchParams.set(key, value)
  try {
    const signals = [options.signal, limit].filter((each) => each !== undefined)
    const response = await sendRequest(url, { ...options, signal: AbortSignal.any(signals) }, security)
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) {
      options.onOpen?.()
      return void (yield* response as AsyncIterable<Buffer>)
    }
    const chunks = await Array.fromAsync(response as AsyncIterable<Buffer>)
    const retryAfterMs = parseRetryAfter(response.headers['retry-after'])
    throw refusal(status, `${options.method ?? 'GET'} ${url.pathname}`, Buffer.concat(chunks).toString(), retryAfterMs)
  } catch (error) {
    if (options.signal?.aborted) return
    if (limit?.aborted) throw limit.reason as Error
    if (error instanceof ApiError) throw error
    const { proxy } = (security.agent ?? {}) as { proxy?: URL }
    const { cause, remedy } = noAnswerFault(url, error as NodeJS.ErrnoException, proxy)
    throw new ApiError(0, cause, [], remedy)
  }
}

/**
 * Resolves with the head of the response. The request fails after `timeoutMs` of silence, also in the middle of the
 * body.
 */
function sendRequest(
  url: URL,
  { method = 'GET', timeoutMs = defaultTimeoutMs, limit, ...options }: RequestOptions,
  security: https.RequestOptions,
): Promise<http.IncomingMessage> {
  const body = options.body === undefined ? undefined : JSON.stringify(options.body)
  const headers = {
    ...(security.headers as http.OutgoingHttpHeaders | undefined),
    accept: 'application/json, */*',
    ...(options.type ? { 'content-type': options.type } : {}),
    ...options.headers,
    ...contentLength(body),
  }
  const ending = options.signal ? { signal: options.signal } : {}
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(
      url,
      { ...security, ...ending, method, headers, timeout: timeoutMs },
      resolve,
    )
    request.on('error', reject)
    request.on('timeout', () =>
      request.destroy(
        Object.assign(new Error(), {
          code: `no answer within ${timeoutMs / 1000} s${limit === undefined ? '' : `, \`${limit}\``}`,
        }),
      ),
    )
    request.end(body)
  })
}

/** Node.js sets the length of a PATCH body itself, but not that of a DELETE body. */
function contentLength(body: string | undefined): http.OutgoingHttpHeaders {
  return body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
}
