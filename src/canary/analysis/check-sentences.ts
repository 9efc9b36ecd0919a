// What the checks say, in words. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { percent } from '../../statistics/percent.ts'
import { missingRequests } from './certificate.ts'
import { slowShare, type Checks } from './checks.ts'
import { certificateOf, type CheckName, type CheckResult } from './check-results.ts'
import {
  countMaybeSlower,
  countSlower,
  edgesAround,
  shownCount,
  type LimitCounts,
  type RequestCounts,
  type Times,
} from './request-counts.ts'

/** What the check counted, and the limit. */
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

/** Why a check that has not passed does not let the last step start, and what would. `canary`: all that it served. */
export function describeMissing(
  plan: CanaryConfig,
  { checks, canary }: { checks: Checks; canary: RequestCounts },
  result: CheckResult,
): string {
  const certificate = certificateOf(checks.certificates, result.check)
  const missing = missingRequests(certificate)
  const unclear = result.check === 'p99' ? describeUnclear(canary.times, plan.checks.p99!) : undefined
  return (
    `the evidence does not exclude that ${percent(certificate.tolerated)} of the canary's requests or more ` +
    `${violations[result.check]} (${describeCheck(plan, checks, result)}); ` +
    (unclear ??
      `at least ${missing} more good requests are needed: raise \`progressDeadline\` or \`checks.tolerance\`, ` +
        'or let `load` add requests')
  )
}

/** The requests of which the buckets do not tell whether they keep the limit; undefined if there are none. */
function describeUnclear(times: Times, p99: number): string | undefined {
  const count = shownCount(countMaybeSlower(times, p99).violations - countSlower(times, p99).violations)
  return count === 0
    ? undefined
    : `${count} of ${times.total} timed requests tell nothing: ${describeInexact(times, p99)}`
}

/** What a limit between two bucket edges means, and what to do; undefined if it is an edge, or no edge is known. */
export function describeInexact(times: Times, p99: number): string | undefined {
  const { below, above } = edgesAround(times, p99)
  const edges = [below, above].flatMap((edge) => edge ?? [])
  if (edges.length === 0 || below === above) return undefined
  const between =
    edges.length === 2
      ? `of ${edges.join(' to ')} ms`
      : `${above === undefined ? 'above' : 'below'} ${edges.join('')} ms`
  return (
    `the sidecars' latency buckets have no edge at ${p99} ms, so requests ${between} count neither as good nor as too ` +
    `slow; set \`checks.p99\` to ${edges.map((edge) => `${edge}ms`).join(' or ')}, or give the pods such an edge ` +
    '(annotation sidecar.istio.io/statsHistogramBuckets)'
  )
}

const violations: Record<CheckName, string> = {
  'success rate': 'fail',
  p99: 'are too slow',
  'failures vs stable': 'fail or are abandoned',
  'latency vs stable': 'are too slow',
}

function shareOf({ requests, violations }: LimitCounts): number {
  return requests === 0 ? 0 : violations / requests
}
