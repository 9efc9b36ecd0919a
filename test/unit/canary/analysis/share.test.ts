import { describe, expect, test } from 'vitest'
import { addShare, differsFromWeight, shareWithoutSidecar, noShare } from '../../../../src/canary/analysis/share.ts'
import { addRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { served } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const nobody = { stable: false, canary: false }

/** The first request at which the share is called wrong, when each request goes to the canary with this chance. */
function firstAlarm(weight: number, share: number, requests: number, random: () => number): number | undefined {
  let counts = noShare
  for (let i = 1; i <= requests; i++) {
    const isCanary = random() < share
    counts = addShare(counts, served(isCanary ? 1 : 0), served(isCanary ? 0 : 1))
    if (differsFromWeight(counts, weight, nobody) !== undefined) return i
  }
  return undefined
}

describe("a canary's share of the requests", () => {
  test.each([5, 25, 50, 75, 90, 100])(
    'that is at most 5 points from the weight %d is hardly ever called wrong, however often it is checked',
    (weight) => {
      const random = randomFrom(31)
      for (const share of [weight - 5, weight, weight + 5].map((each) => Math.min(100, Math.max(0, each)) / 100)) {
        const alarms = Array.from({ length: 400 }, () => firstAlarm(weight, share, 300, random))
        expect(alarms.filter((each) => each !== undefined).length).toBeLessThanOrEqual(2)
      }
    },
  )

  test.each([
    [5, 0.55, 40],
    [10, 0.5, 60],
    [20, 0.5, 120],
    [100, 0.8, 150],
    [50, 0.2, 120],
  ])(
    'at weight %d is called wrong when it is %d, after at most %d requests in nine of ten cases',
    (weight, share, most) => {
      const random = randomFrom(7)
      const alarms = Array.from({ length: 100 }, () => firstAlarm(weight, share, most, random))
      expect(alarms.filter((each) => each !== undefined).length).toBeGreaterThanOrEqual(90)
    },
  )

  test('is given in per cent', () => {
    expect(differsFromWeight(addShare(noShare, served(546), served(454)), 5, nobody)).toBeCloseTo(54.6)
  })

  test('is not called wrong because callers repeat the requests that fail', () => {
    // 20 of 100 requests go to the canary, which fails all of them, and each is tried four times.
    expect(differsFromWeight(addShare(noShare, served(800, 800), served(800)), 20, nobody)).toBeUndefined()
    expect(differsFromWeight(addShare(noShare, served(200), served(3200, 3000)), 50, nobody)).toBeUndefined()
  })

  test('may be larger for a version that routes name on purpose, but not smaller', () => {
    const [much, little] = [addShare(noShare, served(500), served(500)), addShare(noShare, served(5), served(995))]
    expect(differsFromWeight(much, 20, { stable: false, canary: true })).toBeUndefined()
    expect(differsFromWeight(little, 20, { stable: false, canary: true })).toBeCloseTo(0.5)
    expect(differsFromWeight(little, 20, { stable: true, canary: false })).toBeUndefined()
    expect(differsFromWeight(much, 20, { stable: true, canary: false })).toBeCloseTo(50)
  })
})

describe('the share of requests from callers without a sidecar', () => {
  const counts = (withoutSidecar: number, other: number) => {
    const tries = withoutSidecar + other
    return { ...served(tries), origins: { tries, withoutSidecar } }
  }

  test('is given once it is decisively above 20 %, whichever version served them', () => {
    expect(shareWithoutSidecar(counts(3, 5), counts(0, 52))).toBeUndefined()
    expect(shareWithoutSidecar(counts(60, 0), counts(0, 100))).toBeCloseTo(0.375)
    expect(shareWithoutSidecar(counts(0, 100), counts(0, 60))).toBeUndefined()
    expect(shareWithoutSidecar(counts(0, 40), counts(60, 60))).toBeCloseTo(0.375)
  })

  test('is not judged by the first few, as when a scraper reads many pods at once', () => {
    expect(shareWithoutSidecar(counts(0, 0), counts(49, 0))).toBeUndefined()
    expect(shareWithoutSidecar(counts(0, 0), counts(50, 0))).toBe(1)
  })

  test('of 20 % is hardly ever called too large, however often it is checked', () => {
    const random = randomFrom(5)
    const isAlarm = () => {
      let stable = served(0)
      for (let i = 0; i < 500; i++) {
        stable = addRequests(stable, random() < 0.2 ? counts(1, 0) : counts(0, 1))
        if (shareWithoutSidecar(served(0), stable) !== undefined) return true
      }
      return false
    }
    expect(Array.from({ length: 400 }, isAlarm).filter(Boolean).length).toBeLessThanOrEqual(2)
  })
})
