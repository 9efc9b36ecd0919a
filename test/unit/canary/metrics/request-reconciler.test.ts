import { expect, test } from 'vitest'
import { noCallerFailures, type CallerFailures } from '../../../../src/canary/metrics/request-outcomes.ts'
import { nothingPending, reconcile } from '../../../../src/canary/metrics/request-reconciler.ts'
import { addRequests, noRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { randomFrom } from '../../random.ts'

const servedRequests = (requests: number, failures = 0, abandoned = 0): RequestCounts => ({
  ...noRequests,
  requests,
  failures,
  abandoned,
})
type Sample = { served?: RequestCounts; callerFailures?: Partial<CallerFailures>; complete?: boolean }

/** The counts of each sample, one after the other. */
function countsOf(...samples: Sample[]): [requests: number, failures: number, abandoned: number][] {
  let pending = nothingPending
  return samples.map(({ served = servedRequests(0), callerFailures = {}, complete = true }) => {
    const result = reconcile(pending, served, { ...noCallerFailures, ...callerFailures }, complete)
    pending = result.pending
    return [result.counts.requests, result.counts.failures, result.counts.abandoned]
  })
}

test('the reconciler keeps the counts on which both sides agree', () => {
  expect(countsOf({ served: servedRequests(10, 2) })).toEqual([[10, 2, 0]])
})

test('the reconciler counts a request that never reached the version as failed', () => {
  expect(countsOf({ served: servedRequests(10, 2), callerFailures: { notReached: 3 } })).toEqual([[13, 5, 0]])
})

test.each<[string, Sample[], [number, number, number][]]>([
  [
    'by both in the same sample',
    [{ served: servedRequests(10, 0, 2), callerFailures: { cutOff: 2 } }, {}, {}],
    [
      [10, 2, 0],
      [0, 0, 0],
      [0, 0, 0],
    ],
  ],
  [
    'by the version first',
    [{ served: servedRequests(10, 0, 2) }, { callerFailures: { cutOff: 2 } }, {}],
    [
      [8, 0, 0],
      [2, 2, 0],
      [0, 0, 0],
    ],
  ],
  [
    'by the caller first',
    [{ served: servedRequests(8), callerFailures: { cutOff: 2 } }, { served: servedRequests(2, 0, 2) }, {}],
    [
      [8, 0, 0],
      [2, 2, 0],
      [0, 0, 0],
    ],
  ],
])('the reconciler counts an interrupted request once, as failed, when it is reported %s', (_, samples, expected) => {
  expect(countsOf(...samples)).toEqual(expected)
})

test('the reconciler counts a request as abandoned one sample later when its caller cancelled it', () => {
  expect(countsOf({ served: servedRequests(10, 0, 2) }, {}, {})).toEqual([
    [8, 0, 0],
    [2, 0, 2],
    [0, 0, 0],
  ])
})

test('the reconciler counts an interrupted request that the version never counts as failed one sample later', () => {
  expect(countsOf({ callerFailures: { cutOff: 2 } }, {}, {})).toEqual([
    [0, 0, 0],
    [2, 2, 0],
    [0, 0, 0],
  ])
})

test('the reconciler waits with an interrupted request while the counters of the version cannot be read', () => {
  expect(
    countsOf(
      { callerFailures: { cutOff: 1 } },
      { complete: false },
      { complete: false },
      { served: servedRequests(1, 0, 1) },
    ),
  ).toEqual([
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
    [1, 1, 0],
  ])
})

test('the reconciler counts every request once, in whatever order it reads the two sides', () => {
  const draw = randomFrom(7)
  for (let run = 0; run < 200; run++) {
    const [good, cutOff, abandoned, notReached] = Array.from({ length: 4 }, () => Math.floor(draw() * 5)) as [
      number,
      number,
      number,
      number,
    ]
    // The two sides of an interrupted request are read in the same sample or in two consecutive ones.
    const samples: Required<Pick<Sample, 'served' | 'callerFailures'>>[] = Array.from({ length: 12 }, () => ({
      served: servedRequests(0),
      callerFailures: {},
    }))
    const at = (sample: number) => samples[sample]!
    at(0).served = servedRequests(good + abandoned, 0, abandoned)
    at(6).callerFailures = { notReached }
    for (let each = 0; each < cutOff; each++) {
      const [first, late] = [3 + Math.floor(draw() * 2), Math.floor(draw() * 2)]
      const byVersion = draw() < 0.5
      const versionAt = at(byVersion ? first : first + late)
      const callerAt = at(byVersion ? first + late : first)
      versionAt.served = addRequests(versionAt.served, servedRequests(1, 0, 1))
      callerAt.callerFailures = {
        ...callerAt.callerFailures,
        cutOff: (callerAt.callerFailures.cutOff ?? 0) + 1,
      }
    }
    const total = countsOf(...samples).reduce(([a, b, c], [x, y, z]) => [a + x, b + y, c + z])
    expect(total).toEqual([good + abandoned + cutOff + notReached, cutOff + notReached, abandoned])
  }
})
