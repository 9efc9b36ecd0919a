import { describe, expect, test } from 'vitest'
import { eValue, eValueOf, logMeanExp, ratios, noEvidence, addTerms } from '../../../../src/canary/analysis/mixture.ts'

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
})

describe('E', () => {
  const after = (ticks: number, log: number) =>
    Array.from({ length: ticks }).reduce<typeof noEvidence>(
      (evidence) =>
        addTerms(
          evidence,
          ratios.map(() => log),
        ),
      noEvidence,
    )

  test('is 1 at the start, and stays it while nothing speaks either way', () => {
    expect(eValue(noEvidence)).toBe(1)
    expect(eValue(after(1_000, 0))).toBeCloseTo(1, 10)
  })

  test('however strong it is stays a number that JSON can hold', () => {
    expect(JSON.parse(JSON.stringify(eValue(after(1, 5_000))))).toBeGreaterThan(1e300)
    expect(JSON.parse(JSON.stringify(eValueOf([5_000, 0])))).toBeGreaterThan(1e300)
    expect(JSON.parse(JSON.stringify(noEvidence))).toEqual(noEvidence)
  })

  test('of what speaks against it from the first tick is three quarters of the ratio, and never sinks to nothing', () => {
    expect(
      eValue(
        addTerms(
          noEvidence,
          ratios.map(() => Math.log(1_000)),
        ),
      ),
    ).toBeCloseTo(750.25, 8)
    expect(eValue(after(100, -50))).toBeGreaterThanOrEqual(0.025)
  })

  test('of a change after 100 good ticks, each of which spoke for it, needs some ticks more, not as many again', () => {
    const ticksTo100 = (before: number) => {
      let evidence = after(before, -1)
      let ticks = 0
      for (; eValue(evidence) < 100; ticks++)
        evidence = addTerms(
          evidence,
          ratios.map(() => 1),
        )
      return ticks
    }
    expect(ticksTo100(0)).toBe(5)
    expect(ticksTo100(100)).toBeLessThanOrEqual(13)
  })
})
