import { expect, test } from 'vitest'
import { initialState } from '../../../../src/canary/state/start.ts'
import { setShiftTime, startStep, startWatching } from '../../../../src/canary/state/steps.ts'
import type { State } from '../../../../src/canary/state/types.ts'
import { planOf } from '../../fixtures.ts'

const { phase: _, waitingSince, ...progress } = initialState(planOf(''), 0, 0)
const shifting = startStep('weight', 50, 25, 1_000)
const shiftedAt = ({ steps }: State) => steps.at(-1)!.shiftedAt

test('the time of a shift is that of the last write, in a step that watches too', () => {
  const states: State[] = [
    { ...progress, phase: 'shifting', steps: [shifting] },
    { ...progress, phase: 'watching', steps: [startWatching(shifting, 2_000)] },
  ]
  for (const state of states) {
    expect(shiftedAt(state)).toBe(1_000)
    expect(shiftedAt(setShiftTime(state, 9_000))).toBe(9_000)
  }
})
