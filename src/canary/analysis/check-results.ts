// What the checks of a promotion say: the evidence of each against the canary and for it, and the verdict. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { evidence, type Certificate } from './certificate.ts'
import { countFailures, countUnanswered, type Certificates, type Checks } from './checks.ts'
import * as objective from './objective.ts'
import * as relative from './relative.ts'
import { countSlower, shownCount, type LimitCounts, type RequestCounts } from './request-counts.ts'

export type CheckName = 'success rate' | 'p99' | 'failures vs stable' | 'latency vs stable'

/**
 * One check, for the report: what it counted since the first stage, and its verdict.
 * `failEvidence`: its part of the evidence E against the canary. E is the sum of the parts, 1 at the start, and the
 * promotion fails once E reaches `failThreshold` (1/α).
 * `passEvidence`: E for the canary, 1 at the start. The check passes while it is `passThreshold` (1/β) or more.
 * `fail`: the check with the largest part when the promotion fails. `suspect`: the same while E leans against the canary
 * without deciding. `shared`: the canary misses its limit, but nothing shows that stable does better.
 */
export type CheckResult = {
  check: CheckName
  canary: LimitCounts
  stable: LimitCounts
  failEvidence: number
  failThreshold: number
  passEvidence: number
  passThreshold: number
  verdict: 'fail' | 'shared' | 'suspect' | 'pass' | 'undecided'
}

/** While E against the canary is as high as this, no step advances. A healthy canary reaches it in at most 1 of 10 runs. */
const suspicion = 10

/** What each check weighs in E, in proportion. Failures show at once and weigh most; sidecars publish latencies late. */
const allStakes: Record<CheckName, number> = {
  'success rate': 6,
  p99: 3,
  'failures vs stable': 3,
  'latency vs stable': 1,
}

/** Settled by the plan before the first request. A check that compares has no stake where stable never serves, too. */
function stakesOf({ steps, mirror, ab }: CanaryConfig): Record<CheckName, number> {
  const isCompared = mirror !== undefined || ab !== undefined || steps.some((weight) => weight < 100)
  return isCompared ? allStakes : { ...allStakes, 'failures vs stable': 0, 'latency vs stable': 0 }
}

/** `against`: E against the canary. `overLimit`: E for a canary that exceeds its limit, whatever stable does. */
type EvidenceAgainst = { against: number; overLimit?: number }
type CheckEvidence = EvidenceAgainst & { check: CheckName; passEvidence: number }

const certificateKeys: Record<CheckName, keyof Certificates> = {
  'success rate': 'successRate',
  p99: 'p99',
  'failures vs stable': 'failures',
  'latency vs stable': 'latency',
}

/** The certificate of a check in use. */
export function certificateOf(certificates: Certificates, check: CheckName): Certificate {
  return certificates[certificateKeys[check]]!
}

/** Of each check in use, whether it has measured something or not: the stakes are settled at the start. */
function evidenceOf({ successRate, p99, failures, latency, certificates }: Checks): CheckEvidence[] {
  const tests: Record<CheckName, EvidenceAgainst | undefined> = {
    'success rate': objective.evidence(successRate),
    p99: p99 && objective.evidence(p99),
    'failures vs stable': failures && { against: relative.evidence(failures) },
    'latency vs stable': latency && { against: relative.evidence(latency) },
  }
  return Object.entries(tests).flatMap(([name, test]) => {
    const check = name as CheckName
    return test ? [{ check, ...test, passEvidence: evidence(certificateOf(certificates, check)) }] : []
  })
}

/** The result of every check that measures something. `canary` and `stable`: what each served since the first stage. */
export function checkResults(
  plan: CanaryConfig,
  checks: Checks,
  canary: RequestCounts,
  stable: RequestCounts,
): CheckResult[] {
  const [failThreshold, passThreshold] = [1 / plan.checks.falseRollback, 1 / plan.checks.falsePromotion]
  const all = evidenceOf(checks)
  const stakes = stakesOf(plan)
  const staked = all.reduce((sum, { check }) => sum + stakes[check], 0)
  const parts = all.map((each) => (stakes[each.check] / staked) * each.against)
  const total = parts.reduce((sum, each) => sum + each, 0)
  const worst = parts.indexOf(Math.max(...parts))
  const verdictOf = ({ check, overLimit = 0, passEvidence }: CheckEvidence, i: number): CheckResult['verdict'] => {
    if (i === worst && total >= failThreshold) return 'fail'
    if ((stakes[check] / staked) * overLimit >= failThreshold) return 'shared'
    if (i === worst && total >= suspicion) return 'suspect'
    return passEvidence >= passThreshold ? 'pass' : 'undecided'
  }
  return all.flatMap((each, i) => {
    const { check, passEvidence } = each
    const count = counterOf(plan, checks, check)
    if (!count) return []
    const counts = { canary: shown(count(canary)), stable: shown(count(stable)) }
    const found = { failEvidence: parts[i]!, failThreshold, passEvidence, passThreshold }
    return [{ check, ...counts, ...found, verdict: verdictOf(each, i) }]
  })
}

/** What the check counts; undefined while stable's own p99 is not known. */
function counterOf(plan: CanaryConfig, { stableP99Ms }: Checks, check: CheckName) {
  const slowerThan = (ms: number | undefined) =>
    ms === undefined ? undefined : (served: RequestCounts) => countSlower(served.times, ms)
  switch (check) {
    case 'success rate':
      return countFailures
    case 'p99':
      return slowerThan(plan.checks.p99)
    case 'failures vs stable':
      return countUnanswered
    case 'latency vs stable':
      return slowerThan(stableP99Ms)
  }
}

function shown({ requests, violations }: LimitCounts): LimitCounts {
  return { requests: shownCount(requests), violations: shownCount(violations) }
}
