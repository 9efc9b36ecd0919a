// What a run has still to tell GitHub. It is saved for the post step first, which delivers what the main step could not.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import { unsafeText, withAfterRun, type AfterRun } from '../report/after-run.ts'
import type { Report } from '../report/report.ts'
import { unlessAborted } from '../runtime/timeout.ts'
import { endStatus, heldPrefix, type DeploymentTarget } from './deployment.ts'
import { endDeployment, type DeploymentEnd } from './deployment-end.ts'
import type { GithubRun } from './github-run.ts'
import { connectGithub, explainGithubError, isTransient, type Github } from './octokit.ts'
import { findPullRequest, writeComment } from './pull-request-comment.ts'

/** `file`: with the body, which is too long for a variable. */
export type PendingComment = { run: GithubRun; marker: string; file: string }

/** `deployment`: without a status, nobody knows how the promotion ended. */
export type PendingReports = { deployment?: DeploymentEnd | undefined; comment?: PendingComment | undefined }

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

  /** What has been done about the deployment, unless that was given up. */
  changeDeployment(done: Partial<DeploymentEnd>): void {
    const { deployment } = this.pending
    if (deployment) this.set({ deployment: { ...deployment, ...done } })
  }
}

const stateName = 'reports'

/** What is to be told of the deployments. `rollback`: those of a run that only rolls back. */
export function endedDeployment(
  begun: DeploymentEnd | undefined,
  report: Report,
  environmentUrl: string | undefined,
  rollback: DeploymentTarget | undefined,
): DeploymentEnd | undefined {
  const why = whyOlderAreInactive(report)
  const older = why === undefined ? {} : { whyOlderAreInactive: why }
  if (!begun) return rollback && why !== undefined ? { target: rollback, hasFinalStatus: true, ...older } : undefined
  const status = endStatus(report)
  const isActive = status.state === 'success' || status.state === 'in_progress'
  return { ...begun, status: { ...status, ...(isActive ? { environmentUrl } : {}) }, ...older }
}

/** Why users are not on the version from before any more, whatever else the run came to; undefined if they are. */
function whyOlderAreInactive({ verdict, weight, reason = '', promotions, returned = [] }: Report): string | undefined {
  const isPromoted = promotions.some((each) => [each.verdict, each.engineVerdict].includes('promoted'))
  if (isPromoted || verdict === 'promoted') return 'A later deployment has replaced it'
  // A rollback that failed somewhere leaves users on it there, and says no weight.
  return returned.length > 0 && weight === 0 ? reason : undefined
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
 * `begun`: resolves once the run's deployment is under way. `isLast`: nobody tries again. `after`: what the post step has
 * done about a promotion that the run did not end. `isHeld`: that is to leave it for the next run.
 */
export type Delivery = {
  token: string
  signal: AbortSignal
  begun?: Promise<void> | undefined
  isLast: boolean
  after?: AfterRun
  isHeld?: boolean
}

/** Never rejects: what is not possible becomes a warning. Both at once, so that neither takes the time of the other. */
export async function deliver(outbox: Outbox, delivery: Delivery): Promise<void> {
  const { deployment, comment } = outbox.content
  const apiUrl = (deployment?.target ?? comment)?.run.apiUrl
  if (apiUrl === undefined) return
  const github = connectGithub(delivery.token, apiUrl, delivery.signal)
  const finish = async (key: keyof PendingReports, permission: string, work: () => Promise<void>) => {
    if (await attempt(key, permission, delivery, work)) outbox.set({ [key]: undefined })
  }
  await Promise.all([
    deployment && finish('deployment', deploymentPermission, () => deliverDeployment(github, outbox, delivery)),
    comment && finish('comment', 'pull-requests: write', () => deliverComment(github, comment, delivery)),
  ])
  if (comment && !outbox.content.comment) rmSync(dirname(comment.file), { recursive: true, force: true })
}

/** Returns whether it is finished with: done, or refused for good. */
async function attempt(
  what: string,
  permissions: string,
  { isLast }: Pick<Delivery, 'isLast'>,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await work()
    return true
  } catch (problem) {
    const text = explainGithubError(problem, what, permissions)
    const isOver = isLast || !isTransient(problem)
    if (isOver) warn(text)
    else core.info(`${text}; the post step tries again`)
    return isOver
  }
}

export function warn(text: string): void {
  core.warning(text, { title: 'GitHub' })
}

const unknownEnd = 'The run ended without reporting how its promotion ended'

async function deliverDeployment(
  github: Github,
  outbox: Outbox,
  { begun, signal, after, isHeld = false }: Delivery,
): Promise<void> {
  if (begun) await unlessAborted(begun, signal)
  const pending = outbox.content.deployment
  // The run could not begin it, and has said so.
  if (!pending) return
  const failure = (description: string) => ({ state: 'failure' as const, description })
  const known = after?.isTrafficUnsafe ? failure(unsafeText) : pending.status
  const status = known ?? failure(`${isHeld ? heldPrefix : ''}${after?.lines[0] ?? unknownEnd}`)
  await endDeployment(github, { ...pending, status }, (done) => outbox.changeDeployment(done))
}

async function deliverComment(
  github: Github,
  { run, marker, file }: PendingComment,
  { after }: Delivery,
): Promise<void> {
  const pullRequest = await findPullRequest(github, run)
  if (pullRequest === undefined)
    return core.info('comment: this run belongs to no pull request, so there is none to comment on')
  const body = readFileSync(file, 'utf8')
  const changed = after ? withAfterRun(body, after) : body
  const isWritten = await writeComment(github, run, pullRequest, { marker, body: changed })
  core.info(
    isWritten
      ? `comment: the pull request #${pullRequest} shows the result`
      : `comment: the pull request #${pullRequest} shows a later result`,
  )
}
