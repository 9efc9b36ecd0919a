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

/** The look at which a shift is taken for seen, of requests that go by the new weight after `late` looks. */
function seenAt(from: number, to: number, requests: number, late: number): number {
  let shift: ShiftEvidence | undefined
  for (let look = 1; ; look++) {
    const canary = hits(requests, (look > late ? to : from) / 100)
    shift = addShiftSample(shift, from, to, canary, requests - canary)
    if (hasShifted(shift)) return look
  }
}

const runs = 400
const looksOf = (from: number, to: number, requests: number, late: number) =>
  Array.from({ length: runs }, () => seenAt(from, to, requests, late)).sort((a, b) => a - b)

describe('a shift of traffic', () => {
  test.each<[number, number, number, number]>([
    [10, 50, 50, 1],
    [5, 25, 20, 3],
    [50, 100, 20, 1],
    [100, 50, 20, 1],
    [5, 10, 50, 8],
  ])(
    'from %d to %d of %d requests a look is seen at once, in 19 of 20 cases after %d looks at most',
    (from, to, requests, most) => {
      const looks = looksOf(from, to, requests, 0)
      expect(looks[runs / 2]).toBe(1)
      expect(looks[runs * 0.95]).toBeLessThanOrEqual(most)
    },
  )

  test.each<[number, number, number, number]>([
    [10, 50, 50, 1],
    [5, 25, 20, 5],
    [50, 100, 20, 2],
    [0, 5, 20, 15],
  ])(
    'from %d to %d of %d requests a look that comes about 60 looks late is seen within %d more, and hardly before',
    (from, to, requests, most) => {
      const looks = looksOf(from, to, requests, 60)
      expect(looks[runs / 2]).toBeGreaterThan(60)
      expect(looks[runs / 2]).toBeLessThanOrEqual(60 + most)
      expect(looks.filter((look) => look <= 60).length / runs).toBeLessThanOrEqual(0.06)
    },
  )

  test('is not seen where nothing is, however often one looks', () => {
    let shift: ShiftEvidence | undefined
    for (let look = 0; look < 1_000; look++) {
      // Halfway between 25 and 50 are 3 of 8.
      shift = look % 2 === 0 ? addShiftSample(shift, 25, 50, 0, 0) : addShiftSample(shift, 25, 50, 3, 5)
      expect(hasShifted(shift)).toBe(false)
    }
  })

  test('that is past all doubt stays a number', () => {
    expect(JSON.parse(JSON.stringify(addShiftSample(undefined, 5, 95, 100_000, 0)))).toEqual({
      samples: 1,
      odds: Number.MAX_VALUE,
    })
  })
})

describe('what a look says', () => {
  test.each([
    [5, 25],
    [25, 50],
    [50, 100],
    [0, 1],
    [0, 100],
    [100, 50],
    [50, 10],
  ])('of a shift from %d to %d is nothing halfway, and opposite on both sides of it', (from, to) => {
    const halfway = (from + to) / 2
    const at = (share: number) =>
      Math.sign(to - from) * Math.sign(Math.round(1e6 * shareScore(from, to, share * 10, (100 - share) * 10)))
    expect([at(halfway - 0.2), at(halfway), at(halfway + 0.2)].map((each) => each + 0)).toEqual([-1, 0, 1])
  })

  test('is no evidence on average while the old weight holds', () => {
    let total = 0
    const looks = 100_000
    for (let i = 0; i < looks; i++) {
      const canary = hits(4, 0.25)
      total += Math.exp(shareScore(25, 50, canary, 4 - canary))
    }
    expect(total / looks).toBeCloseTo(1, 1)
  })
})
