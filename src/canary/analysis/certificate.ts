// Tests whether the canary is better than what is tolerated: the counterpart of the tests against it. Pure.
//
// The null hypothesis is a canary that is intolerable all the time: each of its requests violates the limit with a
// chance of at least p1, whatever came before. Lower rates are staked on (mixture.ts); an alternative p < p1 weighs a
// request with p/p1 or (1−p)/(1−p1), which is expected to be at most 1 while the chance is p1 or more. So the chance that
// E ever reaches 1/β is at most β.
//
// In comparison with stable a canary is intolerable if it is both: above p1, and worse than R1 times stable at the same
// time (relative.ts, the mirror test). Under that hypothesis E of either is fair, and so is their weighted mean. An
// outage that both versions share ruins the first and not the second.
//
// A canary may turn bad after it was certified. So E is capped at `spare`/β: two or three failures in a row revoke the
// certificate, and one failure among many good requests does not. A canary that recovers, as after an outage, is certified
// again, because some of the stake is on a change (Evidence).
import {
  addEvidence,
  bernoulliRatios,
  capEvidence,
  eValue,
  noEvidence,
  onNearRatios,
  ratios,
  type Evidence,
} from './mixture.ts'
import * as relative from './relative.ts'
import type { LimitCounts } from './request-counts.ts'

/**
 * `tolerated`: the share of requests p1 at which the canary is intolerable, above 0 and below 1. `beta`: the chance of a
 * wrong certificate. `besideStable`: for a check that compares with stable; there `ratio` is the multiple R1 of its rate.
 */
export type Certificate = {
  tolerated: number
  beta: number
  underTolerated: Evidence
  besideStable?: { ratio: number; underRatio: Evidence }
}

const spare = 100
/** The share of the stake on the comparison with stable. */
const besideStableStake = 0.2

/** The tolerated share of a limit: `tolerance` times the limit, and at most halfway from the limit to 1. */
export function toleratedShare(limit: number, tolerance: number): number {
  return Math.min(tolerance * limit, (1 + limit) / 2)
}

/** Without evidence. See Certificate. */
export function create(tolerated: number, beta: number, ratio?: number): Certificate {
  return {
    tolerated,
    beta,
    underTolerated: noEvidence,
    ...(ratio === undefined ? {} : { besideStable: { ratio, underRatio: noEvidence } }),
  }
}

/** Adds a sample of the canary. */
export function add(certificate: Certificate, canary: LimitCounts): Certificate {
  if (canary.requests === 0) return certificate
  const { tolerated, beta, underTolerated } = certificate
  const lower = ratios.map((ratio) => tolerated / ratio)
  const grown = addEvidence(underTolerated, bernoulliRatios(canary, lower, tolerated), onNearRatios)
  return { ...certificate, underTolerated: capEvidence(grown, spare / beta) }
}

/** Adds what both versions served at the same time. */
export function compare(certificate: Certificate, canary: LimitCounts, stable: LimitCounts): Certificate {
  const { beta, besideStable } = certificate
  if (!besideStable || !relative.isInformative(canary, stable)) return certificate
  const { ratio, underRatio } = besideStable
  const lower = ratios.map((each) => ratio / each)
  const grown = addEvidence(underRatio, relative.logRatios(canary, stable, lower, ratio), onNearRatios)
  return { ...certificate, besideStable: { ratio, underRatio: capEvidence(grown, spare / beta) } }
}

/** E, 1 at the start. The canary is certified while it is 1/β or more. */
export function evidence({ underTolerated, besideStable }: Certificate): number {
  const own = eValue(underTolerated)
  if (!besideStable) return own
  return (1 - besideStableStake) * own + besideStableStake * eValue(besideStable.underRatio)
}

/** How many more requests without a violation would certify the canary. */
export function missingRequests(certificate: Certificate): number {
  const isEnough = (requests: number) => evidence(add(certificate, { requests, violations: 0 })) >= 1 / certificate.beta
  if (isEnough(0)) return 0
  let [tooFew, enough] = [0, 1]
  while (!isEnough(enough)) [tooFew, enough] = [enough, 2 * enough]
  while (enough - tooFew > 1) {
    const middle = Math.floor((tooFew + enough) / 2)
    if (isEnough(middle)) enough = middle
    else tooFew = middle
  }
  return enough
}
