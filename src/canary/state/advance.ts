// Leaves a step: for the next stage, for the wait for confirmation, or for the end. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { closeComparison } from '../analysis/checks.ts'
import { end, endUndecided, type Details } from './ending.ts'
import { isAwaiting } from './gates.ts'
import { stay } from './rule.ts'
import { clearActions, stageAction, stagesOf } from './stages.ts'
import { endCurrentStep, progressOf, startStep, type BetweenSteps } from './steps.ts'
import type { ActiveState, EndedState, Next, ShiftingState, State, Step } from './types.ts'

/** Starts the next stage, asks for confirmation before the last one, or ends after it. */
export function advance(plan: CanaryConfig, state: BetweenSteps, now: number): Next {
  const stages = stagesOf(plan)
  const stage = stages[state.stagesStarted]
  if (!stage) return finish(plan, state)
  const isLast = state.stagesStarted === stages.length - 1 && stage.kind === 'weight' && plan.until === undefined
  if (isLast && isAwaiting(plan, state, 'confirm-promotion'))
    return stay({ ...progressOf(state), phase: 'confirming', confirmingSince: now, steps: state.steps })
  const weight = stage.kind === 'weight' ? stage.weight : state.weight
  const stepWeight = stage.kind === 'mirror' ? stage.percent : weight
  const isContinued = state.steps.at(-1)?.outcome === 'interrupted'
  const { watchedBefore, ...progress } = progressOf(state)
  const shifting: ShiftingState = {
    ...progress,
    ...(watchedBefore && isContinued ? { watchedBefore } : {}),
    phase: 'shifting',
    weight,
    stagesStarted: state.stagesStarted + 1,
    steps: [...state.steps, startStep(stage.kind, stepWeight, weightBefore(state, stage.kind, stepWeight), now)],
    checks: state.steps.length === 0 ? state.checks : closeComparison(state.checks),
  }
  return { state: shifting, actions: [...clearActions(state.steps.at(-1)), stageAction(stage)] }
}

/** A step that was interrupted, and whose weight is in force, still gets answers to requests by the weight before. */
function weightBefore({ steps, weight }: BetweenSteps, kind: Step['kind'], stepWeight: number): number {
  const last = steps.at(-1)
  const isInForce =
    last?.outcome === 'interrupted' && last.kind === kind && last.weight === stepWeight && weight === stepWeight
  return isInForce ? last.from : weight
}

/** A step has too little evidence: the promotion continues or ends, as `onInconclusive` says. */
export function endInconclusive(
  plan: CanaryConfig,
  state: ActiveState,
  reason: string,
  now: number,
  details: Details = {},
): Next {
  const stopped = endCurrentStep(state, 'inconclusive', now)
  return plan.onInconclusive === 'promote' ? advance(plan, stopped, now) : endUndecided(plan, stopped, reason, details)
}

/** After the last stage. */
function finish(plan: CanaryConfig, state: BetweenSteps): Next {
  const passed = describePassed(plan, state)
  if (state.weight === 100) return end(state, { verdict: 'promoted', reason: passed })
  const until =
    plan.until === undefined
      ? `the steps end at ${state.weight}`
      : `the plan stops at ${plan.until} for now (\`until\`)`
  return end(state, { verdict: 'held', reason: `${passed}, and ${until}`, asPlanned: true })
}

function describePassed(plan: CanaryConfig, state: BetweenSteps): string {
  const { steps } = state
  const doubtful = steps.filter(({ outcome }) => outcome === 'inconclusive').map((step) => step.weight)
  if (steps.length === 0) return 'the canary already has the weight of its last step'
  if (doubtful.length === 0)
    return isWithoutRequests(plan, state)
      ? 'every step passed its checks, which counted no request (`checks.minRequests: 0`)'
      : 'every step passed its checks'
  return (
    `no check failed; the steps at ${doubtful.join(', ')} had too little evidence ` +
    'and passed because of `onInconclusive: promote`'
  )
}

/** Ends undecided, even with `onInconclusive: promote`, because the promotion cannot continue. */
export function giveUp(
  plan: CanaryConfig,
  state: ActiveState,
  reason: string,
  now: number,
  details: Details = {},
): Next<EndedState> {
  const outcome = plan.onInconclusive === 'hold' ? 'held' : 'inconclusive'
  return endUndecided(plan, endCurrentStep(state, outcome, now), reason, details)
}

/**
 * Nothing counts requests, as at a TCP service, and the plan says that queries, commands and webhooks decide alone. What
 * only the callers count is traffic, of which nobody sees how the canary serves it.
 */
export function isWithoutRequests({ checks }: CanaryConfig, { canary, stable, users }: BetweenSteps | State): boolean {
  return checks.minRequests === 0 && canary.requests + stable.requests + users.requests === 0
}
