// Requests to release mirrors and their indexes: through the runner's proxy, with few redirects, none of them downwards.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { HttpClient } from '@actions/http-client'
import { ConfigError } from '../config/error.ts'

export type Answer = { status: number; headers: IncomingHttpHeaders; body: IncomingMessage; address: string }

/** An answer that is not the one hoped for. */
export class StatusError extends Error {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly said: string
  constructor(status: number, address: string, headers: IncomingHttpHeaders, said: string) {
    super(`HTTP ${status} of ${address}`)
    this.status = status
    this.headers = headers
    this.said = said
  }
}

const redirects = [301, 302, 303, 307, 308]
const mostRedirects = 5
/** A connection that says nothing for so long is broken. */
const silenceMs = 30_000

/**
 * GET. The name and password of an address, and an `authorization` given, go to its own origin alone; redirects are followed here because
 * the library knows no relative ones and takes another port for the same host.
 * @throws StatusError for an answer that is neither 200 nor 206, and a ConfigError for redirects that are not followed.
 */
export async function ask(
  address: string,
  key: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Answer> {
  const first = new URL(address)
  let url = first
  for (let followed = 0; ; followed++) {
    const answer = await get(
      url,
      url.origin === first.origin ? { ...credentials(first), ...headers } : without(headers, 'authorization'),
      signal,
    )
    const to = answer.headers.location
    if (!redirects.includes(answer.status) || to === undefined) return expectContent(answer)
    answer.body.destroy()
    if (followed === mostRedirects)
      throw new ConfigError(
        `${key}: ${bare(address)} redirects more than ${mostRedirects} times, at last to ${bare(to)}; give the address that it should end at`,
      )
    const next = URL.canParse(to, url.href) ? new URL(to, url) : undefined
    if (!next || !/^https?:$/.test(next.protocol))
      throw new ConfigError(`${key}: ${bare(url.href)} redirects to ${bare(to)}, which is no http or https address`)
    if (url.protocol === 'https:' && next.protocol === 'http:')
      throw new ConfigError(
        `${key}: ${bare(url.href)} redirects from https to ${bare(next.href)}, which anybody on the way could change; it is not followed`,
      )
    url = next
  }
}

async function get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted()
  const client = new HttpClient('mesh-canary', [], {
    allowRedirects: false,
    allowRetries: false,
    socketTimeout: silenceMs,
  })
  const { message } = await unlessAborted(client.get(bare(url.href), headers), signal)
  message.setTimeout(silenceMs, () => message.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)))
  return { status: message.statusCode ?? 0, headers: message.headers, body: message, address: bare(url.href) }
}

async function expectContent(answer: Answer): Promise<Answer> {
  if (answer.status === 200 || answer.status === 206) return answer
  throw new StatusError(answer.status, answer.address, answer.headers, await text(answer).catch(() => ''))
}

/** The body of an answer that should be short. */
export async function text({ body, address }: Answer, most = 1 << 20): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if ((size += chunk.length) > most) throw new Error(`${address} answers more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** An address as it may be shown: without name and password. */
export function bare(address: string): string {
  return address.replace(/^(\w+:\/\/)[^/?#]*@/, '$1')
}

function credentials({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  return { authorization: `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}` }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A bare per cent sign.
    return text
  }
}

function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([each]) => each.toLowerCase() !== name))
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>()
  const end = () => ended.reject(signal.reason as Error)
  signal.addEventListener('abort', end, { once: true })
  return Promise.race([work, ended.promise]).finally(() => signal.removeEventListener('abort', end))
}

const tries = 4
const longestWaitMs = 60_000

/**
 * Tries again what may pass: a server that fails or is busy, and a broken connection; what it forbids or does not have stays so.
 * `progress` grows while there is some, and then the count begins anew.
 */
export async function patiently<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  backOffMs: number,
  progress: () => number = () => 0,
): Promise<T> {
  let reached = 0
  for (let failed = 0; ; ) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      failed = progress() > reached ? 1 : failed + 1
      reached = Math.max(reached, progress())
      if (!mayPass(error) || failed === tries) throw error
      const waitMs = Math.max(backOffMs * 2 ** (failed - 1), retryAfterMs(error))
      // Who asks for an hour is not waited for.
      if (waitMs > longestWaitMs) throw error
      await sleep(waitMs, undefined, { signal })
    }
  }
}

function mayPass(error: unknown): boolean {
  if (error instanceof ConfigError) return false
  return !(error instanceof StatusError) || error.status >= 500 || error.status === 429 || error.status === 408
}

/** Seconds, as busy servers say them; the other form, a date, is not in use for this. */
function retryAfterMs(error: unknown): number {
  const seconds = error instanceof StatusError ? Number(error.headers['retry-after'] ?? 0) : 0
  return Number.isFinite(seconds) ? seconds * 1000 : 0
}

/** The code of a system's error, the status of a server's, or what else is said. */
export function reasonOf(error: unknown): string {
  if (error instanceof StatusError) return `HTTP ${error.status}`
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error)
}

/** The work, ended with this error when it takes longer. */
export async function inTime<T>(
  signal: AbortSignal,
  limitMs: number,
  error: () => ConfigError,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(error()), limitMs)
  return work(AbortSignal.any([signal, late.signal])).finally(() => clearTimeout(timer))
}
