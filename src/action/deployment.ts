// The GitHub Deployment of a promotion: created when it begins, and told how it ended.
import type { Report } from '../report/report.ts'
import type { GithubRun } from './github-run.ts'
import { persistently, type Octokit } from './octokit.ts'

/** How this program finds its own deployments again. */
const task = 'mesh-canary'
/** So many earlier deployments are looked at. */
const mostEarlier = 30

/** `config`: which config and namespace it is of. */
export type DeploymentTarget = { run: GithubRun; environment: string; config: string; logUrl: string | undefined }
type State = 'in_progress' | 'success' | 'failure' | 'inactive'
type Status = { state: State; description: string; environmentUrl?: string | undefined }

/** The id of a deployment in progress: a new one, or that of an earlier run that held its canary. @throws the API's error */
export async function startDeployment(octokit: Octokit, target: DeploymentTarget): Promise<number> {
  const { run, environment, config } = target
  const [latest] = await ownDeployments(octokit, target, run.sha)
  if (latest !== undefined && (await stateOf(octokit, run, latest)) === 'in_progress') {
    await setStatus(octokit, target, latest, { state: 'in_progress', description: 'The promotion goes on' })
    return latest
  }
  const { owner, repo, sha } = run
  // Not repeated after an error: GitHub may have created it nevertheless.
  const { data } = await octokit.rest.repos.createDeployment({
    owner,
    repo,
    ref: sha,
    task,
    environment,
    production_environment: environment === 'production',
    description: 'A canary, promoted by evidence',
    payload: { config },
    auto_merge: false,
    required_contexts: [],
  })
  if (!('id' in data)) throw new Error(data.message ?? 'GitHub has created no deployment')
  await setStatus(octokit, target, data.id, { state: 'in_progress', description: 'The promotion begins' })
  return data.id
}

/** The deployments of an environment by this config, the newest first; `sha`: of this commit alone. */
async function ownDeployments(
  octokit: Octokit,
  { run: { owner, repo }, environment, config }: DeploymentTarget,
  sha?: string,
): Promise<number[]> {
  const { data } = await persistently(() =>
    octokit.rest.repos.listDeployments({
      owner,
      repo,
      task,
      environment,
      per_page: mostEarlier,
      ...(sha === undefined ? {} : { sha }),
    }),
  )
  return data.filter(({ payload }) => configOf(payload) === config).map(({ id }) => id)
}

/** GitHub returns a payload as it got it: as JSON, or as a text with JSON in it. */
function configOf(payload: unknown): unknown {
  try {
    const value = (typeof payload === 'string' ? JSON.parse(payload) : payload) as { config?: unknown } | null
    return value?.config
  } catch {
    return undefined
  }
}

async function stateOf(octokit: Octokit, { owner, repo }: GithubRun, id: number): Promise<string | undefined> {
  const { data } = await persistently(() =>
    octokit.rest.repos.listDeploymentStatuses({ owner, repo, deployment_id: id, per_page: 1 }),
  )
  return data[0]?.state
}

/** @throws the API's error */
export async function setStatus(
  octokit: Octokit,
  { run: { owner, repo }, logUrl }: Pick<DeploymentTarget, 'run' | 'logUrl'>,
  id: number,
  { state, description, environmentUrl }: Status,
): Promise<void> {
  await persistently(() =>
    octokit.rest.repos.createDeploymentStatus({
      owner,
      repo,
      deployment_id: id,
      state,
      // GitHub takes 140 characters.
      description: description.length > 140 ? `${description.slice(0, 139)}…` : description,
      ...(logUrl === undefined ? {} : { log_url: logUrl }),
      ...(environmentUrl === undefined ? {} : { environment_url: environmentUrl }),
      // GitHub would do it for the deployments of other configs, too, and never for the production environment.
      auto_inactive: false,
    }),
  )
}

/** Says how the promotion ended. After a success, the deployments before it are inactive. @throws the API's error */
export async function endDeployment(
  octokit: Octokit,
  target: DeploymentTarget,
  id: number,
  report: Report,
  environmentUrl: string | undefined,
): Promise<void> {
  const status = endStatus(report)
  await setStatus(octokit, target, id, { ...status, environmentUrl })
  if (status.state === 'success') await deactivate(octokit, target, id, 'A later deployment has replaced it')
}

/** A run that fails after its canary was promoted has failed, as its step says. */
export function endStatus({ verdict, reason = '', outcome, error = '' }: Report): {
  state: State
  description: string
} {
  if (verdict === 'promoted' && outcome === 'success') return { state: 'success', description: reason }
  if (verdict === 'held' && outcome === 'success') return { state: 'in_progress', description: `held: ${reason}` }
  if (verdict === 'skipped' && outcome === 'success')
    return { state: 'inactive', description: `nothing to promote: ${reason}` }
  const why = error.split('\n')[0] || reason || 'the run failed'
  return { state: 'failure', description: verdict === undefined ? why : `${verdict}: ${reason || why}` }
}

/** The newest deployment that is active or under way, besides `current`, is not any more. @throws the API's error */
export async function deactivate(
  octokit: Octokit,
  target: DeploymentTarget,
  current: number | undefined,
  description: string,
): Promise<void> {
  for (const id of await ownDeployments(octokit, target)) {
    if (id === current) continue
    const state = await stateOf(octokit, target.run, id)
    if (state === 'success' || state === 'in_progress')
      await setStatus(octokit, target, id, { state: 'inactive', description })
    // Those before an inactive one became inactive before it.
    if (state === 'success' || state === 'inactive') return
  }
}
