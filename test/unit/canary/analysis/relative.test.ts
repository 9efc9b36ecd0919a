import { describe, expect, test } from 'vitest'
import { add, create, evidence, judge, terms, type Relative } from '../../../../src/canary/analysis/relative.ts'
import type { LimitCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { randomFrom } from '../../random.ts'
import { binomial, expected, hypergeometric } from './exact.ts'

const counts = (requests: number, violations = 0): LimitCounts => ({ requests, violations })

/** What E after one tick is expected to be, over all that both versions may have failed. */
function expectedE(
  margin: number,
  [canary, canaryRate]: [number, number],
  [stable, stableRate]: [number, number],
  side: 'against' | 'below',
): number {
  const after = (x: number, failures: number) =>
    evidence(add(create(margin), counts(canary, x), counts(stable, failures)))[side]
  return expected(binomial(stable, stableRate), (failures) =>
    expected(binomial(canary, canaryRate), (x) => after(x, failures)),
  )
}

describe('a tick is not expected to raise the evidence', () => {
  const sizes: [number, number][] = [
    [1, 19],
    [10, 10],
    [30, 3],
  ]
  const cells = [1, 1.5, 3].flatMap((margin) =>
    sizes.flatMap(([canary, stable]) => [0.001, 0.05, 0.3].map((rate) => ({ margin, canary, stable, rate }))),
  )

  test.each(cells)(
    'against a canary that fails just $margin times as often: $canary and $stable requests, stable fails $rate',
    ({ margin, canary, stable, rate }) => {
      expect(expectedE(margin, [canary, margin * rate], [stable, rate], 'against')).toBeLessThanOrEqual(1 + 1e-9)
      expect(expectedE(margin, [canary, margin * rate], [stable, rate], 'below')).toBeLessThanOrEqual(1 + 1e-9)
    },
  )

  test.each(cells.filter(({ rate }) => rate < 0.3))(
    'but does when it fails four times as often as that, or a quarter: $margin, $canary, $stable, $rate',
    ({ margin, canary, stable, rate }) => {
      expect(expectedE(margin, [canary, 4 * margin * rate], [stable, rate], 'against')).toBeGreaterThan(1)
      expect(expectedE(margin, [canary, (margin * rate) / 4], [stable, rate], 'below')).toBeGreaterThan(1)
    },
  )

  test.each([
    [20, 20, 2],
    [20, 5, 10],
    [40, 40, 39],
    [30, 17, 25],
  ])(
    'when %d requests had %d failures in one burst and lots sent %d of them to the canary',
    (requests, failures, drawn) => {
      const after = (x: number) =>
        evidence(add(create(1), counts(drawn, x), counts(requests - drawn, failures - x))).against
      expect(expected(hypergeometric(requests, failures, drawn), after)).toBeLessThanOrEqual(1 + 1e-9)
    },
  )
})

/** One tick of so many requests, of which each goes to the canary by lot; of all of them a share fails. */
function tick(random: () => number, requests: number, weight: number, failing: number): [LimitCounts, LimitCounts] {
  let [canary, stable] = [counts(0), counts(0)]
  for (let i = 0; i < requests; i++) {
    const more = (to: LimitCounts) => counts(to.requests + 1, to.violations + (random() < failing ? 1 : 0))
    if (random() < weight) canary = more(canary)
    else stable = more(stable)
  }
  return [canary, stable]
}

test('two equal versions whose failures come in outages, while the weight goes up and down: told apart in at most α = 5% of 1,000 runs', () => {
  const random = randomFrom(17)
  const weights = [0.05, 0.25, 0.5, 0.1, 0.9]
  const condemned = Array.from({ length: 1_000 }, () => {
    let [state, outage] = [create(1), false]
    return Array.from({ length: 50 }, (_, i) => {
      outage = random() < (outage ? 0.5 : 0.05)
      state = add(state, ...tick(random, 20, weights[Math.floor(i / 10)]!, outage ? 0.9 : 0.01))
      return judge(state, 0.05) === 'fail'
    }).includes(true)
  }).filter(Boolean).length
  expect(condemned).toBeLessThanOrEqual(0.05 * 1_000)
  // The test has teeth: chance does condemn some.
  expect(condemned).toBeGreaterThan(0)
})

/** Failures of the canary that condemn it, at this weight, beside a stable that never fails. */
function failuresToCondemn(weight: number, alpha: number): number {
  let [state, failures] = [create(1.5), 0]
  while (judge(state, alpha) !== 'fail' && failures < 1_000) {
    state = add(state, counts(weight, 1), counts(100 - weight))
    failures++
  }
  return failures
}

describe('detection', () => {
  test.each([
    [5, 3],
    [10, 4],
    [50, 12],
    [90, 79],
  ])(
    'at weight %d it takes %d failures: the fewer there are to compare with, the less a failure tells',
    (weight, failures) => {
      expect(failuresToCondemn(weight, 0.01)).toBe(failures)
    },
  )

  test('ten times as many failures as stable is worse, and as many is not', () => {
    const after = (failures: number) => judge(add(create(1.5), counts(500, failures), counts(4_500, 45)), 0.01)
    expect(after(50)).toBe('fail')
    expect(after(5)).toBe('undecided')
  })

  test('a canary that fails a quarter as often passes', () => {
    expect(judge(add(create(1.5), counts(2_000, 25), counts(2_000, 100)), 0.01)).toBe('pass')
  })
})

describe('what tells nothing', () => {
  test.each([
    ['no requests', counts(0), counts(0)],
    ['a tick without stable', counts(50, 50), counts(0)],
    ['a tick without the canary', counts(0), counts(50, 50)],
    ['a tick without failures', counts(50), counts(50)],
  ])('%s', (_, canary, stable) => {
    const state = add(create(1.5), counts(10, 1), counts(10, 1))
    expect(add(state, canary, stable)).toEqual(state)
  })
})

test('a tick weighs the same as the parts that it could be read in, at one weight', () => {
  const parts = [1, 2, 3, 4].map((failures) => terms(counts(10, failures), counts(90, 4 - failures), [2, 20], 1.5))
  const whole = terms(counts(40, 10), counts(360, 6), [2, 20], 1.5)
  whole.forEach((log, i) => expect(parts.reduce((sum, part) => sum + part[i]!, 0)).toBeCloseTo(log, 10))
})

test('however long the canary was no worse, or both failed, a few ticks tell when it is', () => {
  const bothFail = Array.from({ length: 600 }).reduce<Relative>(
    (state) => add(state, counts(5, 4), counts(45, 36)),
    create(1.5),
  )
  let [state, ticks] = [bothFail, 0]
  for (; judge(state, 0.01) !== 'fail'; ticks++) state = add(state, counts(5, 2), counts(45))
  expect(ticks).toBeLessThanOrEqual(6)
})

test('a change of weight does not make two equal versions differ: failures are compared within a tick', () => {
  // Of all together the canary failed 101 of 1,100 and stable 109 of 1,100; of each tick both failed the same share.
  const state = add(add(create(1), counts(100, 1), counts(900, 9)), counts(1_000, 100), counts(200, 20))
  expect(judge(state, 0.01)).toBe('undecided')
  expect(evidence(state).against).toBeLessThan(1)
})

test('evidence is E, which decides from 1/alpha on', () => {
  expect(evidence(create(1.5))).toEqual({ against: 1, below: 1 })
  const state = add(create(1.5), counts(10, 9), counts(90, 1))
  expect(evidence(state).against).toBeGreaterThanOrEqual(1 / 0.01)
  expect(judge(state, 0.01)).toBe('fail')
  expect(judge(state, 0.5 / evidence(state).against)).not.toBe('fail')
})
