// What a run tells GitHub besides its outputs: the comment on its pull request, and its Deployment. No verdict depends on
// either: what is not possible becomes a warning.
import * as core from '@actions/core'
import { stagesOf } from '../config/stages.ts'
import type { Config } from '../config/schema.ts'
import { commentBody, markerOf } from '../report/comment.ts'
import { environmentUrl } from '../report/environment-url.ts'
import type { ReportFiles } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { runName } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import type { DeploymentTarget } from './deployment.ts'
import { githubRun, type GithubRun } from './github-run.ts'
import type { Octokit } from './octokit.ts'

/** None of its methods rejects. */
export type GithubReporting = { end: (report: Report, files: ReportFiles) => Promise<void> }

const none: GithubReporting = { end: () => Promise.resolve() }

/** What the post step needs to end the deployment of a run that died. */
export type OpenDeployment = { run: GithubRun; environment: string; config: string; id: number }

const deploymentState = 'deployment'

/** Everything of GitHub's API is loaded only for runs that ask for it. */
export async function startReporting(config: Config, env: NodeJS.ProcessEnv): Promise<GithubReporting> {
  const asked = [...(config.comment ? ['comment'] : []), ...(config.deployment === undefined ? [] : ['deployment'])]
  if (asked.length === 0) return none
  const run = githubRun(env)
  const obstacle = obstacleTo(config, run, asked.join(', '))
  if (obstacle) {
    ;(obstacle.isQuiet ? core.info : warn)(obstacle.text)
    return none
  }
  try {
    const { createOctokit } = await import('./octokit.ts')
    return reporting(config, run!, createOctokit(config.githubToken!, run!.apiUrl))
  } catch (problem) {
    warn(`${asked.join(', ')}: ${messageOf(problem)}`)
    return none
  }
}

function obstacleTo(
  { githubToken }: Config,
  run: GithubRun | undefined,
  keys: string,
): { text: string; isQuiet: boolean } | undefined {
  if (!run)
    return { text: `${keys}: this runner does not say what GitHub runs; nothing is written there`, isQuiet: false }
  if (run.isFork)
    return { text: `${keys}: nothing for the pull request of a fork, whose token may only read`, isQuiet: true }
  if (githubToken === undefined)
    return { text: `${keys}: there is no token; set \`github-token: \${{ github.token }}\``, isQuiet: false }
  return undefined
}

function warn(text: string): void {
  core.warning(text, { title: 'GitHub' })
}

function reporting(config: Config, run: GithubRun, octokit: Octokit): GithubReporting {
  const deployment = startOwnDeployment(config, run, octokit)
  return {
    end: async (report, files) => {
      const url = environmentUrl(config, report)
      await deployment.end(report, url)
      if (config.comment) await comment(config, run, octokit, report, { ...files, environment: url })
    },
  }
}

/** Does the work; a problem becomes a warning that names the permission. */
async function attempt(what: string, permissions: string, work: () => Promise<void>): Promise<void> {
  const { explainGithubError } = await import('./octokit.ts')
  await work().catch((problem: unknown) => warn(explainGithubError(problem, what, permissions)))
}

async function comment(
  config: Config,
  run: GithubRun,
  octokit: Octokit,
  report: Report,
  links: ReportFiles & { environment: string | undefined },
): Promise<void> {
  const { findPullRequest, writeComment } = await import('./pull-request-comment.ts')
  await attempt('comment', 'pull-requests: write', async () => {
    const pullRequest = await findPullRequest(octokit, run)
    if (pullRequest === undefined)
      return core.info('comment: this run belongs to no pull request, so there is none to comment on')
    const marker = markerOf(config.identity.owner, config.namespace)
    await writeComment(octokit, run, pullRequest, marker, commentBody(report, marker, { ...links, run: pageOfRun() }))
    core.info(`comment: the pull request #${pullRequest} shows the result`)
  })
}

function pageOfRun(): string | undefined {
  const name = runName()
  return name.startsWith('http') ? name : undefined
}

/** `end` waits for the start. A run that only rolls back ends what runs before it have deployed. */
function startOwnDeployment(
  config: Config,
  run: GithubRun,
  octokit: Octokit,
): { end: (report: Report, url: string | undefined) => Promise<void> } {
  const stages = config.dryRun ? [] : stagesOf(config)
  const { deployment: environment } = config
  const nothing = { end: () => Promise.resolve() }
  if (environment === undefined) return nothing
  const target = { run, environment, config: markerOf(config.identity.owner, config.namespace), logUrl: pageOfRun() }
  if (stages.includes('promote')) return promotionDeployment(target, octokit)
  return stages.includes('rollback') ? rollbackDeployment(target, octokit) : nothing
}

const permission = 'deployments: write'

function promotionDeployment(target: DeploymentTarget, octokit: Octokit) {
  let id: number | undefined
  const started = attempt('deployment', permission, async () => {
    const { startDeployment } = await import('./deployment.ts')
    id = await startDeployment(octokit, target)
    saveOpenDeployment({ run: target.run, environment: target.environment, config: target.config, id })
  })
  return {
    end: async (report: Report, url: string | undefined) => {
      await started
      if (id === undefined) return
      const { endDeployment } = await import('./deployment.ts')
      const open = id
      await attempt('deployment', permission, () => endDeployment(octokit, target, open, report, url))
      saveOpenDeployment(undefined)
    },
  }
}

function rollbackDeployment(target: DeploymentTarget, octokit: Octokit) {
  return {
    end: async ({ verdict, outcome, reason = '' }: Report) => {
      if (outcome !== 'success' || verdict !== 'rolled-back') return
      const { deactivate } = await import('./deployment.ts')
      await attempt('deployment', permission, () => deactivate(octokit, target, undefined, reason))
    },
  }
}

function saveOpenDeployment(open: OpenDeployment | undefined): void {
  core.saveState(deploymentState, open === undefined ? '' : JSON.stringify(open))
}

/** For the post step: a run that died has not said how its promotion ended. */
export async function closeDeployment(): Promise<void> {
  const state = core.getState(deploymentState)
  const token = core.getInput('github-token')
  if (state === '' || token === '') return
  const [{ createOctokit }, { setStatus }] = await Promise.all([import('./octokit.ts'), import('./deployment.ts')])
  const { run, id } = JSON.parse(state) as OpenDeployment
  const description = 'The run ended before its promotion did; the traffic returns to stable'
  await attempt('deployment', permission, () =>
    setStatus(createOctokit(token, run.apiUrl), { run, logUrl: pageOfRun() }, id, { state: 'failure', description }),
  )
}
