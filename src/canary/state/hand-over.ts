// Ends a run in the middle of a promotion, which the next run continues. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { checkResults } from '../analysis/check-results.ts'
import { describeCheck } from '../analysis/check-sentences.ts'
import { giveUp } from './advance.ts'
import { end } from './ending.ts'
import { dueGates } from './gates.ts'
import { describeUnserved } from './outage-rules.ts'
import { currentStep, endCurrentStep, progressOf, watchedBefore } from './steps.ts'
import type { ActiveState, EndedState, EndedStep, Next } from './types.ts'

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
  const doubt = findDoubt(plan, state, now)
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

/** What the next run resumes: it continues the step, and counts what this run has watched of it. */
export function withWatchedTime(state: ActiveState, now: number): ActiveState {
  if (state.phase !== 'watching') return state
  const before = watchedBefore(state)
  const { canary, watched } = currentStep(state.steps)
  const [ms, requests] = [before.ms + now - watched.since, before.canary + canary.requests]
  return { ...state, watchedBefore: { stage: state.stagesStarted, ms, canary: requests } }
}

/** The state before a step to a higher weight, which nobody has seen in force yet; undefined if there is none. */
export function beforeRaise(state: ActiveState, now: number): ActiveState | undefined {
  if (state.phase !== 'shifting') return undefined
  const { kind, weight, from } = currentStep(state.steps)
  if (kind !== 'weight' || weight <= from) return undefined
  return {
    ...progressOf(state),
    phase: 'confirming',
    confirmingSince: now,
    weight: from,
    stagesStarted: state.stagesStarted - 1,
    steps: state.steps.slice(0, -1) as EndedStep[],
  }
}

const longestStartMs = 60_000

/**
 * Nothing counts before its pods are ready, so one run after the other would hand such a canary over. A person may take their
 * time to let it begin.
 */
function isLateToStart(plan: CanaryConfig, state: ActiveState, now: number): boolean {
  const awaitsPerson = dueGates(plan, state).some((gate) => gate !== 'rollback')
  const longestMs = Math.min(plan.progressDeadline, longestStartMs)
  return state.phase === 'waiting' && !awaitsPerson && now - state.waitingSince >= longestMs
}

type Doubt = { text: string; mayPass: boolean }

function findDoubt(plan: CanaryConfig, state: ActiveState, now: number): Doubt | undefined {
  if (state.weight === 0) return undefined
  const passing = (text: string) => ({ text, mayPass: true })
  if (isLateToStart(plan, state, now)) return passing('the canary is not ready, so nobody can judge it')
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
