import { describe, expect, test } from 'vitest'
import {
  eValue,
  eValueOfSum,
  ratios,
  noEvidence,
  addEvidence as addWithStakes,
  capEvidence,
  onFarRatios,
  onNearRatios,
  type Evidence,
} from '../../../../src/canary/analysis/mixture.ts'

const addEvidence = (evidence: Evidence, logRatios: number[]) => addWithStakes(evidence, logRatios, onFarRatios)

describe('E', () => {
  const after = (samples: number, log: number) =>
    Array.from({ length: samples }).reduce<typeof noEvidence>(
      (evidence) =>
        addEvidence(
          evidence,
          ratios.map(() => log),
        ),
      noEvidence,
    )

  test('is 1 at the start, and stays 1 without evidence', () => {
    expect(eValue(noEvidence)).toBe(1)
    expect(eValue(after(1_000, 0))).toBeCloseTo(1, 10)
  })

  test('stays a number that JSON can hold, however strong the evidence is', () => {
    expect(JSON.parse(JSON.stringify(eValue(after(1, 5_000))))).toBeGreaterThan(1e300)
    expect(JSON.parse(JSON.stringify(eValueOfSum([5_000, 0])))).toBeGreaterThan(1e300)
    expect(JSON.parse(JSON.stringify(noEvidence))).toEqual(noEvidence)
  })

  test('is three quarters of the ratio for evidence from the first sample on, and never falls to zero', () => {
    expect(
      eValue(
        addEvidence(
          noEvidence,
          ratios.map(() => Math.log(1_000)),
        ),
      ),
    ).toBeCloseTo(750.25, 8)
    expect(eValue(after(100, -50))).toBeGreaterThanOrEqual(0.025)
  })

  test('needs a few more samples to show a change after 100 good samples, not as many again', () => {
    const samplesTo100 = (before: number) => {
      let evidence = after(before, -1)
      let samples = 0
      for (; eValue(evidence) < 100; samples++)
        evidence = addEvidence(
          evidence,
          ratios.map(() => 1),
        )
      return samples
    }
    expect(samplesTo100(0)).toBe(5)
    expect(samplesTo100(100)).toBeLessThanOrEqual(13)
  })
})

test.each([onFarRatios, onNearRatios])('the stakes %j on the alternatives are the whole stake', (...stakes) => {
  expect(stakes).toHaveLength(ratios.length)
  expect(stakes.reduce((a, b) => a + b)).toBeCloseTo(1, 10)
})

test('a cap takes what E exceeds it by, and nothing from less', () => {
  const strong = addEvidence(
    noEvidence,
    ratios.map(() => Math.log(1_000)),
  )
  expect(eValue(capEvidence(strong, 100))).toBeCloseTo(100, 8)
  expect(capEvidence(strong, 1_000)).toEqual(strong)
})
