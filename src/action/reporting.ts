// What a run tells GitHub besides its outputs: the comment on its pull request, and its Deployment. No verdict depends on
// either: what is not possible becomes a warning.
import * as core from '@actions/core'
import { stagesOf } from '../config/stages.ts'
import type { Config } from '../config/schema.ts'
import { commentBody, markerOf, reportId } from '../report/comment.ts'
import { environmentUrl } from '../report/environment-url.ts'
import type { ReportFiles } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { jobName, runPage, tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import type { DeploymentTarget } from './deployment.ts'
import { githubRun, type GithubRun } from './github-run.ts'
import type { Outbox } from './pending-reports.ts'

/** `cancelled` ends the reporting. `isLater`: the post step reports, because it has to make the traffic safe first. */
type End = { cancelled: AbortSignal; isLater: boolean }

/** `connected`: to be called once the address of the cluster is known. None of its methods rejects. */
export type GithubReporting = {
  connected: (server: string, cancelled: AbortSignal) => void
  end: (report: Report, files: ReportFiles, how: End) => Promise<void>
}

const none: GithubReporting = { connected: () => undefined, end: () => Promise.resolve() }

/** Everything of GitHub's API is loaded only for runs that ask for it. */
export async function startReporting(config: Config, env: NodeJS.ProcessEnv): Promise<GithubReporting> {
  const asked = [...(config.comment ? ['comment'] : []), ...(config.deployment === undefined ? [] : ['deployment'])]
  if (asked.length === 0) return none
  const run = githubRun(env)
  const obstacle = obstacleTo(config, run, asked.join(', '))
  if (!obstacle) return reporting(config, run!, jobName(env), new (await import('./pending-reports.ts')).Outbox())
  if (obstacle.isQuiet) core.info(obstacle.text)
  else core.warning(obstacle.text, { title: 'GitHub' })
  return none
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

function reporting(config: Config, run: GithubRun, job: string | undefined, outbox: Outbox): GithubReporting {
  const { deployment: environment } = config
  const began = new Date().toISOString()
  const stages = environment === undefined || config.dryRun ? [] : stagesOf(config)
  const id = (server: string | undefined) => reportId(config, { server, job })
  const target = (server: string | undefined): DeploymentTarget => ({
    ...{ run, environment: environment!, began, logUrl: runPage() },
    id: id(server),
  })
  let begun: Promise<void> | undefined
  /** From here on the post step knows of the deployment, whether GitHub has created it or not. */
  const announce = (server: string | undefined) => outbox.set({ deployment: { target: target(server) } })
  const connected: GithubReporting['connected'] = (server, cancelled) => {
    if (!stages.includes('promote') || begun) return
    announce(server)
    begun = beginDeployment(config.githubToken!, target(server), outbox, cancelled)
  }
  const prepare = async (report: Report, files: ReportFiles) => {
    const { endedDeployment, pendingComment, warn } = await import('./pending-reports.ts')
    if (stages.includes('promote') && !begun) announce(report.server)
    const environment = environmentUrl(config, report)
    const rollback = stages.includes('rollback') ? target(report.server) : undefined
    outbox.set({ deployment: endedDeployment(outbox.content.deployment, report, environment, rollback) })
    try {
      const links = { ...files, environment, run: runPage(), commit: run.sha }
      const marker = markerOf(id(report.server))
      const body = commentBody(report, marker, links)
      if (config.comment) outbox.set({ comment: pendingComment(run, marker, body, tempDir()) })
    } catch (problem) {
      warn(`comment: ${messageOf(problem)}`)
    }
  }
  const end: GithubReporting['end'] = async (report, files, { cancelled, isLater }) => {
    // The post step must not wait for GitHub. What it answers meanwhile reaches the outbox, too.
    const isLeft = () => isLater || cancelled.aborted
    if (!isLeft()) await begun
    await prepare(report, files)
    if (isLeft()) return core.info('comment, deployment: left to the post step, which sees to the traffic first')
    const { deliver, reportingSignal } = await import('./pending-reports.ts')
    await deliver(outbox, { token: config.githubToken!, signal: reportingSignal(cancelled), isLast: false })
  }
  const warn = (problem: unknown) => core.warning(`comment, deployment: ${messageOf(problem)}`, { title: 'GitHub' })
  return { connected, end: (...how) => end(...how).catch(warn) }
}

/** Never rejects. What GitHub may do later stays in the outbox. */
async function beginDeployment(
  token: string,
  target: DeploymentTarget,
  outbox: Outbox,
  cancelled: AbortSignal,
): Promise<void> {
  const [{ startDeployment }, { connectGithub, explainGithubError, isTransient }, reports] = await Promise.all([
    import('./deployment.ts'),
    import('./octokit.ts'),
    import('./pending-reports.ts'),
  ])
  const github = connectGithub(token, target.run.apiUrl, reports.reportingSignal(cancelled))
  try {
    await startDeployment(github, target, (number) => outbox.change({ number }))
  } catch (problem) {
    const text = explainGithubError(problem, 'deployment', reports.deploymentPermission)
    if (isTransient(problem)) return core.info(`${text}; the run tries again at its end`)
    reports.warn(text)
    outbox.set({ deployment: undefined })
  }
}

/**
 * For the post step. `outcome`: what it has done about a promotion that the run did not end. `isHeld`: that is to leave it for the next run.
 */
export async function finishReporting(outcome: string | undefined, isHeld = false): Promise<void> {
  // Most runs have told everything, or nothing was asked: then the client of the API is not loaded.
  if (['', '{}'].includes(core.getState('reports'))) return
  const { deliver, Outbox, reportingSignal, savedReports, warn } = await import('./pending-reports.ts')
  const token = core.getInput('github-token')
  if (token === '') return warn('comment, deployment: the post step has no token; give it as the input `github-token`')
  await deliver(new Outbox(savedReports()), { token, signal: reportingSignal(), isLast: true, outcome, isHeld })
}
