// Is the canary's failure rate above its limit p0, and is it the canary's doing? Pure: it knows counts, no clock.
//
// `own` weighs n requests with x failures for a rate p1 > p0 against p0:
//   (p1/p0)^x · ((1−p1)/(1−p0))^(n−x)      (Bernoulli; Wald 1947)
// It is fair while each request of the canary fails with a chance of at most p0, whatever came before. When failures come
// in bursts, such as the outage of a database that both versions ask, it is not: one burst is hundreds of failures at once.
// `beside` asks whether the canary fails more often than stable in the same tick (relative.ts, with a ratio of 1): which
// version a request goes to is drawn by lot, so a burst falls on both in the proportion of their requests.
// A canary fails when both have reached 1/α. The smaller of two never exceeds either, so that the chance of a false alarm
// is at most α when either null hypothesis holds: failures within the limit however stable fares, or bursts of any form that
// do not care for the version. Where stable is meant to get nothing (`alone`) there is no one to compare with, and
// `beside` takes the same terms as `own`.
import type { LimitCounts } from './request-counts.ts'
import { eValue, eValueOf, ratios, addLogs, noEvidence, addTerms, type Evidence, type Judgement } from './mixture.ts'
import * as relative from './relative.ts'

/** The limit p0 on the rate, the evidence of its being missed, and the logarithms of the ratios that certify it. */
export type Objective = { limit: number; own: Evidence; beside: Evidence; below: number[] }

/** Capped half-way to 1, so that a lenient limit has alternatives too. */
const above = (limit: number) => ratios.map((ratio) => Math.min(limit * ratio, (1 + limit) / 2))
const below = (limit: number) => ratios.map((ratio) => limit / ratio)

/** `limit`: the tolerated rate of failures, above 0 and below 1. */
export function create(limit: number): Objective {
  return { limit, own: noEvidence, beside: noEvidence, below: ratios.map(() => 0) }
}

/** Adds a tick of the canary. `alone` must be known before the tick (the canary's weight is 100), never taken from its counts. */
export function add(test: Objective, canary: LimitCounts, alone: boolean): Objective {
  if (canary.requests === 0) return test
  const { limit } = test
  const own = terms(canary, above(limit), limit)
  return {
    limit,
    own: addTerms(test.own, own),
    beside: alone ? addTerms(test.beside, own) : test.beside,
    below: addLogs(test.below, terms(canary, below(limit), limit)),
  }
}

/** Adds what both served at the same time. */
export function compare(test: Objective, canary: LimitCounts, stable: LimitCounts): Objective {
  return relative.isInformative(canary, stable)
    ? { ...test, beside: addTerms(test.beside, relative.terms(canary, stable, ratios, 1)) }
    : test
}

function terms({ requests, violations }: LimitCounts, alternatives: number[], limit: number): number[] {
  return alternatives.map(
    (rate) => violations * Math.log(rate / limit) + (requests - violations) * Math.log((1 - rate) / (1 - limit)),
  )
}

/** `shared`: the limit is missed, but stable fares no better. */
export function judge(test: Objective, alpha: number): Judgement | 'shared' {
  const { against, beside, below } = evidence(test)
  if (against >= 1 / alpha) return beside >= 1 / alpha ? 'fail' : 'shared'
  return below >= 1 / alpha ? 'pass' : 'undecided'
}

/** E values: of the limit being missed, of stable faring better, and of the limit being kept. */
export function evidence({ own, beside, below }: Objective): { against: number; beside: number; below: number } {
  return { against: eValue(own), beside: eValue(beside), below: eValueOf(below) }
}
