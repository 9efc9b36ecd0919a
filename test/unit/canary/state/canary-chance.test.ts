import { describe, expect, test } from 'vitest'
import { chanceOfCanary } from '../../../../src/canary/state/canary-chance.ts'
import { next } from '../../../../src/canary/state/machine.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import type { ActiveState, Observation, State } from '../../../../src/canary/state/types.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

const byWeight = { canary: false, stable: false }

function observe(canary = noRequests, stable = noRequests, more: Partial<Observation> = {}): Observation {
  const rest = { users: noRequests, ready: true, complete: true, findings: [], gates: {} }
  return { canary, stable, share: byWeight, ...rest, ...more }
}

/** The state after these samples, one a second; the first one is from before the first stage. */
function after(more: string, samples: Observation[]): State {
  const plan = planOf(`pollInterval: 1s, warmup: 0, ${more}`)
  return [observe(), ...samples].reduce<State>(
    (state, sample, i) => next(plan, state, sample, (i + 1) * 1_000).state,
    initialState(plan, 0, 0),
  )
}

const chanceAfter = (more: string, samples: Observation[], last: Partial<Observation> = {}) =>
  chanceOfCanary(after(more, samples) as ActiveState, observe(noRequests, noRequests, last))

describe('the chance that a request goes to the canary', () => {
  const plan = 'steps: [10, 50, 100], interval: 10s'

  test('is the weight, from the moment that the routes ask for it', () => {
    expect(chanceAfter(plan, [])).toBe(0.1)
    expect(chanceAfter(plan, [observe(served(10), served(90))])).toBe(0.1)
  })

  test('is what the canary has served in this step if that is decisively more', () => {
    expect(chanceAfter(plan, [observe(served(50), served(50))])).toBeCloseTo(0.359, 3)
  })

  test.each<[string, Partial<Observation>]>([
    ['some pods are not counted', { share: undefined as never }],
    ['routes name the canary on purpose', { share: { canary: true, stable: false } }],
    ['someone else has changed the weights', { drift: 'someone else wrote 30' }],
  ])('is unknown while %s', (_, last) => {
    expect(chanceAfter(plan, [], last)).toBeUndefined()
  })

  test('is not in question because routes name stable on purpose', () => {
    expect(chanceAfter(plan, [], { share: { canary: false, stable: true } })).toBe(0.1)
  })

  test('is unknown after foreign weights were overwritten, because some callers may still follow them', () => {
    const drifted = observe(noRequests, noRequests, { drift: 'someone else wrote 30' })
    expect(chanceAfter(`${plan}, onDrift: take-over`, [drifted])).toBeUndefined()
  })

  test('is unknown of copies, and in the step after them, which may still get some', () => {
    const mirrored = `${plan}, mirror: { percent: 10%, interval: 2s }`
    const one = observe(served(10), served(100))
    expect(chanceAfter(mirrored, [one])).toBeUndefined()
    const next = after(mirrored, [one, one, one, one]) as ActiveState
    expect(next.steps.map(({ kind }) => kind)).toEqual(['mirror', 'weight'])
    expect(chanceOfCanary(next, observe())).toBeUndefined()
  })

  test('is unknown where the canary gets everything', () => {
    expect(chanceAfter('steps: [100]', [observe(served(10), noRequests)])).toBeUndefined()
  })
})

describe('three failures of 14 requests at weight 10', () => {
  const [good, bad] = [served(2), served(2, 1)]
  // Only stable serves most of the samples.
  const samples = [bad, good, good, bad, good, good, bad].flatMap((canary) => [
    observe(canary, served(8)),
    observe(noRequests, served(10)),
  ])
  const plan = 'steps: [10, 100], interval: 60s'

  test('roll the canary back where the weight alone decides', () => {
    expect(outcomeOf(after(plan, samples))).toMatchObject({ verdict: 'rolled-back' })
  })

  test('do not where more decides, because the canary had a fifth of the requests among which it failed', () => {
    const unknown = samples.map(({ share: _, ...sample }) => sample)
    expect(outcomeOf(after(plan, unknown))).toBeUndefined()
  })
})
