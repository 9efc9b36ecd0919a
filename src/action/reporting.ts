// What a run tells GitHub besides its outputs: the comment on its pull request, and its Deployment. No verdict depends on
// either: what is not possible becomes a warning.
import * as core from '@actions/core'
import { stagesOf } from '../config/stages.ts'
import type { Config } from '../config/schema.ts'
import { commentBody, markerOf, reportId } from '../report/comment.ts'
import { environmentUrl } from '../report/environment-url.ts'
import type { ReportFiles } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { runName, tempDir } from '../runtime/environment.ts'
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
  if (!obstacle) return reporting(config, run!, new (await import('./pending-reports.ts')).Outbox())
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

function reporting(config: Config, run: GithubRun, outbox: Outbox): GithubReporting {
  const { deployment: environment } = config
  const stages = environment === undefined || config.dryRun ? [] : stagesOf(config)
  const target = (server: string | undefined): DeploymentTarget => ({
    ...{ run, environment: environment!, logUrl: pageOfRun() },
    id: reportId(config, server),
  })
  const abandoned = new AbortController()
  let begun: Promise<boolean> | undefined
  const begin = (server: string | undefined, cancelled: AbortSignal) => {
    const signal = AbortSignal.any([cancelled, abandoned.signal])
    if (stages.includes('promote')) begun ??= beginDeployment(config.githubToken!, target(server), outbox, signal)
  }
  const end: GithubReporting['end'] = async (report, files, { cancelled, isLater }) => {
    const isLeft = isLater || cancelled.aborted
    // The traffic must not wait for a GitHub that has not answered yet.
    if (isLeft) abandoned.abort()
    else begin(report.server, cancelled)
    const isTaken = isLeft || (await begun)
    const { deliver, endedDeployment, pendingComment, reportingSignal, returnedDeployments } = await import(
      './pending-reports.ts'
    )
    const url = environmentUrl(config, report)
    if (stages.includes('promote') && isTaken) {
      const deployment = outbox.content.deployment ?? { target: target(report.server) }
      outbox.set({ deployment: endedDeployment(deployment, report, url) })
    } else if (stages.includes('rollback'))
      outbox.set({ deployment: returnedDeployments(target(report.server), report) })
    if (config.comment) {
      const links = { ...files, environment: url, run: pageOfRun(), commit: run.sha }
      const marker = markerOf(reportId(config, report.server))
      outbox.set({ comment: pendingComment(run, marker, commentBody(report, marker, links), tempDir()) })
    }
    if (isLeft) return core.info('comment, deployment: left to the post step, which sees to the traffic first')
    await deliver(outbox, { token: config.githubToken!, signal: reportingSignal(cancelled), isLast: false })
  }
  return {
    connected: begin,
    end: (...result) =>
      end(...result).catch((problem: unknown) =>
        core.warning(`comment, deployment: ${messageOf(problem)}`, { title: 'GitHub' }),
      ),
  }
}

function pageOfRun(): string | undefined {
  const name = runName()
  return name.startsWith('http') ? name : undefined
}

/** Returns false if GitHub refuses it for good; what fails otherwise is tried again at the end. Never rejects. */
async function beginDeployment(
  token: string,
  target: DeploymentTarget,
  outbox: Outbox,
  signal: AbortSignal,
): Promise<boolean> {
  const [{ startDeployment }, { connectGithub }, { attempt, deploymentPermission, reportingSignal }] =
    await Promise.all([import('./deployment.ts'), import('./octokit.ts'), import('./pending-reports.ts')])
  const github = connectGithub(token, target.run.apiUrl, reportingSignal(signal))
  const keep = (number: number) => outbox.set({ deployment: { ...outbox.content.deployment, target, number } })
  const outcome = await attempt('deployment', deploymentPermission, { isLast: false }, async () => {
    await startDeployment(github, target, keep)
  })
  return outcome !== 'refused'
}

/** For the post step. `outcome`: what it has done about a promotion that the run did not end. */
export async function finishReporting(outcome: string | undefined): Promise<void> {
  // Most runs have told everything, or nothing was asked: then the client of the API is not loaded.
  if (['', '{}'].includes(core.getState('reports'))) return
  const { deliver, Outbox, reportingSignal, savedReports, warn } = await import('./pending-reports.ts')
  const token = core.getInput('github-token')
  if (token === '') return warn('comment, deployment: the post step has no token; give it as the input `github-token`')
  await deliver(new Outbox(savedReports()), { token, signal: reportingSignal(), isLast: true, outcome })
}
