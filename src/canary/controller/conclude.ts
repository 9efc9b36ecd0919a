// What follows the end of a promotion: waits for the drain, explains the result, adopts the version or removes the canary,
// and settles the Lease.
import { messageOf } from '../../runtime/errors.ts'
import { persist } from '../../runtime/retry.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import { canaryRate, weightBeforeEnd } from '../state/steps.ts'
import type { EndedState } from '../state/types.ts'
import { adopt } from './adopt.ts'
import { NotCommitted, type Promotion, type PromotionContext } from './context.ts'
import { diagnose } from './diagnosis.ts'
import { waitForDrain, type DrainResult } from './drain.ts'
import { drainSource } from './drain-source.ts'
import { isRolledBack, isSafe, resumableState, type EndedStatus } from './run-status.ts'
import { causeOfShare } from './share-cause.ts'
import { explainUndrained, isFarBelow } from './undrained.ts'
import { LeaseLost } from '../ownership/lease.ts'
import { readWeight } from '../traffic/router.ts'
import { isTransient } from './writer.ts'

/** The run that concludes. `status` changes if the Lease is lost meanwhile; `heartbeat` renews it. */
export type ConcludingRun = {
  context: PromotionContext
  status: () => EndedStatus
  heartbeat: () => Promise<void>
  /** Called when the wait for the drain is over. */
  drainChecked: () => void
}

/** The current result, without waiting for anything. */
export function promotionOf({ plan, split }: PromotionContext, status: EndedStatus): Promotion {
  const { error, rolledBackWith } = status
  return {
    ...(isSafe(status) ? status.state : asNotWritten(status.state)),
    plan,
    namespace: split.namespace,
    ...(error === undefined ? {} : { error }),
    ...(rolledBackWith === undefined ? {} : { rolledBackWith }),
  }
}

/** The rollback is decided, but the traffic is where it was. */
function asNotWritten(state: EndedState): EndedState {
  const weight = weightBeforeEnd(state)
  if (state.verdict !== 'rolled-back') return { ...state, weight }
  const { timeToDetectMs: _, ...rest } = state
  return { ...rest, weight, verdict: 'inconclusive' }
}

/** Waits until the outcome takes effect, and returns the promotion with the result. Does not settle the Lease. */
export async function awaitOutcome(run: ConcludingRun): Promise<Promotion> {
  const { cluster, plan, split, observer } = run.context
  const ended = promotionOf(run.context, run.status())
  const { verdict } = ended
  const drain = isRolledBack(run.status()) ? await waitUntilDrained(run) : undefined
  run.drainChecked()
  const explained = await withCauses(run.context, ended, drain)
  const hasFailed = verdict === 'rolled-back' || (verdict === 'held' && !isHeldAsPlanned(ended))
  return {
    ...explained,
    ...(drain?.kind === 'drained' && drain.secondsToSafe !== undefined ? { secondsToSafe: drain.secondsToSafe } : {}),
    // Only now, because the kubelet has had time to report a container that ended under its last requests.
    ...(hasFailed ? { diagnosis: await diagnose(cluster, split.namespace, observer.canaries()) } : {}),
    ...(verdict === 'promoted' && plan.after !== 'keep' ? await adoptCanary(run) : {}),
    ...(verdict !== 'promoted' && (!drain || drain.kind === 'drained') ? await cleanUpRejected(run, explained) : {}),
  }
}

/** Removes a canary that this run created, when it serves nothing and no later run continues with it. */
async function cleanUpRejected(run: ConcludingRun, ended: Promotion): Promise<Partial<Promotion>> {
  const { plan, session, deps } = run.context
  const created = deps.created?.(plan.service)
  const isOver = run.status().kind === 'ended' && ended.weight === 0 && !isHeldAsPlanned(ended)
  if (!created || !isOver) return {}
  try {
    await session.confirm()
    deps.note(await created.cleanUp())
    return {}
  } catch (problem) {
    return { error: `${ended.error ?? ended.reason}; and the canary could not be removed: ${messageOf(problem)}` }
  }
}

/** Adds why requests did not follow the weight, in the last step or now that it is 0. */
async function withCauses(context: PromotionContext, ended: Promotion, drain?: DrainResult): Promise<Promotion> {
  const { cluster, split, selectors, plan, deps } = context
  const lastPerSecond = canaryRate(ended, deps.clock.now())
  const scope = { selectors, clients: plan.clients, metrics: plan.metrics, lastPerSecond }
  const undrained = drain && (await explainUndrained(cluster, split, drain, scope, deps.note, deps.clock))
  if (undrained) return asUndrained(ended, undrained.text)
  const cause = await causeOfShare(context, ended).catch(messageOf)
  return cause === undefined ? ended : { ...ended, reason: `${ended.reason}: ${cause}` }
}

/** The weight is 0, but nobody has seen that the canary serves no more requests. */
function asUndrained(ended: Promotion, problem: string): Promotion {
  const reason = `${ended.reason}; but ${problem}`
  const error = ended.error === undefined ? reason : `${ended.error}; but ${problem}`
  return { ...ended, verdict: 'inconclusive', reason, error }
}

/**
 * The requests of testers do not end, so the wait for a canary that gets them looks at the rate of so long, until it is
 * far below that of the last step.
 */
const pinnedMs = 10_000

async function waitUntilDrained({ context, status, heartbeat }: ConcludingRun): Promise<DrainResult> {
  const { plan, pinned, deps } = context
  const { clock, signal, note } = deps
  const { sample, ...patience } = await drainSource(context)
  const sampleAsHolder = async () => {
    // Keeps the Lease, because a run that takes the promotion over may give the canary traffic again.
    await heartbeat()
    return sample()
  }
  const lastPerSecond = canaryRate(status().state, clock.now())
  const waitFor = (timeoutMs: number) =>
    waitForDrain(sampleAsHolder, {
      ...patience,
      timeoutMs: Math.max(timeoutMs, patience.unconfirmedMs ?? 0),
      perSecond: lastPerSecond ?? 0,
      isOver: () => status().kind === 'lost' || signal.aborted,
      clock,
      note,
    })
  if (!pinned.canary) return waitFor(plan.progressDeadline)
  const startedAt = clock.now()
  for (;;) {
    const passedMs = clock.now() - startedAt
    const result = later(await waitFor(pinnedMs), passedMs / 1_000)
    const isPastDeadline = clock.now() - startedAt >= plan.progressDeadline
    if (result.kind !== 'serving' || isFarBelow(result.perSecond, lastPerSecond) || isPastDeadline) return result
  }
}

/** The result of a wait that began so many seconds after the weight was written. */
function later(result: DrainResult, seconds: number): DrainResult {
  if (result.kind === 'drained' && result.secondsToSafe !== undefined)
    return { ...result, secondsToSafe: result.secondsToSafe + seconds }
  const hasRate = result.kind === 'serving' || result.kind === 'unserved'
  return hasRate ? { ...result, seconds: Math.round(result.seconds + seconds) } : result
}

async function adoptCanary(run: ConcludingRun): Promise<Partial<Promotion>> {
  const { cluster, split, selectors, plan, session, deps } = run.context
  const { note, warn, signal, clock } = deps
  const isDrained = async () => (await waitUntilDrained(run)).kind === 'drained'
  const confirmLease = () => session.renew(run.status().state)
  const timeoutMs = plan.progressDeadline
  try {
    // From here on stable's Deployment runs the promoted version, and the guard would send traffic to a rollout.
    await persist(session.deleteGuard, {
      limitMs: timeoutMs,
      intervalMs: plan.pollInterval,
      isTransient,
      signal,
      clock,
    })
    const release = deps.created?.(plan.service)?.adoption
    const { template } = session
    const adoption = { note, warn, signal, template, timeoutMs, clock, isDrained, confirmLease, release }
    await adopt(cluster, split, selectors, adoption)
    return { adopted: true, weight: 0 }
  } catch (problem) {
    return plan.after === 'gitops' ? heldForCommit(run, problem) : { adopted: false, error: messageOf(problem) }
  }
}

/** The version has passed, but stable does not run it, so the release is not over: the canary keeps its traffic. */
async function heldForCommit({ context, status }: ConcludingRun, problem: unknown): Promise<Partial<Promotion>> {
  const { cluster, split, plan, deps } = context
  const isCancelled = deps.signal.aborted
  const why = isCancelled ? 'the run was cancelled before stable had the release from Git' : messageOf(problem)
  const weight = await readWeight(cluster, split).catch(() => status().state.weight)
  // Stable runs it and has the traffic: only the canary is left to remove.
  if (weight === 0) return { adopted: false, weight, error: why }
  const reason = `${status().state.reason}; but ${why}`
  const held = { adopted: false, verdict: 'held', reason, weight } as const
  const isPlanned = problem instanceof NotCommitted && plan.commitTimeout === 0 && !isCancelled
  return isPlanned ? { ...held, asPlanned: true } : { ...held, error: reason }
}

/**
 * Releases the Lease or hands it over if a later run may resume, and deletes it if the promotion is over. While a rollback is not
 * written, the Lease stays, and the guard with it. @throws Error if the API server refuses it for longer than the
 * `progressDeadline`; then the guard would still undo the promotion. @throws LeaseLost if another process decides about
 * the canary's traffic.
 */
export async function settleLease(context: PromotionContext, status: EndedStatus): Promise<void> {
  const { session, plan, deps } = context
  // Whoever holds the Lease now may have moved the traffic of a canary that was to keep it.
  if (status.kind === 'lost' && status.state.weight > 0 && status.state.verdict !== 'inconclusive')
    throw new LeaseLost(status.because)
  if (status.kind === 'lost' || !isSafe(status)) return
  const resumable = resumableState(status)
  const resumeWithinMs = status.kind === 'handed-over' ? status.resumeWithinMs : undefined
  const settle = () => {
    if (!resumable) return session.end(status.state)
    return resumeWithinMs === undefined ? session.release(resumable) : session.handOver(resumable, resumeWithinMs)
  }
  await persist(settle, {
    limitMs: plan.progressDeadline,
    intervalMs: plan.pollInterval,
    isTransient,
    signal: deps.signal,
    clock: deps.clock,
  })
}

/** What follows when the Lease of a canary with traffic could not be released. */
export function explainUnsettled({ split, plan }: PromotionContext, problem: unknown): string {
  if (problem instanceof LeaseLost) return `${problem.message}, so its traffic may be elsewhere by now`
  const { enabled, after } = plan.guard
  const consequence = enabled
    ? `its guard will return all traffic to ${split.stable.name} about ${after / 1_000} s after the last renewal`
    : 'the Lease still names this run, so a later run waits until it expires'
  return `the Lease could not be released: ${messageOf(problem)}; ${consequence}`
}
