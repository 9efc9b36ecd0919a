import { describe, expect, test } from 'vitest'
import { add, create, evidence, logRatios, type Relative } from '../../../../src/canary/analysis/relative.ts'
import type { LimitCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { randomFrom } from '../../random.ts'
import { binomial, expected, hypergeometric } from './exact.ts'

/** Whether the evidence decides at this chance of error. */
const fails = (test: Relative, alpha: number) => evidence(test) >= 1 / alpha

const counts = (requests: number, violations = 0): LimitCounts => ({ requests, violations })

/** The expectation of E after one sample, over all numbers of failures of both versions. */
function expectedE(
  margin: number,
  [canary, canaryRate]: [number, number],
  [stable, stableRate]: [number, number],
): number {
  const after = (x: number, failures: number) =>
    evidence(add(create(margin), counts(canary, x), counts(stable, failures)))
  return expected(binomial(stable, stableRate), (failures) =>
    expected(binomial(canary, canaryRate), (x) => after(x, failures)),
  )
}

describe('on average a sample', () => {
  const sizes: [number, number][] = [
    [1, 19],
    [10, 10],
    [30, 3],
  ]
  const cells = [1, 1.5, 3].flatMap((margin) =>
    sizes.flatMap(([canary, stable]) => [0.001, 0.05, 0.3].map((rate) => ({ margin, canary, stable, rate }))),
  )

  test.each(cells)(
    'does not raise E for a canary at the margin $margin: $canary and $stable requests, stable fails $rate',
    ({ margin, canary, stable, rate }) => {
      expect(expectedE(margin, [canary, margin * rate], [stable, rate])).toBeLessThanOrEqual(1 + 1e-9)
    },
  )

  test.each(cells.filter(({ rate }) => rate < 0.3))(
    'raises E at four times that rate: $margin, $canary, $stable, $rate',
    ({ margin, canary, stable, rate }) => {
      expect(expectedE(margin, [canary, 4 * margin * rate], [stable, rate])).toBeGreaterThan(1)
    },
  )

  test.each([
    [20, 20, 2],
    [20, 5, 10],
    [40, 40, 39],
    [30, 17, 25],
  ])(
    'does not raise E for %d requests with %d failures in one burst, %d of them sent to the canary at random',
    (requests, failures, drawn) => {
      const after = (x: number) => evidence(add(create(1), counts(drawn, x), counts(requests - drawn, failures - x)))
      expect(expected(hypergeometric(requests, failures, drawn), after)).toBeLessThanOrEqual(1 + 1e-9)
    },
  )
})

/** A sample of so many requests: each goes to the canary at random, and a share of all fails. */
function draw(random: () => number, requests: number, weight: number, failing: number): [LimitCounts, LimitCounts] {
  let [canary, stable] = [counts(0), counts(0)]
  for (let i = 0; i < requests; i++) {
    const more = (to: LimitCounts) => counts(to.requests + 1, to.violations + (random() < failing ? 1 : 0))
    if (random() < weight) canary = more(canary)
    else stable = more(stable)
  }
  return [canary, stable]
}

test('a canary that equals stable fails in at most α = 5% of 1,000 runs, with outages and changing weights', () => {
  const random = randomFrom(17)
  const weights = [0.05, 0.25, 0.5, 0.1, 0.9]
  const falseAlarms = Array.from({ length: 1_000 }, () => {
    let [state, outage] = [create(1), false]
    return Array.from({ length: 50 }, (_, i) => {
      outage = random() < (outage ? 0.5 : 0.05)
      state = add(state, ...draw(random, 20, weights[Math.floor(i / 10)]!, outage ? 0.9 : 0.01))
      return fails(state, 0.05)
    }).includes(true)
  }).filter(Boolean).length
  expect(falseAlarms).toBeLessThanOrEqual(0.05 * 1_000)
  // The test can fail: some runs are false alarms.
  expect(falseAlarms).toBeGreaterThan(0)
})

/** The number of failures after which a canary with this weight fails, when stable has none. */
function failuresToFail(weight: number, alpha: number): number {
  let [state, failures] = [create(1.5), 0]
  while (!fails(state, alpha) && failures < 1_000) {
    state = add(state, counts(weight, 1), counts(100 - weight))
    failures++
  }
  return failures
}

describe('the comparison with stable', () => {
  test.each([
    [5, 3],
    [10, 4],
    [50, 11],
    [90, 75],
  ])(
    'needs, at weight %d, %d failures, because a failure is weaker evidence when stable serves less',
    (weight, failures) => {
      expect(failuresToFail(weight, 0.01)).toBe(failures)
    },
  )

  test("fails a canary with ten times stable's failures, and not one with as many", () => {
    const after = (failures: number) => fails(add(create(1.5), counts(500, failures), counts(4_500, 45)), 0.01)
    expect(after(50)).toBe(true)
    expect(after(5)).toBe(false)
  })
})

describe('the evidence does not change after', () => {
  test.each([
    ['no requests', counts(0), counts(0)],
    ['a sample without requests to stable', counts(50, 50), counts(0)],
    ['a sample without requests to the canary', counts(0), counts(50, 50)],
    ['a sample without failures', counts(50), counts(50)],
  ])('%s', (_, canary, stable) => {
    const state = add(create(1.5), counts(10, 1), counts(10, 1))
    expect(add(state, canary, stable)).toEqual(state)
  })
})

test('a sample has the same weight as its parts together', () => {
  const parts = [1, 2, 3, 4].map((failures) => logRatios(counts(10, failures), counts(90, 4 - failures), [2, 20], 1.5))
  const whole = logRatios(counts(40, 10), counts(360, 6), [2, 20], 1.5)
  whole.forEach((log, i) => expect(parts.reduce((sum, part) => sum + part[i]!, 0)).toBeCloseTo(log, 10))
})

test('a canary that becomes worse fails within a few samples, however long both versions failed before', () => {
  const bothFail = Array.from({ length: 600 }).reduce<Relative>(
    (state) => add(state, counts(5, 4), counts(45, 36)),
    create(1.5),
  )
  let [state, samples] = [bothFail, 0]
  for (; !fails(state, 0.01); samples++) state = add(state, counts(5, 2), counts(45))
  expect(samples).toBeLessThanOrEqual(6)
})

test('a change of weight does not make equal versions differ, because failures are compared within a sample', () => {
  // In total the canary failed 101 of 1,100 requests and stable 109 of 1,100; in each sample both failed the same
  // share.
  const state = add(add(create(1), counts(100, 1), counts(900, 9)), counts(1_000, 100), counts(200, 20))
  expect(evidence(state)).toBeLessThan(1)
})

test('the evidence is E: 1 at the start, and more after the failures of the canary alone', () => {
  expect(evidence(create(1.5))).toBe(1)
  expect(evidence(add(create(1.5), counts(10, 9), counts(90, 1)))).toBeGreaterThan(100)
})
