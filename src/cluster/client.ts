// The few verbs that everything else needs, straight on the API server's REST interface: the typed client's
// generated calls cannot read through the pod proxy, and one way of asking is enough.
import http from 'node:http'
import https from 'node:https'
import { messageOf } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'
import type { Connection } from './connect.ts'
import { apiVersionOf, kindOf, pathOf, type Kind, type KubeObject } from './objects.ts'

export const fieldManager = 'mesh-canary'

/** An answer of the API server other than success; `status` 0 when there was no answer. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: number
  readonly causes: string[]
  constructor(status: number, message: string, causes: string[] = []) {
    super(message)
    this.status = status
    this.causes = causes
  }
}

/** One change that a watch tells; an ERROR has a Status for its object. */
export type WatchEvent =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: KubeObject }
  | { type: 'ERROR'; object: { code?: number; message?: string } }
export type Snapshot<T> = { items: T[]; version: string }
export type Selection = { labelSelector?: string; fieldSelector?: string }

/** The server shows a sign of life about once a minute; after this time a watch is taken for broken. */
const silenceMs = 90_000

export type PatchOperation = { op: 'test' | 'replace' | 'add' | 'remove'; path: string; value?: unknown }
/** `limit`: the setting by which `timeoutMs` can be changed. */
type Ask = {
  method?: string
  query?: Record<string, string>
  body?: unknown
  type?: string
  attempts?: number
  timeoutMs?: number
  limit?: string
  signal?: AbortSignal
}

/** @see cluster verbs: all reject with ApiError. */
export type Cluster = {
  server: string
  get<T extends KubeObject>(kind: Kind, namespace: string | undefined, name: string): Promise<T | undefined>
  list<T extends KubeObject>(kind: Kind, namespace?: string, query?: Selection): Promise<T[]>
  /** A list, and the version from which a watch goes on. */
  snapshot<T extends KubeObject>(kind: Kind, namespace: string | undefined, query: Selection): Promise<Snapshot<T>>
  /** The changes since a version, as they come, until the server ends it; `signal` ends it without an error. */
  changes(
    kind: Kind,
    namespace: string | undefined,
    query: Selection,
    version: string,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent>
  /** Creates it; ApiError 409 where it is there already. */
  create<T extends KubeObject>(object: T): Promise<T>
  /** Server-side apply with our field manager; `force` takes fields over from other managers, `dryRun` only answers what would be. */
  apply<T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean): Promise<T>
  /** JSON Patch; with `test` operations a change in between is refused with status 422. `within`: for what is soon too late. */
  patch<T extends KubeObject>(
    kind: Kind,
    namespace: string | undefined,
    name: string,
    operations: PatchOperation[],
    within?: { attempts: number; timeoutMs: number },
  ): Promise<T>
  merge<T extends KubeObject>(kind: Kind, namespace: string | undefined, name: string, body: object): Promise<T>
  /** Answers whether it was there; with a `uid`, only the object of that uid goes (else ApiError 409). */
  remove(kind: Kind, namespace: string | undefined, name: string, uid?: string): Promise<boolean>
  /** A GET to a port of a pod, through the API server. */
  pod(namespace: string, name: string, port: number, path: string, timeoutMs?: number): Promise<string>
  /** A GET to a port of a Service, through the API server. */
  service(namespace: string, name: string, port: number, path: string, timeoutMs: number): Promise<string>
  log(namespace: string, pod: string, container: string, lines: number, previous?: boolean): Promise<string>
  /** The server's version, such as `v1.37.2`; the cheapest proof that it answers. */
  version(): Promise<string>
}

/** As much of a Connection as requests need. */
export type ApiAccess = Pick<Connection, 'server'> & {
  config: Pick<Connection['config'], 'applyToHTTPSOptions' | 'getCurrentCluster'>
}

/** How long a request, and a program that makes credentials, may take, in milliseconds. */
export type Limits = { request: number; credentials: number }

export function client(connection: ApiAccess, limits: Limits = { request: 15_000, credentials: 30_000 }): Cluster {
  const credentials = freshFor(60_000, () => securityOf(connection, limits.credentials))
  const ask = asker(connection, credentials, limits.request)
  const json = async <T>(path: string, options?: Ask) => parsed(connection.server, path, await ask(path, options)) as T
  const snapshot = async <T extends KubeObject>(
    kind: Kind,
    namespace: string | undefined,
    query: Selection,
  ): Promise<Snapshot<T>> => {
    const { items, metadata } = await json<{ items: T[]; metadata?: { resourceVersion?: string } }>(
      pathOf(kind, namespace),
      { query },
    )
    // The items of a list come without their kind.
    return {
      items: items.map((item) => ({ ...item, apiVersion: apiVersionOf(kind), kind: kind.split('.')[0]! })),
      version: metadata?.resourceVersion ?? '',
    }
  }
  return {
    server: connection.server,
    get: (kind, namespace, name) => json<never>(pathOf(kind, namespace, name)).catch(absent),
    list: async <T extends KubeObject>(kind: Kind, namespace?: string, query: Selection = {}) =>
      (await snapshot<T>(kind, namespace, query)).items,
    snapshot,
    async *changes(kind: Kind, namespace: string | undefined, query: Selection, version: string, signal: AbortSignal) {
      const asked = {
        ...query,
        watch: 'true',
        resourceVersion: version,
        allowWatchBookmarks: 'true',
        timeoutSeconds: '300',
      }
      for await (const line of lines(
        connection.server,
        pathOf(kind, namespace),
        { query: asked, timeoutMs: silenceMs, signal },
        await credentials(),
      ))
        yield parsed(connection.server, pathOf(kind, namespace), line) as WatchEvent
    },
    create: (object) => {
      const kind = kindOf(object) ?? (object.kind as Kind)
      return json(pathOf(kind, object.metadata.namespace), {
        method: 'POST',
        type: 'application/json',
        query: { fieldManager },
        body: object,
      })
    },
    apply: (object, force = false, dryRun = false) =>
      json(pathOf(kindOf(object) ?? (object.kind as Kind), object.metadata.namespace, object.metadata.name), {
        method: 'PATCH',
        type: 'application/apply-patch+yaml',
        query: { fieldManager, force: String(force), ...(dryRun ? { dryRun: 'All' } : {}) },
        body: object,
      }),
    patch: (kind, namespace, name, operations, within) =>
      json(pathOf(kind, namespace, name), {
        ...within,
        method: 'PATCH',
        type: 'application/json-patch+json',
        query: { fieldManager },
        body: operations,
      }),
    merge: (kind, namespace, name, body) =>
      json(pathOf(kind, namespace, name), {
        method: 'PATCH',
        type: 'application/merge-patch+json',
        query: { fieldManager },
        body,
      }),
    remove: async (kind, namespace, name, uid) => {
      const body = { propagationPolicy: 'Background', ...(uid === undefined ? {} : { preconditions: { uid } }) }
      return (
        (await json(pathOf(kind, namespace, name), { method: 'DELETE', type: 'application/json', body }).catch(
          absent,
        )) !== undefined
      )
    },
    pod: (namespace, name, port, path, timeoutMs = 5_000) =>
      ask(`${pathOf('Pod', namespace)}/${name}:${port}/proxy${path}`, { attempts: 1, timeoutMs }),
    service: (namespace, name, port, path, timeoutMs) =>
      ask(`${pathOf('Service', namespace)}/${name}:${port}/proxy${path}`, { attempts: 1, timeoutMs }),
    log: (namespace, pod, container, lines, previous = false) =>
      ask(`${pathOf('Pod', namespace, pod)}/log`, {
        query: { container, tailLines: String(lines), previous: String(previous) },
      }),
    version: async () => (await json<{ gitVersion: string }>('/version')).gitVersion,
  }
}

function parsed(server: string, path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ApiError(
      0,
      `${server} answers ${path} with something other than JSON; check that it is the address of an API server`,
    )
  }
}

function absent(error: unknown): undefined {
  if (error instanceof ApiError && error.status === 404) return undefined
  throw error
}

/** Sends a request, again when the server did not answer or is busy. */
function asker(connection: ApiAccess, credentials: Fresh<https.RequestOptions>, timeoutMs: number) {
  return async (path: string, given: Ask = {}): Promise<string> => {
    const options: Ask = given.timeoutMs === undefined ? { ...given, timeoutMs, limit: 'limits.request' } : given
    const { attempts = 5 } = options
    let isRenewed = attempts === 1
    const request = async (): Promise<string> => {
      const security = await credentials()
      try {
        return await once(connection.server, path, options, security)
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

/** Certificates and headers; with a keep-alive agent of our own, unless the kubeconfig wants a proxy. */
async function securityOf({ config, server }: ApiAccess, limitMs: number): Promise<https.RequestOptions> {
  const options: https.RequestOptions = {}
  const limit = withTimeout(undefined, limitMs, 'the program that makes them', 'limits.credentials')
  await unlessAborted(config.applyToHTTPSOptions(options), limit).catch((error: unknown) => {
    throw new ApiError(401, `cannot get the kubeconfig's credentials: ${messageOf(error)}`)
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

type Fresh<T> = (() => Promise<T>) & { expire: () => void }

function freshFor<T>(ms: number, make: () => Promise<T>): Fresh<T> {
  let made: Promise<T> | undefined
  let until = 0
  const get = () => {
    if (!made || Date.now() > until) {
      made = make()
      // What failed is tried again by the next request.
      made.catch(() => (made = undefined))
      until = Date.now() + ms
    }
    return made
  }
  return Object.assign(get, { expire: () => void (made = undefined) })
}

async function once(server: string, path: string, options: Ask, security: https.RequestOptions): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of answerOf(server, path, options, security)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** The answer line by line, each as soon as it is there. */
async function* lines(
  server: string,
  path: string,
  options: Ask,
  security: https.RequestOptions,
): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of answerOf(server, path, options, security)) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = parts.pop()!
    yield* parts.filter((part) => part !== '')
  }
}

/** The body of a good answer, as it comes; an end that `signal` asked for is no error. */
async function* answerOf(
  server: string,
  path: string,
  options: Ask,
  security: https.RequestOptions,
): AsyncGenerator<Buffer> {
  const url = new URL(server.replace(/\/$/, '') + path)
  for (const [key, value] of Object.entries(options.query ?? {})) url.searchParams.set(key, value)
  try {
    const response = await opened(url, options, security)
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

/** Resolves with the head of the answer; a silence of `timeoutMs`, also in the middle of the body, breaks it. */
function opened(
  url: URL,
  { method = 'GET', timeoutMs = 15_000, limit, ...options }: Ask,
  security: https.RequestOptions,
): Promise<http.IncomingMessage> {
  const body = options.body === undefined ? undefined : JSON.stringify(options.body)
  const headers = {
    ...(security.headers as http.OutgoingHttpHeaders | undefined),
    accept: 'application/json, */*',
    ...(options.type ? { 'content-type': options.type } : {}),
    ...framing(body),
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

/** Node frames the body of a PATCH by itself, that of a DELETE not. */
function framing(body: string | undefined): http.OutgoingHttpHeaders {
  return body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
}

function refusal(status: number, what: string, text: string): ApiError {
  try {
    // Of a Service behind the API server some say `error`, as Prometheus does.
    const {
      error,
      message = error,
      details,
    } = JSON.parse(text) as { error?: string; message?: string; details?: { causes?: { message: string }[] } }
    return new ApiError(
      status,
      `${message ?? what} (HTTP ${status})`,
      details?.causes?.map((cause) => cause.message) ?? [],
    )
  } catch {
    return new ApiError(status, `${what}: HTTP ${status} ${text.slice(0, 200).trim()}`)
  }
}

export function emptyWhenAbsent(error: unknown): [] {
  if (error instanceof ApiError && error.status === 404) return []
  throw error
}

/** Of a kind that the cluster lacks, or that this user may not read. */
export function emptyWhenUnread(error: unknown): [] {
  return error instanceof ApiError && error.status === 403 ? [] : emptyWhenAbsent(error)
}

/** Of a write that tests what was read: somebody else wrote the object, or took it away, since. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && [404, 409, 422].includes(error.status)
}
