// The GitHub Deployment of a promotion: created when it begins, and told how it ended.
import type { Report } from '../report/report.ts'
import { cutText } from '../report/cut-text.ts'
import type { GithubRun } from './github-run.ts'
import type { Github } from './octokit.ts'

/** So many deployments of a config are looked at, the newest first: a page of GitHub's API. */
const mostDeployments = 100
const longestDescription = 140
/** How the description of a held promotion begins. The run that continues it finds it by that. */
const heldPrefix = 'held: '

/** `id`: which config, namespace and cluster it is of (see `reportId`). */
export type DeploymentTarget = { run: GithubRun; environment: string; id: string; logUrl?: string | undefined }
export type DeploymentStatus = {
  state: 'in_progress' | 'success' | 'failure' | 'inactive'
  description: string
  environmentUrl?: string | undefined
}

/**
 * Creates a deployment that is in progress, or goes on with the one that an earlier run of this commit has held.
 * `onId`: called with its number before it has a status.
 * @throws the API's error
 */
export async function startDeployment(
  github: Github,
  target: DeploymentTarget,
  onId: (id: number) => void,
): Promise<number> {
  const { deployments } = await ownDeployments(github, target, target.run.sha)
  const [latest] = deployments
  const isHeld = latest?.state === 'IN_PROGRESS' && latest.description.startsWith(heldPrefix)
  const id = isHeld ? latest.id : await create(github, target)
  onId(id)
  const description = isHeld ? 'The promotion goes on' : 'The promotion begins'
  await setStatus(github, target, id, { state: 'in_progress', description })
  return id
}

/** Not repeated after an error: GitHub may have created it nevertheless. */
async function create({ octokit }: Github, { run, environment, id }: DeploymentTarget): Promise<number> {
  const { owner, repo, sha } = run
  const { data } = await octokit.rest.repos.createDeployment({
    owner,
    repo,
    ref: sha,
    task: taskOf(id),
    environment,
    production_environment: environment === 'production',
    description: 'A canary, promoted by evidence',
    auto_merge: false,
    required_contexts: [],
  })
  if (!('id' in data)) throw new Error(data.message ?? 'GitHub has created no deployment')
  return data.id
}

/** GitHub lists deployments by task, so those of other configs do not count. */
const taskOf = (id: string) => `mesh-canary:${id}`

/** `state`: as GraphQL names it; undefined if it has no status. `saidAt`: when it got that. Times are of GitHub's clock, in milliseconds. */
type Deployment = {
  id: number
  createdAt: number
  state: string | undefined
  description: string
  saidAt: number
}
type LatestStatus = { state: string; description: string | null; createdAt: string }
type Nodes = { nodes: ({ databaseId: number; latestStatus: LatestStatus | null } | null)[] }
const statusQuery = `query ($ids: [ID!]!) {
  nodes(ids: $ids) { ... on Deployment { databaseId latestStatus { state description createdAt } } }
}`

/** The newest deployments first; `sha`: of this commit alone. `now`: by GitHub's clock. */
async function ownDeployments(
  { octokit, persistently }: Github,
  { run: { owner, repo }, environment, id }: DeploymentTarget,
  sha?: string,
): Promise<{ deployments: Deployment[]; now: number }> {
  const asked = { owner, repo, task: taskOf(id), environment, per_page: mostDeployments }
  const { data, headers } = await persistently(() =>
    octokit.rest.repos.listDeployments({ ...asked, ...(sha === undefined ? {} : { sha }) }),
  )
  const now = Date.parse(headers.date ?? '') || Date.now()
  if (data.length === 0) return { deployments: [], now }
  const ids = data.map(({ node_id: node }) => node)
  // One request for all of them, because each of them would need its own otherwise.
  const { nodes } = await persistently(() => octokit.graphql<Nodes>(statusQuery, { ids }))
  const statuses = new Map(nodes.flatMap((node) => (node ? [[node.databaseId, node.latestStatus]] : [])))
  const deployments = data.map(({ id, created_at: created }) => {
    const { state, description, createdAt = '' } = statuses.get(id) ?? {}
    return { id, createdAt: Date.parse(created), state, description: description ?? '', saidAt: Date.parse(createdAt) }
  })
  return { deployments, now }
}

/** @throws the API's error */
export async function setStatus(
  { octokit, persistently }: Github,
  { run: { owner, repo }, logUrl }: Pick<DeploymentTarget, 'run' | 'logUrl'>,
  id: number,
  { state, description, environmentUrl }: DeploymentStatus,
): Promise<void> {
  await persistently(() =>
    octokit.rest.repos.createDeploymentStatus({
      owner,
      repo,
      deployment_id: id,
      state,
      description: cutText(description, longestDescription),
      ...(logUrl === undefined ? {} : { log_url: logUrl }),
      ...(environmentUrl === undefined ? {} : { environment_url: environmentUrl }),
      // GitHub would do it for the deployments of other configs, too, and never for the production environment.
      auto_inactive: false,
    }),
  )
}

/**
 * How the promotion ended. A run that fails after its canary was promoted has failed, as its step says. Of several canaries, those that
 * had nothing to promote do not count beside those that were promoted.
 */
export function endStatus({ verdict, reason = '', outcome, error = '', promotions }: Report): DeploymentStatus {
  const why = error.split('\n')[0] || reason || 'the run failed'
  if (outcome === 'failure' || verdict === undefined || verdict === 'rolled-back' || verdict === 'inconclusive')
    return { state: 'failure', description: verdict === undefined ? why : `${verdict}: ${reason || why}` }
  if (verdict === 'held') return { state: 'in_progress', description: `${heldPrefix}${reason}` }
  const promoted = promotions.find((each) => each.verdict === 'promoted')
  if (verdict === 'promoted' || promoted) return { state: 'success', description: promoted?.reason ?? reason }
  return { state: 'inactive', description: `nothing to promote: ${reason}` }
}

/** Clocks and their seconds are rounded. */
const toleranceMs = 2_000

/**
 * The deployments whose traffic has gone elsewhere. Each of them is looked at, because a run that had nothing to promote leaves the one
 * before it as it is. `at`: when the traffic moved, by this machine's clock. `by`: the deployment that has replaced them. `isLate`: a
 * later promotion has said so before, and nothing is replaced.
 * @throws the API's error
 */
export async function replacedDeployments(
  github: Github,
  target: DeploymentTarget,
  { at, by }: { at: number; by?: number | undefined },
): Promise<{ ids: number[]; isLate: boolean }> {
  const { deployments, now } = await ownDeployments(github, target)
  const moved = now - (Date.now() - at) + toleranceMs
  const others = deployments.filter(({ id }) => id !== by)
  const active = others.filter(({ state }) => state === 'SUCCESS')
  const isLate = by !== undefined && active.some(({ saidAt }) => saidAt > moved)
  // One that is newer may be of a run that has only begun.
  const isOlder = ({ id, createdAt }: Deployment) => (by === undefined ? createdAt <= moved : id < by)
  const open = others.filter((each) => (each.state === undefined || each.state === 'IN_PROGRESS') && isOlder(each))
  const replaced = [...active.filter(({ saidAt }) => saidAt <= moved), ...open]
  return { ids: isLate ? [] : replaced.map(({ id }) => id), isLate }
}
