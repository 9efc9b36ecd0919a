// Latencies of two sidecars that publish every five seconds, each at its own moment, as in a real mesh.
import { describe, expect, test } from 'vitest'
import { checkResults } from '../../../../src/canary/analysis/check-results.ts'
import { addSample, createChecks, type Checks } from '../../../../src/canary/analysis/checks.ts'
import { noRequests, addRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('checks: { p99: 500ms }')
/** Stable's latencies before: its own p99 is 500 ms. */
const stableTimes = served(1_000).times

type Share = (second: number) => number
/** How many seconds after stable the canary publishes; below zero: before it. */
const offsets = [-2, -1, 0, 1, 2]

/** The check that fails after each second, if any; both versions serve 25 requests a second, and these shares are slow. */
function failedChecks(seed: number, canary: Share, stable: Share, seconds: number, offset: number): string[][] {
  const random = randomFrom(seed)
  const sidecars = [canary, stable].map((share, i) => ({
    share,
    publishesAt: i === 0 ? 2 + offset : 2,
    pending: noRequests,
    published: noRequests,
  }))
  let checks: Checks = createChecks(plan)
  return Array.from({ length: seconds }, (_, second) => {
    const [ofCanary, ofStable] = sidecars.map((each): RequestCounts => {
      const slow = Array.from({ length: 25 }, () => random() < each.share(second)).filter(Boolean).length
      each.pending = addRequests(each.pending, served(25, 0, slow))
      const published = second % 5 === each.publishesAt ? each.pending : noRequests
      if (published !== noRequests) each.pending = noRequests
      each.published = addRequests(each.published, published)
      return published
    })
    checks = addSample(plan, checks, {
      canary: ofCanary!,
      stable: ofStable!,
      alone: false,
      isChosen: false,
      stableTimes,
    })
    return checkResults(plan, checks, sidecars[0]!.published, sidecars[1]!.published)
      .filter(({ verdict }) => verdict === 'fail')
      .map(({ check }) => check)
  })
}

describe.each(offsets)('when the canary publishes %d s after stable', (offset) => {
  test('a canary with slow requests fails', () => {
    const failed = failedChecks(
      1,
      () => 0.05,
      () => 0.001,
      60,
      offset,
    )
    expect(['p99', 'latency vs stable']).toContain(failed.at(-1)![0])
  })

  test('a burst that slows both versions fails no check, whichever version publishes first', () => {
    const failed = [0, 1, 2, 3, 4].flatMap((start) =>
      [2, 3, 6].flatMap((length) => {
        const burst: Share = (second) => (second % 40 >= 10 + start && second % 40 < 10 + start + length ? 0.8 : 0.002)
        return failedChecks(start, burst, burst, 200, offset).flat()
      }),
    )
    expect(failed).toEqual([])
  })
})

test('a canary that equals stable fails in at most one of a hundred promotions', () => {
  const failed = Array.from(
    { length: 300 },
    (_, seed) =>
      failedChecks(
        seed,
        () => 0.009,
        () => 0.009,
        120,
        offsets[seed % 5]!,
      ).flat().length > 0,
  ).filter(Boolean)
  expect(failed.length).toBeLessThanOrEqual(3)
})
