// Ends a run in the middle of a promotion, which the next run continues. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { checkResults } from '../analysis/check-results.ts'
import { describeCheck } from '../analysis/check-sentences.ts'
import { giveUp } from './advance.ts'
import { end } from './ending.ts'
import { describeUnserved } from './outage-rules.ts'
import { currentStep, endCurrentStep, progressOf, watchedBefore } from './steps.ts'
import type { ActiveState, EndedState, Next } from './types.ts'

/**
 * `why`: why the run ends. `resumeWithinMs`: how long the guard waits for the next run. `isLast`: there is no time to try
 * again.
 */
export type HandOverRequest = { why: string; resumeWithinMs: number; isLast: boolean }

/** When the promotions under way are handed over, by the clock of the promotions, and when at the latest. */
export type HandOverSchedule = Omit<HandOverRequest, 'isLast'> & { at: number; latestAt: number }

/**
 * Ends held at the weight in force. Nobody judges the canary before the next run does, so a canary in doubt is not handed
 * over: `onInconclusive` decides. Undefined while a doubt may still pass.
 */
export function endForHandOver(
  plan: CanaryConfig,
  state: ActiveState,
  { why, resumeWithinMs, isLast }: HandOverRequest,
  now: number,
): Next<EndedState> | undefined {
  const doubt = findDoubt(plan, state)
  if (doubt?.mayPass && !isLast) return undefined
  if (doubt) return giveUp(plan, state, `${why}, and ${doubt.text}`, now)
  const reason = `${why}, ${describeRest(plan, state.weight, resumeWithinMs)}`
  return end(endCurrentStep(state, 'held', now), { verdict: 'held', reason, asPlanned: true })
}

/** The same for a canary that was promoted before the others, of this cluster or of a fleet. */
export function endPromotedForHandOver(
  plan: CanaryConfig,
  state: EndedState,
  { why, resumeWithinMs }: HandOverRequest,
): EndedState {
  const reason = `${why} before all were promoted, ${describeRest(plan, state.weight, resumeWithinMs)}`
  return { ...progressOf(state), phase: 'ended', steps: state.steps, verdict: 'held', reason, asPlanned: true }
}

function describeRest({ guard, stable }: CanaryConfig, weight: number, resumeWithinMs: number): string {
  if (weight === 0) return 'and the next run continues'
  const kept = `and the canary keeps the weight ${weight}`
  if (!guard.enabled) return `${kept}, which no guard watches (\`guard: off\`), until the next run continues`
  return (
    `${kept}: the next run continues, and if none does within ${resumeWithinMs / 1_000} s (\`runFor.resumeWithin\`), the guard ` +
    `returns all traffic to ${stable.name}`
  )
}

/** What the next run resumes: it continues the step, and counts how long this run has watched it. */
export function withWatchedTime(state: ActiveState, now: number): ActiveState {
  if (state.phase !== 'watching') return state
  const ms = watchedBefore(state) + now - currentStep(state.steps).watched.since
  return { ...state, watchedBefore: { stage: state.stagesStarted, ms } }
}

type Doubt = { text: string; mayPass: boolean }

function findDoubt(plan: CanaryConfig, state: ActiveState): Doubt | undefined {
  if (state.weight === 0) return undefined
  const passing = (text: string) => ({ text, mayPass: true })
  if (state.countersMissingSince !== undefined) return passing('the counters of the sidecars cannot be read')
  if (state.unguardedSince !== undefined) return passing('no guard watches the weight')
  if (state.unservedSince !== undefined) return passing(describeUnserved(state))
  const failed = Object.values(state.findings).find((finding) => finding.state === 'fail')
  if (failed) return { text: `${failed.name} failed (${failed.text})`, mayPass: false }
  const results = checkResults(plan, state.checks, state.canary, state.stable)
  const against = results.find(({ verdict }) => verdict !== 'pass' && verdict !== 'undecided')
  if (!against) return undefined
  const counted = describeCheck(plan, state.checks, against)
  return { text: `the evidence leans against the canary (${counted})`, mayPass: false }
}
