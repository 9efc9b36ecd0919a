// HTTP requests to the API server: credentials, retries, timeouts, and bodies as text or as lines.
import http from 'node:http'
import https from 'node:https'
import { messageOf } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'
import { ApiError, refusal } from './api-error.ts'
import type { Connection } from './connect.ts'
import { credentialsProblem } from './credentials-problem.ts'

/** As much of a Connection as requests need. */
export type ApiAccess = Pick<Connection, 'server'> & {
  config: Pick<Connection['config'], 'applyToHTTPSOptions' | 'getCurrentCluster'> &
    Partial<Pick<Connection['config'], 'getCurrentUser'>>
}

/** How long a request, and a program that makes credentials, may take, in milliseconds. */
export type Limits = { request: number; credentials: number }

/** `limit`: the config key of `timeoutMs`, for the error. */
export type RequestOptions = {
  method?: string
  query?: Record<string, string>
  body?: unknown
  type?: string
  attempts?: number
  timeoutMs?: number
  limit?: string
  signal?: AbortSignal
}

/** Sends a request, again when the server did not answer or is busy. */
export function requester(connection: ApiAccess, credentials: Cached<https.RequestOptions>, timeoutMs: number) {
  return async (path: string, given: RequestOptions = {}): Promise<string> => {
    const options: RequestOptions =
      given.timeoutMs === undefined ? { ...given, timeoutMs, limit: 'limits.request' } : given
    const { attempts = 5 } = options
    let isRenewed = attempts === 1
    const request = async (): Promise<string> => {
      const security = await credentials()
      try {
        return await requestText(connection.server, path, options, security)
      } catch (error) {
        if (isRenewed || !(error instanceof ApiError && error.status === 401)) throw error
        // The token may have expired early: new credentials are tried, once.
        isRenewed = true
        credentials.expire()
        return request()
      }
    }
    return retry(request, { attempts, firstDelayMs: 200, isTransient })
  }
}

/** The server did not answer, or is busy. */
function isTransient(error: unknown): boolean {
  return error instanceof ApiError && [0, 429, 500, 502, 503, 504].includes(error.status)
}

/** Certificates and headers, with a keep-alive agent of our own unless the kubeconfig names a proxy. */
async function credentialsOf({ config, server }: ApiAccess, limitMs: number): Promise<https.RequestOptions> {
  const options: https.RequestOptions = {}
  const limit = withTimeout(undefined, limitMs, 'the program that makes them', 'limits.credentials')
  await unlessAborted(config.applyToHTTPSOptions(options), limit).catch((error: unknown) => {
    const problem = limit.aborted ? messageOf(error) : credentialsProblem(config.getCurrentUser?.() ?? null, error)
    throw new ApiError(401, `cannot get the kubeconfig's credentials: ${problem}`)
  })
  if (config.getCurrentCluster()?.proxyUrl === undefined) {
    const { ca, cert, key, rejectUnauthorized, servername } = options
    const tls = Object.fromEntries(
      Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(([, value]) => value !== undefined),
    )
    options.agent = server.startsWith('https:')
      ? new https.Agent({ ...tls, keepAlive: true })
      : new http.Agent({ keepAlive: true })
  }
  return options
}

export type Cached<T> = (() => Promise<T>) & { expire: () => void }

function cachedFor<T>(ms: number, make: () => Promise<T>): Cached<T> {
  let made: Promise<T> | undefined
  let until = 0
  const get = () => {
    if (!made || Date.now() > until) {
      made = make()
      // After a failure the next request tries again.
      made.catch(() => (made = undefined))
      until = Date.now() + ms
    }
    return made
  }
  return Object.assign(get, { expire: () => void (made = undefined) })
}

async function requestText(
  server: string,
  path: string,
  options: RequestOptions,
  security: https.RequestOptions,
): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of responseBody(server, path, options, security)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
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

/** The body of a successful response, as it arrives. When `signal` aborts, it ends without an error. */
async function* responseBody(
  server: string,
  path: string,
  options: RequestOptions,
  security: https.RequestOptions,
): AsyncGenerator<Buffer> {
  const url = new URL(server.replace(/\/$/, '') + path)
  for (const [key, value] of Object.entries(options.query ?? {})) url.searchParams.set(key, value)
  try {
    const response = await sendRequest(url, options, security)
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return void (yield* response as AsyncIterable<Buffer>)
    const chunks = await Array.fromAsync(response as AsyncIterable<Buffer>)
    throw refusal(status, `${options.method ?? 'GET'} ${url.pathname}`, Buffer.concat(chunks).toString())
  } catch (error) {
    if (options.signal?.aborted) return
    if (error instanceof ApiError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw new ApiError(0, `the API server ${url.origin} does not answer (${code ?? message})`)
  }
}

/**
 * Resolves with the head of the response. The request fails after `timeoutMs` of silence, also in the middle of the
 * body.
 */
function sendRequest(
  url: URL,
  { method = 'GET', timeoutMs = 15_000, limit, ...options }: RequestOptions,
  security: https.RequestOptions,
): Promise<http.IncomingMessage> {
  const body = options.body === undefined ? undefined : JSON.stringify(options.body)
  const headers = {
    ...(security.headers as http.OutgoingHttpHeaders | undefined),
    accept: 'application/json, */*',
    ...(options.type ? { 'content-type': options.type } : {}),
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

/** The credentials for the requests, cached because making them may start a program. */
export function cachedCredentials(connection: ApiAccess, limitMs: number): Cached<https.RequestOptions> {
  return cachedFor(60_000, () => credentialsOf(connection, limitMs))
}
