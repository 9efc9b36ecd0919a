// Has the traffic moved to the new weight? Requests from before a late change must not outweigh those after it, so each
// sample may be the first one after the change: Bayesian change-point detection (A. N. Shiryaev, On optimum methods in
// quickest detection problems, 1963; S. W. Roberts, A comparison of some control chart procedures, 1966). Pure.

/**
 * `samples`: those that saw a request. `odds`: their evidence for a change at any of them, each with its prior
 * weight.
 */
export type ShiftEvidence = { samples: number; odds: number }

/**
 * Adds a sample. `from` and `to`: the canary's weights in per cent; `canary` and `stable`: requests to each version.
 */
export function addShiftSample(
  { samples, odds }: ShiftEvidence = { samples: 0, odds: 0 },
  from: number,
  to: number,
  canary: number,
  stable: number,
): ShiftEvidence {
  if (canary + stable === 0) return { samples, odds }
  const grown = (odds + prior(samples + 1)) * Math.exp(shareScore(from, to, canary, stable))
  return { samples: samples + 1, odds: Math.min(Number.MAX_VALUE, grown) }
}

/**
 * It is likelier that the traffic has moved than that it has not: the odds exceed the prior weight of all samples so
 * far.
 */
export function hasShifted({ samples, odds }: ShiftEvidence): boolean {
  return samples > 0 && odds > (1 + lateWeight * (1 - 1 / samples)) * (1 + roundingTolerance)
}

const roundingTolerance = 1e-9
/** The prior weight of all later changes together; a change that the first sample sees has the weight 1. */
const lateWeight = 0.2
/** The later samples share that weight as 1/2, 1/6, 1/12 …: up to sample k they have 1 − 1/k of it. */
const prior = (sample: number) => (sample === 1 ? 1 : lateWeight / (sample * (sample - 1)))

/**
 * How a sample speaks for the new weight, in nats: positive where the canary's share is nearer to the new weight than
 * to the old one. Scaled so that exp(score) has a mean of 1 while the old weight holds: on average such a factor is
 * no evidence.
 */
export function shareScore(from: number, to: number, canary: number, stable: number): number {
  const [before, after, hits] = to > from ? [from, to, canary] : [100 - from, 100 - to, stable]
  const halfway = (before + after) / 200
  // A version with the weight 0 may get a few requests all the same.
  const share = Math.max(before / 100, halfway / 5)
  return fairScale(share, halfway) * (hits - halfway * (canary + stable))
}

/** The s above 0 for which p·e^(s·(1 − halfway)) + (1 − p)·e^(−s·halfway) = 1, by bisection. */
function fairScale(p: number, halfway: number): number {
  let [low, high] = [0, 64]
  for (let i = 0; i < 50; i++) {
    const s = (low + high) / 2
    if (p * Math.exp(s * (1 - halfway)) + (1 - p) * Math.exp(-s * halfway) < 1) low = s
    else high = s
  }
  return low
}
