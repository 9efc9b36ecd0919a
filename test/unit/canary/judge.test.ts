import { describe, expect, test } from 'vitest'
import { add, begin, judge, logMeanExp, type Test } from '../../../src/canary/judge.ts'
import { randomFrom } from '../random.ts'

/** Looks after every request until the judge decides against or `limit` requests are seen; the number seen, or undefined. */
function failedAfter(test: Test, alpha: number, rate: number, limit: number, random: () => number): number | undefined {
  let state = test
  for (let seen = 1; seen <= limit; seen++) {
    state = add(state, { requests: 1, against: random() < rate ? 1 : 0 })
    if (judge(state, alpha) === 'fail') return seen
  }
  return undefined
}

/** How many requests of which none counts against it until the canary is certified. */
function passedAfter(limit: number, alpha: number, most: number): number | undefined {
  let state = begin(limit)
  for (let seen = 1; seen <= most; seen++) {
    state = add(state, { requests: 1, against: 0 })
    if (judge(state, alpha) === 'pass') return seen
  }
  return undefined
}

describe('false alarms', () => {
  test.each([
    [0.01, 0.01],
    [0.2, 0.1],
  ])('a rate exactly at the limit of %d, looked at after each of 500 requests, fails in at most α = %d of 2,000 runs', (limit, alpha) => {
    const random = randomFrom(7)
    const runs = Array.from({ length: 2_000 }, () => failedAfter(begin(limit), alpha, limit, 500, random))
    const failed = runs.filter((after) => after !== undefined).length
    expect(failed).toBeLessThanOrEqual(alpha * 2_000)
    // The test has teeth: some runs do come close enough to be failed.
    expect(failed).toBeGreaterThan(0)
  })
})

/** The chance to be failed within so many requests, looked at after each: exactly, over all numbers of failures there may be. */
function chanceToFail(limit: number, alpha: number, rate: number, requests: number): number {
  let chances = [1]
  let failed = 0
  for (let seen = 1; seen <= requests; seen++) {
    const next = Array.from({ length: seen + 1 }, (_, against) => (chances[against] ?? 0) * (1 - rate) + (chances[against - 1] ?? 0) * rate)
    const out = next.map((_, against) => judge(add(begin(limit), { requests: seen, against }), alpha) === 'fail')
    failed += next.filter((_, against) => out[against]).reduce((sum, each) => sum + each, 0)
    chances = next.map((chance, against) => (out[against] ? 0 : chance))
  }
  return failed
}

describe('a lenient limit', () => {
  test.each([
    [0.3, 0.1],
    [0.7, 0.1],
    [0.7, 0.01],
    [0.9, 0.01],
  ])('of %d is no easier to fail by chance than α = %d, and no harder than a third of it', (limit, alpha) => {
    const chance = chanceToFail(limit, alpha, limit, 300)
    expect(chance).toBeLessThanOrEqual(alpha)
    expect(chance).toBeGreaterThan(alpha / 3)
  })

  test.each([
    [0.3, 0.6, 100],
    [0.7, 1, 30],
    [0.9, 1, 130],
  ])('of %d fails a rate of %d within %d requests, in all but one of a hundred', (limit, rate, requests) => {
    expect(chanceToFail(limit, 0.01, rate, requests)).toBeGreaterThan(0.99)
  })
})

describe('detection', () => {
  // What to expect: (ln 1/α + ln 7) over the information in one request, rate·ln(r) + (1 − rate)·ln((1 − r·limit)/(1 − limit)), for the best of the seven ratios r.
  test.each([
    [1, 2, 2],
    [0.5, 5, 12],
    [0.2, 16, 50],
    [0.05, 160, 400],
  ])('a failure rate of %d against a limit of 0.01: half of 200 runs are caught within %d requests, 19 of 20 within %d', (rate, half, most) => {
    const random = randomFrom(3)
    const runs = Array.from({ length: 200 }, () => failedAfter(begin(0.01), 0.01, rate, 2_000, random) ?? Infinity).sort((a, b) => a - b)
    expect(runs[99]).toBeLessThanOrEqual(half)
    expect(runs[189]).toBeLessThanOrEqual(most)
    expect(runs[199]).toBeLessThan(Infinity)
  })

  test('two failures at the very beginning are enough against 1%, one is not', () => {
    const once = add(begin(0.01), { requests: 1, against: 1 })
    expect(judge(once, 0.01)).toBe('undecided')
    expect(judge(add(once, { requests: 1, against: 1 }), 0.01)).toBe('fail')
  })
})

describe('certification', () => {
  // No honest test can pass before a canary just at its limit would have been without a fault by luck with a chance of α: (1 − limit)^n ≤ α.
  test.each([
    [0.01, 0.01, 458, 600],
    [0.05, 0.01, 90, 120],
    [0.01, 0.001, 688, 850],
  ])('a canary without a fault, limit %d and α %d, passes after more than %d requests and within %d', (limit, alpha, least, most) => {
    const after = passedAfter(limit, alpha, 2_000)
    expect(after).toBeGreaterThan(least)
    expect(after).toBeLessThanOrEqual(most)
  })

  test('a rate just at the limit is certified in at most α of 2,000 runs', () => {
    const random = randomFrom(11)
    const certified = Array.from({ length: 2_000 }, () => {
      let state = begin(0.05)
      for (let seen = 0; seen < 50; seen++) {
        state = add(state, { requests: 10, against: Array.from({ length: 10 }, random).filter((each) => each < 0.05).length })
        if (judge(state, 0.05) === 'pass') return true
      }
      return false
    }).filter(Boolean).length
    expect(certified).toBeLessThanOrEqual(0.05 * 2_000)
  })
})

test('no requests are no evidence', () => {
  const state = add(begin(0.01), { requests: 0, against: 0 })
  expect(state).toEqual(begin(0.01))
  expect(judge(state, 0.01)).toBe('undecided')
})

test('requests weigh the same one by one and all at once', () => {
  const counts = [{ requests: 40, against: 1 }, { requests: 10, against: 2 }, { requests: 1, against: 0 }]
  const apart = counts.reduce(add, begin(0.02))
  const together = add(begin(0.02), { requests: 51, against: 3 })
  apart.above.forEach((sum, i) => expect(sum).toBeCloseTo(together.above[i]!, 10))
  apart.below.forEach((sum, i) => expect(sum).toBeCloseTo(together.below[i]!, 10))
})

test('adding leaves the test that it was added to as it was', () => {
  const before = begin(0.01)
  add(before, { requests: 5, against: 5 })
  expect(before).toEqual(begin(0.01))
})

describe('logMeanExp', () => {
  test.each<[number[], number]>([
    [[], 0],
    [[0], 0],
    [[Math.log(1), Math.log(3)], Math.log(2)],
    [[5_000, 5_000], 5_000],
    [[-5_000, -5_000], -5_000],
    [[1_000, -1_000], 1_000 - Math.LN2],
  ])('of %j is %d', (values, mean) => {
    expect(logMeanExp(values)).toBeCloseTo(mean, 10)
  })

  test('a million failures stay a finite number and a failure', () => {
    const state = add(begin(0.01), { requests: 1_000_000, against: 1_000_000 })
    expect(Number.isFinite(logMeanExp(state.above))).toBe(true)
    expect(judge(state, 0.01)).toBe('fail')
  })
})
