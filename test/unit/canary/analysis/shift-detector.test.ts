import { describe, expect, test } from 'vitest'
import {
  hasShifted,
  shareScore,
  addShiftSample,
  type ShiftEvidence,
} from '../../../../src/canary/analysis/shift-detector.ts'
import { randomFrom } from '../../random.ts'

const random = randomFrom(17)
const hits = (requests: number, share: number) =>
  Array.from({ length: requests }, random).filter((each) => each < share).length

/** The number of the sample that shows the shift, when the requests follow the new weight after `late` samples. */
function shownAt(from: number, to: number, requests: number, late: number): number {
  let shift: ShiftEvidence | undefined
  for (let sample = 1; ; sample++) {
    const canary = hits(requests, (sample > late ? to : from) / 100)
    shift = addShiftSample(shift, from, to, canary, requests - canary)
    if (hasShifted(shift)) return sample
  }
}

const runs = 400
const samplesUntilShown = (from: number, to: number, requests: number, late: number) =>
  Array.from({ length: runs }, () => shownAt(from, to, requests, late)).sort((a, b) => a - b)

describe('a shift of traffic', () => {
  test.each<[number, number, number, number]>([
    [10, 50, 50, 1],
    [5, 25, 20, 3],
    [50, 100, 20, 1],
    [100, 50, 20, 1],
    [5, 10, 50, 8],
  ])(
    'from %d to %d with %d requests a sample shows in the first sample, and in 19 of 20 runs within %d',
    (from, to, requests, most) => {
      const shown = samplesUntilShown(from, to, requests, 0)
      expect(shown[runs / 2]).toBe(1)
      expect(shown[runs * 0.95]).toBeLessThanOrEqual(most)
    },
  )

  test.each<[number, number, number, number]>([
    [10, 50, 50, 1],
    [5, 25, 20, 5],
    [50, 100, 20, 2],
    [0, 5, 20, 15],
  ])(
    'from %d to %d with %d requests a sample, 60 samples late, shows within %d more samples and hardly earlier',
    (from, to, requests, most) => {
      const shown = samplesUntilShown(from, to, requests, 60)
      expect(shown[runs / 2]).toBeGreaterThan(60)
      expect(shown[runs / 2]).toBeLessThanOrEqual(60 + most)
      expect(shown.filter((sample) => sample <= 60).length / runs).toBeLessThanOrEqual(0.06)
    },
  )

  test('never shows without evidence, however many samples there are', () => {
    let shift: ShiftEvidence | undefined
    for (let sample = 0; sample < 1_000; sample++) {
      // Halfway between 25 and 50 are 3 of 8.
      shift = sample % 2 === 0 ? addShiftSample(shift, 25, 50, 0, 0) : addShiftSample(shift, 25, 50, 3, 5)
      expect(hasShifted(shift)).toBe(false)
    }
  })

  test('beyond doubt still has finite evidence', () => {
    expect(JSON.parse(JSON.stringify(addShiftSample(undefined, 5, 95, 100_000, 0)))).toEqual({
      samples: 1,
      odds: Number.MAX_VALUE,
    })
  })
})

describe('the score of a sample', () => {
  test.each([
    [5, 25],
    [25, 50],
    [50, 100],
    [0, 1],
    [0, 100],
    [100, 50],
    [50, 10],
  ])('of a shift from %d to %d is zero halfway, and has opposite signs on both sides', (from, to) => {
    const halfway = (from + to) / 2
    const at = (share: number) =>
      Math.sign(to - from) * Math.sign(Math.round(1e6 * shareScore(from, to, share * 10, (100 - share) * 10)))
    expect([at(halfway - 0.2), at(halfway), at(halfway + 0.2)].map((each) => each + 0)).toEqual([-1, 0, 1])
  })

  test('is no evidence on average while the old weight holds', () => {
    let total = 0
    const samples = 100_000
    for (let i = 0; i < samples; i++) {
      const canary = hits(4, 0.25)
      total += Math.exp(shareScore(25, 50, canary, 4 - canary))
    }
    expect(total / samples).toBeCloseTo(1, 1)
  })
})
