// Where a run on GitHub belongs to: the repository, the commit, and the pull request of its event. Pure, but for the file of
// the event.
import { readFileSync } from 'node:fs'

/** `sha`: of the pull request's branch, not of GitHub's merge commit. `isFork`: the event is about a fork's branch. */
export type GithubRun = {
  apiUrl: string
  owner: string
  repo: string
  sha: string
  event: string
  pullRequest?: number
  isFork: boolean
}

type Branch = { sha?: string; repo?: { full_name?: string } | null }
type Payload = { pull_request?: { number: number; head?: Branch; base?: Branch } }

/** Or the variables that the runner always sets, and has not. */
export function githubRun(env: NodeJS.ProcessEnv): GithubRun | string[] {
  const { GITHUB_REPOSITORY: repository = '', GITHUB_SHA: sha, GITHUB_API_URL: apiUrl, GITHUB_EVENT_NAME: event } = env
  const [owner, repo] = repository.split('/')
  if (!owner || !repo || !sha || !apiUrl || !event)
    return Object.entries({
      GITHUB_REPOSITORY: owner && repo,
      GITHUB_SHA: sha,
      GITHUB_API_URL: apiUrl,
      GITHUB_EVENT_NAME: event,
    }).flatMap(([name, value]) => (value ? [] : [name]))
  const { pull_request: pull } = payloadOf(env['GITHUB_EVENT_PATH'])
  return {
    apiUrl,
    owner,
    repo,
    sha: pull?.head?.sha ?? sha,
    event,
    ...(pull === undefined ? {} : { pullRequest: pull.number }),
    // The repository of a branch is null once the fork is deleted.
    isFork: pull !== undefined && pull.head?.repo?.full_name !== pull.base?.repo?.full_name,
  }
}

function payloadOf(file: string | undefined): Payload {
  try {
    return file ? (JSON.parse(readFileSync(file, 'utf8')) as Payload) : {}
  } catch {
    return {}
  }
}
