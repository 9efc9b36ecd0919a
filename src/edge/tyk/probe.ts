// One request through Tyk, which shows whether users get through it, and through an Envoy behind it, to an application.
import { randomUUID } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { poll } from '../../runtime/retry.ts'
import { probeHeader } from './definition.ts'

/** `mark`: of the API definition that has to answer. `host`: what the request names as its host. */
export type ProbeRequest = {
  url: string
  path: string
  host: string
  mark: string | undefined
  key: string | undefined
}

/** What came back. `problem`: why nothing did. */
export type ProbeAnswer = { status: number; headers: Record<string, unknown> } | { problem: string }

export type ProbeResult = { ok: boolean; text: string }

const timeoutMs = 10_000

/** Again until it succeeds or the time is over: Tyk takes a moment to reload. */
export function probeTyk(asked: ProbeRequest, limits: { limitMs: number; signal: AbortSignal }): Promise<ProbeResult> {
  const attempt = async () => judge(asked, await ask(asked, limits.signal))
  return poll(attempt, ({ ok }) => ok, { ...limits, intervalMs: 1_000 })
}

function ask({ url, path, host, key }: ProbeRequest, signal: AbortSignal): Promise<ProbeAnswer> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest
  const headers = { host, ...(key === undefined ? {} : { authorization: key }) }
  return new Promise((resolve) => {
    // Another one each time, because Tyk may keep answers.
    const call = request(
      `${url}${path}?mesh-canary=${randomUUID()}`,
      { headers, agent: false, timeout: timeoutMs, signal },
      (response) => {
        response.destroy()
        resolve({ status: response.statusCode ?? 0, headers: response.headers })
      },
    )
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    call.on('error', (error: NodeJS.ErrnoException) => resolve({ problem: error.code ?? error.message }))
    call.end()
  })
}

/** Tyk marks the answers of our definition, and Envoy says how long the application took. Pure. */
export function judge({ url, path, host, mark, key }: ProbeRequest, answer: ProbeAnswer): ProbeResult {
  const failed = (text: string): ProbeResult => ({ ok: false, text })
  if ('problem' in answer) return failed(`nothing answers at ${url} (${answer.problem})`)
  const { status, headers } = answer
  const isThroughTyk = mark !== undefined && headers[probeHeader] === mark
  const isFromApp = headers['x-envoy-upstream-service-time'] !== undefined
  const asked = `GET ${path} for ${host} through ${url}: ${status}`
  if (isThroughTyk && isFromApp)
    return { ok: status < 400, text: `${asked}, from an application behind this API of Tyk and an Envoy` }
  if (isFromApp) return failed(`${asked}, from an application, but not through this API of Tyk as it is now`)
  if (status === 401 || status === 403)
    return failed(
      `${asked}: Tyk refuses the request; ${key === undefined ? 'set `edge.tyk.probe.key` to a key for this API' : 'the key has no access to this API'}`,
    )
  if (status === 404 && headers['server'] === 'istio-envoy')
    return failed(`${asked}: the ingress gateway has no route for the host ${host}; compare it with \`expose\``)
  // Envoy's own answer.
  if (status >= 500 && headers['server'] === 'istio-envoy')
    return failed(`${asked}: the ingress gateway answers, but reaches no ready pod of the application`)
  if (status >= 500) return failed(`${asked}: Tyk does not reach the ingress gateway at \`edge.tyk.target\``)
  return failed(`${asked}, and nothing shows that the answer came through Tyk and the ingress gateway`)
}
