// Is the failure rate above its limit? A sequential test that may be looked at after every request without
// raising its false-alarm rate. Pure: it knows counts, no clock.
//
// For a true rate p ≤ p0, the likelihood ratio of n requests with x failures for an alternative p1 against p0,
//   (p1/p0)^x · ((1−p1)/(1−p0))^(n−x),
// is a supermartingale that starts at 1, and so is the mean over several alternatives (a mixture). By Ville's
// inequality (J. Ville, 1939) its chance ever to reach 1/α is at most α, however often it is looked at.
// See Wald, Sequential Analysis (1947), and Ramdas et al., Game-theoretic statistics and safe anytime-valid inference (2023).

/** How many times the limit the alternatives are: from barely above it to far above it. */
const ratios = [1.5, 2, 3, 5, 10, 20, 50]

/** Requests seen and those among them that count against the canary. */
export type Counts = { requests: number; against: number }
export type Judgement = 'fail' | 'pass' | 'undecided'

/** One test: the limit p0 on the rate, and the log likelihood ratio of each alternative above and below it. */
export type Test = { limit: number; above: number[]; below: number[] }

/** Capped half-way to 1, so that a lenient limit has alternatives too. */
const alternativesAbove = (limit: number) => ratios.map((ratio) => Math.min(limit * ratio, (1 + limit) / 2))
const alternativesBelow = (limit: number) => ratios.map((ratio) => limit / ratio)

export function begin(limit: number): Test {
  return { limit, above: alternativesAbove(limit).map(() => 0), below: alternativesBelow(limit).map(() => 0) }
}

export function add({ limit, above, below }: Test, counts: Counts): Test {
  const grow = (sums: number[], alternatives: number[]) => sums.map((sum, i) => sum + logLikelihoodRatio(counts, alternatives[i]!, limit))
  return { limit, above: grow(above, alternativesAbove(limit)), below: grow(below, alternativesBelow(limit)) }
}

function logLikelihoodRatio({ requests, against }: Counts, alternative: number, limit: number): number {
  return against * Math.log(alternative / limit) + (requests - against) * Math.log((1 - alternative) / (1 - limit))
}

/** `fail`: the rate is above the limit; `pass`: it is below; each wrong with a chance of at most `alpha`. */
export function judge({ above, below }: Test, alpha: number): Judgement {
  const threshold = Math.log(1 / alpha)
  if (logMeanExp(above) >= threshold) return 'fail'
  return logMeanExp(below) >= threshold ? 'pass' : 'undecided'
}

/** ln(mean(exp(values))), safe against overflow; no evidence (0) for an empty list. */
export function logMeanExp(values: number[]): number {
  if (values.length === 0) return 0
  const top = Math.max(...values)
  return top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0) / values.length)
}
