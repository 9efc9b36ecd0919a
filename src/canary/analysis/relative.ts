// Does the canary fail more than R0 times as often as stable does at the same time? Pure: it knows counts, no clock.
//
// In a tick the canary served n_c requests of which x_c failed, stable n_b of which x_b failed. Were the canary's rate R
// times stable's, a failure is the canary's with a chance of q(R) = n_c·R / (n_c·R + n_b), whatever the rates themselves
// are (the conditional test of two Poisson rates: J. Przyborowski and H. Wilenski, Biometrika 31, 1940). For R against R0
// a tick therefore weighs
//   (q(R)/q(R0))^x_c · ((1−q(R))/(1−q(R0)))^x_b
// and its factor is expected to be at most 1 while the canary's rate is at most R0 times stable's, given how many requests
// each got in that tick. So weights may change between ticks, and stable's rate may be anything and may wander.
// It holds in both worlds that matter:
// - Failures are independent. With a = q(R)/q(R0), b = (1−q(R))/(1−q(R0)) and rates p_c ≤ R0·p_b the factor is expected to be
//   (1+p_c(a−1))^n_c · (1+p_b(b−1))^n_b ≤ exp(p_b·(n_c·R0·(a−1) + n_b·(b−1))) = 1: for requests that fail one by one, too,
//   not only for Poisson counts. The mirror test (R < R0: a < 1 < b, p_c ≥ R0·p_b) goes the same way.
// - Failures come in bursts of any form, and which version a request goes to is drawn by lot. Then x_c of the tick's failures
//   is hypergeometric, of which a convex function is expected to be no more than of the binomial with q(1)
//   (W. Hoeffding, JASA 58, 1963, theorem 4).
import type { LimitCounts } from './request-counts.ts'
import { eValue, eValueOf, ratios, addLogs, noEvidence, addTerms, type Evidence, type Judgement } from './mixture.ts'

/** The tolerated ratio R0 of the rates, the evidence of a greater one, and the logarithms of the ratios that certify a smaller. */
export type Relative = { margin: number; above: Evidence; below: number[] }

/** `margin`: how many times stable's rate is tolerated, from 1. */
export function create(margin: number): Relative {
  return { margin, above: noEvidence, below: ratios.map(() => 0) }
}

/** Whether a tick tells anything: both versions were asked, and something failed. */
export function isInformative(canary: LimitCounts, stable: LimitCounts): boolean {
  return canary.requests > 0 && stable.requests > 0 && canary.violations + stable.violations > 0
}

export function add(test: Relative, canary: LimitCounts, stable: LimitCounts): Relative {
  if (!isInformative(canary, stable)) return test
  const { margin, above, below } = test
  const of = (alternatives: number[]) => terms(canary, stable, alternatives, margin)
  return {
    margin,
    above: addTerms(above, of(ratios.map((ratio) => margin * ratio))),
    below: addLogs(below, of(ratios.map((ratio) => margin / ratio))),
  }
}

/** What a tick that tells adds to the logarithm of each alternative's likelihood ratio against `tolerated`; both are ratios of rates. */
export function terms(canary: LimitCounts, stable: LimitCounts, alternatives: number[], tolerated: number): number[] {
  const odds = canary.requests / stable.requests
  // ln(q(R)/q(R0)) and ln((1−q(R))/(1−q(R0))), with q = odds·R / (1 + odds·R).
  return alternatives.map((ratio) => {
    const less = Math.log((1 + odds * tolerated) / (1 + odds * ratio))
    return canary.violations * (Math.log(ratio / tolerated) + less) + stable.violations * less
  })
}

/** `pass`: shown to be less than `margin` times as bad as stable. */
export function judge(test: Relative, alpha: number): Judgement {
  const { against, below } = evidence(test)
  if (against >= 1 / alpha) return 'fail'
  return below >= 1 / alpha ? 'pass' : 'undecided'
}

/** E values: of being worse than stable by more than the margin, and of not being so. */
export function evidence({ above, below }: Relative): { against: number; below: number } {
  return { against: eValue(above), below: eValueOf(below) }
}
