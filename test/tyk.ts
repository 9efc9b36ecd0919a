// A stand-in for Tyk's gateway, which cannot be had here: the part of its gateway API and of its proxy that the section `edge`
// uses, as Tyk's documentation describes it. No line of Tyk runs in it.
// `node test/tyk.ts SECRET` prints its address.
import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Definition = {
  api_id: string
  name: string
  active: boolean
  config_data?: object
  domain?: string
  use_keyless: boolean
  proxy: { listen_path: string; strip_listen_path: boolean; target_url: string; preserve_host_header?: boolean }
  response_processors?: { name: string }[]
  version_data: { versions: Record<string, { global_response_headers?: Record<string, string> }> }
}

/**
 * `stored`: what was written. `loaded`: what it serves and shows, since the last reload; only that can be changed.
 * `refusedReloads`: so many reloads fail first. `refusesWrites`: as if a Dashboard owned its definitions. `load`: what a
 * reload does.
 */
export type TykStandIn = {
  url: string
  server: Server
  stored: Map<string, Definition>
  loaded: Definition[]
  refusedReloads: number
  refusesWrites: boolean
  load: () => void
}

/** The only key that it knows. */
export const tykKey = 'key-of-a-user'

/**
 * `reloadMs`: how long after a reload it serves what was written. `caches`: it answers a request that it knows with the
 * body and the headers of the application from before, and its own headers of now. `resets`: it closes so many
 * connections without an answer.
 */
export type TykOptions = { reloadMs?: number; caches?: boolean; resets?: number }

type Cached = { status: number; headers: IncomingMessage['headers']; body: string }

export async function startTyk(secret: string, options: TykOptions = {}): Promise<TykStandIn> {
  const stored: TykStandIn['stored'] = new Map()
  const load = () => void (standIn.loaded = [...stored.values()].map((each) => structuredClone(each)))
  const faults = { refusedReloads: 0, refusesWrites: false }
  const standIn: TykStandIn = { url: '', server: createServer(), stored, loaded: [], ...faults, load }
  const cache = options.caches ? new Map<string, Cached>() : undefined
  let { resets = 0 } = options
  standIn.server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    if (resets-- > 0) return void incoming.socket.destroy()
    const { pathname } = new URL(incoming.url ?? '/', 'http://localhost')
    if (!pathname.startsWith('/tyk/')) return proxy(standIn.loaded, incoming, response, cache)
    void read(incoming).then((text) => {
      if (incoming.headers['x-tyk-authorization'] !== secret)
        return send(response, 403, {
          status: 'error',
          message: 'Attempted administrative access with invalid or missing key!',
        })
      answer(standIn, incoming.method ?? 'GET', pathname, text, response, options)
    })
  })
  standIn.server.listen(0, '127.0.0.1')
  await once(standIn.server, 'listening')
  standIn.url = `http://127.0.0.1:${(standIn.server.address() as AddressInfo).port}`
  return standIn
}

function answer(
  standIn: TykStandIn,
  method: string,
  path: string,
  text: string,
  response: ServerResponse,
  { reloadMs }: TykOptions,
): void {
  const { stored, loaded, load } = standIn
  if (path === '/tyk/reload/group') {
    if (standIn.refusedReloads-- > 0) return send(response, 500, { status: 'error', message: 'no Redis' })
    if (reloadMs === undefined) load()
    else setTimeout(load, reloadMs).unref()
    return send(response, 200, { status: 'ok', message: '' })
  }
  if (path === '/tyk/apis' && method === 'GET') return send(response, 200, loaded)
  if (standIn.refusesWrites) return send(response, 500, { status: 'error', message: 'use the Dashboard API' })
  const id = /^\/tyk\/apis\/([^/]+)$/.exec(path)?.[1] ?? ''
  const written = ['POST', 'PUT'].includes(method) ? (JSON.parse(text) as Definition) : undefined
  if (path === '/tyk/apis' && written) {
    stored.set(written.api_id, written)
    return send(response, 200, { key: written.api_id, status: 'ok', action: 'added' })
  }
  const found = loaded.find((each) => each.api_id === id)
  if (!found) return send(response, 404, { status: 'error', message: 'API not found' })
  if (method === 'GET') return send(response, 200, found)
  if (written) {
    if (written.api_id !== id)
      return send(response, 400, { status: 'error', message: 'Request APIID does not match that in Definition!' })
    stored.set(id, written)
    return send(response, 200, { key: id, status: 'ok', action: 'modified' })
  }
  stored.delete(id)
  send(response, 200, { key: id, status: 'ok', action: 'deleted' })
}

/** What users get. */
function proxy(
  loaded: Definition[],
  incoming: IncomingMessage,
  response: ServerResponse,
  cache?: Map<string, Cached>,
): void {
  const { pathname } = new URL(incoming.url ?? '/', 'http://localhost')
  const host = (incoming.headers.host ?? '').replace(/:\d+$/, '')
  const isFor = ({ active, domain = '', proxy }: Definition) =>
    active && (domain === '' || domain === host) && pathname.startsWith(proxy.listen_path)
  const found = loaded.find(isFor)
  if (!found) return send(response, 404, 'Not Found')
  const { use_keyless: isOpen, proxy: settings } = found
  if (!isOpen && incoming.headers.authorization !== tykKey) {
    const isMissing = incoming.headers.authorization === undefined
    return send(response, isMissing ? 401 : 403, {
      error: isMissing ? 'Authorization field missing' : 'Access to this API has been disallowed',
    })
  }
  const kept = cache?.get(incoming.url ?? '')
  if (kept) return void response.writeHead(kept.status, { ...kept.headers, ...headersOf(found) }).end(kept.body)
  const rest = settings.strip_listen_path ? pathname.slice(settings.listen_path.length) : pathname
  const target = new URL(settings.target_url)
  const path = `${target.pathname.replace(/\/$/, '')}/${rest.replace(/^\//, '')}`
  const headers = { ...incoming.headers, host: settings.preserve_host_header ? incoming.headers.host : target.host }
  const call = request(
    { host: target.hostname, port: target.port || 80, path, method: incoming.method, headers },
    (upstream) => {
      const { statusCode: status = 500, headers } = upstream
      if (cache) void read(upstream).then((body) => cache.set(incoming.url ?? '', { status, headers, body }))
      response.writeHead(upstream.statusCode ?? 500, { ...upstream.headers, ...headersOf(found) })
      upstream.pipe(response)
    },
  )
  call.on('error', () => send(response, 500, { error: 'There was a problem proxying the request' }))
  incoming.pipe(call)
}

function headersOf({
  response_processors: processors = [],
  version_data: { versions },
}: Definition): Record<string, string> {
  const isOn = processors.some(({ name }) => name === 'header_injector')
  return isOn ? (versions['Default']?.global_response_headers ?? {}) : {}
}

async function read(incoming: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of incoming) text += String(chunk)
  return text
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

if (import.meta.main) console.log((await startTyk(process.argv[2] ?? '')).url)
