// Grafana's HTTP API: https://grafana.com/docs/grafana/latest/developers/http_api/
import { fetchFailure } from '../../runtime/errors.ts'
import { jsonOrUndefined } from '../../runtime/parse-json.ts'

/** `url` may have a path, such as https://example.com/grafana. `token`: of a service account. */
export type GrafanaServer = { url: string; token: string }

/** The config keys that errors name. */
const urlKey = 'observability.dashboards.grafana.url'
const tokenKey = 'observability.dashboards.grafana.token'

/** Grafana understood the request and refused it. `message`: a sentence that names the config key. */
export class GrafanaRefusal extends Error {
  override name = 'GrafanaRefusal'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Nothing is wrong with the config: Grafana, or what stands before it, does not work now. `message`: a sentence. */
export class GrafanaUnavailable extends Error {
  override name = 'GrafanaUnavailable'
}

export type GrafanaApi = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => Promise<unknown>

/** Each call rejects with one sentence that names the config key, the server, the cause and what to do. */
export function grafanaApi({ url, token }: GrafanaServer, timeoutMs: number): GrafanaApi {
  const server = shownAddress(url)
  return async (method, path, body) => {
    const response = await fetch(`${server}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'content-type': 'application/json' },
      // The token must not follow a redirect to another server.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new GrafanaUnavailable(
        `${urlKey}: ${server} does not answer (${fetchFailure(error)}); check the address and the network`,
      )
    })
    return answerOf(server, response, await textOf(server, response))
  }
}

/** The connection may break while the answer arrives. */
async function textOf(server: string, response: Response): Promise<string> {
  try {
    return await response.text()
  } catch (error) {
    throw new GrafanaUnavailable(`${urlKey}: the answer of ${server} broke off (${fetchFailure(error)}); run again`)
  }
}

function answerOf(server: string, response: Response, text: string): unknown {
  const { status } = response
  if (status >= 300 && status < 400) throw redirected(server, response)
  const answer = jsonOrUndefined(text)
  if (status >= 500)
    throw new GrafanaUnavailable(
      `${urlKey}: ${server} does not work now${said(status, answer)}; look at Grafana and at what stands before it`,
    )
  // A proxy in front of Grafana answers 401 with a page of its own.
  if (status === 401)
    throw new GrafanaRefusal(
      status,
      `${tokenKey}: ${server} does not accept it${said(status, answer)}; set a token of a Grafana service account`,
    )
  if (answer === undefined)
    throw new Error(
      `${urlKey}: ${server} answers ${kindOfText(text)} (HTTP ${status}) instead of Grafana's JSON; check the address, its path ` +
        '(such as /grafana), and whether a login page stands before it',
    )
  if (status === 403)
    throw new GrafanaRefusal(
      status,
      `${tokenKey}: it may not do that at ${server}${said(status, answer)}; give its service account the role Editor`,
    )
  if (!response.ok) throw new GrafanaRefusal(status, `${urlKey}: ${server} refuses the request${said(status, answer)}`)
  return answer
}

function redirected(server: string, { status, headers }: Response): Error {
  const location = headers.get('location') ?? ''
  const target = URL.canParse(location) ? ` to ${shownAddress(location)}` : ''
  return new Error(
    `${urlKey}: ${server} redirects${target} (HTTP ${status}) instead of answering; set the address that answers itself`,
  )
}

function kindOfText(text: string): string {
  if (text.trim() === '') return 'nothing'
  return /^\s*<(!doctype|html)/i.test(text) ? 'HTML' : 'something else'
}

function said(status: number, answer: unknown): string {
  const { message } = (answer ?? {}) as { message?: unknown }
  return ` (HTTP ${status}${typeof message === 'string' ? `: ${message.slice(0, 200)}` : ''})`
}

/** Without user name, password and query, which may be secret. */
function shownAddress(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname.replace(/\/+$/, '')}`
}
