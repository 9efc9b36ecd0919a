import { describe, expect, test } from 'vitest'
import { createCounterMemory } from '../../../../src/canary/metrics/counter-memory.ts'
import { pod } from '../../fixtures.ts'

const reading = (ok: number, failed: number) =>
  new Map([
    ['istio_requests_total{response_code="200"}', ok],
    ['istio_requests_total{response_code="503"}', failed],
  ])

/** The deltas of these readings, each with the number of restarts that the pod's status shows. */
function deltas(...readings: [Map<string, number>, number | undefined][]): number[][] {
  const memory = createCounterMemory()
  return readings.map(([each, restarts]) => [...memory.deltaSince('uid-1', each, restarts).values()])
}

describe('the delta of a pod whose sidecar restarted', () => {
  test('is all that the new process counted, even if every counter is above its old value', () => {
    expect(deltas([reading(10, 1), 0], [reading(30, 2), 1])).toEqual([
      [10, 1],
      [30, 2],
    ])
  })

  test('is counted once when the counters show the restart before the status does', () => {
    expect(deltas([reading(100, 8), 0], [reading(3, 8), 0], [reading(5, 9), 1], [reading(6, 9), 1])).toEqual([
      [100, 8],
      [3, 0],
      [2, 1],
      [1, 0],
    ])
  })

  test('is counted at each restart', () => {
    expect(deltas([reading(100, 0), 0], [reading(1, 0), 0], [reading(2, 0), 1], [reading(7, 0), 2])).toEqual([
      [100, 0],
      [1, 0],
      [1, 0],
      [7, 0],
    ])
  })
})

test('a dropped series does not make the old failures of a pod new', () => {
  expect(deltas([reading(100, 5_000), 0], [reading(2, 5_000), 0])).toEqual([
    [100, 5_000],
    [2, 0],
  ])
})

test('a restart that Prometheus has not scraped yet counts nothing twice', () => {
  expect(deltas([reading(100, 8), undefined], [reading(100, 8), undefined], [reading(4, 1), undefined])).toEqual([
    [100, 8],
    [0, 0],
    [4, 1],
  ])
})

test('the readings of a pod that has gone are forgotten, and those of one whose sidecar is down are not', () => {
  const memory = createCounterMemory()
  const running = [pod({ metadata: { name: 'a', uid: 'uid-1' } })]
  const delta = (...counts: Parameters<typeof reading>) => [
    ...memory.deltaSince('uid-1', reading(...counts), 0).values(),
  ]
  memory.register(running, running, running)
  expect(delta(100, 8)).toEqual([100, 8])
  memory.register([], [], running)
  memory.register(running, running, running)
  expect(delta(140, 9)).toEqual([40, 1])
  memory.register([], [], [])
  memory.register(running, running, running)
  expect(delta(7, 0)).toEqual([7, 0])
})

test('a pod whose durations are read for the first time counts from that reading', () => {
  const memory = createCounterMemory()
  memory.deltaSince('uid-1', reading(100, 8), 0, false)
  const withTimes = (ok: number, slow: number) => new Map([...reading(ok, 8), ['istio_ms_bucket{le="1"}', slow]])
  expect([...memory.deltaSince('uid-1', withTimes(120, 5_000), 0, true).values()]).toEqual([0, 0, 0])
  expect([...memory.deltaSince('uid-1', withTimes(130, 5_007), 0, true).values()]).toEqual([10, 0, 7])
})
