// Does the canary fail more than R0 times as often as stable does at the same time? Pure: it knows counts, no clock.
//
// In a sample the canary served n_c requests of which x_c failed, stable n_s of which x_s failed. If the canary's
// rate is R times stable's, a failure is the canary's with a chance of q(R) = n_c·R / (n_c·R + n_s), whatever the
// rates themselves are (the conditional test of two Poisson rates: J. Przyborowski and H. Wilenski, Biometrika 31,
// 1940). So for R against R0 a sample weighs
//   (q(R)/q(R0))^x_c · ((1−q(R))/(1−q(R0)))^x_s                                                                  (1)
// and this factor is expected to be at most 1 while the canary's rate is at most R0 times stable's, given how many
// requests each got in that sample. So weights may change between samples, and stable's rate may be anything and may
// drift. It holds in both worlds that matter:
// - Failures are independent. With a = q(R)/q(R0), b = (1−q(R))/(1−q(R0)) and rates p_c ≤ R0·p_s the factor is
//   expected to be (1+p_c(a−1))^n_c · (1+p_s(b−1))^n_s ≤ exp(p_s·(n_c·R0·(a−1) + n_s·(b−1))) = 1: for requests that
//   fail one by one, too, not only for Poisson counts. The mirror test (R < R0: a < 1 < b, p_c ≥ R0·p_s) works the
//   same way.
// - Failures come in bursts of any form, and which version gets a request is drawn by lot. Then x_c of the sample's
//   failures is hypergeometric. The expectation of a convex function of it is at most that of the binomial with q(1)
//   (W. Hoeffding, JASA 58, 1963, theorem 4).
//
// Where the weight alone decides which version gets a request, q(R) = w·R / (w·R + 1 − w) says more, with the chance w
// that a request goes to the canary instead of its share of the sample. A sample in which the canary fails has more of
// its requests than w·n on average, so its own share makes less of a failure. (1) is expected to be at most 1 then, too:
// a request weighs (q(R)/q(R0) with w·p_c, (1−q(R))/(1−q(R0)) with (1−w)·p_s, else 1), and a failure of a burst goes to
// the canary with the chance w = q(1). Both parts of (1) fall with w. So it stays fair if w is more than the real chance.
import { addEvidence, eValue, noEvidence, onFarRatios, ratios, type Evidence, type LogRatios } from './mixture.ts'
import type { LimitCounts } from './request-counts.ts'

/** The test of one ratio of rates. `margin`: the tolerated ratio R0, from 1. */
export type Relative = { margin: number; overMargin: Evidence }

/** A test without evidence. `margin`: see Relative. */
export function create(margin: number): Relative {
  return { margin, overMargin: noEvidence }
}

/**
 * What both versions served at the same time. `chance`: the highest chance, above 0 and below 1, with which a request
 * goes to the canary; undefined unless the weight alone decides. It must be known before the sample is taken.
 */
export type Pair = { canary: LimitCounts; stable: LimitCounts; chance?: number | undefined }

/** A sample says something if something failed and it is known what share of that is the canary's on average. */
export function isInformative({ canary, stable, chance }: Pair): boolean {
  const isShareKnown = chance !== undefined || (canary.requests > 0 && stable.requests > 0)
  return isShareKnown && canary.violations + stable.violations > 0
}

/** Adds a sample. */
export function add(test: Relative, pair: Pair): Relative {
  if (!isInformative(pair)) return test
  const { margin, overMargin } = test
  const over = ratios.map((ratio) => margin * ratio)
  return { margin, overMargin: addEvidence(overMargin, logRatios(pair, over, margin), onFarRatios) }
}

/**
 * The logarithm of an informative sample's likelihood ratio, for each alternative R against `tolerated` R0:
 * x_c·ln(q(R)/q(R0)) + x_s·ln((1−q(R))/(1−q(R0))), with q(R) = odds·R / (1 + odds·R). The odds are w/(1 − w) for the
 * chance w, else n_c/n_s.
 */
export function logRatios({ canary, stable, chance }: Pair, alternatives: number[], tolerated: number): LogRatios {
  const odds = chance === undefined ? canary.requests / stable.requests : chance / (1 - chance)
  return alternatives.map((ratio) => {
    const logStable = Math.log((1 + odds * tolerated) / (1 + odds * ratio))
    return canary.violations * (Math.log(ratio / tolerated) + logStable) + stable.violations * logStable
  })
}

/** E, 1 at the start: the evidence that the canary's rate is more than `margin` times stable's. */
export function evidence({ overMargin }: Relative): number {
  return eValue(overMargin)
}
