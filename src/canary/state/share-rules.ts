// Rules for how the requests are shared: past every weight, not by the weight, or all to a canary that only stable could
// excuse.
import { percent } from '../../statistics/percent.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { closeComparison } from '../analysis/checks.ts'
import { differsFromWeight, noShare, shareWithoutSidecar, type ShareCounts } from '../analysis/share.ts'
import { giveUp } from './advance.ts'
import { isAlone, lastSharedWeight } from './alone.ts'
import { findVerdict, stay, type RuleInput } from './rule.ts'
import { describeStage } from './stages.ts'
import { currentStep, endCurrentStep, progressOf, replaceCurrent, startStep } from './steps.ts'
import type { Next, ShiftingState, State, WatchedRequests, WatchingState, WatchingStep } from './types.ts'

// Callers without a sidecar know no routes. Their requests go to any pod of any version, whatever the weight is, also
// after a promotion and after a rollback. So neither verdict would be true for them. They may start late, so each step
// is tested by itself; and where a step has few requests, all of them together.

export function findCallersWithoutSidecar({ state }: RuleInput): string | undefined {
  const share = shareOfCallersWithoutSidecar(state)
  if (share === undefined) return undefined
  return (
    `${percent(share, 1)} of the requests came in plain text from callers without a sidecar, to which no weight ` +
    'applies: give them a sidecar, or send them through a gateway of the mesh'
  )
}

/** Undefined if it is not decisively too large. */
export function shareOfCallersWithoutSidecar({ steps, canary, stable }: State): number | undefined {
  const step = steps.at(-1)
  return (step && shareWithoutSidecar(step.canary, step.stable)) ?? shareWithoutSidecar(canary, stable)
}

export function endBesideTheWeight(reason: string, { plan, state, now }: RuleInput): Next {
  return giveUp(plan, state, reason, now, { about: 'share' })
}

// The requests are not split by the weight, so the step does not show what its weight says, and more weight would not
// either. While the share is wrong on the side of the weight before, that may pass: requests count when they are
// answered, and busy pods answer many seconds late what they got by the old weight.

/** How long those answers may come; seen with a queue at stable: 17 s. */
const longestLagMs = 30_000

type WrongShare = { state: WatchingState; isLagging: boolean; reason: string }

export function findWrongShare({ plan, state, observation, now }: RuleInput): WrongShare | undefined {
  if (state.phase !== 'watching' || !observation.share) return undefined
  const step = currentStep(state.steps)
  if (!step.watched.share) return undefined
  const observed = differsFromWeight(step.watched.share, step.weight, observation.share)
  if (observed === undefined) return undefined
  const isOnSideOfOldWeight = Math.sign(observed - step.weight) === Math.sign(step.from - step.weight)
  return {
    state,
    isLagging: isOnSideOfOldWeight && now - step.shiftedAt < Math.min(longestLagMs, plan.progressDeadline),
    reason: `${describeStage(step)}, the canary served ${percent(observed / 100, 1)} of the requests`,
  }
}

export function handleWrongShare({ state, isLagging, reason }: WrongShare, input: RuleInput): Next {
  return isLagging ? stay(countShareAnew(state)) : endBesideTheWeight(reason, input)
}

function countShareAnew(state: WatchingState): WatchingState {
  const step = currentStep(state.steps)
  const { share = noShare, ...watched } = step.watched
  const counted: WatchingStep = {
    ...step,
    watched: { ...watched, share: noShare, requestsWhileLagging: requestsIn(share) },
  }
  return { ...state, steps: replaceCurrent(state.steps, counted) }
}

/** So many requests show every wrong share. */
const enoughRequests = 1_000

/** With four times as many requests, a share that is still wrong would almost always have been found again. */
export function isShareLagging({ share = noShare, requestsWhileLagging = 0 }: WatchedRequests): boolean {
  return requestsIn(share) < Math.min(enoughRequests, 4 * requestsWhileLagging)
}

function requestsIn({ canary, stable }: ShareCounts): number {
  return canary.all + stable.all
}

// The canary has all the traffic and misses its limit, but nobody can tell whether stable would keep it: an outage of a
// shared dependency looks the same. So the canary returns to the step before, where stable serves too, and continues
// from there.

const maxReturns = 3

export function findSharedFailureAlone({ state, results }: RuleInput): CheckResult | undefined {
  return state.weight === 100 && !isAlone(state) ? findVerdict(results, 'shared') : undefined
}

export function returnToCompare(_: CheckResult, { plan, state, now }: RuleInput): Next {
  const weight = lastSharedWeight(state)
  const missed = 1 + state.steps.filter(({ outcome }) => outcome === 'returned-to-compare').length
  if (missed > maxReturns) {
    const reason = `the limit was missed ${missed} times at weight 100, where stable has no traffic to compare with`
    return giveUp(plan, state, reason, now)
  }
  const stopped = endCurrentStep(state, 'returned-to-compare', now)
  const shifting: ShiftingState = {
    ...progressOf(stopped),
    phase: 'shifting',
    weight,
    stagesStarted: state.stagesStarted - 1,
    steps: [...stopped.steps, startStep('weight', weight, state.weight, now)],
    checks: closeComparison(state.checks),
  }
  return { state: shifting, actions: [{ kind: 'weight', weight }] }
}
