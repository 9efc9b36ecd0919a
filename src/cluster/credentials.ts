// The credentials of the requests to the API server: made once a minute, and again when the server refuses them.
import http from 'node:http'
import https from 'node:https'
import { isDeepStrictEqual } from 'node:util'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'
import { withoutUndefined } from '../runtime/without-undefined.ts'
import { ApiError } from './api-error.ts'
import type { Connection } from './connect.ts'
import { credentialsFault } from './connection-fault.ts'

/** As much of a Connection as requests need. */
export type ApiAccess = Pick<Connection, 'server'> & {
  config: Pick<Connection['config'], 'applyToHTTPSOptions' | 'getCurrentCluster' | 'getCurrentUser'>
  /** The config with nothing remembered, read again. */
  renew?: () => ApiAccess['config']
}

/** The credentials for the requests, cached because making them may start a program. */
export function cachedCredentials(connection: ApiAccess, limitMs: number): Cached<https.RequestOptions> {
  const agentFor = keptAgent(connection.server)
  return cachedFor(
    60_000,
    () => credentialsOf(connection, limitMs, agentFor),
    () => {
      if (connection.renew) connection.config = connection.renew()
    },
  )
}

type AgentFor = (tls: https.AgentOptions) => http.Agent

/** Certificates and headers, with an agent of our own unless the kubeconfig names a proxy. */
async function credentialsOf(
  { config }: ApiAccess,
  limitMs: number,
  agentFor: AgentFor,
): Promise<https.RequestOptions> {
  const options: https.RequestOptions = {}
  const limit = withTimeout(undefined, limitMs, 'the program that makes them', 'limits.credentials')
  await unlessAborted(config.applyToHTTPSOptions(options), limit).catch((error: unknown) => {
    const { cause, remedy } = credentialsFault(config.getCurrentUser(), error, limit.aborted)
    throw new ApiError(401, cause, [], remedy)
  })
  if (config.getCurrentCluster()?.proxyUrl === undefined) {
    const { ca, cert, key, rejectUnauthorized, servername } = options
    options.agent = agentFor(withoutUndefined({ ca, cert, key, rejectUnauthorized, servername }))
  }
  const headers = options.headers as Record<string, string> | undefined
  // A token from a file ends with a line break as often as not.
  if (headers?.['Authorization'] !== undefined) headers['Authorization'] = headers['Authorization'].trim()
  return options
}

/** The same agent, and with it the same connections, as long as the certificates stay: a run may take hours. */
function keptAgent(server: string): AgentFor {
  let kept: { tls: https.AgentOptions; agent: http.Agent } | undefined
  return (tls) => {
    if (kept && isDeepStrictEqual(kept.tls, tls)) return kept.agent
    const Agent = server.startsWith('https:') ? https.Agent : http.Agent
    kept = { tls, agent: new Agent({ ...tls, keepAlive: true }) }
    return kept.agent
  }
}

/** `expire`: makes another value, unless that of `used` has been replaced already. */
export type Cached<T> = (() => Promise<T>) & { expire: (used: T) => void }

function cachedFor<T>(ms: number, make: () => Promise<T>, onExpire: () => void): Cached<T> {
  let made: Promise<T> | undefined
  let current: T | undefined
  let until = 0
  const get = () => {
    if (!made || Date.now() > until) {
      const making = make()
      made = making
      current = undefined
      until = Date.now() + ms
      making.then(
        (value) => void (current = made === making ? value : current),
        // After a failure the next request tries again.
        () => void (made = made === making ? undefined : made),
      )
    }
    return made
  }
  const expire = (used: T) => {
    if (made === undefined || used !== current) return
    made = undefined
    onExpire()
  }
  return Object.assign(get, { expire })
}
