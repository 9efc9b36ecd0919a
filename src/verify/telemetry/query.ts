// Asks a program that keeps telemetry: at an address, or as a Service through the API server.
import type { Cluster } from '../../cluster/client.ts'
import { parseServicePort, type QueryServer } from '../../config/observability.ts'
import { fetchFailure, messageOf } from '../../runtime/errors.ts'

const timeoutMs = 10_000

/** A GET of a path. Rejects with a sentence that names the server and the cause. */
export type Query = (path: string) => Promise<string>

/** `token`: a bearer token, for an address. */
export function queryOf(cluster: Cluster, program: string, server: QueryServer, token?: string): Query {
  return async (path) => {
    try {
      return 'service' in server
        ? await askService(cluster, server.service, path)
        : await askAddress(server.address, path, token)
    } catch (error) {
      throw failureOf(program, server, error)
    }
  }
}

/** One sentence that names the server and the cause. */
export function failureOf(program: string, server: QueryServer, error: unknown): Error {
  const name = 'service' in server ? `service ${server.service}` : server.address
  return new Error(`${program} (${name}): ${messageOf(error)}`)
}

function askService(cluster: Cluster, address: string, path: string): Promise<string> {
  const { namespace, name, port } = parseServicePort(address)
  return cluster.service(namespace, name, port, path, timeoutMs)
}

async function askAddress(address: string, path: string, token: string | undefined): Promise<string> {
  const response = await fetch(`${address}${path}`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Error(`no answer (${fetchFailure(error)})`)
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`HTTP ${response.status} ${text.slice(0, 200).trim()}`)
  return text
}

/** @throws Error that says who should have answered in JSON. */
export function parseJson(text: string, program: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new Error(`the answer does not come from ${program}; check the address`)
  }
}
