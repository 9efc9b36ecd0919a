// The checks of a promotion on the requests it saw: their tests, side by side, and what they say. Pure.
// The chance of a false alarm is shared out among them evenly: by the union bound it holds for all of them together.
import type { CanaryConfig } from '../../config/schema.ts'
import type { Judgement } from './mixture.ts'
import * as objective from './objective.ts'
import * as relative from './relative.ts'
import {
  quantileEdge,
  noRequests,
  countSlower,
  addRequests,
  type LimitCounts,
  type RequestCounts,
  type Times,
} from './request-counts.ts'
import { windowsAfterShift, compareWindows, noWindows, addToWindows, type Windows } from './latency-windows.ts'

/** Of 100 requests the slowest may be slower than what a p99 states. */
const slowest = 0.01
/** So many timed requests of stable tell its own p99 well enough to hold the canary against it. */
const enoughTimed = 200
/** So many requests of both together are compared at once. */
const enoughToCompare = 10

export type Checks = {
  successRate: objective.Objective
  p99?: objective.Objective
  /** No worse than stable: in failures, and in requests slower than `edgeMs`, stable's own p99 as far as its buckets tell. */
  failures?: relative.Relative
  latency?: relative.Relative
  edgeMs?: number
  /** What both served and is not compared yet. */
  waiting: { canary: RequestCounts; stable: RequestCounts }
  /** Times of both that are not compared yet. */
  windows: Windows
}

/** `against` and `below`: the E values of the test, 1 at the start; the first condemns and the second certifies at 1/alpha. */
export type CheckResult = {
  check: string
  canary: LimitCounts
  stable: LimitCounts
  failEvidence: number
  passEvidence: number
  threshold: number
  verdict: Judgement | 'shared'
}

export function createChecks({ checks: { successRate, p99, noWorseThanStable } }: CanaryConfig): Checks {
  const { enabled, margin, latency } = noWorseThanStable
  return {
    successRate: objective.create(1 - successRate),
    ...(p99 === undefined ? {} : { p99: objective.create(slowest) }),
    ...(enabled ? { failures: relative.create(margin) } : {}),
    ...(enabled && latency ? { latency: relative.create(margin) } : {}),
    waiting: { canary: noRequests, stable: noRequests },
    windows: noWindows,
  }
}

/**
 * Adds what a tick saw. `alone`: stable was meant to get nothing, so that it cannot be compared with.
 * `usual`: stable's times before this tick, from which the edge is taken once; later it stays, whatever is seen.
 */
export function addSample(
  plan: CanaryConfig,
  checks: Checks,
  canary: RequestCounts,
  stable: RequestCounts,
  alone: boolean,
  usual: Times,
): Checks {
  const edgeMs =
    checks.edgeMs ?? (checks.latency && usual.total >= enoughTimed ? quantileEdge(usual, 1 - slowest) : undefined)
  const { windows, complete } = addToWindows(checks.windows, canary, stable, plan.pollInterval)
  const limit = plan.checks.p99
  const waiting = alone
    ? checks.waiting
    : { canary: addRequests(checks.waiting.canary, canary), stable: addRequests(checks.waiting.stable, stable) }
  const added: Checks = {
    ...checks,
    waiting,
    windows,
    ...(edgeMs === undefined ? {} : { edgeMs }),
    successRate: objective.add(checks.successRate, failed(canary), alone),
    ...(checks.p99 && limit !== undefined
      ? { p99: slowerThan(limit, checks.p99, canary, alone, complete ? windows : undefined) }
      : {}),
    ...(checks.latency && edgeMs !== undefined && complete
      ? { latency: slowerThanStable(edgeMs, checks.latency, windows) }
      : {}),
  }
  return waiting.canary.requests > 0 && waiting.canary.requests + waiting.stable.requests >= enoughToCompare
    ? compared(added)
    : added
}

/** Before the weight changes: what is waiting is compared, and what is published from now on is not put together with it. */
export function closeComparison(checks: Checks): Checks {
  return { ...compared(checks), windows: windowsAfterShift }
}

/**
 * Compares what both served since the last time. At two requests a second hardly a tick holds requests of both; so ticks
 * are put together until there are some, but never across a change of weight, for what failed may have changed with it.
 */
function compared(checks: Checks): Checks {
  const {
    successRate,
    failures,
    waiting: { canary, stable },
  } = checks
  return {
    ...checks,
    waiting: { canary: noRequests, stable: noRequests },
    successRate: objective.compare(successRate, failed(canary), failed(stable)),
    ...(failures ? { failures: relative.add(failures, unanswered(canary), unanswered(stable)) } : {}),
  }
}

/** Its own times count at once, those beside stable's when there are windows to compare. */
function slowerThan(
  limitMs: number,
  before: objective.Objective,
  { times }: RequestCounts,
  alone: boolean,
  windows: Windows | undefined,
): objective.Objective {
  const test = objective.add(before, countSlower(times, limitMs), alone)
  if (!windows) return test
  const { canary, stable } = compareWindows(windows, limitMs)
  return objective.compare(test, canary, stable)
}

function slowerThanStable(edgeMs: number, test: relative.Relative, windows: Windows): relative.Relative {
  const { canary, stable, even } = compareWindows(windows, edgeMs)
  return { ...relative.add(test, canary, stable), below: relative.add(test, canary, even).below }
}

function failed({ requests, failures }: RequestCounts): LimitCounts {
  return { requests, violations: failures }
}

/** A caller that goes away may be a user who lost progressDeadline or one who closed a window: beside stable the difference tells. */
function unanswered({ requests, failures, abandoned }: RequestCounts): LimitCounts {
  return { requests, violations: failures + abandoned }
}

/** Each check's counts since the first weight, how strong its evidence is, and what it says. */
export function checkResults(
  plan: CanaryConfig,
  checks: Checks,
  canary: RequestCounts,
  stable: RequestCounts,
): CheckResult[] {
  const { edgeMs } = checks
  const { p99 } = plan.checks
  const alpha = alphaOf(plan, checks)
  const line = (
    check: string,
    of: (served: RequestCounts) => LimitCounts,
    evidence: { against: number; below: number },
    verdict: CheckResult['verdict'],
  ): CheckResult => ({
    check,
    canary: of(canary),
    stable: of(stable),
    failEvidence: evidence.against,
    passEvidence: evidence.below,
    threshold: 1 / alpha,
    verdict,
  })
  return [
    line('success rate', failed, objective.evidence(checks.successRate), objective.judge(checks.successRate, alpha)),
    ...(checks.p99 && p99 !== undefined
      ? [
          line(
            'p99',
            ({ times }) => countSlower(times, p99),
            objective.evidence(checks.p99),
            objective.judge(checks.p99, alpha),
          ),
        ]
      : []),
    ...(checks.failures
      ? [
          line(
            'failures beside stable',
            unanswered,
            relative.evidence(checks.failures),
            relative.judge(checks.failures, alpha),
          ),
        ]
      : []),
    ...(checks.latency && edgeMs !== undefined
      ? [
          line(
            'latency beside stable',
            ({ times }) => countSlower(times, edgeMs),
            relative.evidence(checks.latency),
            relative.judge(checks.latency, alpha),
          ),
        ]
      : []),
  ]
}

/** What each check may contribute to the chance of a false alarm. */
function alphaOf({ checks: { falseAlarm } }: CanaryConfig, { successRate, p99, failures, latency }: Checks): number {
  return falseAlarm / [successRate, p99, failures, latency].filter((each) => each !== undefined).length
}

/** So many requests, none of which failed, certify the success rate. */
export function requestsToCertify(plan: CanaryConfig): number {
  const begun = createChecks(plan)
  const alpha = alphaOf(plan, begun)
  const certified = (requests: number) =>
    objective.judge(objective.add(begun.successRate, { requests, violations: 0 }, true), alpha) === 'pass'
  let [short, long] = [0, 1]
  while (!certified(long)) [short, long] = [long, 2 * long]
  while (long - short > 1) {
    const middle = Math.floor((short + long) / 2)
    if (certified(middle)) long = middle
    else short = middle
  }
  return long
}

/** One sentence of what a line counted, with the limit it is held to. */
export function describeCheck(
  { checks: { successRate, p99, noWorseThanStable } }: CanaryConfig,
  { edgeMs }: Checks,
  { check, canary, stable }: CheckResult,
): string {
  const share = ({ requests, violations }: LimitCounts) =>
    `${violations} of ${requests} (${percent(requests === 0 ? 0 : violations / requests)})`
  const beside = `of stable's ${share(stable)}; ${noWorseThanStable.margin} times as often is tolerated`
  if (check === 'success rate')
    return `success rate: of the canary's requests ${share(canary)} failed, the limit is ${percent(1 - successRate)}; of stable's ${share(stable)}`
  if (check === 'p99')
    return `latency: of the canary's requests ${share(canary)} took longer than the limit of p99 (${p99 ?? 0} ms), which allows ${percent(slowest)}; of stable's ${share(stable)}`
  if (check === 'failures beside stable')
    return `no worse than stable: of the canary's requests ${share(canary)} failed or were given up, ${beside}`
  return `no worse than stable: of the canary's requests ${share(canary)} took longer than ${edgeMs ?? 0} ms, stable's own p99; ${beside}`
}

function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(2))}%`
}
