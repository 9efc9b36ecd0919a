// Is the canary's failure rate above its limit p0, and is the canary the cause? Pure: it knows counts, no clock.
//
// `overLimit` weighs n requests with x failures for a rate p1 > p0 against p0 (Bernoulli; A. Wald, Sequential
// Analysis, 1947):
//   (p1/p0)^x · ((1−p1)/(1−p0))^(n−x)
// It is a fair bet while each request to the canary fails with a chance of at most p0, whatever came before. It is
// not fair when failures come in bursts, such as an outage of a database that both versions use: one burst is
// hundreds of failures. `worseThanStable` asks whether the canary fails more often than stable in the same sample
// (relative.ts with a margin of 1). The mesh decides by lot which version gets a request, so a burst hits both in the
// proportion of their requests. A canary fails when both have reached 1/α. The smaller of two never exceeds either,
// so the chance of a false rollback is at most α when either null hypothesis holds: failures within the limit, whatever
// stable's rate is; or bursts of any form that do not depend on the version. Where stable is meant to get no requests
// (`alone`) there is nothing to compare with, and `worseThanStable` adds the same ratios as `overLimit`.
import { addEvidence, bernoulliRatios, eValue, noEvidence, onFarRatios, ratios, type Evidence } from './mixture.ts'
import * as relative from './relative.ts'
import type { LimitCounts } from './request-counts.ts'

/** The test of one limit. `limit`: the tolerated share of requests that violate it, p0, above 0 and below 1. */
export type Objective = { limit: number; overLimit: Evidence; worseThanStable: Evidence }

/** The alternatives p1; halfway to 1 at most, so that a lenient limit has alternatives, too. */
const ratesOver = (limit: number) => ratios.map((ratio) => Math.min(limit * ratio, (1 + limit) / 2))

/** A test without evidence. `limit`: see Objective. */
export function create(limit: number): Objective {
  return { limit, overLimit: noEvidence, worseThanStable: noEvidence }
}

/**
 * Adds a sample of the canary. `alone`: the canary's weight is 100, and stable never served beside it. It must be known
 * before the sample is taken, never be concluded from its counts: else the bet is not fair.
 */
export function add(test: Objective, canary: LimitCounts, alone: boolean): Objective {
  if (canary.requests === 0) return test
  const { limit } = test
  const over = bernoulliRatios(canary, ratesOver(limit), limit)
  return {
    limit,
    overLimit: addEvidence(test.overLimit, over, onFarRatios),
    worseThanStable: alone ? addEvidence(test.worseThanStable, over, onFarRatios) : test.worseThanStable,
  }
}

/** Adds what both versions served at the same time. */
export function compare(test: Objective, canary: LimitCounts, stable: LimitCounts): Objective {
  if (!relative.isInformative(canary, stable)) return test
  const worse = relative.logRatios(canary, stable, ratios, 1)
  return { ...test, worseThanStable: addEvidence(test.worseThanStable, worse, onFarRatios) }
}

/**
 * E values, each 1 at the start: `overLimit` for a canary that exceeds its limit, `against` for one that exceeds it and
 * does worse than stable.
 */
export function evidence({ overLimit, worseThanStable }: Objective) {
  const over = eValue(overLimit)
  return { overLimit: over, against: Math.min(over, eValue(worseThanStable)) }
}
