// One comment on the pull request of a run, which later runs replace.
import type { GithubRun } from './github-run.ts'
import { persistently, type Octokit } from './octokit.ts'

/** The pull request of the event; of a push, the one that it merged, unless that came from a fork. */
export async function findPullRequest(octokit: Octokit, run: GithubRun): Promise<number | undefined> {
  const { owner, repo, sha, event, pullRequest } = run
  if (pullRequest !== undefined || event !== 'push') return pullRequest
  const { data } = await persistently(() =>
    octokit.rest.repos.listPullRequestsAssociatedWithCommit({ owner, repo, commit_sha: sha }),
  )
  const found = data.find(
    ({ merge_commit_sha: merged, head, base }) =>
      (merged === sha || head.sha === sha) &&
      (head.repo as unknown as { full_name: string } | null)?.full_name === base.repo.full_name,
  )
  return found?.number
}

/** `marker`: how the body begins. @throws the API's error */
export async function writeComment(
  octokit: Octokit,
  { owner, repo }: GithubRun,
  pullRequest: number,
  marker: string,
  body: string,
): Promise<void> {
  const found = await findOwn(octokit, { owner, repo, issue_number: pullRequest }, marker)
  // Not repeated after an error: GitHub may have written the comment nevertheless.
  if (found === undefined) await octokit.rest.issues.createComment({ owner, repo, issue_number: pullRequest, body })
  else await persistently(() => octokit.rest.issues.updateComment({ owner, repo, comment_id: found, body }))
}

/** A comment of somebody else with the same marker stays as it is. */
async function findOwn(
  octokit: Octokit,
  where: { owner: string; repo: string; issue_number: number },
  marker: string,
): Promise<number | undefined> {
  const { viewer } = await persistently(() =>
    octokit.graphql<{ viewer: { login: string } }>('query { viewer { login } }'),
  )
  const pages = octokit.paginate.iterator(octokit.rest.issues.listComments, { ...where, per_page: 100 })
  for await (const { data } of pages) {
    const own = data.find(({ body, user }) => body?.startsWith(marker) && user?.login === viewer.login)
    if (own) return own.id
  }
  return undefined
}
