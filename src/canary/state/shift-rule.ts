// The rule that waits until the traffic itself has moved: until the weight of the step is likelier in force than the one
// before.
import type { CanaryConfig } from '../../config/schema.ts'
import { percent } from '../../statistics/percent.ts'
import { addShiftSample, hasShifted, type ShiftEvidence } from '../analysis/shift-detector.ts'
import { endInconclusive } from './advance.ts'
import { stay, type RuleInput } from './rule.ts'
import { describeStage } from './stages.ts'
import { currentStep, replaceCurrent, startWatching } from './steps.ts'
import type { Next, Observation, ShiftingState, ShiftingStep } from './types.ts'

export function waitForShift(state: ShiftingState, { plan, observation, now }: RuleInput): Next {
  const step = currentStep(state.steps)
  const shift = step.kind === 'weight' && step.from !== step.weight ? addToShift(step, observation) : undefined
  if (hasMoved(step, shift) || needsNoTraffic(plan, step, now)) {
    const steps = replaceCurrent(state.steps, startWatching(step, now))
    return stay({ ...state, phase: 'watching', steps })
  }
  if (now - step.shiftedAt < plan.progressDeadline)
    return stay({ ...state, steps: replaceCurrent(state.steps, { ...step, ...(shift ? { shift } : {}) }) })
  const seconds = plan.progressDeadline / 1000
  const reason = `${describeStage(step)}, ${servedTooLittle(step)} within ${seconds} s (\`progressDeadline\`)`
  return endInconclusive(plan, state, reason, now, step.canary.requests === 0 ? { about: 'no requests' } : {})
}

/** A request that reached no version may have been for a canary without endpoints. */
function addToShift({ shift, from, weight }: ShiftingStep, { canary, stable, unserved }: Observation): ShiftEvidence {
  return addShiftSample(shift, from, weight, canary.requests + (unserved?.violations ?? 0), stable.requests)
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
