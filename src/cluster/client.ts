// The verbs of the API server that the program uses, as plain REST calls: the generated calls of the typed client
// cannot read through the pod proxy.
import { ApiError, isNotFound } from './api-error.ts'
import { discoveryOf, kindOf, pathOf, type Kind, type KubeObject } from './objects.ts'
import { createRateLimiter } from './rate-limiter.ts'
import { readPages, type Snapshot } from './pages.ts'
import { neededFields } from './needed-fields.ts'
import { cachedCredentials, type ApiAccess } from './credentials.ts'
import { requester, requestLines, type Limits, type RequestOptions } from './request.ts'

export const fieldManager = 'mesh-canary'

/** One event of a watch; the object of an ERROR is a Status. */
export type WatchEvent =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: KubeObject }
  | { type: 'ERROR'; object: { code?: number; message?: string } }
export type Selection = { labelSelector?: string; fieldSelector?: string }

/** The server sends a bookmark about once a minute; a watch that is silent for so long is broken. */
const silenceMs = 90_000

/** A right on objects of a namespace, or on the one of that name. `group`: the empty text for Kubernetes' core. */
export type Right = {
  verb: string
  group: string
  resource: string
  subresource?: string
  name?: string
}

export type PatchOperation = { op: 'test' | 'replace' | 'add' | 'remove'; path: string; value?: unknown }
/** Every verb rejects with ApiError. */
export type Cluster = {
  server: string
  /** At most so many of the requests that can wait: lists, counters, logs and server-side applies. */
  requestsPerSecond?: number
  /**
   * The same server for what must not be late, such as a promotion and its guard: only counters, logs and Services wait
   * for their turn. Undefined if this is it already.
   */
  urgent?: Cluster
  get<T extends KubeObject>(kind: Kind, namespace: string | undefined, name: string): Promise<T | undefined>
  list<T extends KubeObject>(kind: Kind, namespace?: string, query?: Selection): Promise<T[]>
  /** Whether the API server has the kind. Every account may ask that. */
  serves(kind: Kind): Promise<boolean>
  /** A list, and the version from which a watch continues. */
  snapshot<T extends KubeObject>(kind: Kind, namespace: string | undefined, query: Selection): Promise<Snapshot<T>>
  /**
   * The changes since a version, as they arrive, until the server ends the watch or `signal` aborts. `onOpen`: called when
   * the server has accepted it.
   */
  changes(
    kind: Kind,
    namespace: string | undefined,
    query: Selection,
    version: string,
    signal: AbortSignal,
    onOpen?: () => void,
  ): AsyncIterable<WatchEvent>
  /** ApiError 409 when the object exists already. */
  create<T extends KubeObject>(object: T): Promise<T>
  /**
   * Server-side apply; `force` takes over the fields of other managers; `dryRun` changes nothing and resolves to the
   * result. `manager`: the field manager, ours by default.
   */
  apply<T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean, manager?: string): Promise<T>
  /**
   * JSON Patch. With `test` operations the server refuses it (status 422) after a change in between. `within`: fewer
   * attempts and a shorter timeout, for an urgent write.
   */
  patch<T extends KubeObject>(
    kind: Kind,
    namespace: string | undefined,
    name: string,
    operations: PatchOperation[],
    within?: { attempts: number; timeoutMs: number },
  ): Promise<T>
  merge<T extends KubeObject>(kind: Kind, namespace: string | undefined, name: string, body: object): Promise<T>
  /** Resolves to whether the object existed. With a `uid`, removes only that object (else ApiError 409). */
  remove(kind: Kind, namespace: string | undefined, name: string, uid?: string): Promise<boolean>
  /** Evicts the pod with this uid; false if a PodDisruptionBudget forbids it now. */
  evict(namespace: string, name: string, uid: string | undefined): Promise<boolean>
  /** Whether this account has the right; every account may ask. */
  isAllowed(right: Right & { namespace: string }): Promise<boolean>
  /** A GET to a port of a pod, through the API server. */
  pod(
    namespace: string,
    name: string,
    port: number,
    path: string,
    timeoutMs?: number,
    headers?: Record<string, string>,
  ): Promise<string>
  /** A GET to a port of a Service, through the API server. */
  service(namespace: string, name: string, port: number, path: string, timeoutMs: number): Promise<string>
  log(namespace: string, pod: string, container: string, lines: number, previous?: boolean): Promise<string>
  /** The server's version, such as `v1.37.2`; the cheapest proof that it answers. */
  version(): Promise<string>
}

export function createClient(
  connection: ApiAccess,
  limits: Limits = { request: 15_000, credentials: 30_000 },
): Cluster {
  const credentials = cachedCredentials(connection, limits.credentials)
  const limiter = createRateLimiter({ requestsPerSecond: limits.requestsPerSecond })
  const ask = requester(connection, credentials, limits.request, limiter)
  const cluster = (askJson: AskJson): Cluster => ({
    server: connection.server,
    ...(limits.requestsPerSecond === undefined ? {} : { requestsPerSecond: limits.requestsPerSecond }),
    ...reads(askJson),
    changes: watcher(connection, credentials),
    ...writes(askJson),
    ...proxies(ask),
    version: async () => (await askJson<{ gitVersion: string }>('/version')).gitVersion,
  })
  const askJson: AskJson = async <T>(path: string, options?: RequestOptions) =>
    parsed(connection.server, path, await ask(path, options)) as T
  return { ...cluster(askJson), urgent: cluster((path, options) => askJson(path, { ...options, canWait: false })) }
}

/** See Cluster. */
export function urgent(cluster: Cluster): Cluster {
  return cluster.urgent ?? cluster
}

type Ask = (path: string, options?: RequestOptions) => Promise<string>
type AskJson = <T>(path: string, options?: RequestOptions) => Promise<T>

function reads(askJson: AskJson): Pick<Cluster, 'get' | 'list' | 'serves' | 'snapshot'> {
  const snapshot = <T extends KubeObject>(kind: Kind, namespace: string | undefined, query: Selection) =>
    readPages<T>(askJson, kind, pathOf(kind, namespace), query)
  return {
    get: (kind, namespace, name) => askJson<never>(pathOf(kind, namespace, name)).catch(absent),
    list: async <T extends KubeObject>(kind: Kind, namespace?: string, query: Selection = {}) =>
      (await snapshot<T>(kind, namespace, query)).items,
    serves: async (kind) => {
      const { path, name } = discoveryOf(kind)
      const found = await askJson<{ resources: { name: string }[] }>(path).catch(absent)
      return found?.resources.some((each) => each.name === name) ?? false
    },
    snapshot,
  }
}

function watcher(connection: ApiAccess, credentials: ReturnType<typeof cachedCredentials>): Cluster['changes'] {
  return async function* (kind, namespace, selection, version, signal, onOpen) {
    const query = {
      ...selection,
      watch: 'true',
      resourceVersion: version,
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
    }
    const path = pathOf(kind, namespace)
    const options = { query, timeoutMs: silenceMs, signal, ...(onOpen ? { onOpen } : {}) }
    for await (const line of requestLines(connection.server, path, options, await credentials()))
      yield withNeededFields(kind, parsed(connection.server, path, line) as WatchEvent)
  }
}

type Writes = Pick<Cluster, 'create' | 'apply' | 'patch' | 'merge' | 'remove' | 'evict' | 'isAllowed'>

function writes(askJson: AskJson): Writes {
  const query = { fieldManager }
  const kindFor = (object: KubeObject) => kindOf(object) ?? (object.kind as Kind)
  return {
    create: (object) =>
      askJson(pathOf(kindFor(object), object.metadata.namespace), {
        method: 'POST',
        type: 'application/json',
        query,
        body: object,
      }),
    apply: (object, force = false, dryRun = false, manager = fieldManager) =>
      askJson(pathOf(kindFor(object), object.metadata.namespace, object.metadata.name), {
        method: 'PATCH',
        type: 'application/apply-patch+yaml',
        query: { fieldManager: manager, force: String(force), ...(dryRun ? { dryRun: 'All' } : {}) },
        body: object,
        canWait: true,
      }),
    patch: (kind, namespace, name, operations, within) =>
      askJson(pathOf(kind, namespace, name), {
        ...within,
        method: 'PATCH',
        type: 'application/json-patch+json',
        query,
        body: operations,
      }),
    merge: (kind, namespace, name, body) =>
      askJson(pathOf(kind, namespace, name), { method: 'PATCH', type: 'application/merge-patch+json', query, body }),
    remove: async (kind, namespace, name, uid) => {
      const body = { propagationPolicy: 'Background', ...(uid === undefined ? {} : { preconditions: { uid } }) }
      const request = { method: 'DELETE', type: 'application/json', body } as const
      return (await askJson(pathOf(kind, namespace, name), request).catch(absent)) !== undefined
    },
    evict: async (namespace, name, uid) => {
      const options = uid === undefined ? {} : { deleteOptions: { preconditions: { uid } } }
      const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace }, ...options }
      const request = { method: 'POST', type: 'application/json', body, attempts: 1, is429FromTarget: true } as const
      return askJson(`${pathOf('Pod', namespace, name)}/eviction`, request).then(
        () => true,
        (error: unknown) => {
          // 429 is a budget's answer; 404 and 409 are those of a pod that is gone or was replaced.
          if (error instanceof ApiError && [404, 409, 429].includes(error.status)) return false
          throw error
        },
      )
    },
    isAllowed: async (right) => {
      const body = {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: right },
      }
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
      const request = { method: 'POST', type: 'application/json', body } as const
      return (await askJson<{ status?: { allowed?: boolean } }>(path, request)).status?.allowed === true
    },
  }
}

/** A pod may answer without end. */
const podMaxBytes = 64 * 1024 * 1024

/** Pods and Services behind the API server, and logs. */
function proxies(ask: Ask): Pick<Cluster, 'pod' | 'service' | 'log'> {
  const askProxy = (path: string, timeoutMs: number, options: RequestOptions) =>
    ask(path, {
      attempts: 1,
      timeoutMs,
      totalMs: 3 * timeoutMs,
      maxBytes: podMaxBytes,
      canWait: true,
      waitMs: timeoutMs,
      ...options,
    })
  return {
    pod: (namespace, name, port, path, timeoutMs = 5_000, headers = {}) =>
      askProxy(`${pathOf('Pod', namespace)}/${name}:${port}/proxy${path}`, timeoutMs, {
        headers,
        // The port for statistics of a sidecar never answers 429 itself.
        is429FromTarget: port !== 15090,
      }),
    service: (namespace, name, port, path, timeoutMs) =>
      askProxy(`${pathOf('Service', namespace)}/${name}:${port}/proxy${path}`, timeoutMs, { is429FromTarget: true }),
    log: (namespace, pod, container, lines, previous = false) =>
      ask(`${pathOf('Pod', namespace, pod)}/log`, {
        query: { container, tailLines: String(lines), previous: String(previous) },
        attempts: 2,
        totalMs: 20_000,
        canWait: true,
      }),
  }
}

/** The object of an ERROR is a Status, and that of a BOOKMARK has nothing but a version: a pod without containers. */
function withNeededFields(kind: Kind, event: WatchEvent): WatchEvent {
  if (event.type === 'ERROR' || event.type === 'BOOKMARK') return event
  return { ...event, object: neededFields(kind, event.object) }
}

function absent(error: unknown): undefined {
  if (isNotFound(error)) return undefined
  throw error
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
