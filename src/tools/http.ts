// Sends requests to release mirrors and their indexes: through the runner's proxy, with few redirects, and never from
// https to http.
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { HttpClient } from '@actions/http-client'
import { ConfigError } from '../config/error.ts'
import { proxyFor } from '../runtime/proxy.ts'
import { retry } from '../runtime/retry.ts'
import { unlessAborted } from '../runtime/timeout.ts'
import { tlsFault } from '../runtime/tls-fault.ts'

/** `address`: where the last redirect led, without credentials. */
export type Answer = { status: number; headers: IncomingHttpHeaders; body: IncomingMessage; address: string }

/** A response with an unexpected status. */
export class StatusError extends Error {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  constructor(status: number, address: string, headers: IncomingHttpHeaders, body: string) {
    super(`HTTP ${status} of ${address}`)
    this.status = status
    this.headers = headers
    this.body = body
  }
}

const redirectStatuses = [301, 302, 303, 307, 308]
const maxRedirects = 5
const idleTimeoutMs = 30_000

/**
 * Sends a GET request. `key`: the setting that error messages name. The credentials in the address and an
 * `authorization` header go only to the address's own origin. This follows redirects itself, because the library knows
 * no relative ones and treats another port of the same host as the same origin.
 * @throws StatusError for an answer that is neither 200 nor 206, ConfigError for a redirect that must not be followed.
 */
export async function get(
  address: string,
  key: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Answer> {
  const first = new URL(address)
  let url = first
  for (let followed = 0; ; followed++) {
    const sent =
      url.origin === first.origin ? { ...basicCredentials(first), ...headers } : without(headers, 'authorization')
    const answer = await getOnce(url, sent, signal)
    const location = answer.headers.location
    if (!redirectStatuses.includes(answer.status) || location === undefined) return expectContent(answer)
    answer.body.destroy()
    if (followed === maxRedirects)
      throw new ConfigError(
        `${key}: ${withoutCredentials(address)} redirects more than ${maxRedirects} times, ` +
          `finally to ${withoutCredentials(location)}; give the final address`,
      )
    url = redirectTarget(url, location, key)
  }
}

/** @throws ConfigError if the redirect leads to no http or https address, or from https to http. */
function redirectTarget(from: URL, location: string, key: string): URL {
  const shown = withoutCredentials(from.href)
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  if (!target || !/^https?:$/.test(target.protocol))
    throw new ConfigError(
      `${key}: ${shown} redirects to ${withoutCredentials(location)}, which is no http or https address; ` +
        `check the mirror's address`,
    )
  if (from.protocol === 'https:' && target.protocol === 'http:')
    throw new ConfigError(
      `${key}: ${shown} redirects from https to ${withoutCredentials(target.href)}, ` +
        'where anybody on the way could change the file; the redirect was not followed. Give another mirror',
    )
  return target
}

async function getOnce(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted()
  const address = withoutCredentials(url.href)
  const message = await unlessAborted(send(new URL(address), headers, signal), signal)
  message.setTimeout(idleTimeoutMs, () => message.destroy(silence()))
  return { status: message.statusCode ?? 0, headers: message.headers, body: message, address }
}

const silence = () => new Error(`the server sent nothing for ${idleTimeoutMs / 1000} s`)

/** Resolves with the head of the response. The library knows no networks in NO_PROXY, so it only makes the agent. */
function send(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
  const proxy = proxyFor(url, process.env)
  const agent = proxy === undefined ? {} : { agent: new HttpClient().getAgent(url.href) }
  const options = { headers: { 'user-agent': 'mesh-canary', ...headers }, timeout: idleTimeoutMs, signal, ...agent }
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).get(url, options, resolve)
    request.on('timeout', () => request.destroy(silence()))
    request.on('error', (error) => reject(proxy === undefined ? error : throughProxy(error, proxy)))
  })
}

/** `error` may come from the proxy or from the server behind it. */
function throughProxy(error: Error, proxy: string): Error {
  const reason = error.message.replace(/^tunneling socket could not be established, /, '')
  return new Error(`through the proxy ${withoutCredentials(proxy)}: ${reason}`, { cause: error })
}

async function expectContent(answer: Answer): Promise<Answer> {
  if (answer.status === 200 || answer.status === 206) return answer
  throw new StatusError(answer.status, answer.address, answer.headers, await bodyText(answer).catch(() => ''))
}

/** Reads the whole body. @throws Error if it is longer than `maxBytes`. */
export async function bodyText({ body, address }: Answer, maxBytes = 1 << 20): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if ((size += chunk.length) > maxBytes) throw new Error(`${address} answers more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** The address without user name and password, for messages. */
export function withoutCredentials(address: string): string {
  return address.replace(/^(\w+:\/\/)[^/?#]*@/, '$1')
}

function basicCredentials({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  return { authorization: `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}` }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // The text has a percent sign that encodes nothing.
    return text
  }
}

function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([each]) => each.toLowerCase() !== name))
}

/** `progress` returns a number that grows, such as the bytes received. When it has grown, the attempts start over. */
export function retryRequest<T>(
  request: () => Promise<T>,
  signal: AbortSignal,
  firstDelayMs: number,
  progress: () => number = () => 0,
): Promise<T> {
  return retry(request, {
    attempts: 4,
    firstDelayMs,
    // A server may request a delay of an hour, but no run waits that long.
    longestDelayMs: 60_000,
    isTransient,
    requestedDelayMs: retryAfterMs,
    progress,
    signal,
  })
}

/** A busy or failing server and a broken connection may recover. A forbidden or missing file does not. */
function isTransient(error: unknown): boolean {
  if (error instanceof ConfigError) return false
  return !(error instanceof StatusError) || error.status >= 500 || error.status === 429 || error.status === 408
}

/** Servers send seconds. HTTP also allows a date, but none of them uses it. */
function retryAfterMs(error: unknown): number {
  const seconds = error instanceof StatusError ? Number(error.headers['retry-after'] ?? 0) : 0
  return Number.isFinite(seconds) ? seconds * 1000 : 0
}

/** The reason in a few words: the status of an answer, the code of a system error, or the message. */
export function reasonOf(error: unknown): string {
  if (error instanceof StatusError) return `HTTP ${error.status}`
  if (!(error instanceof Error)) return String(error)
  const trust = "set NODE_EXTRA_CA_CERTS to a file with that CA, in the job's environment"
  const fault = tlsFault(error.cause instanceof Error ? error.cause : error, trust)
  return fault ? `${fault.cause}: ${fault.remedy}` : ((error as NodeJS.ErrnoException).code ?? error.message)
}
