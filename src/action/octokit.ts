// The client of GitHub's API, and what its errors mean for the workflow.
import { getOctokit } from '@actions/github'
import { messageOf } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'

/** `persistently`: again after errors of the server and of the network, and after a limit of its requests that ends soon. */
export type Github = {
  octokit: ReturnType<typeof getOctokit>
  persistently: <T>(work: () => Promise<T>) => Promise<T>
}

/** Of one request. */
const timeoutMs = 10_000

/** More than any of our signals waits. What GitHub asks to wait for longer is left to the post step at once. */
const longestDelayMs = 15_000

/** `apiUrl`: also of GitHub Enterprise Server. `signal` ends the request under way, and all that follow. */
export function connectGithub(token: string, apiUrl: string, signal: AbortSignal): Github {
  const octokit = getOctokit(token, { baseUrl: apiUrl, log: silent })
  octokit.hook.before('request', (options) => {
    options.request.signal = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  })
  return {
    octokit,
    persistently: (work) =>
      retry(work, { attempts: 3, firstDelayMs: 500, isTransient, requestedDelayMs, longestDelayMs, signal }),
  }
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** True if the same request may succeed later. Octokit reports errors of the network as status 500. */
export function isTransient(error: unknown): boolean {
  const status = statusOf(error)
  return status === undefined || status >= 500 || isRateLimit(error)
}

/** GitHub uses status 403 also for that, and says so in the message or by a header. */
function isRateLimit(error: unknown): boolean {
  const status = statusOf(error)
  const isNamed = /rate limit/i.test(messageOf(error)) || headersOf(error)['retry-after'] !== undefined
  return status === 429 || (status === 403 && isNamed)
}

/** Of a limit of requests per hour, GitHub names the end (in seconds since 1970). */
function requestedDelayMs(error: unknown): number {
  const { 'retry-after': after, 'x-ratelimit-remaining': remaining, 'x-ratelimit-reset': reset } = headersOf(error)
  if (after !== undefined) return Number(after) * 1000 || 0
  return remaining === '0' && reset !== undefined ? Number(reset) * 1000 - Date.now() || 0 : 0
}

function headersOf(error: unknown): Record<string, string | undefined> {
  return (error as { response?: { headers?: Record<string, string> } }).response?.headers ?? {}
}

function statusOf(error: unknown): number | undefined {
  return (error as { status?: number }).status
}

/** `permissions`: what the job needs for `what`, as in a workflow: `pull-requests: write`. Returns one sentence. */
export function explainGithubError(error: unknown, what: string, permissions: string): string {
  const status = statusOf(error)
  const message = messageOf(error).split('\n')[0]!
  if (status === 401) return `${what}: GitHub does not accept the token (\`github-token\`); it may have expired`
  if (isRateLimit(error)) return `${what}: the token has used up its requests to GitHub (${message})`
  if (status === 403 || status === 404)
    return (
      `${what}: the token (\`github-token\`) may not do that (${status}, ${message}); ` +
      `give the job \`permissions: { ${permissions} }\``
    )
  // What Octokit makes of an answer that is not GitHub's, such as that of a proxy before it.
  return `${what}: ${message.startsWith('Unknown error') ? `GitHub answers with status ${status}` : message}`
}
