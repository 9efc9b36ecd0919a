import { expect, test } from 'vitest'
import { initialState } from '../../../../src/canary/state/start.ts'
import { canaryRate, setShiftTime, startStep, startWatching } from '../../../../src/canary/state/steps.ts'
import type { EndedStep, State } from '../../../../src/canary/state/types.ts'
import { planOf, served } from '../../fixtures.ts'

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

const step = (kind: EndedStep['kind'], weight: number, shiftedAt: number, endedAt: number, requests: number) =>
  ({ ...startStep(kind, weight, 0, shiftedAt), outcome: 'passed', endedAt, canary: served(requests) }) as EndedStep

test.each<[string, EndedStep[], number | undefined]>([
  ['of the only step', [step('weight', 50, 0, 10_000, 100)], 10],
  [
    'that the step before shows, at the last weight',
    [step('weight', 5, 0, 10_000, 10), step('weight', 50, 10_000, 10_500, 0)],
    6.67,
  ],
  ['of a share, not of the copies before', [step('mirror', 100, 0, 10_000, 200), step('weight', 5, 0, 0, 0)], 1],
  ['of its match alone', [step('ab', 0, 0, 10_000, 20), step('weight', 5, 10_000, 20_000, 10)], 1],
  ['that nobody knows: no step', [], undefined],
  ['that nobody knows: no time', [step('weight', 5, 0, 0, 0)], undefined],
])("the canary's rate is the one %s", (_, steps, rate) => {
  const found = canaryRate({ steps }, 0)
  expect(found === undefined ? undefined : Number(found.toFixed(2))).toBe(rate)
})
