// What a run tells GitHub besides its outputs: the comment on its pull request, and its Deployment. No verdict depends on
// either: what is not possible becomes a warning.
import * as core from '@actions/core'
import { stagesOf } from '../config/stages.ts'
import type { Config } from '../config/schema.ts'
import type { AfterRun } from '../report/after-run.ts'
import { commentBody } from '../report/comment.ts'
import { environmentUrl } from '../report/environment-url.ts'
import type { ReportFiles } from '../report/outputs.ts'
import { markerOf } from '../report/replace-comment.ts'
import { reportId } from '../report/report-id.ts'
import type { Report } from '../report/report.ts'
import { jobName, runPage, tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import type { DeploymentTarget } from './deployment.ts'
import { githubRun, type GithubRun } from './github-run.ts'
import type { Outbox } from './pending-reports.ts'

/** `cancelled` ends the reporting. `isLater`: the post step reports, because it has to make the traffic safe first. */
type End = { cancelled: AbortSignal; isLater: boolean }

/** `connected`: to be called once the address of the cluster is known, or of any of a fleet. None of its methods rejects. */
export type GithubReporting = {
  connected: (server: string, cancelled: AbortSignal) => void
  end: (report: Report, files: ReportFiles, how: End) => Promise<void>
}

const none: GithubReporting = { connected: () => undefined, end: () => Promise.resolve() }

/** Everything of GitHub's API is loaded only for runs that ask for it. */
export async function startReporting(config: Config, env: NodeJS.ProcessEnv): Promise<GithubReporting> {
  const keys = keysOf(config)
  if (keys === '') return none
  const run = githubRun(env)
  const obstacle = obstacleTo(config, run)
  if (!obstacle && !Array.isArray(run)) {
    const { Outbox } = await import('./pending-reports.ts')
    return new RunReporting(config, run, jobName(env), new Outbox())
  }
  const text = `${keys}: ${obstacle?.text}`
  if (obstacle?.isQuiet) core.info(text)
  else core.warning(text, { title: 'GitHub' })
  return none
}

/** Those that are set, as they begin a line of the log. */
function keysOf(set: { comment?: unknown; deployment?: unknown }): string {
  return (['comment', 'deployment'] as const).filter((key) => set[key]).join(', ')
}

/** `run`: or the variables without which it is not known. */
function obstacleTo(
  { githubToken }: Config,
  run: GithubRun | string[],
): { text: string; isQuiet: boolean } | undefined {
  if (Array.isArray(run))
    return { text: `nothing is written, because this runner does not set ${run.join(', ')}`, isQuiet: false }
  if (run.isFork) return { text: 'nothing for the pull request of a fork, whose token may only read', isQuiet: true }
  if (githubToken === undefined)
    return { text: 'there is no token; set `github-token: ${{ github.token }}`', isQuiet: false }
  return undefined
}

/** Of one run, whose token and place on GitHub are known. */
class RunReporting implements GithubReporting {
  private readonly config: Config
  private readonly run: GithubRun
  private readonly job: string | undefined
  private readonly outbox: Outbox
  private readonly began = new Date().toISOString()
  /** The deployment under way; undefined if the run has none, or has not reached its cluster. */
  private deployment: Promise<void> | undefined

  constructor(config: Config, run: GithubRun, job: string | undefined, outbox: Outbox) {
    this.config = config
    this.run = run
    this.job = job
    this.outbox = outbox
  }

  connected(server: string, cancelled: AbortSignal): void {
    if (!this.deploys('promote') || this.deployment) return
    this.announceDeployment(server)
    this.deployment = beginDeployment(this.config.githubToken!, this.target(server), this.outbox, cancelled)
  }

  async end(report: Report, files: ReportFiles, how: End): Promise<void> {
    await this.deliver(report, files, how).catch((problem: unknown) =>
      core.warning(`${keysOf(this.config)}: ${messageOf(problem)}`, { title: 'GitHub' }),
    )
  }

  private async deliver(report: Report, files: ReportFiles, { cancelled, isLater }: End): Promise<void> {
    const { deliver, reportingSignal } = await import('./pending-reports.ts')
    const signal = reportingSignal(cancelled)
    await this.prepare(report, files)
    const keys = keysOf(this.outbox.content)
    if (keys === '') return
    // The post step must not wait for GitHub. What it answers meanwhile reaches the outbox, too.
    if (isLater || cancelled.aborted)
      return core.info(`${keys}: left to the post step, which sees to the traffic first`)
    await deliver(this.outbox, {
      token: this.config.githubToken!,
      signal,
      begun: this.deployment,
      isLast: false,
    })
  }

  /** Puts into the outbox what is to be told. */
  private async prepare(report: Report, files: ReportFiles): Promise<void> {
    const { endedDeployment, pendingComment, warn } = await import('./pending-reports.ts')
    if (this.deploys('promote') && !this.deployment) this.announceDeployment(report.server)
    const environment = environmentUrl(this.config, report)
    const rollback = this.deploys('rollback') ? this.target(report.server) : undefined
    this.outbox.set({ deployment: endedDeployment(this.outbox.content.deployment, report, environment, rollback) })
    if (!this.config.comment) return
    try {
      const marker = markerOf(this.reportId(report.server))
      const body = commentBody(report, marker, { ...files, environment, run: runPage(), commit: this.run.sha })
      this.outbox.set({ comment: pendingComment(this.run, marker, body, tempDir()) })
    } catch (problem) {
      warn(`comment: ${messageOf(problem)}`)
    }
  }

  private deploys(stage: 'promote' | 'rollback'): boolean {
    const { deployment, dryRun } = this.config
    return deployment !== undefined && !dryRun && stagesOf(this.config).includes(stage)
  }

  /** From here on the post step knows of the deployment, whether GitHub has created it or not. */
  private announceDeployment(server: string | undefined): void {
    this.outbox.set({ deployment: { target: this.target(server) } })
  }

  private target(server: string | undefined): DeploymentTarget {
    const { run, began } = this
    return { run, environment: this.config.deployment!, began, logUrl: runPage(), reportId: this.reportId(server) }
  }

  private reportId(server: string | undefined): string {
    return reportId(this.config, { server, job: this.job })
  }
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
    await startDeployment(github, target, (deploymentId) => outbox.changeDeployment({ deploymentId }))
  } catch (problem) {
    const text = explainGithubError(problem, 'deployment', reports.deploymentPermission)
    const isCreated = outbox.content.deployment?.deploymentId !== undefined
    if (isTransient(problem) || isCreated) return core.info(`${text}; the run tries again at its end`)
    reports.warn(text)
    outbox.set({ deployment: undefined })
  }
}

/**
 * For the post step. `after`: what it has done about a promotion that the run did not end. `isHeld`: that is to leave it
 * for the next run.
 */
export async function finishReporting(after: AfterRun, isHeld = false): Promise<void> {
  // Most runs have told everything, or nothing was asked: then the client of the API is not loaded.
  if (['', '{}'].includes(core.getState('reports'))) return
  const { deliver, Outbox, reportingSignal, savedReports, warn } = await import('./pending-reports.ts')
  const saved = savedReports()
  const token = core.getInput('github-token')
  if (token === '') return warn(`${keysOf(saved)}: the post step has no token; give it as the input \`github-token\``)
  await deliver(new Outbox(saved), { token, signal: reportingSignal(), isLast: true, after, isHeld })
}
