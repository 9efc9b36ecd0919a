// One promotion in virtual time, by the machine that also moves real traffic (canary/state/machine.ts).
import type { CheckResult } from '../canary/analysis/check-results.ts'
import { requestsToCertify } from '../canary/analysis/checks.ts'
import { noRequests, type RequestCounts } from '../canary/analysis/request-counts.ts'
import { defaultMaxRate, missingRate } from '../canary/load/demand.ts'
import { outcomeOf } from '../canary/state/ending.ts'
import { explainChecks, next } from '../canary/state/machine.ts'
import { initialState } from '../canary/state/start.ts'
import type { Action, Next, Observation, State, Verdict } from '../canary/state/types.ts'
import type { CanaryConfig } from '../config/schema.ts'
import type { Tally, Traffic } from './traffic.ts'

/**
 * `seconds`: from the canary's first traffic to the decision. `requests`, `failures`: what it served until then.
 * `userFailures`: the failures that users saw, without those of copies. `wasSuspected`: at some time the evidence leaned
 * against the canary.
 */
export type Outcome = {
  verdict: Verdict
  seconds: number
  requests: number
  failures: number
  userFailures: number
  wasSuspected?: boolean
}

/**
 * What is not simulated passes: requests that match `ab` come at a rate that nobody knows, and hooks have no rate. A
 * canary that fails is rolled back, so that the verdict `held` means that the plan went well.
 */
export function simulatedPlan({ ab: _, ...plan }: CanaryConfig): CanaryConfig {
  const onInconclusive = plan.onInconclusive === 'hold' ? 'rollback' : plan.onInconclusive
  const checks = { ...plan.checks, queries: {}, commands: {} }
  return { ...plan, checks, webhooks: {}, onFail: 'rollback', onInconclusive }
}

/** `plan`: see simulatedPlan. `ignoresSuspicion`: evidence that leans against the canary without deciding holds no step. */
export function promote(plan: CanaryConfig, users: Traffic, { ignoresSuspicion = false } = {}): Outcome {
  const edges = edgesFor(plan)
  let state: State = initialState(plan, 0, 0, requestCounts(stableBefore, edges))
  let [now, requests, failures, userFailures] = [0, 0, 0, 0]
  let wasSuspected = false
  const explain: typeof explainChecks = (...args) => {
    const results = explainChecks(...args)
    wasSuspected ||= results.some(({ verdict }) => verdict === 'suspect')
    return ignoresSuspicion ? results.map(withoutSuspicion) : results
  }
  const addLoad = loadFor(plan, users)
  while (state.phase !== 'ended') {
    now += plan.pollInterval
    const served = users.until(now / 1000)
    const [canary, stable] = [countUsers(served.canary, users.tries), countUsers(served.stable, users.tries)]
    requests += canary.requests
    failures += canary.failures
    if (state.weight > 0) userFailures += canary.failures
    const { state: after, actions }: Next = next(plan, state, observe(canary, stable, edges), now, explain)
    state = after
    move(users, state.weight, actions)
    addLoad(state, canary.requests + stable.requests)
  }
  const seconds = now / 1000 - (users.firstAt() ?? 0)
  return { verdict: outcomeOf(state)!.verdict, seconds, requests, failures, userFailures, wasSuspected }
}

function withoutSuspicion(result: CheckResult): CheckResult {
  if (result.verdict !== 'suspect') return result
  return { ...result, verdict: result.passEvidence >= result.passThreshold ? 'pass' : 'undecided' }
}

/** Counts the failed tries of one call once, as canary/metrics does without the callers' counters. */
function countUsers({ requests, failures, slow }: Tally, tries: number): Tally {
  return { requests: requests - failures + failures / tries, failures: failures / tries, slow }
}

function move(users: Traffic, weight: number, actions: Action[]): void {
  for (const action of actions) {
    if (action.kind === 'weight') users.shift(action.weight)
    if (action.kind === 'mirror') users.shift(weight, action.percent)
    if (action.kind === 'clear') users.shift(weight)
  }
}

/** Adds synthetic requests as canary/load does. */
function loadFor(plan: CanaryConfig, users: Traffic): (state: State, served: number) => void {
  const { load, interval: stepMs, pollInterval } = plan
  if (!load) return () => undefined
  const [needed, seconds] = [requestsToCertify(plan), pollInterval / 1000]
  let added = 0
  return ({ weight }, served) => {
    const fromUsers = Math.max(0, served - added * seconds)
    added = missingRate({ needed, stepMs, weight, fromUsers, seconds }, load.rate ?? defaultMaxRate)
    users.addLoad(added)
  }
}

/** What stable served before: enough to know its p99. */
const stableBefore = { requests: 10_000, failures: 0, slow: 50 }

/**
 * An edge on each side of the limit, with no request between them, is enough to count slow ones. Edges that are not
 * integers, and so no array indexes, make the objects several times faster.
 */
type Edges = readonly [below: string, above: string]

function edgesFor({ checks: { p99 = 99 } }: CanaryConfig): Edges {
  return [`${p99 - 1}.5`, `${p99}.5`]
}

function requestCounts({ requests, failures, slow }: Tally, [below, above]: Edges): RequestCounts {
  if (requests === 0) return noRequests
  const fast = requests - slow
  return { requests, failures, abandoned: 0, times: { total: requests, within: { [below]: fast, [above]: fast } } }
}

function observe(canary: Tally, stable: Tally, edges: Edges): Observation {
  const both = { canary: requestCounts(canary, edges), stable: requestCounts(stable, edges) }
  const share = { canary: false, stable: false }
  return { ...both, users: noRequests, share, ready: true, complete: true, findings: [], gates: {} }
}
