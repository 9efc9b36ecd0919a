// Whether a count fits a share: exact binomial tails and the interval that follows from them (Clopper and Pearson,
// 1934).

/** True when neither tail beyond the count is rarer than (1 − confidence) / 2. */
export function plausible(count: number, of: number, share: number, confidence: number): boolean {
  const rare = (1 - confidence) / 2
  return atMost(count, of, share) > rare && 1 - atMost(count - 1, of, share) > rare
}

/** The shares for which the count is plausible: [lowest, highest]. */
export function interval(count: number, of: number, confidence: number): [number, number] {
  const rare = (1 - confidence) / 2
  const low = count === 0 ? 0 : bisect((share) => 1 - atMost(count - 1, of, share) > rare)
  const high = count === of ? 1 : bisect((share) => atMost(count, of, share) < rare)
  return [low, high]
}

/** Where in 0..1 the condition begins to hold. */
function bisect(holds: (share: number) => boolean): number {
  let [low, high] = [0, 1]
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2
    if (holds(middle)) high = middle
    else low = middle
  }
  return (low + high) / 2
}

/** P(X ≤ count) of `of` trials. */
function atMost(count: number, of: number, share: number): number {
  if (count < 0) return 0
  if (count >= of || share <= 0) return 1
  if (share >= 1) return 0
  // Terms by their ratio, in logarithms, so that thousands of trials neither overflow nor vanish.
  let term = of * Math.log1p(-share)
  let total = Math.exp(term)
  for (let k = 1; k <= count; k++) {
    term += Math.log((of - k + 1) / k) + Math.log(share) - Math.log1p(-share)
    total += Math.exp(term)
  }
  return Math.min(1, total)
}
