// The checks of a promotion on the requests it observes: their tests side by side, and the verdict of each. Pure.
// They share the allowed chance of a false alarm evenly, so it holds for all of them together (union bound).
import type { CanaryConfig } from '../../config/schema.ts'
import { addToWindows, compareWindows, noWindows, windowsAfterShift, type Windows } from './latency-windows.ts'
import type { Decision } from './mixture.ts'
import * as objective from './objective.ts'
import * as relative from './relative.ts'
import {
  addRequests,
  countSlower,
  noRequests,
  quantileEdge,
  shownCount,
  unansweredOf,
  type LimitCounts,
  type RequestCounts,
  type Times,
} from './request-counts.ts'

/** The share of requests that may be slower than a p99. */
const slowShare = 0.01
/** After so many timed requests stable's own p99 is known well enough to compare the canary with it. */
const minTimedRequests = 200
/** Samples are joined until both versions together served so many requests. */
const minComparedRequests = 10

/** The state of all tests; an optional one is missing when the plan does not ask for it. */
export type Checks = {
  successRate: objective.Objective
  p99?: objective.Objective
  /** The canary's failures in comparison with stable's. */
  failures?: relative.Relative
  /** Requests slower than stable's own p99 (`stableP99Ms`), in comparison with stable's. */
  latency?: relative.Relative
  /** Stable's p99 in milliseconds, as exact as its histogram's buckets are. */
  stableP99Ms?: number
  /** What both served since they were last compared. */
  uncompared: { canary: RequestCounts; stable: RequestCounts }
  /** Latencies that are not compared yet. */
  windows: Windows
}

export type CheckName = 'success rate' | 'p99' | 'failures vs stable' | 'latency vs stable'

/**
 * One check, for the report: what it counted since the first stage, and its verdict. `failEvidence`, `passEvidence`:
 * E values, 1 at the start; the check fails or passes once one reaches `threshold` (1/α). `shared`: the canary misses
 * its limit, but nothing shows that stable does better.
 */
export type CheckResult = {
  check: CheckName
  canary: LimitCounts
  stable: LimitCounts
  failEvidence: number
  passEvidence: number
  threshold: number
  verdict: Decision | 'shared'
}

/** The tests that the plan asks for, without evidence. */
export function createChecks({ checks: { successRate, p99, noWorseThanStable } }: CanaryConfig): Checks {
  const { enabled, margin, latency } = noWorseThanStable
  return {
    successRate: objective.create(1 - successRate),
    ...(p99 === undefined ? {} : { p99: objective.create(slowShare) }),
    ...(enabled ? { failures: relative.create(margin) } : {}),
    ...(enabled && latency ? { latency: relative.create(margin) } : {}),
    uncompared: { canary: noRequests, stable: noRequests },
    windows: noWindows,
  }
}

/**
 * Adds what both versions served since the sample before. `alone`: stable is meant to get no requests, so there is
 * nothing to compare with. `stableTimes`: stable's latencies before this sample. Its p99 is taken from them once, and
 * stays whatever comes later.
 */
export function addSample(
  plan: CanaryConfig,
  checks: Checks,
  canary: RequestCounts,
  stable: RequestCounts,
  alone: boolean,
  stableTimes: Times,
): Checks {
  const stableP99Ms = checks.stableP99Ms ?? (checks.latency && quantileOfStable(stableTimes))
  const { windows, complete } = addToWindows(checks.windows, canary, stable, plan.pollInterval)
  const completeWindows = complete ? windows : undefined
  const { p99, latency, uncompared } = checks
  const limitMs = plan.checks.p99
  const added: Checks = {
    ...checks,
    windows,
    ...(stableP99Ms === undefined ? {} : { stableP99Ms }),
    uncompared: alone ? uncompared : addToBoth(uncompared, canary, stable),
    successRate: objective.add(checks.successRate, countFailures(canary), alone),
    ...(p99 && limitMs !== undefined ? { p99: addLatencies(p99, limitMs, canary, alone, completeWindows) } : {}),
    ...(latency && stableP99Ms !== undefined && completeWindows
      ? { latency: compareLatencies(latency, stableP99Ms, completeWindows) }
      : {}),
  }
  return hasEnoughToCompare(added.uncompared) ? compareFailures(added) : added
}

function quantileOfStable(times: Times): number | undefined {
  return times.total >= minTimedRequests ? quantileEdge(times, 1 - slowShare) : undefined
}

function addToBoth(sums: Checks['uncompared'], canary: RequestCounts, stable: RequestCounts): Checks['uncompared'] {
  return { canary: addRequests(sums.canary, canary), stable: addRequests(sums.stable, stable) }
}

function hasEnoughToCompare({ canary, stable }: Checks['uncompared']): boolean {
  return canary.requests > 0 && canary.requests + stable.requests >= minComparedRequests
}

/** Before the weight changes: compares what is uncompared, so that it is not joined with what is served afterwards. */
export function closeComparison(checks: Checks): Checks {
  return { ...compareFailures(checks), windows: windowsAfterShift }
}

/**
 * Compares what both served since the last time. At two requests a second hardly any sample has requests of both
 * versions, so samples are joined until there are some. They are never joined across a change of weight, because the
 * failure rate may have changed with it.
 */
function compareFailures(checks: Checks): Checks {
  const { successRate, failures, uncompared } = checks
  const { canary, stable } = uncompared
  return {
    ...checks,
    uncompared: { canary: noRequests, stable: noRequests },
    successRate: objective.compare(successRate, countFailures(canary), countFailures(stable)),
    ...(failures ? { failures: relative.add(failures, countUnanswered(canary), countUnanswered(stable)) } : {}),
  }
}

/** The canary's own latencies count at once, the comparison with stable's when three windows are complete. */
function addLatencies(
  before: objective.Objective,
  limitMs: number,
  { times }: RequestCounts,
  alone: boolean,
  completeWindows: Windows | undefined,
): objective.Objective {
  const test = objective.add(before, countSlower(times, limitMs), alone)
  if (!completeWindows) return test
  const { canary, stable } = compareWindows(completeWindows, limitMs)
  return objective.compare(test, canary, stable)
}

/** What speaks against the canary is compared with three windows of stable, what speaks for it with the same window. */
function compareLatencies(test: relative.Relative, stableP99Ms: number, windows: Windows): relative.Relative {
  const { canary, stable, stableSameWindow } = compareWindows(windows, stableP99Ms)
  const { underMargin } = relative.add(test, canary, stableSameWindow)
  return { ...relative.add(test, canary, stable), underMargin }
}

function countFailures({ requests, failures }: RequestCounts): LimitCounts {
  return { requests, violations: failures }
}

/**
 * A caller that went away may have lost patience or closed a window. The comparison with stable shows which. It also
 * counts the failures that retries have hidden.
 */
function countUnanswered(served: RequestCounts): LimitCounts {
  return { requests: served.requests, violations: unansweredOf(served) }
}

/** The result of every check. `canary` and `stable`: what each served since the first stage. */
export function checkResults(
  plan: CanaryConfig,
  checks: Checks,
  canary: RequestCounts,
  stable: RequestCounts,
): CheckResult[] {
  const alpha = alphaPerCheck(plan, checks)
  const { successRate, p99, failures, latency, stableP99Ms } = checks
  const limitMs = plan.checks.p99
  const result = (check: CheckName, outcome: TestOutcome, count: (served: RequestCounts) => LimitCounts) => [
    { check, canary: shown(count(canary)), stable: shown(count(stable)), ...outcome, threshold: 1 / alpha },
  ]
  const slowerThan = (ms: number) => (served: RequestCounts) => countSlower(served.times, ms)
  return [
    ...result('success rate', outcomeOfObjective(successRate, alpha), countFailures),
    ...(p99 && limitMs !== undefined ? result('p99', outcomeOfObjective(p99, alpha), slowerThan(limitMs)) : []),
    ...(failures ? result('failures vs stable', outcomeOfRelative(failures, alpha), countUnanswered) : []),
    ...(latency && stableP99Ms !== undefined
      ? result('latency vs stable', outcomeOfRelative(latency, alpha), slowerThan(stableP99Ms))
      : []),
  ]
}

function shown({ requests, violations }: LimitCounts): LimitCounts {
  return { requests: shownCount(requests), violations: shownCount(violations) }
}

type TestOutcome = Pick<CheckResult, 'failEvidence' | 'passEvidence' | 'verdict'>

function outcomeOfObjective(test: objective.Objective, alpha: number): TestOutcome {
  const { overLimit, underLimit } = objective.evidence(test)
  return { failEvidence: overLimit, passEvidence: underLimit, verdict: objective.decide(test, alpha) }
}

function outcomeOfRelative(test: relative.Relative, alpha: number): TestOutcome {
  const { overMargin, underMargin } = relative.evidence(test)
  return { failEvidence: overMargin, passEvidence: underMargin, verdict: relative.decide(test, alpha) }
}

/** The check compares with stable instead of holding a limit. */
export function comparesWithStable({ check }: CheckResult): boolean {
  return check === 'failures vs stable' || check === 'latency vs stable'
}

/** The chance of a false alarm that each check may have. */
function alphaPerCheck(
  { checks: { falseAlarm } }: CanaryConfig,
  { successRate, p99, failures, latency }: Checks,
): number {
  return falseAlarm / [successRate, p99, failures, latency].filter((each) => each !== undefined).length
}

/** How many requests, none of which fails, prove that the canary keeps its success rate. */
export function requestsToCertify(plan: CanaryConfig): number {
  const checks = createChecks(plan)
  const alpha = alphaPerCheck(plan, checks)
  const isEnough = (requests: number) =>
    objective.decide(objective.add(checks.successRate, { requests, violations: 0 }, true), alpha) === 'pass'
  let [tooFew, enough] = [0, 1]
  while (!isEnough(enough)) [tooFew, enough] = [enough, 2 * enough]
  while (enough - tooFew > 1) {
    const middle = Math.floor((tooFew + enough) / 2)
    if (isEnough(middle)) enough = middle
    else tooFew = middle
  }
  return enough
}

/** One sentence: what the check counted, and the limit. */
export function describeCheck(
  { checks: { successRate, p99 = 0, noWorseThanStable } }: CanaryConfig,
  { stableP99Ms = 0 }: Checks,
  { check, canary, stable }: CheckResult,
): string {
  const requests = `${canary.violations} of ${canary.requests} canary requests (${percent(shareOf(canary))})`
  const ofStable = `stable: ${stable.violations} of ${stable.requests} (${percent(shareOf(stable))})`
  const margin = `${noWorseThanStable.margin} times stable's rate is tolerated`
  switch (check) {
    case 'success rate':
      return `success rate: ${requests} failed, the limit is ${percent(1 - successRate)}; ${ofStable}`
    case 'p99':
      return (
        `latency: ${requests} took longer than the limit of p99 (${p99} ms), ` +
        `which allows ${percent(slowShare)}; ${ofStable}`
      )
    case 'failures vs stable':
      return `no worse than stable: ${requests} failed or were abandoned; ${ofStable}; ${margin}`
    case 'latency vs stable':
      return (
        `no worse than stable: ${requests} took longer than ${stableP99Ms} ms, stable's own p99; ` +
        `${ofStable}; ${margin}`
      )
  }
}

function shareOf({ requests, violations }: LimitCounts): number {
  return requests === 0 ? 0 : violations / requests
}

function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(2))}%`
}
