// The checks of a promotion on the requests it observes: their tests and certificates side by side. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import * as certificate from './certificate.ts'
import type { Certificate } from './certificate.ts'
import { addToWindows, compareWindows, noWindows, windowsAfterShift, type Windows } from './latency-windows.ts'
import * as objective from './objective.ts'
import * as relative from './relative.ts'
import {
  addRequests,
  countMaybeSlower,
  countSlower,
  noRequests,
  quantileEdge,
  unansweredOf,
  type LimitCounts,
  type RequestCounts,
  type Times,
} from './request-counts.ts'

/** The share of requests that may be slower than a p99. */
export const slowShare = 0.01
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
  /** What shows that the canary is not intolerable. A check has one if it has a test. */
  certificates: Certificates
  /** Stable's p99 in milliseconds, as exact as its histogram's buckets are. */
  stableP99Ms?: number
  /** What both served since they were last compared. */
  uncompared: { canary: RequestCounts; stable: RequestCounts }
  /** Latencies that are not compared yet. */
  windows: Windows
}

export type Certificates = {
  successRate: Certificate
  p99?: Certificate
  failures?: Certificate
  latency?: Certificate
}

/** The tests that the plan asks for, without evidence. */
export function createChecks(plan: CanaryConfig): Checks {
  const { successRate, p99, noWorseThanStable } = plan.checks
  const { enabled, margin, latency } = noWorseThanStable
  return {
    successRate: objective.create(1 - successRate),
    ...(p99 === undefined ? {} : { p99: objective.create(slowShare) }),
    ...(enabled ? { failures: relative.create(margin) } : {}),
    ...(enabled && latency ? { latency: relative.create(margin) } : {}),
    certificates: createCertificates(plan),
    uncompared: { canary: noRequests, stable: noRequests },
    windows: noWindows,
  }
}

/** In comparison with stable the canary may also be as bad as an absolute share tolerates (certificate.ts). */
function createCertificates({ checks }: CanaryConfig): Certificates {
  const { successRate, p99, noWorseThanStable, tolerance, falsePromotion: beta } = checks
  const { enabled, margin, latency } = noWorseThanStable
  const failing = certificate.toleratedShare(1 - successRate, tolerance)
  const slow = certificate.toleratedShare(slowShare, tolerance)
  const slowBesideStable = certificate.toleratedShare(slowShare, tolerance * margin)
  return {
    successRate: certificate.create(failing, beta),
    ...(p99 === undefined ? {} : { p99: certificate.create(slow, beta) }),
    ...(enabled ? { failures: certificate.create(failing, beta, tolerance * margin) } : {}),
    ...(enabled && latency ? { latency: certificate.create(slowBesideStable, beta, tolerance * margin) } : {}),
  }
}

/**
 * What both versions served since the sample before. `alone`: stable is meant to get no requests, so there is nothing
 * to compare with. `isChosen`: the canary serves only requests that match a header, which say little about the others,
 * so they cannot certify it. `stableTimes`: stable's latencies before this sample. Its p99 is taken from them once, and
 * stays whatever comes later.
 */
export type CheckSample = {
  canary: RequestCounts
  stable: RequestCounts
  alone: boolean
  isChosen: boolean
  stableTimes: Times
}

export function addSample(plan: CanaryConfig, checks: Checks, sample: CheckSample): Checks {
  const { canary, stable, alone, isChosen } = sample
  const stableP99Ms = checks.stableP99Ms ?? (checks.latency && quantileOfStable(sample.stableTimes))
  const { windows, complete } = addToWindows(checks.windows, canary, stable, plan.pollInterval)
  const completeWindows = complete ? windows : undefined
  const { p99, uncompared } = checks
  const limitMs = plan.checks.p99
  const added = {
    ...checks,
    windows,
    ...(stableP99Ms === undefined ? {} : { stableP99Ms }),
    uncompared: alone ? uncompared : addToBoth(uncompared, canary, stable),
    successRate: objective.add(checks.successRate, countFailures(canary), alone),
    ...(p99 && limitMs !== undefined ? { p99: addLatencies(p99, limitMs, canary, alone, completeWindows) } : {}),
    certificates: addToCertificates(checks.certificates, canary, limitMs, stableP99Ms),
  }
  const latest = completeWindows ? compareLatencies(added, completeWindows) : added
  const compared = hasEnoughToCompare(latest.uncompared) ? compareFailures(latest) : latest
  return isChosen ? { ...compared, certificates: checks.certificates } : compared
}

function quantileOfStable(times: Times): number | undefined {
  return times.total >= minTimedRequests ? quantileEdge(times, 1 - slowShare) : undefined
}

function addToCertificates(
  { successRate, p99, failures, latency }: Certificates,
  canary: RequestCounts,
  limitMs: number | undefined,
  stableP99Ms: number | undefined,
): Certificates {
  const { add } = certificate
  const addSlow = (before: Certificate, ms: number | undefined) =>
    ms === undefined ? before : add(before, countMaybeSlower(canary.times, ms))
  return {
    successRate: add(successRate, countFailures(canary)),
    ...(p99 ? { p99: addSlow(p99, limitMs) } : {}),
    ...(failures ? { failures: add(failures, countUnanswered(canary)) } : {}),
    ...(latency ? { latency: addSlow(latency, stableP99Ms) } : {}),
  }
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
  const { successRate, failures, certificates, uncompared } = checks
  const { canary, stable } = uncompared
  const [ofCanary, ofStable] = [countUnanswered(canary), countUnanswered(stable)]
  return {
    ...checks,
    uncompared: { canary: noRequests, stable: noRequests },
    successRate: objective.compare(successRate, countFailures(canary), countFailures(stable)),
    ...(failures ? { failures: relative.add(failures, ofCanary, ofStable) } : {}),
    certificates: {
      ...certificates,
      ...(certificates.failures ? { failures: certificate.compare(certificates.failures, ofCanary, ofStable) } : {}),
    },
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
function compareLatencies(checks: Checks, windows: Windows): Checks {
  const { latency, certificates, stableP99Ms } = checks
  if (!latency || !certificates.latency || stableP99Ms === undefined) return checks
  const { canary, canaryAtMost, stable, stableSameWindow } = compareWindows(windows, stableP99Ms)
  return {
    ...checks,
    latency: relative.add(latency, canary, stable),
    certificates: {
      ...certificates,
      latency: certificate.compare(certificates.latency, canaryAtMost, stableSameWindow),
    },
  }
}

export function countFailures({ requests, failures }: RequestCounts): LimitCounts {
  return { requests, violations: failures }
}

/**
 * A caller that went away may have lost patience or closed a window. The comparison with stable shows which. It also
 * counts the failures that retries have hidden.
 */
export function countUnanswered(served: RequestCounts): LimitCounts {
  return { requests: served.requests, violations: unansweredOf(served) }
}

/**
 * How many requests, all of them good, certify the canary. Latencies count only after the warm-up, of which a number of
 * requests is known.
 */
export function requestsToCertify(plan: CanaryConfig): number {
  const { successRate, failures, p99, latency } = createCertificates(plan)
  const cold = plan.warmup.by === 'requests' ? plan.warmup.count : 0
  const missing = (each: Certificate | undefined) => (each ? certificate.missingRequests(each) : 0)
  const slow = Math.max(missing(p99), missing(latency))
  return Math.max(missing(successRate), missing(failures), slow === 0 ? 0 : cold + slow)
}
