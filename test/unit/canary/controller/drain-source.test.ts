import { expect, test } from 'vitest'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { sampleSidecars } from '../../../../src/canary/controller/drain-source.ts'
import type { Observer, Sample } from '../../../../src/canary/metrics/observer.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { pod } from '../../fixtures.ts'

type Seen = { complete?: boolean; callersSilent?: true; unserved?: number; canaryTries?: number }

function sampleOf(canaries: Pod[], { unserved = 0, canaryTries = 0, complete = false, ...more }: Seen) {
  const counts = { canary: noRequests, stable: noRequests, users: noRequests }
  const observed = { ...counts, unserved: { requests: 9, violations: unserved }, ready: false, complete, ...more }
  const sample: Sample = { observed, health: { ready: false }, countsAll: false, canaryTries }
  const observer: Observer = {
    sample: () => Promise.resolve(sample),
    baseline: noRequests,
    canaries: () => canaries,
    health: () => sample.health,
  }
  return sampleSidecars({ observer })()
}

const gone = pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { phase: 'Failed' } })

test('a canary without pods serves nothing, and its callers tell whether requests still fail for it', async () => {
  for (const canaries of [[], [gone]]) {
    expect(await sampleOf(canaries, {})).toEqual({ served: 0, unserved: 0 })
    expect(await sampleOf(canaries, { unserved: 4 })).toEqual({ served: 0, unserved: 4 })
    expect(await sampleOf(canaries, { callersSilent: true })).toBeUndefined()
  }
})

test('a canary with pods is known by its own sidecars: what reached no version may have been for stable', async () => {
  expect(await sampleOf([pod()], { complete: true, canaryTries: 3, unserved: 1 })).toEqual({ served: 3 })
  expect(await sampleOf([pod()], { complete: false, canaryTries: 3 })).toBeUndefined()
})

test('a canary without a ready pod is known by both, because its callers find no endpoint of it', async () => {
  const unready = pod({ status: { ...pod().status, conditions: [{ type: 'Ready', status: 'False' }] } })
  expect(await sampleOf([unready], { complete: true, unserved: 4 })).toEqual({ served: 0, unserved: 4 })
  expect(await sampleOf([unready, pod()], { complete: true, unserved: 4 })).toEqual({ served: 0 })
  expect(await sampleOf([unready], { unserved: 4 })).toBeUndefined()
})
