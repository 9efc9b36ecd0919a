// Whether a shift of traffic has come about, by what each look since it saw. Requests from before a late change must not
// outweigh those after it, so each look may be the first after the change (Shiryaev 1963, Roberts 1966). Pure.

/** `looks`: those that saw a request; `odds`: their evidence for a change at any of them, each by its prior weight. */
export type ShiftEvidence = { samples: number; odds: number }

/** With one more look, in which so many requests went to either version; weights in per cent. */
export function addShiftSample(
  { samples, odds }: ShiftEvidence = { samples: 0, odds: 0 },
  from: number,
  to: number,
  canary: number,
  stable: number,
): ShiftEvidence {
  if (canary + stable === 0) return { samples, odds }
  return {
    samples: samples + 1,
    odds: Math.min(Number.MAX_VALUE, (odds + prior(samples + 1)) * Math.exp(shareScore(from, to, canary, stable))),
  }
}

/** It is likelier that the traffic has moved than that it has not. */
export function hasShifted({ samples, odds }: ShiftEvidence): boolean {
  return samples > 0 && odds > (1 + late * (1 - 1 / samples)) * (1 + rounding)
}

const rounding = 1e-9
/** A change that is late is so much rarer than one that the first look sees. */
const late = 0.2
/** The later looks share that as 1/2, 1/6, 1/12 …: up to look k it is 1 − 1/k of it. */
const prior = (look: number) => (look === 1 ? 1 : late / (look * (look - 1)))

/**
 * How a look speaks for the new weight, in nats: positive where the canary's share is nearer to it than to the old. Scaled
 * so that exp(score) has a mean of 1 while the share is the old one: such a factor is no evidence on average.
 */
export function shareScore(from: number, to: number, canary: number, stable: number): number {
  const [old, now, hits] = to > from ? [from, to, canary] : [100 - from, 100 - to, stable]
  const halfway = (old + now) / 200
  // Of a weight of 0 somebody may get a request all the same.
  return scale(Math.max(old / 100, halfway / 5), halfway) * (hits - halfway * (canary + stable))
}

/** The s above 0 for which p·e^(s·(1 − halfway)) + (1 − p)·e^(−s·halfway) = 1. */
function scale(p: number, halfway: number): number {
  let [low, high] = [0, 64]
  for (let i = 0; i < 50; i++) {
    const s = (low + high) / 2
    if (p * Math.exp(s * (1 - halfway)) + (1 - p) * Math.exp(-s * halfway) < 1) low = s
    else high = s
  }
  return low
}
