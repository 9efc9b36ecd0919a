// A rule of the state machine: what it looks for in a sample, and what follows when it finds that.
import type { CanaryConfig } from '../../config/schema.ts'
import type { CheckResult } from '../analysis/check-results.ts'
import type { ActiveState, Next, Observation, State } from './types.ts'

/** One sample with the state that already counts it, and what the checks say. `now`: milliseconds since the epoch. */
export type RuleInput = {
  plan: CanaryConfig
  state: ActiveState
  results: CheckResult[]
  observation: Observation
  now: number
}

export type Rule = (input: RuleInput) => Next | undefined

/** `then` follows from what `when` finds; undefined finds nothing. */
export function rule<Found>({
  when,
  then,
}: {
  when: (input: RuleInput) => Found | undefined
  then: Then<Found>
}): Rule {
  return (input) => {
    const found = when(input)
    return found === undefined ? undefined : then(found, input)
  }
}

type Then<Found> = (found: Found, input: RuleInput) => Next

export const stay = (state: State): Next => ({ state, actions: [] })

export function inPhase<P extends ActiveState['phase']>(state: ActiveState, phase: P) {
  return state.phase === phase ? (state as Extract<ActiveState, { phase: P }>) : undefined
}

export const isPassed = ({ verdict }: CheckResult) => verdict === 'pass'

export function findVerdict(results: CheckResult[], wanted: CheckResult['verdict']): CheckResult | undefined {
  return results.find(({ verdict }) => verdict === wanted)
}
