// Expectations over all the counts that a tick may bring: exact, nothing is drawn.

/** Chances of 0 to n failures among n requests, each failing with this chance. */
export function binomial(n: number, rate: number): number[] {
  let chances = [1]
  for (let seen = 1; seen <= n; seen++)
    chances = Array.from({ length: seen + 1 }, (_, x) => (chances[x] ?? 0) * (1 - rate) + (chances[x - 1] ?? 0) * rate)
  return chances
}

/** Chances of 0 to `drawn` among those drawn, when `failures` of all the requests failed and lots decide who is drawn. */
export function hypergeometric(requests: number, failures: number, drawn: number): number[] {
  const ways = (n: number, k: number) =>
    k < 0 || k > n ? 0 : Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1)
  return Array.from(
    { length: drawn + 1 },
    (_, x) => (ways(failures, x) * ways(requests - failures, drawn - x)) / ways(requests, drawn),
  )
}

/** What `e(x)` is expected to be when x has these chances. */
export function expected(chances: number[], e: (x: number) => number): number {
  return chances.reduce((sum, chance, x) => sum + (chance === 0 ? 0 : chance * e(x)), 0)
}
