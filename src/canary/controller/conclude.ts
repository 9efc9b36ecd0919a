// Works after a promotion has ended: notifies the hooks, deletes the guard, waits for the drain, collects a diagnosis,
// adopts the version, and settles the Lease.
import { messageOf } from '../../runtime/errors.ts'
import { persist } from '../../runtime/retry.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { State } from '../state/types.ts'
import { adopt } from './adopt.ts'
import type { Promotion, PromotionContext } from './context.ts'
import { diagnose } from './diagnosis.ts'
import { waitForDrain, type DrainResult } from './drain.ts'
import { isRolledBack, isSafe, resumableState, type EndedStatus } from './run-status.ts'
import { explainServing } from './undrained.ts'
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
  const { state, error, rolledBackWith } = status
  return {
    ...state,
    plan,
    namespace: split.namespace,
    ...(error === undefined ? {} : { error }),
    ...(rolledBackWith === undefined ? {} : { rolledBackWith }),
  }
}

/** Waits until the outcome takes effect, and returns the promotion with the result. Does not settle the Lease. */
export async function awaitOutcome(run: ConcludingRun): Promise<Promotion> {
  const { cluster, plan, split, observer } = run.context
  const ended = promotionOf(run.context, run.status())
  const { verdict } = ended
  const drain = isRolledBack(run.status()) ? await waitUntilDrained(run) : undefined
  run.drainChecked()
  const isServing = drain?.kind === 'serving'
  const safe = isServing ? withProblem(ended, await explainServing(cluster, split, drain)) : ended
  const hasFailed = verdict === 'rolled-back' || (verdict === 'held' && !isHeldAsPlanned(ended))
  return {
    ...safe,
    ...(drain?.kind === 'drained' ? { secondsToSafe: drain.secondsToSafe } : {}),
    // Only now, because the kubelet has had time to report a container that ended under its last requests.
    ...(hasFailed ? { diagnosis: await diagnose(cluster, split.namespace, observer.canaries()) } : {}),
    ...(verdict === 'promoted' && plan.after === 'adopt' ? await adoptCanary(run) : {}),
  }
}

/** The weight is 0, but the canary still serves. */
function withProblem(ended: Promotion, problem: string): Promotion {
  const reason = `${ended.reason}; but ${problem}`
  return { ...ended, reason, error: ended.error === undefined ? reason : `${ended.error}; but ${problem}` }
}

function waitUntilDrained({ context, status, heartbeat }: ConcludingRun): Promise<DrainResult> {
  const { plan, observer, deps } = context
  const { clock, signal, note } = deps
  const sample = async () => {
    // Keeps the Lease, because a run that takes the promotion over may give the canary traffic again.
    await heartbeat()
    const { observed } = await observer.sample()
    return observed.complete ? observed.canary.requests : undefined
  }
  return waitForDrain(sample, {
    timeoutMs: plan.progressDeadline,
    perSecond: requestRate(status().state, clock.now()),
    isOver: () => status().kind === 'lost' || signal.aborted,
    clock,
    note,
  })
}

/** Requests per second that the canary served in its last step. */
function requestRate({ steps }: State, now: number): number {
  const step = steps.at(-1)
  if (!step) return 0
  const endedAt = 'endedAt' in step ? step.endedAt : now
  return endedAt > step.shiftedAt ? (1_000 * step.canary.requests) / (endedAt - step.shiftedAt) : 0
}

async function adoptCanary(run: ConcludingRun): Promise<Partial<Promotion>> {
  const { cluster, split, selectors, plan, session, deps } = run.context
  const { note, signal, clock } = deps
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
    await adopt(cluster, split, selectors, { note, signal, clock, timeoutMs, isDrained, confirmLease })
    return { adopted: true, weight: 0 }
  } catch (problem) {
    return { adopted: false, error: messageOf(problem) }
  }
}

/**
 * Releases the Lease if a later run may resume, and deletes it if the promotion is over. While a rollback is not
 * written, the Lease stays, and the guard with it. @throws Error if the API server refuses it for longer than the
 * `progressDeadline`; then the guard would still undo the promotion.
 */
export async function settleLease(context: PromotionContext, status: EndedStatus): Promise<void> {
  const { session, plan, deps } = context
  if (status.kind === 'lost' || !isSafe(status)) return
  const resumable = resumableState(status)
  await persist(() => (resumable ? session.release(resumable) : session.end(status.state)), {
    limitMs: plan.progressDeadline,
    intervalMs: plan.pollInterval,
    isTransient,
    signal: deps.signal,
    clock: deps.clock,
  })
}

/** What follows when the Lease of a canary with traffic could not be released. */
export function explainUnsettled({ split, plan }: PromotionContext, problem: unknown): string {
  const { enabled, after } = plan.guard
  const consequence = enabled
    ? `its guard will return all traffic to ${split.stable.name} about ${after / 1_000} s after the last renewal`
    : 'the Lease still names this run, so a later run waits until it expires'
  return `the Lease could not be released: ${messageOf(problem)}; ${consequence}`
}
