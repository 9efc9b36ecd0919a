// Tyk's gateway API: https://tyk.io/docs/tyk-rest-api/
import { cutText } from '../../runtime/cut-text.ts'
import { fetchFailure } from '../../runtime/errors.ts'
import { jsonOrUndefined } from '../../runtime/parse-json.ts'
import { retry } from '../../runtime/retry.ts'
import type { TykDefinition } from './definition.ts'

const timeoutMs = 10_000

/** Tyk has refused to write: so all is as before. */
export class RefusedWrite extends Error {}

/** Each call rejects with one sentence that names the config key, the cause and what to do. */
export type TykApi = {
  /** What Tyk has loaded. What was written since then is not in it. */
  list: () => Promise<TykDefinition[]>
  create: (definition: TykDefinition) => Promise<void>
  replace: (definition: TykDefinition) => Promise<void>
  /** Resolves to false if Tyk has not loaded it, and so does not remove it. */
  remove: (id: string) => Promise<boolean>
  /** Tyk takes what was written only after this. */
  reload: () => Promise<void>
}

/** `key`: of the config, which has the address. */
export function tykApi(key: string, address: string, secret: string): TykApi {
  const send = (method: string, path: string, body?: object) =>
    fetch(`${address}${path}`, {
      method,
      headers: { 'x-tyk-authorization': secret, 'content-type': 'application/json' },
      // The secret must not follow a redirect to another server.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const ask = async (method: string, path: string, body?: object): Promise<Answer> => {
    // Each of these requests may be repeated, and Tyk may close an idle connection at the moment in which it is used again.
    const response = await retry(() => send(method, path, body), retries).catch((error: unknown) => {
      throw new Error(`${key}: ${address} does not answer (${fetchFailure(error)}); check the address and the network`)
    })
    return { method, status: response.status, body: jsonOrUndefined(await response.text().catch(() => '')) }
  }
  const askOrFail = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await ask(method, path, body)
    if (answer.status !== 200 || answer.body === undefined) throw refusal(key, address, answer)
    return answer.body
  }
  const one = (id: string) => `/tyk/apis/${encodeURIComponent(id)}`
  return {
    list: async () => {
      const all = await askOrFail('GET', '/tyk/apis')
      if (!Array.isArray(all)) throw new Error(`${key}: ${address} is not the gateway API of a Tyk; check the address`)
      return all as TykDefinition[]
    },
    create: async (definition) => void (await askOrFail('POST', '/tyk/apis', definition)),
    replace: async (definition) => void (await askOrFail('PUT', one(definition.api_id), definition)),
    remove: async (id) => {
      const answer = await ask('DELETE', one(id))
      if (answer.status !== 200 && answer.status !== 404) throw refusal(key, address, answer)
      return answer.status === 200
    },
    reload: async () => void (await askOrFail('GET', '/tyk/reload/group')),
  }
}

const retries = {
  attempts: 3,
  firstDelayMs: 200,
  isTransient: (error: unknown) => !(error instanceof Error && error.name === 'TimeoutError'),
}

type Answer = { method: string; status: number; body: unknown }

function refusal(key: string, address: string, { method, status, body }: Answer): Error {
  const { message } = (body ?? {}) as { message?: unknown }
  const said = typeof message === 'string' ? `: ${cutText(message, 200)}` : ''
  // A proxy before Tyk answers with 502 or more, and does not know what Tyk has done.
  const Refusal = method === 'GET' || status === 200 || status >= 502 ? Error : RefusedWrite
  if (status === 401 || status === 403)
    return new Refusal(
      `edge.tyk.secret: ${address} does not accept the secret (HTTP ${status}${said}); set the \`secret\` of Tyk's configuration`,
    )
  return new Refusal(
    `${key}: ${address} refuses (HTTP ${status}${said}); check the address, and whether a Tyk Dashboard owns its API definitions`,
  )
}
