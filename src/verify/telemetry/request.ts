// Sends the request of the proof, with the id of a sampled trace, through the API server: to the pod by way of its
// sidecar; where the sidecar refuses plaintext, through the gateway that exposes the service, or past the sidecar.
import { randomBytes, randomUUID } from 'node:crypto'
import http from 'node:http'
import type { Duplex } from 'node:stream'
import { ApiError } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import type { Forward } from '../../cluster/forward.ts'
import { systemNamespace, type Pod } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import { gatewayConnector } from '../../mesh/gateway-connector.ts'
import { gatewayLabel } from '../../policies/compile/names.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Entry } from './entry.ts'

/** `past-sidecar`: the pod got it, but its sidecar did not see it come. */
export type Way = 'sidecar' | 'gateway' | 'past-sidecar'
/** `traceId`: 32 hexadecimal digits. */
export type Ids = { traceId: string; requestId: string }
/** `noGateway`: why no gateway passed the request on, if it went past the sidecar. */
export type Answer = { way: Way; status: number; noGateway?: string }

function newIds(): Ids {
  return { traceId: randomBytes(16).toString('hex'), requestId: randomUUID() }
}

/** The flag `01` asks every sidecar on the way for a span, whatever share of the requests it traces. */
function headersOf({ traceId, requestId }: Ids): Record<string, string> {
  return {
    traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01`,
    'x-request-id': requestId,
    'user-agent': 'mesh-canary',
  }
}

/**
 * `isCounted`: whether a sidecar of the entry has counted a request with this status since. @returns a sentence if the
 * program cannot speak what the service speaks. @throws Error if no way leads to an answer.
 */
export async function sendRequest(
  cluster: Cluster,
  forward: Forward,
  config: Config,
  entry: Entry,
  isCounted: (status: number) => Promise<boolean>,
): Promise<(Ids & Answer) | string> {
  const { path } = config.observability!.proof
  const ids = newIds()
  const direct = await throughSidecar(cluster, entry, path, headersOf(ids))
  if (direct !== undefined) return { ...ids, way: 'sidecar', status: direct }
  const exposed = await throughGateway(cluster, forward, config, entry, headersOf(ids), isCounted)
  if (typeof exposed === 'number') return { ...ids, way: 'gateway', status: exposed }
  if (entry.isHttp2)
    return (
      `${entry.service} refuses plaintext, ${exposed}, and past its sidecar it speaks HTTP/2 or gRPC, which the proof does ` +
      'not; set `observability.proof.service` to a service with a port for HTTP/1.1, or expose this one'
    )
  // A gateway may have made a span and a log line for the ids that it got.
  const next = newIds()
  const status = await pastSidecar(forward, entry, path, headersOf(next))
  return { ...next, way: 'past-sidecar', status, noGateway: exposed }
}

const requestTimeoutMs = 15_000

/** The status; undefined if the sidecar refuses plaintext, or the account may not ask pods. */
async function throughSidecar(
  cluster: Cluster,
  { pod: { metadata }, port }: Entry,
  path: string,
  headers: Record<string, string>,
): Promise<number | undefined> {
  try {
    await cluster.pod(metadata.namespace ?? '', metadata.name, port, path, requestTimeoutMs, headers)
    return 200
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 0) throw error
    const isOfApiServer = /error trying to reach service|is forbidden: User /.test(error.message)
    return isOfApiServer ? undefined : error.status
  }
}

/** The status; a sentence if no gateway has passed the request on. */
async function throughGateway(
  cluster: Cluster,
  forward: Forward,
  config: Config,
  { service }: Entry,
  headers: Record<string, string>,
  isCounted: (status: number) => Promise<boolean>,
): Promise<number | string> {
  const label = gatewayLabel(config, service)
  if (label === undefined) return 'no gateway exposes it'
  const host = config.expose?.[service]?.hosts.find((each) => !each.includes('*')) ?? service
  const { path } = config.observability!.proof
  try {
    const pods = await cluster.list<Pod>('Pod', systemNamespace)
    const need = { purpose: 'requests', otherwise: 'send none' }
    const connect = await gatewayConnector(cluster, forward, label, () => pods, need)
    const status = await get(connect, path, { ...headers, host })
    // A gateway answers by itself to redirect to TLS, without a route, without credentials, above a limit of requests, or
    // without an endpoint. An application may answer the same.
    if (status < 300 || (await isCounted(status))) return status
    return `the gateway istio=${label} answered ${path} of ${host} with ${status} itself`
  } catch (error) {
    return `the gateway istio=${label} could not be asked (${messageOf(error)})`
  }
}

async function pastSidecar(
  forward: Forward,
  { pod: { metadata }, port }: Entry,
  path: string,
  headers: Record<string, string>,
): Promise<number> {
  const { namespace = '', name } = metadata
  try {
    return await get(() => forward(namespace, name, port), path, headers)
  } catch (error) {
    const reason = messageOf(error)
    const remedy = /\b403\b|forbidden/i.test(reason)
      ? `this needs the verbs get and create on pods/portforward in ${namespace}`
      : `check that the application speaks HTTP/1.1 at its port ${port}`
    throw new Error(`the sidecar refuses plaintext, and a request past it fails: ${reason}; ${remedy}`)
  }
}

async function get(connect: () => Promise<Duplex>, path: string, headers: Record<string, string>): Promise<number> {
  const stream = await connect()
  try {
    return await new Promise<number>((resolve, reject) => {
      const request = http.get(
        { createConnection: () => stream, path, headers: { host: 'localhost', ...headers }, timeout: requestTimeoutMs },
        (response) =>
          response
            .resume()
            .once('end', () => resolve(response.statusCode ?? 0))
            .once('error', reject),
      )
      request.once('error', reject)
      request.once('timeout', () => request.destroy(new Error(`no answer within ${requestTimeoutMs / 1_000} s`)))
    })
  } finally {
    stream.destroy()
  }
}
