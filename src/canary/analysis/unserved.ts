// Requests of users that failed before they reached any version: no endpoint, no route or no connection. They name no
// version, and the checks of the versions do not see them. Pure.
//
// Whose they are shows in the requests that were served. While the failures do not depend on the version, the canary
// gets its weight w of the served requests, whatever fails. If the canary's own requests fail so, it serves less: a
// share d·w with d < 1, and none where all its pods are ejected. Each served request weighs that against w:
//   canary: d, stable: (1 − d·w)/(1 − w)
// The mean over several d, and over the time since when, is a fair bet while the share is w (mixture.ts).
import type { CanaryConfig } from '../../config/schema.ts'
import { addEvidence, eValue, noEvidence, type Evidence } from './mixture.ts'
import * as objective from './objective.ts'
import { addLimitCounts, type LimitCounts } from './request-counts.ts'

/**
 * `counts`: since the first stage. `test`: are there too many of them? `ofCanary`: would there be too many if all were
 * the canary's? `missing`: evidence that they were.
 */
export type Unserved = {
  counts: LimitCounts
  test: objective.Objective
  ofCanary: objective.Objective
  missing: Evidence
}

/** The requests that each version served while the canary had `weight` per cent, above 0 and below 100. */
export type Served = { weight: number; canary: number; stable: number }

/** The alternatives d: what is left of the canary's share. */
const remaining = [0.001, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7]

/** Such failures may be as frequent as failures of the canary may be. */
export function createUnserved({ checks: { successRate } }: CanaryConfig): Unserved {
  return {
    counts: { requests: 0, violations: 0 },
    test: objective.create(1 - successRate),
    ofCanary: objective.create(1 - successRate),
    missing: noEvidence,
  }
}

/** `served`: undefined while the share is not known to follow a weight. */
export function addUnserved(before: Unserved, sample: LimitCounts, served?: Served): Unserved {
  const added = {
    ...before,
    counts: addLimitCounts(before.counts, sample),
    test: objective.add(before.test, sample, false),
  }
  if (!served || served.canary + served.stable === 0) return added
  const requests = Math.max(sample.violations, (sample.requests * served.weight) / 100)
  return {
    ...added,
    ofCanary: objective.add(before.ofCanary, { requests, violations: sample.violations }, false),
    missing: addEvidence(before.missing, logRatios(served)),
  }
}

function logRatios({ weight, canary, stable }: Served): number[] {
  const share = weight / 100
  return remaining.map((left) => canary * Math.log(left) + stable * Math.log((1 - left * share) / (1 - share)))
}

/** True if more requests fail so than tolerated, with a chance of error of at most `falseRollback`. */
export function isUnservedTooOften({ checks: { falseRollback } }: CanaryConfig, { test }: Unserved): boolean {
  return objective.evidence(test).overLimit >= 1 / falseRollback
}

/** The part of `falseRollback` for blaming the canary: the checks spend it, and this comes on top of them. */
const blameShare = 0.1

/**
 * True if the canary serves so much less than its weight that such failures are its own, and if these are too many for
 * it.
 */
export function isCanaryUnserved(
  { checks: { falseRollback } }: CanaryConfig,
  { ofCanary, missing }: Unserved,
): boolean {
  const threshold = 1 / (blameShare * falseRollback)
  return objective.evidence(ofCanary).overLimit >= threshold && eValue(missing) >= threshold
}
