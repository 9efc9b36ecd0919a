// The promotion as a pure state machine: state and observation in, state and actions out. It knows neither clock nor
// cluster, so it can be tested and simulated.
import type { CanaryConfig } from '../../config/schema.ts'
import { checkResults, type CheckResult } from '../analysis/check-results.ts'
import { addObservation } from './count-sample.ts'
import { endFailed } from './ending.ts'
import { findFailure, findRollbackRequest, handleDrift, rollBackOnRequest } from './failure-rules.ts'
import { waitForConfirmation, waitToStart } from './gate-rules.ts'
import {
  endUnreadable,
  findStableOutage,
  findUnserved,
  handleStableOutage,
  handleUnserved,
  waitForCounters,
  waitForGuard,
} from './outage-rules.ts'
import { inPhase, rule, stay, type Rule } from './rule.ts'
import {
  endBesideTheWeight,
  findCallersWithoutSidecar,
  findSharedFailureAlone,
  findWrongShare,
  handleWrongShare,
  returnToCompare,
} from './share-rules.ts'
import { waitForShift } from './shift-rule.ts'
import type { Next, Observation, State } from './types.ts'
import { watchStep } from './watch-rule.ts'

/**
 * The first rule that applies decides, so their order shows what matters most: rules that take traffic from the canary,
 * then rules that wait, then rules that give it more.
 */
const rules: Rule[] = [
  rule({ when: findRollbackRequest, then: rollBackOnRequest }),
  rule({ when: findFailure, then: (reason, { plan, state, now }) => endFailed(plan, state, reason, now) }),
  rule({ when: ({ observation }) => observation.drift, then: handleDrift }),
  rule({ when: ({ observation }) => observation.unreadable, then: endUnreadable }),
  rule({ when: findStableOutage, then: handleStableOutage }),
  rule({ when: findUnserved, then: handleUnserved }),
  rule({ when: ({ state }) => inPhase(state, 'waiting'), then: waitToStart }),
  rule({ when: ({ state }) => state.countersMissingSince, then: waitForCounters }),
  rule({ when: ({ state }) => state.unguardedSince, then: waitForGuard }),
  rule({ when: findCallersWithoutSidecar, then: endBesideTheWeight }),
  rule({ when: findWrongShare, then: handleWrongShare }),
  rule({ when: findSharedFailureAlone, then: returnToCompare }),
  rule({ when: ({ state }) => inPhase(state, 'shifting'), then: waitForShift }),
  rule({ when: ({ state }) => inPhase(state, 'confirming'), then: waitForConfirmation }),
  rule({ when: ({ state }) => inPhase(state, 'watching'), then: watchStep }),
]

/** Decides what follows from one sample. `now`: milliseconds since the epoch. `explain`: another reading of the checks. */
export function next(
  plan: CanaryConfig,
  before: State,
  observation: Observation,
  now: number,
  explain = explainChecks,
): Next {
  if (before.phase === 'ended') return { state: before, actions: [] }
  const state = addObservation(plan, before, observation, now)
  const input = { plan, state, results: explain(plan, state), observation, now }
  for (const decide of rules) {
    const decision = decide(input)
    if (decision) return decision
  }
  return stay(state)
}

/** What every check has counted, how strong its evidence is, and its verdict. */
export function explainChecks(plan: CanaryConfig, { checks, canary, stable }: State): CheckResult[] {
  return checkResults(plan, checks, canary, stable)
}
