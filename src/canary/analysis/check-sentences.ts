// What the checks say, in words. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { percent } from '../../statistics/percent.ts'
import { missingRequests } from './certificate.ts'
import { slowShare, type Checks } from './checks.ts'
import { certificateOf, type CheckName, type CheckResult } from './check-results.ts'
import type { LimitCounts } from './request-counts.ts'

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

/** Why a check that has not passed does not let the last step start, and what would. */
export function describeMissing(plan: CanaryConfig, checks: Checks, result: CheckResult): string {
  const certificate = certificateOf(checks.certificates, result.check)
  const missing = missingRequests(certificate)
  return (
    `the evidence does not exclude that ${percent(certificate.tolerated)} of the canary's requests or more ` +
    `${violations[result.check]} (${describeCheck(plan, checks, result)}); ` +
    `at least ${missing} more good requests are needed: raise \`progressDeadline\` or \`checks.tolerance\`, ` +
    'or let `load` add requests'
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
