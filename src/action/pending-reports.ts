// What a run has still to tell GitHub. It is saved for the post step first, which delivers what the main step could not.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import type { Report } from '../report/report.ts'
import {
  endStatus,
  replacedDeployments,
  setStatus,
  startDeployment,
  type DeploymentStatus,
  type DeploymentTarget,
} from './deployment.ts'
import type { GithubRun } from './github-run.ts'
import { connectGithub, explainGithubError, isTransient, type Github } from './octokit.ts'
import { findPullRequest, writeComment } from './pull-request-comment.ts'

/**
 * `number`: of the deployment that still needs its last status; it is created if GitHub has not taken it before. Without `status`, nobody
 * knows how the promotion ended. `replaces`: the traffic has left what other deployments say, `at` by this machine's clock.
 */
export type PendingDeployment = {
  target: DeploymentTarget
  number?: number
  status?: DeploymentStatus
  replaces?: { at: number; description: string; by?: number }
}

/** `file`: with the body, which is too long for a variable. */
export type PendingComment = { run: GithubRun; marker: string; file: string }

export type PendingReports = { deployment?: PendingDeployment | undefined; comment?: PendingComment | undefined }

/** For all of it, so that a GitHub that hangs does not keep the job. */
const limitMs = 15_000

export const deploymentPermission = 'deployments: write'

/** The end of the time limit, or of the run. */
export function reportingSignal(cancelled?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(limitMs)
  return cancelled ? AbortSignal.any([limit, cancelled]) : limit
}

/** Keeps what is pending, in memory and for the post step. */
export class Outbox {
  private pending: PendingReports

  constructor(pending: PendingReports = {}) {
    this.pending = pending
  }

  get content(): PendingReports {
    return this.pending
  }

  set(change: PendingReports): void {
    this.pending = { ...this.pending, ...change }
    core.saveState(stateName, JSON.stringify(this.pending))
  }
}

const stateName = 'reports'

/** How a promotion's deployment ends. The others are not active any more if a canary has its traffic, whatever came later. */
export function endedDeployment(
  begun: PendingDeployment,
  report: Report,
  environmentUrl: string | undefined,
): PendingDeployment {
  const status = endStatus(report)
  const isActive = status.state === 'success' || status.state === 'in_progress'
  const isServing =
    report.verdict === 'promoted' ||
    report.promotions.some(({ verdict, engineVerdict }) => verdict === 'promoted' || engineVerdict === 'promoted')
  const replaces = { at: endOf(report, 'promote'), description: 'A later deployment has replaced it' }
  return {
    ...begun,
    status: { ...status, ...(isActive ? { environmentUrl } : {}) },
    ...(isServing && status.state !== 'in_progress' ? { replaces } : {}),
  }
}

/** After the stage rollback, nothing that was deployed is active; undefined if it has written no weight. */
export function returnedDeployments(target: DeploymentTarget, report: Report): PendingDeployment | undefined {
  const { verdict, weight, changes, reason = '' } = report
  const isWritten = verdict === 'rolled-back' || (verdict === 'inconclusive' && weight === 0 && changes.length > 0)
  return isWritten ? { target, replaces: { at: endOf(report, 'rollback'), description: reason } } : undefined
}

/** Milliseconds since the epoch; of a run without that stage, its own end. */
function endOf({ startedAt, seconds, stages }: Report, stage: string): number {
  const index = stages.findIndex(({ name }) => name === stage)
  const lasted = index === -1 ? seconds : stages.slice(0, index + 1).reduce((sum, each) => sum + each.seconds, 0)
  return Date.parse(startedAt) + lasted * 1000
}

/** What the main step has left. */
export function savedReports(): PendingReports {
  return JSON.parse(core.getState(stateName) || '{}') as PendingReports
}

export function pendingComment(run: GithubRun, marker: string, body: string, folder: string): PendingComment {
  const file = join(mkdtempSync(join(folder, 'mesh-canary-')), 'comment.md')
  writeFileSync(file, body, { mode: 0o600 })
  return { run, marker, file }
}

/**
 * `isLast`: nobody tries again. `outcome`: what the post step has done about a promotion that the run did not end.
 */
export type Delivery = { token: string; signal: AbortSignal; isLast: boolean; outcome?: string | undefined }

/** Never rejects: what is not possible becomes a warning. */
export async function deliver(outbox: Outbox, delivery: Delivery): Promise<void> {
  const { deployment, comment } = outbox.content
  const apiUrl = (deployment?.target ?? comment)?.run.apiUrl
  if (apiUrl === undefined) return
  const github = connectGithub(delivery.token, apiUrl, delivery.signal)
  if (deployment) {
    const tell = () => deliverDeployment(github, outbox, deployment, delivery)
    const outcome = await attempt('deployment', deploymentPermission, delivery, tell)
    if (outcome !== 'open') outbox.set({ deployment: undefined })
  }
  if (!comment) return
  const outcome = await attempt('comment', 'pull-requests: write', delivery, () => deliverComment(github, comment))
  if (outcome === 'open') return
  outbox.set({ comment: undefined })
  rmSync(dirname(comment.file), { recursive: true, force: true })
}

/** `open`: the same may succeed later. */
export async function attempt(
  what: string,
  permissions: string,
  { isLast }: Pick<Delivery, 'isLast'>,
  work: () => Promise<void>,
): Promise<'done' | 'refused' | 'open'> {
  try {
    await work()
    return 'done'
  } catch (problem) {
    const text = explainGithubError(problem, what, permissions)
    const isOpen = !isLast && isTransient(problem)
    if (isOpen) core.info(`${text}; it is tried again later`)
    else warn(text)
    return isOpen ? 'open' : 'refused'
  }
}

export function warn(text: string): void {
  core.warning(text, { title: 'GitHub' })
}

const unknownEnd = 'The run ended before it said how its promotion ended'

async function deliverDeployment(
  github: Github,
  outbox: Outbox,
  { target, number, status, replaces }: PendingDeployment,
  { outcome }: Delivery,
): Promise<void> {
  const keep = (id: number) => outbox.set({ deployment: { ...outbox.content.deployment, target, number: id } })
  const id = number ?? (status ? await startDeployment(github, target, keep) : replaces?.by)
  const replaced = replaces && (await replacedDeployments(github, target, { at: replaces.at, by: id }))
  if (number !== undefined || status) {
    const known = status ?? { state: 'failure', description: outcome ?? unknownEnd }
    const isLate = known.state === 'success' && replaced?.isLate
    await setStatus(github, target, id!, isLate ? { state: 'inactive', description: late } : known)
    // From here on, a run that dies has said how it ended.
    outbox.set({ deployment: replaces ? { target, replaces: { ...replaces, by: id! } } : undefined })
  }
  for (const each of replaced?.ids ?? [])
    await setStatus(github, target, each, { state: 'inactive', description: replaces!.description })
}

const late = 'Promoted, and replaced by a later deployment since'

async function deliverComment(github: Github, { run, marker, file }: PendingComment): Promise<void> {
  const pullRequest = await findPullRequest(github, run)
  if (pullRequest === undefined)
    return core.info('comment: this run belongs to no pull request, so there is none to comment on')
  const isWritten = await writeComment(github, run, pullRequest, { marker, body: readFileSync(file, 'utf8') })
  core.info(
    isWritten
      ? `comment: the pull request #${pullRequest} shows the result`
      : `comment: the pull request #${pullRequest} shows the result of a run that began later`,
  )
}
