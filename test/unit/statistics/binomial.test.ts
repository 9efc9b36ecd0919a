import { expect, test } from 'vitest'
import { interval, plausible } from '../../../src/statistics/binomial.ts'

// Computed with Python's integer binomials (math.comb), independent of our code; the last two also by hand: 1 −
// 0.005^(1/10) and its mirror image.
test.each([
  [20, 100, 0.1084, 0.3212],
  [0, 10, 0, 0.4113],
  [10, 10, 0.5887, 1],
])('for %d of %d the interval is %d to %d', (count, of, low, high) => {
  const [lowest, highest] = interval(count, of, 0.99)
  expect(lowest).toBeCloseTo(low, 3)
  expect(highest).toBeCloseTo(high, 3)
})

test.each([
  [20, 100, 0.2, true],
  [11, 100, 0.2, true],
  [9, 100, 0.2, false],
  [32, 100, 0.2, false],
  [0, 10, 0.2, true],
  [0, 100, 0.2, false],
  [0, 100, 0, true],
  [1, 100, 0, false],
  [100, 100, 1, true],
  [99, 100, 1, false],
  [40_000, 200_000, 0.2, true],
  [41_000, 200_000, 0.2, false],
])('the plausibility of %d of %d at a share of %d is %s', (count, of, share, expected) => {
  expect(plausible(count, of, share, 0.99)).toBe(expected)
})

test('a share is in the interval exactly when the count is plausible for it', () => {
  for (const [count, of] of [
    [3, 40],
    [17, 40],
    [400, 2000],
  ] as const) {
    const [low, high] = interval(count, of, 0.99)
    for (const share of [low - 1e-4, low + 1e-4, high - 1e-4, high + 1e-4])
      expect([count, of, share, plausible(count, of, share, 0.99)]).toEqual([
        count,
        of,
        share,
        share > low && share < high,
      ])
  }
})
