// Times of two sidecars that publish every five seconds, each at moments of its own, as on a real mesh.
import { describe, expect, test } from 'vitest'
import { addSample, createChecks, checkResults, type Checks } from '../../../../src/canary/analysis/checks.ts'
import { noRequests, addRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('checks: { p99: 500ms }')
/** What stable served before: its own p99 is 500 ms. */
const usual = served(1_000).times

type Share = (second: number) => number
/** How much later than stable the canary publishes, in seconds; before zero: earlier. */
const offsets = [-2, -1, 0, 1, 2]

/** The verdicts after each of so many seconds in which both serve 25 requests, of which these shares are slow. */
function verdicts(seed: number, canary: Share, stable: Share, seconds: number, offset: number): string[][] {
  const random = randomFrom(seed)
  const sidecars = [canary, stable].map((share, i) => ({
    share,
    publishesAt: i === 0 ? 2 + offset : 2,
    kept: noRequests,
    told: noRequests,
  }))
  let checks: Checks = createChecks(plan)
  return Array.from({ length: seconds }, (_, second) => {
    const [ofCanary, ofStable] = sidecars.map((each): RequestCounts => {
      const slow = Array.from({ length: 25 }, () => random() < each.share(second)).filter(Boolean).length
      each.kept = addRequests(each.kept, served(25, 0, slow))
      const published = second % 5 === each.publishesAt ? each.kept : noRequests
      if (published !== noRequests) each.kept = noRequests
      each.told = addRequests(each.told, published)
      return published
    })
    checks = addSample(plan, checks, ofCanary!, ofStable!, false, usual)
    return checkResults(plan, checks, sidecars[0]!.told, sidecars[1]!.told)
      .filter(({ verdict }) => verdict === 'fail')
      .map(({ check }) => check)
  })
}

describe.each(offsets)('when the canary publishes %d s after stable', (offset) => {
  test('a canary with slow requests is condemned, beside stable and by its limit', () => {
    const failed = verdicts(
      1,
      () => 0.05,
      () => 0.001,
      60,
      offset,
    )
    expect(failed.at(-1)).toEqual(['p99', 'latency beside stable'])
  })

  test('what slows both down for some seconds condemns nobody, whoever publishes it first', () => {
    const failed = [0, 1, 2, 3, 4].flatMap((start) =>
      [2, 3, 6].flatMap((length) => {
        const burst: Share = (second) => (second % 40 >= 10 + start && second % 40 < 10 + start + length ? 0.8 : 0.002)
        return verdicts(start, burst, burst, 200, offset).flat()
      }),
    )
    expect(failed).toEqual([])
  })
})

test('two that are alike are told apart in at most one of a hundred promotions', () => {
  const failed = Array.from(
    { length: 300 },
    (_, seed) =>
      verdicts(
        seed,
        () => 0.009,
        () => 0.009,
        120,
        offsets[seed % 5]!,
      ).flat().length > 0,
  ).filter(Boolean)
  expect(failed.length).toBeLessThanOrEqual(3)
})
