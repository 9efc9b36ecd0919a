import { expect, test } from 'vitest'
import { withWatchedTime } from '../../../../src/canary/state/hand-over.ts'
import { next } from '../../../../src/canary/state/machine.ts'
import { msLeft } from '../../../../src/canary/state/progress-view.ts'
import { initialState, resumeState } from '../../../../src/canary/state/start.ts'
import type { ActiveState, State } from '../../../../src/canary/state/types.ts'
import { addRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

const hour = 3_600_000
const plan = planOf('interval: 8h, steps: [50, 100]')

/** Ten good samples, one a second. */
function watch(from: State, at: number): State {
  const [canary, stable] = [served(200), served(200)]
  const counts = { canary, stable, users: addRequests(canary, stable) }
  let state = from
  for (let second = 0; second < 10; second++)
    state = next(
      plan,
      state,
      { ...counts, ready: true, complete: true, findings: [], gates: {} },
      at + second * 1_000,
    ).state
  return state
}

test('the time left is without what earlier runs have watched of the stage', () => {
  const handedOver = withWatchedTime(watch(initialState(plan, 0, 0), 0) as ActiveState, 6 * hour)
  const resumed = resumeState(handedOver, 50, 6 * hour)
  const hoursLeft = (state: State, at: number) => msLeft(plan, state, at) / hour
  expect(hoursLeft(resumed, 6 * hour)).toBeCloseTo(10, 1)
  expect(hoursLeft(watch(resumed, 6 * hour), 7 * hour)).toBeCloseTo(9, 1)
  expect(hoursLeft(resumeState(handedOver, 0, 6 * hour), 6 * hour)).toBe(16)
})

test('a run watches what is left of a stage for `minInterval` at least', () => {
  const handedOver = withWatchedTime(watch(initialState(plan, 0, 0), 0) as ActiveState, 9 * hour)
  expect(msLeft(plan, resumeState(handedOver, 50, 9 * hour), 9 * hour)).toBe(8 * hour + plan.minInterval)
})
