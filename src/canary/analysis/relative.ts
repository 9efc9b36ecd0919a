// Does the canary fail more than R0 times as often as stable does at the same time? Pure: it knows counts, no clock.
//
// In a sample the canary served n_c requests of which x_c failed, stable n_s of which x_s failed. If the canary's
// rate is R times stable's, a failure is the canary's with a chance of q(R) = n_c·R / (n_c·R + n_s), whatever the
// rates themselves are (the conditional test of two Poisson rates: J. Przyborowski and H. Wilenski, Biometrika 31,
// 1940). So for R against R0 a sample weighs
//   (q(R)/q(R0))^x_c · ((1−q(R))/(1−q(R0)))^x_s
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
import { addEvidence, eValue, noEvidence, onFarRatios, ratios, type Evidence, type LogRatios } from './mixture.ts'
import type { LimitCounts } from './request-counts.ts'

/** The test of one ratio of rates. `margin`: the tolerated ratio R0, from 1. */
export type Relative = { margin: number; overMargin: Evidence }

/** A test without evidence. `margin`: see Relative. */
export function create(margin: number): Relative {
  return { margin, overMargin: noEvidence }
}

/** A sample says something when both versions served requests and something failed. */
export function isInformative(canary: LimitCounts, stable: LimitCounts): boolean {
  return canary.requests > 0 && stable.requests > 0 && canary.violations + stable.violations > 0
}

/** Adds what both versions served at the same time. */
export function add(test: Relative, canary: LimitCounts, stable: LimitCounts): Relative {
  if (!isInformative(canary, stable)) return test
  const { margin, overMargin } = test
  const over = ratios.map((ratio) => margin * ratio)
  return { margin, overMargin: addEvidence(overMargin, logRatios(canary, stable, over, margin), onFarRatios) }
}

/**
 * The logarithm of an informative sample's likelihood ratio, for each alternative R against `tolerated` R0:
 * x_c·ln(q(R)/q(R0)) + x_s·ln((1−q(R))/(1−q(R0))), with q(R) = odds·R / (1 + odds·R) and odds = n_c/n_s.
 */
export function logRatios(
  canary: LimitCounts,
  stable: LimitCounts,
  alternatives: number[],
  tolerated: number,
): LogRatios {
  const odds = canary.requests / stable.requests
  return alternatives.map((ratio) => {
    const logStable = Math.log((1 + odds * tolerated) / (1 + odds * ratio))
    return canary.violations * (Math.log(ratio / tolerated) + logStable) + stable.violations * logStable
  })
}

/** E, 1 at the start: the evidence that the canary's rate is more than `margin` times stable's. */
export function evidence({ overMargin }: Relative): number {
  return eValue(overMargin)
}
