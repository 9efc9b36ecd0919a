// Evidence that may be looked at at any time. Pure: it knows counts, no clock.
//
// A likelihood ratio of one alternative against the null hypothesis is, while that holds, a process that starts at 1 and
// is not expected to grow (a supermartingale); so is the mean over several alternatives (a mixture), called E. By Ville's
// inequality (J. Ville, Étude critique de la notion de collectif, 1939) the chance that E ever reaches 1/α is at most α,
// however often it is looked at and whenever the looking ends. Wald's sequential test (A. Wald, Sequential Analysis, 1947)
// is the one with a single alternative. See A. Ramdas, P. Grünwald, V. Vovk and G. Shafer, Game-theoretic statistics and
// safe anytime-valid inference (Statistical Science, 2023).

/** How many times the tolerated rate the alternatives are: from barely above it to far above it. */
export const ratios = [1.5, 2, 3, 5, 10, 20, 50]

/** `fail`: the rate is above what is tolerated; `pass`: it is below; each wrong with a chance of at most alpha. */
export type Judgement = 'fail' | 'pass' | 'undecided'

/**
 * Of each alternative, ln of what its stakes have grown to. A canary may turn bad late, under load or when an outage of both
 * versions is over, and a ratio that has sunk while it was good would take as long to rise again. So three quarters of the
 * stake are on "bad from the first tick on", and of the rest some enters with every tick: 1/(4√t) is in hand after t ticks,
 * and what enters at t has to grow by about 8·t^1.5. A mixture over the time of the change is as fair as any.
 */
export type Evidence = { ticks: number; logs: number[] }

/** Finite, so that it can be saved as JSON. */
export const noEvidence: Evidence = { ticks: 0, logs: ratios.map(() => -Number.MAX_VALUE) }

const inHand = (ticks: number) => (ticks === 0 ? 1 : 0.25 / Math.sqrt(ticks))

/** After a tick; `terms`: the logarithm of each alternative's likelihood ratio in that tick alone. */
export function addTerms({ ticks, logs }: Evidence, terms: number[]): Evidence {
  const entering = Math.log(inHand(ticks) - inHand(ticks + 1))
  return { ticks: ticks + 1, logs: logs.map((log, i) => logSumExp(log, entering) + terms[i]!) }
}

/** E, 1 at the start; capped to stay a finite number, as JSON can hold. */
export function eValue({ ticks, logs }: Evidence): number {
  return Math.min(Math.exp(logMeanExp(logs)) + inHand(ticks), Number.MAX_VALUE)
}

/** The same for ratios that were there from the start and only add up: what certifies speaks of the whole time. */
export function eValueOf(logs: number[]): number {
  return Math.min(Math.exp(logMeanExp(logs)), Number.MAX_VALUE)
}

export function addLogs(a: number[], b: number[]): number[] {
  return a.map((each, i) => each + b[i]!)
}

function logSumExp(a: number, b: number): number {
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))
}

/** ln(mean(exp(values))), safe against overflow; no evidence (0) for an empty list. */
export function logMeanExp(values: number[]): number {
  if (values.length === 0) return 0
  let [top, sum] = [-Infinity, 0]
  for (const value of values) top = Math.max(top, value)
  for (const value of values) sum += Math.exp(value - top)
  return top + Math.log(sum / values.length)
}
