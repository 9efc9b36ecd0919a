import { describe, expect, test } from 'vitest'
import { steadyPollInterval, isSteady } from '../../../../src/canary/state/steady.ts'
import { explainChecks, next } from '../../../../src/canary/state/machine.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import type { Observation, State } from '../../../../src/canary/state/types.ts'
import { addRequests, noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

const plan = planOf('interval: 3h, steps: [50, 100], checks: { successRate: 99% }, warmup: 0')

function observe(failures: number, more: Partial<Observation> = {}): Observation {
  const [canary, stable] = [served(200, failures), served(200, 1)]
  const counts = { canary, stable, users: addRequests(canary, stable) }
  return { ...counts, ready: true, complete: true, findings: [], gates: {}, ...more }
}

/** After so many seconds of the first step, in which one of 200 requests of either version fails, and one more sample. */
function calmAfter(seconds: number, last: Observation): boolean {
  let state: State = initialState(plan, 0, 0)
  const sampleAt = (second: number, observation: Observation) => {
    state = next(plan, state, observation, second * 1_000).state
  }
  for (let second = 1; second <= seconds; second++) sampleAt(second, observe(1))
  sampleAt(seconds + 1, last)
  return isSteady(plan, state, explainChecks(plan, state), last, (seconds + 1) * 1_000)
}

describe('a step is steady', () => {
  test('after its first five minutes, if a sample shows nothing bad', () => {
    expect(calmAfter(310, observe(1))).toBe(true)
    expect(calmAfter(290, observe(1))).toBe(false)
  })

  test.each<[string, Observation]>([
    ['has more failures than the limit allows', observe(5)],
    ['lacks the counters of some pods', observe(0, { complete: false })],
    ['lacks the counters of a caller', observe(0, { callersSilent: true })],
    ['shows no caller', observe(0, { users: noRequests })],
    ['has users whose requests reached no version', observe(0, { unserved: { requests: 400, violations: 1 } })],
    ['shows a canary that is not ready', observe(0, { ready: false })],
    ['was taken while no guard watches', observe(0, { unguarded: 'starting' })],
    [
      'comes with a query that fails',
      observe(0, { findings: [{ name: 'errors', state: 'fail', text: '5', at: 311_000 }] }),
    ],
  ])('no longer when a sample %s', (_, last) => {
    expect(calmAfter(310, last)).toBe(false)
  })

  test('not before it has begun', () => {
    const state = initialState(plan, 0, 0)
    expect(isSteady(plan, state, explainChecks(plan, state), observe(0), 900_000)).toBe(false)
  })
})

test.each([
  [250, 1_250],
  [1_000, 5_000],
  [2_000, 5_000],
  [30_000, 30_000],
])('while it is steady, a pollInterval of %d ms becomes %d ms', (pollInterval, longer) => {
  expect(steadyPollInterval({ pollInterval })).toBe(longer)
})
