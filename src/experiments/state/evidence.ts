// Do the users get what is expected while the fault acts? The same tests as of a promotion's limits, for the users'
// requests alone: valid however often they are looked at, with a stated chance of error on both sides. Pure.
//
// Against: an e-value for a failure rate above the limit (objective.ts). Failures come in bursts when a pod dies, and a
// burst rejects the limit of its moment even if the limit holds on the whole. So `fragile` needs both: the test rejects
// the limit, and the share of all requests is above it. Its error is then at most that of the test.
// For: an e-value for a failure rate below the tolerated one (certificate.ts).
import * as certificate from '../../canary/analysis/certificate.ts'
import { countFailures, slowShare } from '../../canary/analysis/checks.ts'
import * as objective from '../../canary/analysis/objective.ts'
import { shareWithoutSidecar } from '../../canary/analysis/share.ts'
import { countSlower, noRequests, type LimitCounts, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'

type Test = { against: objective.Objective; for: certificate.Certificate }
export type Evidence = { successRate: Test; p99?: Test }

type Limits = Pick<ExperimentConfig, 'expect'>

export function createEvidence({ expect }: Limits): Evidence {
  const { successRate, p99, tolerance, falseResilient: beta } = expect
  const testOf = (limit: number): Test => ({
    against: objective.create(limit),
    for: certificate.create(certificate.toleratedShare(limit, tolerance), beta),
  })
  return {
    successRate: testOf(1 - successRate),
    ...(p99 === undefined ? {} : { p99: testOf(slowShare) }),
  }
}

/** Adds the users' requests of one sample. */
export function addEvidence({ expect }: Limits, evidence: Evidence, users: RequestCounts): Evidence {
  const failures = countFailures(users)
  const add = (test: Test, sample: LimitCounts): Test => ({
    against: objective.add(test.against, sample, false),
    for: certificate.add(test.for, sample),
  })
  return {
    successRate: add(evidence.successRate, failures),
    ...(evidence.p99 ? { p99: add(evidence.p99, countSlower(users.times, expect.p99!)) } : {}),
  }
}

/** One of the checks, for the report. `evidence` against reaches `threshold` if the limit does not hold. */
export type UserCheck = {
  check: 'success rate' | 'p99'
  counts: LimitCounts
  limit: number
  against: number
  failThreshold: number
  for: number
  passThreshold: number
  result: 'fail' | 'pass' | 'undecided'
  /** How many more requests without a violation would let it pass. */
  missing: number
}

/** `acting`: all requests that the evidence is of. The checks share the chance of a false verdict. */
export function userChecks({ expect }: Limits, evidence: Evidence, acting: RequestCounts): UserCheck[] {
  const { falseFragile, falseResilient, p99 } = expect
  const number = evidence.p99 ? 2 : 1
  const check = (name: UserCheck['check'], test: Test, counts: LimitCounts): UserCheck => {
    const against = objective.evidence(test.against).overLimit
    const certified = certificate.evidence(test.for)
    const [failThreshold, passThreshold] = [number / falseFragile, 1 / falseResilient]
    const isOver = isOverLimit(counts, test.against.limit)
    const passes = certified >= passThreshold && !isOver
    return {
      check: name,
      counts,
      limit: test.against.limit,
      against,
      failThreshold,
      for: certified,
      passThreshold,
      result: against >= failThreshold && isOver ? 'fail' : passes ? 'pass' : 'undecided',
      missing: certificate.missingRequests(test.for),
    }
  }
  return [
    check('success rate', evidence.successRate, countFailures(acting)),
    ...(evidence.p99 ? [check('p99', evidence.p99, countSlower(acting.times, p99!))] : []),
  ]
}

/** Of the requests themselves, without regard to chance. */
function isOverLimit({ requests, violations }: LimitCounts, limit: number): boolean {
  return requests > 0 && violations / requests > limit
}

/** Whether too many users are not counted, in words. In a promotion, as many make it fail. */
export function usersNotCounted(users: RequestCounts): string | undefined {
  const share = shareWithoutSidecar(users, noRequests)
  if (share === undefined) return undefined
  return (
    `${Math.round(100 * share)}% of the requests come from callers whose sidecars are not read: they have none, or are in ` +
    'a namespace that `clients` does not name'
  )
}

/** The limits that the users' requests themselves break, in words. */
export function brokenLimits({ expect }: Limits, users: RequestCounts): string[] {
  const { successRate, p99 } = expect
  const slow = p99 === undefined ? undefined : countSlower(users.times, p99)
  return [
    ...(isOverLimit(countFailures(users), 1 - successRate)
      ? [`${users.failures} of ${users.requests} requests of users failed`]
      : []),
    ...(slow && isOverLimit(slow, slowShare)
      ? [`${slow.violations} of ${slow.requests} requests of users took longer than ${p99} ms`]
      : []),
  ]
}
