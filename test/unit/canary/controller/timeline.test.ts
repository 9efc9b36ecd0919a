import { expect, test } from 'vitest'
import {
  addToTimeline,
  mostSamples,
  timelineSample,
  type Timeline,
  type TimelineSample,
} from '../../../../src/canary/controller/timeline.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

/** The sample of that second: steps of ten minutes, more requests every minute, now and then a failure. */
function sampleAt(second: number): TimelineSample {
  const step = Math.floor(second / 600)
  const tally = { requests: 10 + (second % 60), failures: second % 7 === 0 ? 0.25 : 0 }
  return {
    at: 1_000 * (second + 1),
    lastedMs: 1_000,
    step,
    weight: step,
    canary: tally,
    stable: { requests: 3, failures: 0 },
    users: tally,
    evidence: { 'success rate': { fail: second, pass: 1 / (second + 1) } },
  }
}

const timelineOf = (seconds: number) =>
  Array.from({ length: seconds }, (_, second) => sampleAt(second)).reduce<Timeline>(addToTimeline, [])

const total = (samples: Timeline, of: 'canary' | 'stable' | 'users', what: 'requests' | 'failures') =>
  samples.reduce((sum, sample) => sum + sample[of][what], 0)

test('a promotion of eight hours has few samples, and every sum is that of all', () => {
  const seconds = 8 * 3_600
  const all = Array.from({ length: seconds }, (_, second) => sampleAt(second))
  const kept = timelineOf(seconds)
  expect(kept.length).toBeLessThanOrEqual(mostSamples)
  for (const of of ['canary', 'stable', 'users'] as const)
    for (const what of ['requests', 'failures'] as const) expect(total(kept, of, what)).toBe(total(all, of, what))
  expect(kept.reduce((sum, { lastedMs }) => sum + lastedMs, 0)).toBe(1_000 * seconds)
})

test('samples follow each other without a gap, and none spans two steps', () => {
  const kept = timelineOf(2 * 3_600)
  kept.forEach(({ at, lastedMs, step }, i) => {
    expect(at - lastedMs).toBe(kept[i - 1]?.at ?? 0)
    expect(Math.floor((at - lastedMs) / 600_000)).toBe(step)
    expect(Math.floor((at - 1) / 600_000)).toBe(step)
  })
})

test('the latest samples and the evidence at the end are as they were', () => {
  const seconds = 3_600
  const latest = timelineOf(seconds).slice(-100)
  expect(latest).toEqual(Array.from({ length: 100 }, (_, i) => sampleAt(seconds - 100 + i)))
})

test('no old sample is far longer than the others', () => {
  const lengths = timelineOf(8 * 3_600).map(({ lastedMs }) => lastedMs)
  // 28800 samples in 360: 80 s each, if all were alike.
  expect(Math.max(...lengths)).toBeLessThanOrEqual(4 * 80_000)
})

test('samples of many short steps are kept apart', () => {
  const samples = Array.from({ length: 1_000 }, (_, i) => ({ ...sampleAt(i), step: i }))
  expect(samples.reduce<Timeline>(addToTimeline, [])).toEqual(samples)
})

test('nothing is recorded before the first step asks for traffic', () => {
  const waiting = initialState(planOf(), 0, 10_000)
  const observation = { canary: served(1), stable: served(2), users: noRequests }
  expect(timelineSample(waiting, [], observation, { at: 11_000, lastedMs: 1_000 })).toBeUndefined()
})
