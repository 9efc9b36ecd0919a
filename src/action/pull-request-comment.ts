// One comment on the pull request of a run, which later runs replace.
import { replaceComment } from '../report/replace-comment.ts'
import type { GithubRun } from './github-run.ts'
import type { Github } from './octokit.ts'

/** The pull request of the event; of a push, the one that it merged, unless that came from a fork. */
export async function findPullRequest({ octokit, persistently }: Github, run: GithubRun): Promise<number | undefined> {
  const { owner, repo, sha, event, pullRequest } = run
  if (pullRequest !== undefined || event !== 'push') return pullRequest
  const { data } = await persistently(() =>
    octokit.rest.repos.listPullRequestsAssociatedWithCommit({ owner, repo, commit_sha: sha }),
  )
  const found = data.find(
    ({ merged_at: mergedAt, merge_commit_sha: merged, head, base }) =>
      mergedAt !== null &&
      (merged === sha || head.sha === sha) &&
      (head.repo as unknown as { full_name: string } | null)?.full_name === base.repo.full_name,
  )
  return found?.number
}

/** `marker`: how the body begins. Returns false if there is one of a later result already. @throws the API's error */
export async function writeComment(
  github: Github,
  { owner, repo }: GithubRun,
  pullRequest: number,
  { marker, body }: { marker: string; body: string },
): Promise<boolean> {
  const { octokit, persistently } = github
  const where = { owner, repo, issue_number: pullRequest }
  const { createComment, updateComment, deleteComment } = octokit.rest.issues
  const api = {
    own: (marker: string) => ownComments(github, where, marker),
    create: (body: string) => createComment({ ...where, body }),
    update: (id: number, body: string) => persistently(() => updateComment({ owner, repo, comment_id: id, body })),
    remove: (id: number) => persistently(() => deleteComment({ owner, repo, comment_id: id })),
  }
  return replaceComment(api, marker, body)
}

/** A comment of somebody else with the same marker stays as it is. */
async function ownComments(
  { octokit, persistently }: Github,
  where: { owner: string; repo: string; issue_number: number },
  marker: string,
): Promise<{ id: number; body: string }[]> {
  const { viewer } = await persistently(() =>
    octokit.graphql<{ viewer: { login: string } }>('query { viewer { login } }'),
  )
  const { listComments } = octokit.rest.issues
  const all = await persistently(() => octokit.paginate(listComments, { ...where, per_page: 100 }))
  return all.flatMap(({ id, body = '', user }) =>
    body.startsWith(marker) && user?.login === viewer.login ? [{ id, body }] : [],
  )
}
