// A canary whose tries fail while retries answer every user.
import { expect, test } from 'vitest'
import { next } from '../../../../src/canary/state/machine.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import type { State } from '../../../../src/canary/state/types.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served, servedByStable } from '../../fixtures.ts'

/** Ten requests of the canary a second at weight 10. `hidden`: failed tries, as a part of them, of each version. */
function promote(settings: string, hidden: { canary: number; stable: number }): State {
  const plan = planOf(`steps: [10, 100], interval: 20s, pollInterval: 1s, progressDeadline: 20s, ${settings}`)
  let state: State = initialState(plan, 0, 0)
  for (let second = 1; second < 200 && state.phase !== 'ended'; second++) {
    const canary = served(state.weight)
    const stable = servedByStable(state.weight, canary.requests)
    const seen = {
      canary: { ...canary, unanswered: hidden.canary * canary.requests },
      stable: { ...stable, unanswered: hidden.stable * stable.requests },
      users: noRequests,
      findings: [],
      gates: {},
    }
    state = next(plan, state, { ...seen, ready: true, complete: true }, second * 1_000).state
  }
  return state
}

test('it is rolled back for being worse than stable', () => {
  const ended = promote('', { canary: 0.25, stable: 0 })
  expect(outcomeOf(ended)).toMatchObject({ verdict: 'rolled-back' })
  expect(outcomeOf(ended)?.reason).toMatch(/^no worse than stable: /)
  expect(ended.steps).toHaveLength(1)
})

test.each([
  ['stable is no better', '', { canary: 0.25, stable: 0.25 }],
  ['nothing compares it with stable', 'checks: { noWorseThanStable: false }', { canary: 0.25, stable: 0 }],
])('it is promoted if %s, because no user noticed', (_, settings, hidden) => {
  expect(outcomeOf(promote(settings, hidden))?.verdict).toBe('promoted')
})
