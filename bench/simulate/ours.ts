// One promotion in virtual time by the machine that also moves real traffic (src/canary/state/machine.ts).
import { next } from '../../src/canary/state/machine.ts'
import { initialState } from '../../src/canary/state/start.ts'
import { outcomeOf } from '../../src/canary/state/ending.ts'
import type { Observation, State, Verdict } from '../../src/canary/state/types.ts'
import { noRequests, addRequests, type RequestCounts } from '../../src/canary/analysis/request-counts.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { CanaryConfig } from '../../src/config/schema.ts'
import type { Tally, Traffic } from './traffic.ts'

/** `seconds`: from the canary's first traffic to the decision. `samples`, `failures`: its requests until then. */
export type Outcome = { verdict: Verdict; seconds: number; samples: number; failures: number }

/** The plan of a canary section, as `{ … }` on one line. */
export function planOf(settings: string): CanaryConfig {
  return loadConfig({ INPUT_CANARY: `{ service: backend, ${settings} }` }).canary!
}

export function promote(plan: CanaryConfig, users: Traffic): Outcome {
  let state: State = initialState(plan, 0, 0, stableBefore)
  let now = 0
  let canary = noRequests
  while (state.phase !== 'ended') {
    now += plan.pollInterval
    const counts = users.until(now / 1000)
    const observation = observe(countUsers(counts.canary, users.tries), countUsers(counts.stable, users.tries))
    canary = addRequests(canary, observation.canary)
    const step = next(plan, state, observation, now)
    state = step.state
    for (const action of step.actions) if (action.kind === 'weight') users.shift(action.weight)
  }
  return {
    verdict: outcomeOf(state)!.verdict,
    seconds: now / 1000 - (users.firstAt() ?? 0),
    samples: canary.requests,
    failures: canary.failures,
  }
}

/** Counts the failed tries of one call once, as src/canary/metrics/version-counter.ts does without the callers' counters. */
function countUsers({ requests, failures, slow }: Tally, tries: number): Tally {
  return { requests: requests - failures + failures / tries, failures: failures / tries, slow }
}

/** What stable served before: enough to know its p99. */
const stableBefore = requestCounts({ requests: 10_000, failures: 0, slow: 50 })

/**
 * One bucket edge is enough to count slow requests. (An edge that is not an integer, and so no array index, makes the
 * objects several times faster.)
 */
function requestCounts({ requests, failures, slow }: Tally): RequestCounts {
  return { requests, failures, abandoned: 0, times: { total: requests, within: { '99.5': requests - slow } } }
}

function observe(canary: Tally, stable: Tally): Observation {
  const both = { canary: requestCounts(canary), stable: requestCounts(stable) }
  return { ...both, users: noRequests, ready: true, complete: true, findings: [], gates: {} }
}
