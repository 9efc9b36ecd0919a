// Exact expectations over all counts that a sample may have; nothing is drawn at random.

/** The probabilities of 0 to n failures among n requests, each of which fails with this probability. */
export function binomial(n: number, rate: number): number[] {
  let chances = [1]
  for (let index = 1; index <= n; index++)
    chances = Array.from({ length: index + 1 }, (_, x) => (chances[x] ?? 0) * (1 - rate) + (chances[x - 1] ?? 0) * rate)
  return chances
}

/**
 * The probabilities of 0 to `drawn` failures among requests drawn at random, when `failures` of all requests failed.
 */
export function hypergeometric(requests: number, failures: number, drawn: number): number[] {
  const ways = (n: number, k: number) =>
    k < 0 || k > n ? 0 : Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1)
  return Array.from(
    { length: drawn + 1 },
    (_, x) => (ways(failures, x) * ways(requests - failures, drawn - x)) / ways(requests, drawn),
  )
}

/** The expectation of `e(x)` when x has these probabilities. */
export function expected(chances: number[], e: (x: number) => number): number {
  return chances.reduce((sum, chance, x) => sum + (chance === 0 ? 0 : chance * e(x)), 0)
}
