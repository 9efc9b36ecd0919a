// Starts a promotion: from the beginning, from what an earlier run saved, or not at all. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { closeComparison, createChecks } from '../analysis/checks.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { createUnserved } from '../analysis/unserved.ts'
import { stagesOf, stagesReached } from './stages.ts'
import { endStep, progressOf, withoutWatchedTime } from './steps.ts'
import type { EndedState, State, Step, WaitingState } from './types.ts'
import { notWarm } from './warm-up.ts'

/**
 * `weight`: the canary's weight now, in per cent. `passed`: the stages up to this weight count as taken. `found`: the
 * canary's weight before this run lowered it.
 * `now`: milliseconds since the epoch. `before`: what stable served until now.
 */
export function initialState(
  plan: CanaryConfig,
  weight: number,
  now: number,
  before: RequestCounts = noRequests,
  { passed = weight, found = weight }: { passed?: number; found?: number } = {},
): WaitingState {
  return {
    phase: 'waiting',
    startedAt: now,
    waitingSince: now,
    startWeight: weight,
    foundWeight: found,
    passedWeight: passed,
    weight,
    stagesStarted: stagesReached(plan, passed),
    steps: [],
    checks: createChecks(plan),
    stableTotal: before,
    canary: noRequests,
    stable: noRequests,
    users: noRequests,
    warmUp: notWarm,
    unserved: createUnserved(plan),
    findings: {},
    passedGates: [],
    takeovers: 0,
  }
}

/**
 * Continues a saved promotion of the same canary by the same plan. The evidence of its checks counts on, so that the
 * chance of a false rollback is spent only once. A step that was interrupted is taken again. `weight`: the canary's
 * weight now; only if it is as the earlier run left it, the time watched counts on.
 */
export function resumeState(saved: State, weight: number, now: number): WaitingState {
  const last = saved.steps.at(-1)
  const isAsLeft = Math.round(weight) === Math.round(saved.weight)
  const isInterrupted = last?.outcome === 'shifting' || last?.outcome === 'watching'
  return {
    ...progressOf(isAsLeft ? saved : withoutWatchedTime(saved)),
    phase: 'waiting',
    waitingSince: now,
    weight,
    // A return to the weight at which the promotion started belongs to no stage.
    stagesStarted: isInterrupted ? Math.max(0, saved.stagesStarted - 1) : saved.stagesStarted,
    steps: saved.steps.map((step) => endStep(step, 'interrupted', lastActiveAt(step))),
    checks: closeComparison(saved.checks),
    findings: {},
  }
}

/**
 * A promoted canary that waited for others may have been rolled back since. Then its last step is taken again, as nothing else
 * would be left to do.
 */
export function withStepLeft(plan: CanaryConfig, state: WaitingState): WaitingState {
  const stages = stagesOf(plan)
  const last = stages.at(-1)
  const isGone = last?.kind === 'weight' && Math.round(state.weight) < last.weight
  return isGone ? { ...state, stagesStarted: Math.min(state.stagesStarted, stages.length - 1) } : state
}

/** The time when the run was lost is unknown, but the step lasted at least until then. */
function lastActiveAt(step: Step): number {
  return step.outcome === 'watching' ? step.watched.since : step.shiftedAt
}

/** A promotion that does not start, because there is nothing to do or another one failed. */
export function skippedState(plan: CanaryConfig, weight: number, now: number, reason: string): EndedState {
  return { ...progressOf(initialState(plan, weight, now)), phase: 'ended', steps: [], verdict: 'skipped', reason }
}
