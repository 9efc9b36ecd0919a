// Evidence that may be checked at any time. Pure: it knows counts, no clock.
//
// The likelihood ratio of one alternative against the null hypothesis is, while the null hypothesis holds, a process
// that starts at 1 and is not expected to grow (a supermartingale). So is the mean over several alternatives (a
// mixture), called E. By Ville's inequality (J. Ville, Étude critique de la notion de collectif, 1939) the chance
// that E ever reaches 1/α is at most α, however often it is checked and whenever checking stops. Wald's sequential
// test (A. Wald, Sequential Analysis, 1947) is the case of a single alternative. See A. Ramdas, P. Grünwald, V. Vovk
// and G. Shafer, Game-theoretic statistics and safe anytime-valid inference (Statistical Science, 2023).

/** The alternatives, as multiples of the tolerated rate (or of its inverse): from close to it to far from it. */
export const ratios = [1.5, 2, 3, 5, 10, 20, 50]

/** The share of the stake on each alternative. */
export type Stakes = readonly number[]
const evenly: Stakes = ratios.map(() => 1 / ratios.length)
/** For evidence against a canary: where it fails far more than tolerated, every second counts. */
export const onFarRatios: Stakes = [0.05, 0.07, 0.09, 0.14, 0.22, 0.25, 0.18]
/** For evidence for a canary: most have no failure yet, or a third of what is tolerated. */
export const onNearRatios: Stakes = [0.08, 0.12, 0.22, 0.18, 0.1, 0.1, 0.2]

/** The natural logarithms of likelihood ratios, one for each alternative. */
export type LogRatios = number[]

/**
 * A mixture over the time at which the rate changes, too. `wealth`: what the stake on each alternative is worth.
 *
 * A canary may turn bad late, under load or when an outage of both versions is over. A ratio that has sunk while the
 * canary was good would take as long to rise again. So three quarters of the stake are on "bad from the first sample
 * on", and some of the rest is staked with every sample: after t samples 1/(4√t) is still in reserve, and what is
 * staked at t has to grow by about 8·t^1.5 to be worth 1. A mixture over the time of the change is as fair as any
 * other.
 */
export type Evidence = { samples: number; wealth: number[] }

/** Before the first sample. */
export const noEvidence: Evidence = { samples: 0, wealth: ratios.map(() => 0) }

/** Finite, as is the sum of all, because the state is saved as JSON. To have less than a fair bet has won is fair. */
const mostWealth = Number.MAX_VALUE / (2 * ratios.length)

/** The share of the stake that is not staked after so many samples. */
const reserve = (samples: number) => (samples === 0 ? 1 : 0.25 / Math.sqrt(samples))

/** Adds a sample. `logRatios`: of that sample alone. `stakes`: the same for all samples. */
export function addEvidence({ samples, wealth }: Evidence, logRatios: LogRatios, stakes = evenly): Evidence {
  const staked = reserve(samples) - reserve(samples + 1)
  return {
    samples: samples + 1,
    wealth: wealth.map((each, i) => Math.min((each + staked * stakes[i]!) * Math.exp(logRatios[i]!), mostWealth)),
  }
}

/** E = the alternatives' wealth + reserve: 1 before the first sample. */
export function eValue({ samples, wealth }: Evidence): number {
  return sum(wealth) + reserve(samples)
}

/** Gives away what E exceeds `highest` (above 1) by. */
export function capEvidence(evidence: Evidence, highest: number): Evidence {
  const { samples, wealth } = evidence
  const part = (highest - reserve(samples)) / sum(wealth)
  return part >= 1 ? evidence : { samples, wealth: wealth.map((each) => part * each) }
}

/** E of likelihood ratios over the whole time, with the same stake on each alternative. `logRatios`: their sums. */
export function eValueOfSum(logRatios: LogRatios): number {
  return sum(logRatios.map((log) => Math.min(Math.exp(log), mostWealth))) / logRatios.length
}

/**
 * The ratios of `requests` of which `violations` violate a limit, for each alternative rate p1 against `limit` p0:
 * x·ln(p1/p0) + (n−x)·ln((1−p1)/(1−p0)) (Bernoulli; A. Wald, Sequential Analysis, 1947).
 */
export function bernoulliRatios(
  { requests, violations }: { requests: number; violations: number },
  rates: number[],
  limit: number,
): LogRatios {
  return rates.map(
    (rate) => violations * Math.log(rate / limit) + (requests - violations) * Math.log((1 - rate) / (1 - limit)),
  )
}

function sum(values: number[]): number {
  let total = 0
  for (const value of values) total += value
  return total
}
