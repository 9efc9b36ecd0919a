import { describe, expect, test } from 'vitest'
import {
  add as addCanary,
  create,
  compare,
  evidence,
  type Objective,
} from '../../../../src/canary/analysis/objective.ts'
import { eValue } from '../../../../src/canary/analysis/mixture.ts'
import type { LimitCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { randomFrom } from '../../random.ts'
import { expected, hypergeometric } from './exact.ts'

/** A sample of both versions. */
function addSample(test: Objective, canary: LimitCounts, stable: LimitCounts, alone: boolean): Objective {
  const added = addCanary(test, canary, alone)
  return alone ? added : compare(added, canary, stable)
}

/** Whether the evidence against the canary decides at this chance of error. */
const fails = (test: Objective, alpha: number) => evidence(test).against >= 1 / alpha

/** A sample of the canary alone, with nothing to compare it with. */
const add = (test: Objective, counts: LimitCounts) => addCanary(test, counts, true)

/** The number of requests after which the canary fails, decided after each of up to `limit` requests. */
function failedAfter(
  test: Objective,
  alpha: number,
  rate: number,
  limit: number,
  random: () => number,
): number | undefined {
  let state = test
  for (let count = 1; count <= limit; count++) {
    state = add(state, { requests: 1, violations: random() < rate ? 1 : 0 })
    if (fails(state, alpha)) return count
  }
  return undefined
}

describe('false alarms', () => {
  test.each([
    [0.01, 0.01],
    [0.2, 0.1],
  ])(
    'a rate exactly at the limit of %d, checked after each of 200 requests, fails in at most α = %d of 1,000 runs',
    (limit, alpha) => {
      const random = randomFrom(7)
      const runs = Array.from({ length: 1_000 }, () => failedAfter(create(limit), alpha, limit, 200, random))
      const failed = runs.filter((after) => after !== undefined).length
      expect(failed).toBeLessThanOrEqual(alpha * 1_000)
      // The test can fail: some runs are false alarms.
      expect(failed).toBeGreaterThan(0)
    },
  )
})

/** How many of 500 runs fail within so many requests. */
function failedOf500(limit: number, alpha: number, rate: number, requests: number): number {
  const random = randomFrom(23)
  return Array.from({ length: 500 }, () => failedAfter(create(limit), alpha, rate, requests, random)).filter(
    (after) => after !== undefined,
  ).length
}

describe('a generous limit', () => {
  test.each([0.3, 0.7, 0.9])(
    'of %d fails a canary exactly at it in at most α = 10% of the runs, and in at least a fifth of that',
    (limit) => {
      const failed = failedOf500(limit, 0.1, limit, 200)
      expect(failed).toBeLessThanOrEqual(50)
      expect(failed).toBeGreaterThan(10)
    },
  )

  test.each([
    [0.3, 0.6, 100],
    [0.7, 1, 30],
    [0.9, 1, 150],
  ])('of %d fails a rate of %d within %d requests, except in one of a hundred runs', (limit, rate, requests) => {
    expect(failedOf500(limit, 0.01, rate, requests)).toBeGreaterThan(495)
  })
})

describe('the detection of failures', () => {
  // The expected number: (ln 1/α + ln 1/stake) over the information in one request, rate·ln(r) + (1 − rate)·ln((1 −
  // r·limit)/(1 − limit)), for the best of the seven ratios r.
  test.each([
    [1, 2, 2],
    [0.5, 5, 12],
    [0.2, 16, 50],
    [0.05, 160, 400],
  ])(
    'of a rate of %d at a limit of 0.01 takes at most %d requests in half of 200 runs and %d in 19 of 20',
    (rate, half, most) => {
      const random = randomFrom(3)
      const runs = Array.from(
        { length: 200 },
        () => failedAfter(create(0.01), 0.01, rate, 2_000, random) ?? Infinity,
      ).sort((a, b) => a - b)
      expect(runs[99]).toBeLessThanOrEqual(half)
      expect(runs[189]).toBeLessThanOrEqual(most)
      expect(runs[199]).toBeLessThan(Infinity)
    },
  )

  test('needs two failures at the very start with a limit of 1%, not one', () => {
    const once = add(create(0.01), { requests: 1, violations: 1 })
    expect(fails(once, 0.01)).toBe(false)
    expect(fails(add(once, { requests: 1, violations: 1 }), 0.01)).toBe(true)
  })
})

test('the objective test gains no evidence without requests', () => {
  const state = add(create(0.01), { requests: 0, violations: 0 })
  expect(state).toEqual(create(0.01))
})

test('adding a sample does not change the state before', () => {
  const before = create(0.01)
  add(before, { requests: 5, violations: 5 })
  expect(before).toEqual(create(0.01))
})

test('a million failures give finite evidence and a failure', () => {
  const state = add(create(0.01), { requests: 1_000_000, violations: 1_000_000 })
  expect(Number.isFinite(evidence(state).overLimit)).toBe(true)
  expect(fails(state, 0.01)).toBe(true)
})

describe('a canary that is compared with stable', () => {
  const ten = (canaryFailures: number, stableFailures: number): [LimitCounts, LimitCounts, boolean] => [
    { requests: 10, violations: canaryFailures },
    { requests: 90, violations: stableFailures },
    false,
  ]

  test('fails if it misses its limit while stable keeps it', () => {
    const state = addSample(create(0.01), ...ten(4, 0))
    expect(fails(state, 0.01)).toBe(true)
    expect(eValue(state.worseThanStable)).toBeGreaterThan(100)
  })

  test('does not fail while stable fails as often, however long that lasts', () => {
    let state = create(0.01)
    for (let i = 0; i < 1_000; i++) state = addSample(state, ...ten(9, 81))
    expect(evidence(state).overLimit).toBeGreaterThan(100)
    expect(evidence(state).against).toBeLessThan(1)
  })

  test('fails if it still has failures after stable has recovered', () => {
    let state = addSample(create(0.01), ...ten(9, 81))
    let samples = 0
    while (!fails(state, 0.01) && samples < 100) {
      state = addSample(state, ...ten(5, 0))
      samples++
    }
    expect(samples).toBe(1)
  })

  test('does not fail with more failures than stable within its limit', () => {
    let state = create(0.1)
    for (let i = 0; i < 100; i++)
      state = addSample(state, { requests: 100, violations: 5 }, { requests: 100, violations: 0 }, false)
    expect(evidence(state).against).toBeLessThan(1)
    expect(eValue(state.worseThanStable)).toBeGreaterThan(100)
  })

  test.each([
    [100, 100, 10],
    [50, 30, 25],
    [20, 19, 18],
  ])(
    'gains on average no evidence from a burst of %d requests with %d failures, %d of them sent to the canary at random',
    (requests, failures, drawn) => {
      const after = (x: number) =>
        addSample(
          create(0.01),
          { requests: drawn, violations: x },
          { requests: requests - drawn, violations: failures - x },
          false,
        )
      expect(
        expected(hypergeometric(requests, failures, drawn), (x) => eValue(after(x).worseThanStable)),
      ).toBeLessThanOrEqual(1 + 1e-9)
    },
  )

  test('gains no evidence against stable from a sample without requests to stable, and still counts as compared', () => {
    const state = addSample(create(0.01), { requests: 5, violations: 5 }, { requests: 0, violations: 0 }, false)
    expect(eValue(state.worseThanStable)).toBeCloseTo(1, 10)
    expect(evidence(state).overLimit).toBeGreaterThan(100)
  })
})
