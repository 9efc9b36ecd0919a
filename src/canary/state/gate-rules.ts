// Rules that wait before the first stage and before the last one: for pods, guard, counters and webhooks.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import { describeMissing } from '../analysis/check-sentences.ts'
import { advance, endInconclusive } from './advance.ts'
import { endFailed, type Details } from './ending.ts'
import type { Finding } from './finding.ts'
import { dueGates, isAwaiting } from './gates.ts'
import { isPassed, stay, type RuleInput } from './rule.ts'
import type { ConfirmingState, Next, Observation, WaitingState } from './types.ts'

export function waitToStart(state: WaitingState, { plan, observation, now }: RuleInput): Next {
  // Waiting does not help: the pod breaks a rule of the namespace.
  if (observation.unguarded === 'refused')
    return endFailed(plan, state, 'the API server refuses the pod of the guard Job', now, { about: 'guard' })
  const obstacle = findObstacle(plan, state, observation)
  if (!obstacle) return advance(plan, state, now)
  const { what, key } = obstacle
  if (now - state.waitingSince < plan[key]) return stay(state)
  const details: Details = observation.unguarded ? { about: 'guard' } : {}
  return endFailed(plan, state, `${what} within ${plan[key] / 1000} s (\`${key}\`)`, now, details)
}

type Obstacle = { what: string; key: 'progressDeadline' | 'confirmTimeout' }

function findObstacle(
  plan: CanaryConfig,
  state: WaitingState,
  { ready, gates, unguarded }: Observation,
): Obstacle | undefined {
  const key = 'progressDeadline'
  if (unguarded === 'uncovered') return { what: 'the guard was not told of all routes', key }
  if (unguarded) return { what: 'the guard Job did not start', key }
  if (!ready) return { what: "the canary's pods did not become ready", key }
  if (state.countersMissingSince !== undefined) return { what: 'the counters of the sidecars could not be read', key }
  const gate = dueGates(plan, state).find((each) => each !== 'rollback')
  return gate && { what: `${gate} was not confirmed${quote(gates[gate])}`, key: 'confirmTimeout' }
}

const quote = (finding: Finding | undefined) => (finding ? ` (${finding.name}: ${finding.text})` : '')

// A webhook may have to confirm the promotion before the last step.

export function waitForConfirmation(
  state: ConfirmingState,
  { plan, results, observation: { gates }, now }: RuleInput,
): Next {
  const isConfirmed = !isAwaiting(plan, state, 'confirm-promotion')
  const revoked = findRevoked(state, results)
  if (isConfirmed && !revoked) return advance(plan, state, now)
  if (now - state.confirmingSince < plan.confirmTimeout) return stay(state)
  if (isConfirmed) return endInconclusive(plan, state, describeMissing(plan, state, revoked!), now)
  const said = quote(gates['confirm-promotion'])
  const reason = `the promotion was not confirmed${said} within ${plan.confirmTimeout / 1000} s (\`confirmTimeout\`)`
  return endFailed(plan, state, reason, now)
}

/** A check that had passed when the wait began, and does not any more: the canary serves on meanwhile. */
function findRevoked({ steps }: ConfirmingState, results: CheckResult[]): CheckResult | undefined {
  const hadPassed = steps.at(-1)?.outcome === 'passed' && steps.some(({ kind }) => kind !== 'ab')
  return hadPassed ? results.find((result) => !isPassed(result)) : undefined
}
