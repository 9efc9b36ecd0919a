// Shares as text. Pure.

/** A share between 0 and 1 in per cent. `digits`: the most digits after the point. */
export function inPercent(share: number, digits = 2): number {
  return Number((100 * share).toFixed(digits))
}

/** A share between 0 and 1 as text: 0.005 is `0.5%`. */
export function percent(share: number, digits?: number): string {
  return `${inPercent(share, digits)}%`
}

/** The share of the requests that succeeded; undefined if there were none. */
export function successRate({ requests, failures }: { requests: number; failures: number }): number | undefined {
  return requests === 0 ? undefined : (requests - failures) / requests
}
