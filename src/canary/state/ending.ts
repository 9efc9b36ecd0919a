// Ends a promotion: promoted, held at its weight, or with all traffic on stable. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { clearActions } from './stages.ts'
import { endCurrentStep, progressOf, type BetweenSteps } from './steps.ts'
import type { EndedState, Next, Outcome, State, Subject } from './types.ts'

/** See Outcome. */
export type Details = { about?: Subject }

type StableOutcome = Extract<Outcome, { verdict: 'rolled-back' | 'inconclusive' }>

/** Ends with all traffic on stable, for whatever reason; also when the run is cancelled or broken. */
export function endOnStable(
  state: State,
  verdict: 'rolled-back' | 'inconclusive',
  reason: string,
  now: number,
): Next<EndedState> {
  const stopped = endCurrentStep(state, verdict, now)
  return returnToStable(
    stopped,
    verdict === 'inconclusive' ? { verdict, reason } : { verdict, reason, ...detected(state) },
  )
}

/** Ends at the weight in force, for a later run to continue. */
export function endHeld(state: State, reason: string, now: number): Next<EndedState> {
  const asPlanned = isHeldAsPlanned(state) ? { asPlanned: true as const } : {}
  return end(endCurrentStep(state, 'held', now), { verdict: 'held', reason, ...detected(state), ...asPlanned })
}

/** Ends because the canary failed: as `onFail` says. */
export function endFailed(
  plan: CanaryConfig,
  state: State,
  reason: string,
  now: number,
  details: Details = {},
): Next<EndedState> {
  const stopped = endCurrentStep(state, 'failed', now)
  const { firstTrafficAt } = state
  const time = firstTrafficAt === undefined ? {} : { timeToDetectMs: now - firstTrafficAt }
  return plan.onFail === 'hold'
    ? end(stopped, { verdict: 'held', reason, ...time, ...details })
    : returnToStable(stopped, { verdict: 'rolled-back', reason, ...time, ...details })
}

/** Ends undecided: on stable, or at its weight when the plan says to hold it. */
export function endUndecided(
  plan: CanaryConfig,
  stopped: BetweenSteps,
  reason: string,
  details: Details = {},
): Next<EndedState> {
  return plan.onInconclusive === 'hold'
    ? end(stopped, { verdict: 'held', reason, ...details })
    : returnToStable(stopped, { verdict: 'inconclusive', reason, ...details })
}

/** Ends at the weight in force. A mirror or a header route is removed in any case. */
export function end(stopped: BetweenSteps, outcome: Outcome): Next<EndedState> {
  return { state: endedState(stopped, outcome), actions: clearActions(stopped.steps.at(-1)) }
}

function returnToStable(stopped: BetweenSteps, outcome: StableOutcome): Next<EndedState> {
  const routed = stopped.steps.find(({ kind }) => kind !== 'weight')
  return {
    state: endedState({ ...stopped, weight: 0 }, outcome),
    actions: [{ kind: 'weight', weight: 0 }, ...clearActions(routed)],
  }
}

function endedState(stopped: BetweenSteps, outcome: Outcome): EndedState {
  return { ...progressOf(stopped), phase: 'ended', steps: stopped.steps, ...outcome }
}

/** A promotion that had failed before it is stopped from outside keeps its time to detect. */
function detected(state: State): { timeToDetectMs?: number } {
  const timeToDetectMs = timeToDetect(state)
  return timeToDetectMs === undefined ? {} : { timeToDetectMs }
}

/**
 * Milliseconds from the canary's first request to the decision that it failed; undefined unless it failed with
 * traffic.
 */
export function timeToDetect(state: State): number | undefined {
  return state.phase === 'ended' && 'timeToDetectMs' in state ? state.timeToDetectMs : undefined
}

/** The promotion ended where the plan stops for now: nothing went wrong. */
export function isHeldAsPlanned(state: State): boolean {
  return state.phase === 'ended' && state.verdict === 'held' && state.asPlanned === true
}

/** How the promotion ended; undefined while it has not. */
export function outcomeOf(state: State): Outcome | undefined {
  return state.phase === 'ended' ? state : undefined
}
