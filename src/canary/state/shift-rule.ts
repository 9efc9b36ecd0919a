// The rule that waits until the traffic itself has moved: until the weight of the step is likelier in force than the one
// before.
import type { CanaryConfig } from '../../config/schema.ts'
import { percent } from '../../statistics/percent.ts'
import { addShiftSample, hasShifted, type ShiftEvidence } from '../analysis/shift-detector.ts'
import { endInconclusive } from './advance.ts'
import { settleMs } from './count-sample.ts'
import { stay, type RuleInput } from './rule.ts'
import { describeStage } from './stages.ts'
import { currentStep, replaceCurrent, startWatching } from './steps.ts'
import type { EndedStep, Next, Observation, ShiftingState, ShiftingStep } from './types.ts'

export function waitForShift(state: ShiftingState, { plan, observation, now }: RuleInput): Next {
  const step = currentStep(state.steps)
  const isStablePinned = observation.share?.stable === true && step.weight > step.from
  const routed = isStablePinned ? routedShare(state) : 1
  const shift = step.kind === 'weight' && step.from !== step.weight ? addToShift(step, observation, routed) : undefined
  const isSettled = step.canary.requests > 0 && now - step.shiftedAt >= settleMs.longest
  if (hasMoved(step, shift) || (routed === undefined && isSettled) || needsNoTraffic(plan, step, now)) {
    const steps = replaceCurrent(state.steps, startWatching(step, now))
    return stay({ ...state, phase: 'watching', steps })
  }
  if (now - step.shiftedAt < plan.progressDeadline)
    return stay({ ...state, steps: replaceCurrent(state.steps, { ...step, ...(shift ? { shift } : {}) }) })
  const seconds = plan.progressDeadline / 1000
  const reason = `${describeStage(step)}, ${servedTooLittle(step)} within ${seconds} s (\`progressDeadline\`)`
  return endInconclusive(plan, state, reason, now, step.canary.requests === 0 ? { about: 'no requests' } : {})
}

/** With fewer requests of the canary, its share before says little. */
const fewestBefore = 20

/**
 * The part of all requests, 0 to 1, that the weight splits, by the canary's share at the weight before: the others go to
 * stable on purpose, whatever the weight is. Undefined if no step has shown it.
 */
function routedShare({ steps }: ShiftingState): number | undefined {
  const { from } = currentStep(steps)
  const before = steps.findLast((each): each is EndedStep => each.kind === 'weight' && each.weight === from)?.watched
  if (!before || from === 0 || before.canary < fewestBefore) return undefined
  return Math.min(1, before.canary / (before.canary + before.stable) / (from / 100))
}

/** A request that reached no version may have been for a canary without endpoints. */
function addToShift(
  { shift, from, weight }: ShiftingStep,
  { canary, stable, unserved }: Observation,
  routed = 1,
): ShiftEvidence {
  const atCanary = canary.requests + (unserved?.violations ?? 0)
  return addShiftSample(shift, from * routed, weight * routed, atCanary, stable.requests)
}

/**
 * `shift`: the evidence where the weight changes. Elsewhere the first request that can have come by the route tells.
 */
function hasMoved({ kind, canary, stable }: ShiftingStep, shift: ShiftEvidence | undefined): boolean {
  if (kind !== 'weight') return canary.requests > 0
  return shift ? hasShifted(shift) : canary.requests + stable.requests > 0
}

/** A service without traffic may pass when no step needs requests. */
function needsNoTraffic(plan: CanaryConfig, { canary, stable, shiftedAt }: ShiftingStep, now: number): boolean {
  return plan.checks.minRequests === 0 && canary.requests + stable.requests === 0 && now > shiftedAt
}

function servedTooLittle({ canary, stable }: ShiftingStep): string {
  if (canary.requests === 0) return 'no request reached the canary'
  const share = canary.requests / (canary.requests + stable.requests)
  return `the canary served only ${percent(share)} of the requests`
}
