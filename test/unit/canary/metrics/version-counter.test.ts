// Calls that are retried, as both sides count them.
import { describe, expect, test } from 'vitest'
import { unansweredOf } from '../../../../src/canary/analysis/request-counts.ts'
import type { RetryPolicy } from '../../../../src/canary/metrics/retries.ts'
import {
  createVersionCounter,
  type CounterSample,
  type PodReading,
} from '../../../../src/canary/metrics/version-counter.ts'
import { planOf, pod } from '../../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const attribution = {
  canary: ({ destination_version: version }: Record<string, string>) => version === 'v2',
  stable: ({ destination_version: version }: Record<string, string>) => version === 'v1',
}
const fourTries: RetryPolicy = { tries: 4, conditions: ['gateway-error'], endsTries: false }

type Side = { ok?: number; failed?: number; code?: string }
const series = (reporter: string, version: string, { ok = 0, failed = 0, code = '503' }: Side) => {
  const labels = `reporter="${reporter}",destination_service="${host}",destination_version="${version}"`
  return [
    [`istio_requests_total{${labels},response_code="200",response_flags="-"}`, ok],
    [`istio_requests_total{${labels},response_code="${code}",response_flags="URX"}`, failed],
  ] as [string, number][]
}
function reading(role: PodReading['role'], counters: [string, number][]): PodReading {
  return { pod: pod(), role, reading: new Map(counters), delta: new Map(counters) }
}

/** What each side counts in a sample. */
type Seen = { canary: Side; stable: Side; callers?: { canary: Side; stable: Side } }
function sampleOf({ canary, stable, callers }: Seen, more: Partial<CounterSample> = {}): CounterSample {
  return {
    readings: [
      reading('canary', series('destination', 'v2', canary)),
      reading('stable', series('destination', 'v1', stable)),
      ...(callers
        ? [reading('client', [...series('source', 'v2', callers.canary), ...series('source', 'v1', callers.stable)])]
        : []),
    ],
    attribution,
    retries: [fourTries],
    complete: true,
    knowsCallers: true,
    readShare: { canary: 1, stable: 1 },
    ...more,
  }
}
const healthy = { canary: { ok: 10 }, stable: { ok: 90 } }
const known = sampleOf({ ...healthy, callers: healthy })

/** The counts of the last sample. */
function lastOf(...samples: CounterSample[]) {
  const count = createVersionCounter(planOf().metrics, [host])
  const { canary, stable } = samples.map((each) => count(each)).at(-1)!
  const shown = (each: typeof canary) => [each.requests, each.failures, unansweredOf(each)]
  return { canary: shown(canary), stable: shown(stable) }
}

describe('one user whose four tries all fail', () => {
  const tried = { canary: { ok: 9, failed: 4 }, stable: { ok: 90 } }

  test('counts once where the callers count all calls', () => {
    const callers = { canary: { ok: 9, failed: 1 }, stable: { ok: 90 } }
    expect(lastOf(known, sampleOf({ ...tried, callers })).canary).toEqual([10, 1, 1])
  })

  test('counts once where no caller is read', () => {
    expect(lastOf(sampleOf(tried), sampleOf(tried)).canary).toEqual([10, 1, 1])
  })

  test('counts as four users where the failure is not retried', () => {
    const internal = { canary: { ok: 9, failed: 4, code: '500' }, stable: { ok: 90 } }
    expect(lastOf(sampleOf(internal)).canary).toEqual([13, 4, 4])
  })
})

test('a failure that a retry hides counts in the comparison with stable only', () => {
  const tried = { canary: { ok: 10, failed: 8 }, stable: { ok: 90 } }
  expect(lastOf(known, sampleOf({ ...tried, callers: healthy }))).toEqual({ canary: [10, 0, 2], stable: [90, 0, 0] })
})

describe("the versions' own sidecars decide", () => {
  const failing = { canary: { ok: 8, failed: 4 }, stable: { ok: 90 } }
  const byServers = { canary: [9, 1, 1], stable: [90, 0, 0] }

  test('in the first sample', () => {
    expect(lastOf(sampleOf({ ...failing, callers: { canary: { ok: 8, failed: 1 }, stable: { ok: 90 } } }))).toEqual(
      byServers,
    )
  })

  test('while the callers count more answers than the versions gave', () => {
    const more = sampleOf({ ...healthy, callers: { canary: { ok: 10 }, stable: { ok: 130 } } })
    expect(lastOf(more, sampleOf({ ...failing, callers: { canary: {}, stable: {} } }))).toEqual(byServers)
  })

  test('while some callers of stable are not read', () => {
    const half = { canary: { ok: 10 }, stable: { ok: 45 } }
    const partly = sampleOf({ ...healthy, callers: half })
    expect(lastOf(partly, sampleOf({ ...failing, callers: { canary: {}, stable: {} } }))).toEqual(byServers)
  })

  test('while it fails only the requests of callers that are not read', () => {
    const canary = { ok: 100, failed: 3, code: '500' }
    const unseen = sampleOf({ canary, stable: {}, callers: { canary: { ok: 100 }, stable: {} } })
    expect(lastOf(known, unseen, unseen, unseen).canary).toEqual([103, 3, 3])
  })

  test('while the canary gets copies of requests, which no caller counts', () => {
    const copies = sampleOf({ canary: { ok: 90 }, stable: { ok: 90 }, callers: { canary: {}, stable: { ok: 90 } } })
    expect(lastOf(known, copies, copies).canary).toEqual([90, 0, 0])
  })

  test('in a sample that lacks a caller', () => {
    expect(lastOf(known, sampleOf(failing, { knowsCallers: false }))).toEqual(byServers)
  })
})

test('the callers decide while all failures of the canary reach them, however they end', () => {
  const canary = { ok: 100, failed: 30, code: '500' }
  const callers = { canary: { ok: 100, failed: 30, code: '500' }, stable: { ok: 90 } }
  const sample = sampleOf({ canary, stable: { ok: 90 }, callers })
  const retried = { canary: { ok: 100, failed: 40 }, stable: { ok: 90 } }
  const last = sampleOf({ ...retried, callers: { canary: { ok: 100, failed: 10 }, stable: { ok: 90 } } })
  expect(lastOf(known, sample, sample, last).canary).toEqual([110, 10, 10])
})

test('the callers decide while the canary answers nothing', () => {
  const dead = sampleOf({
    canary: { failed: 40 },
    stable: { ok: 90 },
    callers: { canary: { failed: 10 }, stable: { ok: 90 } },
  })
  expect(lastOf(known, dead, dead).canary).toEqual([10, 10, 10])
})

test('what the callers sent reached the canary, though its own sidecars count no requests', () => {
  const count = createVersionCounter(planOf().metrics, [host])
  const silent = sampleOf({ canary: {}, stable: { ok: 90 }, callers: healthy })
  expect([known, silent].map((each) => createVersionCounter(planOf().metrics, [host])(each).canaryTries)).toEqual([
    10, 10,
  ])
  count(known)
  // They do count, so a caller that is read late is of another time.
  expect(count(silent).canaryTries).toBe(0)
})

describe('with a quarter of the pods read', () => {
  const readShare = { canary: 0.25, stable: 0.25 }
  const refused: [string, number][] = [
    [
      `istio_requests_total{reporter="source",destination_service="${host}",destination_version="v2",response_code="503",response_flags="UF"}`,
      20,
    ],
  ]

  test('the failures of all callers count among the requests of all callers', () => {
    const callers = { canary: { ok: 4_000 }, stable: { ok: 4_000 } }
    const sample = sampleOf({ canary: { ok: 1_000 }, stable: { ok: 1_000 }, callers }, { readShare })
    sample.readings.push(reading('client', refused))
    expect(lastOf(sample, sample).canary).toEqual([4_020, 20, 20])
  })

  test('a part of the failures counts among the requests that the read pods served', () => {
    const sample = sampleOf({ canary: { ok: 1_000 }, stable: { ok: 1_000 } }, { readShare })
    sample.readings.push(reading('client', refused))
    expect(lastOf(sample, sample).canary).toEqual([1_005, 5, 5])
  })
})
