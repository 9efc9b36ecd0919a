import { expect, test } from 'vitest'
import type { CallerFailures } from '../../../../src/canary/metrics/counters.ts'
import { reconcile, nothingPending } from '../../../../src/canary/metrics/settle.ts'
import { noRequests, addRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { randomFrom } from '../../random.ts'

const none: CallerFailures = { unseen: 0, cut: 0 }
const own = (requests: number, failures = 0, abandoned = 0): RequestCounts => ({
  ...noRequests,
  requests,
  failures,
  abandoned,
})
type Tick = { served?: RequestCounts; lost?: Partial<CallerFailures>; whole?: boolean }

/** What each look says in the end, one after the other. */
function looks(...ticks: Tick[]): [requests: number, failures: number, abandoned: number][] {
  let pending = nothingPending
  return ticks.map(({ served = own(0), lost = {}, whole = true }) => {
    const result = reconcile(pending, served, { ...none, ...lost }, whole)
    pending = result.pending
    return [result.served.requests, result.served.failures, result.served.abandoned]
  })
}

test('what both sides agree on is taken as it is', () => {
  expect(looks({ served: own(10, 2) })).toEqual([[10, 2, 0]])
})

test('what never got to the version is a request that failed', () => {
  expect(looks({ served: own(10, 2), lost: { unseen: 3 } })).toEqual([[13, 5, 0]])
})

test.each<[string, Tick[], [number, number, number][]]>([
  [
    'in the same look',
    [{ served: own(10, 0, 2), lost: { cut: 2 } }, {}, {}],
    [
      [10, 2, 0],
      [0, 0, 0],
      [0, 0, 0],
    ],
  ],
  [
    'by the version first',
    [{ served: own(10, 0, 2) }, { lost: { cut: 2 } }, {}],
    [
      [8, 0, 0],
      [2, 2, 0],
      [0, 0, 0],
    ],
  ],
  [
    'by the caller first',
    [{ served: own(8), lost: { cut: 2 } }, { served: own(2, 0, 2) }, {}],
    [
      [8, 0, 0],
      [2, 2, 0],
      [0, 0, 0],
    ],
  ],
])('a request that was cut off counts once, as failed, when it is seen %s', (_, ticks, expected) => {
  expect(looks(...ticks)).toEqual(expected)
})

test('those whose callers went away by themselves are abandoned, a look later', () => {
  expect(looks({ served: own(10, 0, 2) }, {}, {})).toEqual([
    [8, 0, 0],
    [2, 0, 2],
    [0, 0, 0],
  ])
})

test('one that was cut off and that the version never counts is a request that failed, a look later', () => {
  expect(looks({ lost: { cut: 2 } }, {}, {})).toEqual([
    [0, 0, 0],
    [2, 2, 0],
    [0, 0, 0],
  ])
})

test("but not while the version's counters cannot be read", () => {
  expect(looks({ lost: { cut: 1 } }, { whole: false }, { whole: false }, { served: own(1, 0, 1) })).toEqual([
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
    [1, 1, 0],
  ])
})

test('every request counts once, in whatever order the two sides are read', () => {
  const draw = randomFrom(7)
  for (let run = 0; run < 200; run++) {
    const [good, cut, left, unseen] = Array.from({ length: 4 }, () => Math.floor(draw() * 5)) as [
      number,
      number,
      number,
      number,
    ]
    // The two sides of a request that was cut off are read in the same look or in two that follow each other.
    const ticks: Required<Pick<Tick, 'served' | 'lost'>>[] = Array.from({ length: 12 }, () => ({
      served: own(0),
      lost: {},
    }))
    const at = (look: number) => ticks[look]!
    at(0).served = own(good + left, 0, left)
    at(6).lost = { unseen }
    for (let each = 0; each < cut; each++) {
      const [first, late] = [3 + Math.floor(draw() * 2), Math.floor(draw() * 2)]
      const byVersion = draw() < 0.5
      const versionAt = at(byVersion ? first : first + late)
      const callerAt = at(byVersion ? first + late : first)
      versionAt.served = addRequests(versionAt.served, own(1, 0, 1))
      callerAt.lost = { ...callerAt.lost, cut: (callerAt.lost.cut ?? 0) + 1 }
    }
    const total = looks(...ticks).reduce(([a, b, c], [x, y, z]) => [a + x, b + y, c + z])
    expect(total).toEqual([good + left + cut + unseen, cut + unseen, left])
  }
})
