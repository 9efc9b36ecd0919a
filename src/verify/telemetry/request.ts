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
export type Answer = { way: Way; status: number }

export function newIds(): Ids {
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

/** @throws Error if no way leads to an answer. */
export async function sendRequest(
  cluster: Cluster,
  forward: Forward,
  config: Config,
  entry: Entry,
  ids: Ids,
): Promise<Answer> {
  const { path } = config.observability!.proof
  const headers = headersOf(ids)
  const direct = await throughSidecar(cluster, entry, path, headers)
  if (direct !== undefined) return { way: 'sidecar', status: direct }
  const exposed = await throughGateway(cluster, forward, config, entry, headers)
  if (exposed !== undefined) return { way: 'gateway', status: exposed }
  return { way: 'past-sidecar', status: await pastSidecar(forward, entry, path, headers) }
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

/** The status; undefined if no gateway exposes the service, or it has no route for it. */
async function throughGateway(
  cluster: Cluster,
  forward: Forward,
  config: Config,
  { service }: Entry,
  headers: Record<string, string>,
): Promise<number | undefined> {
  const label = gatewayLabel(config, service)
  if (label === undefined) return undefined
  const host = config.expose?.[service]?.hosts.find((each) => !each.includes('*')) ?? service
  try {
    const pods = await cluster.list<Pod>('Pod', systemNamespace)
    const need = { purpose: 'requests', otherwise: 'send none' }
    const connect = await gatewayConnector(cluster, forward, label, () => pods, need)
    const status = await get(connect, config.observability!.proof.path, { ...headers, host })
    // A gateway that serves the host by TLS alone redirects; one without the route answers 404.
    return status === 404 || (status >= 300 && status < 400) ? undefined : status
  } catch {
    return undefined
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
    throw new Error(
      `the sidecar refuses plaintext, and a connection past it fails: ${messageOf(error)}; this needs the verbs get and ` +
        `create on pods/portforward in ${namespace}`,
    )
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
