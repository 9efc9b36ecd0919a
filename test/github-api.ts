// A stand-in for the part of GitHub's API that comments and deployments use, as its documentation describes it. It keeps what
// it is told, and refuses what the token may not do.
// `node test/github-api.ts JSON`, where JSON is a `GithubApiOptions`, prints the address for GITHUB_API_URL. `GET /state`
// returns a `GithubState`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

type Permission = 'pull-requests' | 'deployments'
type User = { login: string }
type Comment = { id: number; issue: number; user: User; body: string }
type Deployment = {
  id: number
  node_id: string
  sha: string
  task: string
  environment: string
  created_at: string
  payload: unknown
  statuses: Status[]
}
type Status = {
  state: string
  description: string
  environment_url?: string
  log_url?: string
  auto_inactive?: boolean
}
type Pull = {
  number: number
  merged_at: string | null
  merge_commit_sha: string | null
  head: object
  base: object
}

export type GithubApiOptions = {
  token: string
  /** What the token may write. */
  permissions: Permission[]
  comments?: Comment[]
  /** By commit. */
  pulls?: Record<string, Pull[]>
  /** How many requests fail with status 502 before GitHub works. */
  outages?: number
  /** Once it has so many deployments, or statuses of them, every request fails with status 502. */
  outageAfterDeployments?: number
  outageAfterStatuses?: number
  /** By how much its clock is ahead of this machine's. */
  clockAheadMs?: number
  /** It answers nothing, or nothing about deployments. */
  isHanging?: boolean | 'deployments'
  /** How many statuses and comments it refuses first. */
  limited?: number
  /** What it says then, and for how many seconds to wait. */
  limit?: { status: number; message: string; seconds?: number }
}

export type GithubState = { comments: Comment[]; deployments: Deployment[]; requests: string[] }

/** Whose comments the token writes. */
export const botLogin = 'github-actions[bot]'

type Answer = { status: number; body: unknown; headers?: Record<string, string> }
type Request = { method: string; path: string; query: URLSearchParams; body: Record<string, unknown> }
type Route = { method: string; path: RegExp; needs?: Permission; answer: (request: Request, parts: string[]) => Answer }

const ok = (body: unknown): Answer => ({ status: 200, body })
const created = (body: unknown): Answer => ({ status: 201, body })
const invalid = (message: string): Answer => ({ status: 422, body: { message } })

function routes(state: GithubState, { pulls = {}, clockAheadMs }: GithubApiOptions): Route[] {
  let lastId = 100
  const find = (id: string | undefined) => state.deployments.find((each) => each.id === Number(id))
  return [
    {
      method: 'POST',
      path: /^\/api\/graphql$/,
      answer: ({ body }) => {
        const { ids } = (body['variables'] ?? {}) as { ids?: string[] }
        if (!ids) return ok({ data: { viewer: { login: botLogin } } })
        return ok({ data: { nodes: ids.map((id) => statusNode(state.deployments, id)) } })
      },
    },
    {
      method: 'GET',
      path: /^\/repos\/[\w-]+\/[\w-]+\/commits\/(\w+)\/pulls$/,
      needs: 'pull-requests',
      answer: (_, [sha = '']) => ok(pulls[sha] ?? []),
    },
    {
      method: 'GET',
      path: /^\/repos\/[\w-]+\/[\w-]+\/issues\/(\d+)\/comments$/,
      needs: 'pull-requests',
      answer: (request, [issue]) =>
        page(
          request,
          state.comments.filter((each) => each.issue === Number(issue)),
        ),
    },
    {
      method: 'POST',
      path: /^\/repos\/[\w-]+\/[\w-]+\/issues\/(\d+)\/comments$/,
      needs: 'pull-requests',
      answer: ({ body }, [issue]) => {
        if (String(body['body']).length > 65_536) return invalid('Body is too long (maximum is 65536 characters)')
        const comment = { id: ++lastId, issue: Number(issue), user: { login: botLogin }, body: String(body['body']) }
        state.comments.push(comment)
        return created(comment)
      },
    },
    {
      method: 'PATCH',
      path: /^\/repos\/[\w-]+\/[\w-]+\/issues\/comments\/(\d+)$/,
      needs: 'pull-requests',
      answer: ({ body }, [id]) => {
        const comment = state.comments.find((each) => each.id === Number(id))
        return comment ? ok(Object.assign(comment, { body: String(body['body']) })) : { status: 404, body: {} }
      },
    },
    {
      method: 'DELETE',
      path: /^\/repos\/[\w-]+\/[\w-]+\/issues\/comments\/(\d+)$/,
      needs: 'pull-requests',
      answer: (_, [id]) => {
        const i = state.comments.findIndex((each) => each.id === Number(id))
        state.comments.splice(i, 1)
        return { status: 204, body: undefined }
      },
    },
    {
      method: 'GET',
      path: /^\/repos\/[\w-]+\/[\w-]+\/deployments$/,
      needs: 'deployments',
      answer: (request) => page(request, state.deployments.filter((each) => isAsked(each, request.query)).reverse()),
    },
    {
      method: 'POST',
      path: /^\/repos\/[\w-]+\/[\w-]+\/deployments$/,
      needs: 'deployments',
      answer: ({ body }) => {
        const { ref, task, environment, payload = '' } = body as unknown as Deployment & { ref?: string }
        if (!ref) return invalid('ref is missing')
        const id = ++lastId
        const createdAt = timeOf(clockAheadMs).toISOString().replace(/\.\d+/, '')
        const names = { sha: ref, task, environment, payload }
        state.deployments.push({ id, node_id: `node-${id}`, ...names, created_at: createdAt, statuses: [] })
        return created(state.deployments.at(-1))
      },
    },
    {
      method: 'POST',
      path: /^\/repos\/[\w-]+\/[\w-]+\/deployments\/(\d+)\/statuses$/,
      needs: 'deployments',
      answer: ({ body }, [id]) => {
        const states = ['error', 'failure', 'inactive', 'in_progress', 'queued', 'pending', 'success']
        const status = body as unknown as Status
        if (!states.includes(status.state)) return invalid('state is not a known one')
        if (status.description.length > 140) return invalid('description is too long')
        find(id)?.statuses.push(status)
        return created(status)
      },
    },
  ]
}

function timeOf(aheadMs = 0): Date {
  return new Date(Date.now() + aheadMs)
}

/** As GraphQL shows a deployment. */
function statusNode(deployments: Deployment[], node: string) {
  const { id, statuses } = deployments.find(({ node_id: each }) => each === node)!
  const last = statuses.at(-1)
  const latestStatus = last ? { state: last.state.toUpperCase(), description: last.description } : null
  return { databaseId: id, latestStatus }
}

function isAsked({ sha, task, environment }: Deployment, query: URLSearchParams): boolean {
  return Object.entries({ sha, task, environment }).every(([name, value]) => [null, value].includes(query.get(name)))
}

/** Like GitHub, names the next page in the header `link`. */
function page({ path, query }: Request, all: unknown[]): Answer {
  const [size, number] = [Number(query.get('per_page') ?? 30), Number(query.get('page') ?? 1)]
  const next = `<http://${query.get('host')}/api/v3${path}?per_page=${size}&page=${number + 1}>; rel="next"`
  return {
    ...ok(all.slice((number - 1) * size, number * size)),
    ...(number * size < all.length ? { headers: { link: next } } : {}),
  }
}

function answer(
  request: Request,
  authorization: string,
  known: Route[],
  { token, permissions }: GithubApiOptions,
): Answer {
  if (authorization !== `token ${token}`) return { status: 401, body: { message: 'Bad credentials' } }
  for (const { method, path, needs, answer } of known) {
    const [found, ...parts] = path.exec(request.path) ?? []
    if (found === undefined || method !== request.method) continue
    if (needs === undefined || permissions.includes(needs)) return answer(request, parts)
    return { status: 403, body: { message: 'Resource not accessible by integration' } }
  }
  return { status: 404, body: { message: 'Not Found' } }
}

/** `breakDown` begins an outage, and `recover` ends every one. */
export type GithubApi = {
  address: string
  state: GithubState
  server: Server
  breakDown: () => void
  recover: () => void
}

/** Serves as GitHub Enterprise Server does, under /api/v3. */
export async function startGithubApi(options: GithubApiOptions): Promise<GithubApi> {
  const state: GithubState = { comments: [...(options.comments ?? [])], deployments: [], requests: [] }
  const known = routes(state, options)
  let { outages = 0, limited = 0 } = options
  let fault: GithubApiOptions = options
  const server = createServer((incoming, response) => {
    void read(incoming).then((body) => {
      const { pathname, searchParams: query } = new URL(incoming.url ?? '/', 'http://localhost')
      if (pathname === '/state') return send(response, ok(state))
      query.set('host', incoming.headers.host ?? '')
      const [method, path] = [incoming.method ?? 'GET', pathname.replace(/^\/api\/v3/, '')]
      state.requests.push(`${method} ${path}`)
      if (fault.isHanging === true || (fault.isHanging && path.includes('/deployments'))) return
      if (method === 'POST' && /(statuses|comments)$/.test(path) && limited-- > 0)
        return send(response, limitAnswer(options))
      if (outages-- > 0 || isDown(state, fault)) return send(response, { status: 502, body: {} })
      const request = { method, path, query, body: body === '' ? {} : (JSON.parse(body) as Request['body']) }
      const answered = answer(request, incoming.headers.authorization ?? '', known, options)
      const date = timeOf(options.clockAheadMs).toUTCString()
      send(response, { ...answered, headers: { date, ...answered.headers } })
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const breakDown = () => {
    outages = Infinity
  }
  const recover = () => {
    outages = 0
    limited = 0
    fault = { token: options.token, permissions: options.permissions }
  }
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v3`,
    state,
    server,
    breakDown,
    recover,
  }
}

function isDown(
  { deployments }: GithubState,
  { outageAfterDeployments = Infinity, outageAfterStatuses = Infinity }: GithubApiOptions,
): boolean {
  const statuses = deployments.reduce((sum, each) => sum + each.statuses.length, 0)
  return deployments.length >= outageAfterDeployments || statuses >= outageAfterStatuses
}

function limitAnswer({ limit = { status: 429, message: 'Too many requests' } }: GithubApiOptions): Answer {
  const { status, message, seconds } = limit
  return { status, body: { message }, headers: seconds === undefined ? {} : { 'retry-after': `${seconds}` } }
}

async function read(incoming: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of incoming) text += String(chunk)
  return text
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(body === undefined ? undefined : JSON.stringify(body))
}

if (import.meta.main)
  console.log((await startGithubApi(JSON.parse(process.argv[2] ?? '{}') as GithubApiOptions)).address)
