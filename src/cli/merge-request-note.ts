// One note on the merge request of a GitLab job, which later jobs replace. No verdict depends on it.
import { withAfterRun, type AfterRun } from '../report/after-run.ts'
import { commentBody } from '../report/comment.ts'
import { environmentUrl } from '../report/environment-url.ts'
import type { ReportFiles } from '../report/outputs.ts'
import { markerOf, replaceComment, type CommentApi } from '../report/replace-comment.ts'
import { reportId } from '../report/report-id.ts'
import type { Report } from '../report/report.ts'
import { cutText } from '../runtime/cut-text.ts'
import type { Config } from '../config/schema.ts'
import { jobName, runPage } from '../runtime/environment.ts'
import { fetchFailure } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import type { Terminal } from './terminal.ts'

/** Of one request, and of all of them. */
const timeoutMs = 10_000
const limitMs = 15_000

type Note = { id: number; body: string; system: boolean; author: { id: number } }

/** `after`: what was done about the traffic since. */
type Results = { report: Report; written: ReportFiles; after: AfterRun }

/** Never rejects. */
export async function writeNote(
  config: Config,
  { report, written, after }: Results,
  env: NodeJS.ProcessEnv,
  { info, warning }: Pick<Terminal, 'info' | 'warning'>,
): Promise<void> {
  if (config.deployment !== undefined) info('deployment: only the action on GitHub creates one')
  if (!config.comment) return
  const { CI_API_V4_URL: api, CI_PROJECT_ID: project, CI_MERGE_REQUEST_IID: number, GITLAB_TOKEN: token } = env
  if (!api || !project || !number)
    return info('comment: this run belongs to no merge request of GitLab, so there is none to comment on')
  if (isFork(env)) return info('comment: nothing for the merge request of a fork')
  if (!token)
    return warning('comment: there is no token; set the variable GITLAB_TOKEN to a token with the scope `api`')
  try {
    const marker = markerOf(reportId(config, { server: report.server, job: jobName(env) }))
    // In a pipeline of merged results, the job runs on a commit that only GitLab has.
    const commit = env['CI_MERGE_REQUEST_SOURCE_BRANCH_SHA'] || env['CI_COMMIT_SHA']
    const where = { environment: environmentUrl(config, report), commit }
    const links = { ...written, ...where, run: runPage(env) }
    const notes = `/projects/${encodeURIComponent(project)}/merge_requests/${number}/notes`
    const body = withAfterRun(commentBody(report, marker, links), after)
    const isWritten = await replaceComment(notesApi(gitlab(api, token), notes), marker, body)
    info(`comment: the merge request !${number} shows ${isWritten ? 'the' : 'a later'} result`)
  } catch (problem) {
    warning(`comment: ${fetchFailure(problem)}`)
  }
}

/** Such a job runs with the fork's variables, which hold none of ours. */
function isFork({
  CI_MERGE_REQUEST_PROJECT_ID: target,
  CI_MERGE_REQUEST_SOURCE_PROJECT_ID: source,
}: NodeJS.ProcessEnv) {
  return target !== undefined && source !== undefined && target !== source
}

/** `next`: the next page of a list; empty after the last. */
type Request = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
) => Promise<{ data: unknown; next: string }>

/**
 * Each call rejects with a sentence that says what to do. All but POST are repeated after errors of the server and of the
 * network.
 */
function gitlab(api: string, token: string): Request {
  const limit = AbortSignal.timeout(limitMs)
  const send: Request = async (method, path, body) => {
    const response = await fetch(`${api}${path}`, {
      method,
      headers: { 'private-token': token, 'content-type': 'application/json' },
      // The token must not follow a redirect to another server.
      redirect: 'error',
      signal: AbortSignal.any([limit, AbortSignal.timeout(timeoutMs)]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    // A request that is repeated may find that it was answered before.
    const isGone = method === 'DELETE' && response.status === 404
    if (!response.ok && !isGone) throw new Refusal(response.status, await response.text())
    const data: unknown = response.status === 204 || isGone ? undefined : await response.json()
    return { data, next: response.headers.get('x-next-page') ?? '' }
  }
  const isTransient = (problem: unknown) => !(problem instanceof Refusal) || problem.status >= 500
  return (method, path, body) =>
    method === 'POST'
      ? send(method, path, body)
      : retry(() => send(method, path, body), { attempts: 3, firstDelayMs: 500, isTransient, signal: limit })
}

class Refusal extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(refusal(status, text))
    this.status = status
  }
}

function refusal(status: number, text: string): string {
  if (status === 401) return 'GitLab does not accept GITLAB_TOKEN; it may have expired'
  if (status === 403 || status === 404)
    return `GITLAB_TOKEN may not do that (${status}); it needs the scope \`api\` and the role Reporter or higher in this project`
  return `GitLab answers ${status}: ${cutText(text, 200)}`
}

/** `notes`: the path of those of the merge request. */
function notesApi(request: Request, notes: string): CommentApi {
  return {
    own: (marker) => ownNotes(request, notes, marker),
    create: (body) => request('POST', notes, { body }),
    update: (id, body) => request('PUT', `${notes}/${id}`, { body }),
    remove: (id) => request('DELETE', `${notes}/${id}`),
  }
}

/** A note of somebody else with the same marker stays as it is. */
async function ownNotes(request: Request, notes: string, marker: string): Promise<Note[]> {
  const me = (await request('GET', '/user')).data as { id: number }
  const own: Note[] = []
  for (let page = '1'; page !== ''; ) {
    const { data, next } = await request('GET', `${notes}?sort=asc&per_page=100&page=${page}`)
    own.push(...(data as Note[]).filter((n) => !n.system && n.author.id === me.id && n.body.startsWith(marker)))
    page = next
  }
  return own
}
