// The share of successful requests over time, with what it may be by chance. Pure.
import { inPercent } from '../../statistics/percent.ts'

/** In per cent; null before the first request. */
export type Rates = { values: (number | null)[]; low: (number | null)[]; high: (number | null)[] }

/** Of all requests up to each sample, with a 95% interval. */
export function successRates({ requests, failures }: { requests: number[]; failures: number[] }): Rates {
  let [all, failed] = [0, 0]
  const rates = requests.map((count, i) => {
    all += count
    failed += failures[i]!
    return all > 0 ? wilson(Math.max(0, all - failed), all) : undefined
  })
  return {
    values: rates.map((rate) => rate?.share ?? null),
    low: rates.map((rate) => rate?.low ?? null),
    high: rates.map((rate) => rate?.high ?? null),
  }
}

/** The quantile of the normal distribution for 95%. */
const z = 1.959964

/**
 * Wilson's score interval (E. B. Wilson, 1927), in per cent. The exact one of statistics/binomial.ts, which decides
 * about steps, takes as long as there are failures, and a chart has hundreds of intervals.
 */
function wilson(successes: number, all: number): { share: number; low: number; high: number } {
  const share = successes / all
  const middle = share + z ** 2 / (2 * all)
  const reach = z * Math.sqrt((share * (1 - share)) / all + z ** 2 / (4 * all ** 2))
  const scale = 1 + z ** 2 / all
  const bound = (value: number) => inPercent(Math.min(1, Math.max(0, value)), 3)
  return {
    share: bound(share),
    low: bound((middle - reach) / scale),
    high: bound((middle + reach) / scale),
  }
}
