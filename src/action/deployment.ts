// The GitHub Deployment of a promotion: created when it begins, and told how it ended.
import type { Report } from '../report/report.ts'
import { cutText } from '../runtime/cut-text.ts'
import type { GithubRun } from './github-run.ts'
import type { Github } from './octokit.ts'

/** So many deployments of a config are looked at, the newest first: a page of GitHub's API. */
const deploymentLimit = 100
const descriptionLength = 140
/** How the description of a held promotion begins. The run that continues it finds it by that. */
export const heldPrefix = 'held: '
const failedPrefix = 'promoted, but the run failed: '
const nothingPrefix = 'nothing to promote: '
const skippedPrefix = 'skipped: '
const rolledBackPrefix = 'rolled back: '

/** `reportId`: which config, namespace and cluster it is of. `began`: when the run did, as ISO 8601. */
export type DeploymentTarget = {
  run: GithubRun
  environment: string
  reportId: string
  began: string
  logUrl?: string | undefined
}
export type DeploymentStatus = {
  state: 'in_progress' | 'success' | 'failure' | 'inactive'
  description: string
  environmentUrl?: string | undefined
}

/**
 * Creates a deployment that is in progress, or goes on with the one that an earlier run of this commit has held, if it is
 * the newest.
 * `onId`: called with its id before it has a status.
 * @throws the API's error
 */
export async function startDeployment(
  github: Github,
  target: DeploymentTarget,
  onId: (id: number) => void,
): Promise<void> {
  const [newest] = await ownDeployments(github, target)
  const held = newest?.sha === target.run.sha && isHeld(newest) ? newest : undefined
  const id = held ? held.id : await createDeployment(github, target)
  onId(id)
  const description = held ? 'The promotion goes on' : 'The promotion begins'
  await setStatus(github, target, id, { state: 'in_progress', description })
}

function isHeld({ state, description }: Deployment): boolean {
  return ['IN_PROGRESS', 'FAILURE'].includes(state ?? '') && description.startsWith(heldPrefix)
}

/** Its run has promoted it, or has moved traffic to it until another one made it inactive. */
export function hadTraffic({ state, description }: Deployment): boolean {
  if (state === 'INACTIVE') return !description.startsWith(nothingPrefix)
  return state === 'SUCCESS' || (state === 'FAILURE' && description.startsWith(failedPrefix))
}

/** Its run has failed, and has left no traffic on its canary. */
export function leftNoTraffic({ state, description }: Deployment): boolean {
  return state === 'FAILURE' && [skippedPrefix, rolledBackPrefix].some((prefix) => description.startsWith(prefix))
}

/**
 * Not repeated after an error: GitHub may have created it nevertheless. `payload`: of one that is created late, because
 * neither its id nor its time says when its run began.
 */
export async function createDeployment(
  { octokit }: Github,
  { run, environment, reportId }: DeploymentTarget,
  payload?: Payload,
): Promise<number> {
  const { owner, repo, sha } = run
  const { data } = await octokit.rest.repos.createDeployment({
    owner,
    repo,
    ref: sha,
    task: taskOf(reportId),
    environment,
    production_environment: environment === 'production',
    description: 'A canary, promoted by evidence',
    auto_merge: false,
    required_contexts: [],
    ...(payload === undefined ? {} : { payload }),
  })
  if (!('id' in data)) throw new Error(data.message ?? 'GitHub has created no deployment')
  return data.id
}

/** GitHub lists deployments by task, so those of other configs do not count. */
const taskOf = (reportId: string) => `mesh-canary:${reportId}`

type Payload = { began: string }

/**
 * `createdAt`: in milliseconds, by the clock of this machine. `began`: when its run did, by the clock of that one; only
 * of one that was created late. `state`: as GraphQL names it; undefined if it has no status.
 */
export type Deployment = {
  id: number
  sha: string
  createdAt: number
  began?: number
  state: string | undefined
  description: string
}
type Nodes = {
  nodes: ({ databaseId: number; latestStatus: { state: string; description: string | null } | null } | null)[]
}
const statusQuery = `query ($ids: [ID!]!) {
  nodes(ids: $ids) { ... on Deployment { databaseId latestStatus { state description } } }
}`

/** The newest deployments first. */
export async function ownDeployments(
  { octokit, persistently }: Github,
  { run: { owner, repo }, environment, reportId }: DeploymentTarget,
): Promise<Deployment[]> {
  const asked = { owner, repo, task: taskOf(reportId), environment, per_page: deploymentLimit }
  const { data, headers } = await persistently(() => octokit.rest.repos.listDeployments(asked))
  if (data.length === 0) return []
  const aheadMs = headers.date === undefined ? 0 : Date.parse(headers.date) - Date.now()
  const ids = data.map(({ node_id: node }) => node)
  // One request for all of them, because each of them would need its own otherwise.
  const { nodes } = await persistently(() => octokit.graphql<Nodes>(statusQuery, { ids }))
  const statuses = new Map(nodes.flatMap((node) => (node ? [[node.databaseId, node.latestStatus]] : [])))
  return data.map(({ id, sha, created_at: createdAt, payload }) => {
    const { state, description } = statuses.get(id) ?? {}
    const own = { id, sha, createdAt: Date.parse(createdAt) - aheadMs, state, description: description ?? '' }
    const began = Date.parse((Object(payload) as Partial<Payload>).began ?? '')
    return Number.isNaN(began) ? own : { ...own, began }
  })
}

/** @throws the API's error */
export async function setStatus(
  { octokit, persistently }: Github,
  { run: { owner, repo }, logUrl }: DeploymentTarget,
  deploymentId: number,
  { state, description, environmentUrl }: DeploymentStatus,
): Promise<void> {
  await persistently(() =>
    octokit.rest.repos.createDeploymentStatus({
      owner,
      repo,
      deployment_id: deploymentId,
      state,
      description: cutText(description, descriptionLength),
      ...(logUrl === undefined ? {} : { log_url: logUrl }),
      ...(environmentUrl === undefined ? {} : { environment_url: environmentUrl }),
      // GitHub would do it for the deployments of other configs, too, and never for the production environment.
      auto_inactive: false,
    }),
  )
}

/**
 * How the promotion ended. A run that fails after its canary was promoted has failed, as its step says. Of several
 * canaries, those that had nothing to promote do not count beside those that were promoted.
 */
export function endStatus({ verdict, reason = '', outcome, error = '', promotions }: Report): DeploymentStatus {
  const why = error.split('\n')[0] || reason || 'the run failed'
  if (outcome === 'failure' && verdict === 'promoted') return { state: 'failure', description: `${failedPrefix}${why}` }
  if (outcome === 'failure' || verdict === undefined || verdict === 'rolled-back' || verdict === 'inconclusive')
    return { state: 'failure', description: `${failurePrefix(verdict)}${verdict === undefined ? why : reason || why}` }
  if (verdict === 'held') return { state: 'in_progress', description: `${heldPrefix}${reason}` }
  const promoted = promotions.find((each) => each.verdict === 'promoted')
  if (verdict === 'promoted' || promoted) return { state: 'success', description: promoted?.reason ?? reason }
  return { state: 'inactive', description: `${nothingPrefix}${reason}` }
}

function failurePrefix(verdict: Report['verdict']): string {
  if (verdict === 'skipped') return skippedPrefix
  if (verdict === 'rolled-back') return rolledBackPrefix
  return verdict === undefined ? '' : `${verdict}: `
}
