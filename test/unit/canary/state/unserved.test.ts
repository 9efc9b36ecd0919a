// Requests of users that fail before they reach a version, and whether the canary is to blame.
import { describe, expect, test } from 'vitest'
import { next } from '../../../../src/canary/state/machine.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import type { Observation, State } from '../../../../src/canary/state/types.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const random = randomFrom(5)

/** The canary's and stable's parts of so many requests, by lot. */
function drawn(requests: number, weight: number): [canary: number, stable: number] {
  const canary = Array.from({ length: requests }, () => random()).filter((each) => each < weight / 100).length
  return [canary, requests - canary]
}

/** What reaches no version, of what the mesh has for each. */
type Loss = (canary: number, stable: number, weight: number) => { canary: number; stable: number }

/** Requests of which some are lost from the third second on. */
function promote(
  loss: Loss,
  settings = '',
  more: Partial<Observation> = { share: none },
  perSecond = 50,
): [State, seconds: number] {
  const plan = planOf(`pollInterval: 1s, interval: 20s, progressDeadline: 60s, ${settings}`)
  let state: State = initialState(plan, 0, 0)
  let second = 0
  while (state.phase !== 'ended' && second < 1_000) {
    second++
    const [canary, stable] = drawn(perSecond, state.weight)
    const lost = second < 3 ? { canary: 0, stable: 0 } : loss(canary, stable, state.weight)
    const violations = lost.canary + lost.stable
    const seen: Observation = {
      canary: served(canary - lost.canary),
      stable: served(stable - lost.stable),
      users: noRequests,
      unserved: { requests: perSecond, violations },
      ready: true,
      complete: true,
      findings: [],
      gates: {},
      ...more,
    }
    state = next(plan, state, seen, second * 1_000).state
  }
  return [state, second]
}
const none = { canary: false, stable: false }
const verdictOf = (state: State) => outcomeOf(state)?.verdict
const ofBoth =
  (part: number): Loss =>
  (canary, stable) => ({
    canary: Math.round(canary * part),
    stable: Math.round(stable * part),
  })

describe('a canary whose pods are ejected', () => {
  test.each([
    ['at its first weight', 'steps: [5, 100]', 2],
    ['at weight 10', 'steps: [10, 100]', 10],
    ['in a later step', 'steps: [5, 50, 100]', 50],
    ['in the last step', 'steps: [10, 100]', 100],
    ['in the only step', 'steps: [100]', 100],
  ])('is rolled back %s', (_, settings, from) => {
    const [state] = promote((canary, __, weight) => ({ canary: weight < from ? 0 : canary, stable: 0 }), settings)
    expect(verdictOf(state)).toBe('rolled-back')
    expect(outcomeOf(state)?.reason).toMatch(
      /^the canary (serves less than its weight|has all the traffic), and \d+ of \d+ requests of users failed before/,
    )
  })

  test('is found within ten seconds at 50 requests a second', () => {
    const [state, seconds] = promote((canary) => ({ canary, stable: 0 }), 'steps: [10, 100]')
    expect(verdictOf(state)).toBe('rolled-back')
    expect(seconds).toBeLessThan(10)
  })

  test('is rolled back at two requests a second', () => {
    const [state] = promote((canary) => ({ canary, stable: 0 }), 'steps: [50, 100]', { share: none }, 2)
    expect(verdictOf(state)).toBe('rolled-back')
  })

  test('is rolled back when only half of its requests are lost', () => {
    const [state] = promote((canary) => ({ canary: Math.ceil(canary / 2), stable: 0 }), 'steps: [20, 100]')
    expect(verdictOf(state)).toBe('rolled-back')
  })
})

describe('the canary is not to blame', () => {
  test('when the requests of both versions are lost', () => {
    const [state] = promote(ofBoth(0.2), 'steps: [20, 100]')
    expect(verdictOf(state)).toBe('inconclusive')
  })

  test('when all requests are lost', () => {
    const [state, seconds] = promote(ofBoth(1), 'steps: [20, 100]')
    expect(verdictOf(state)).toBe('inconclusive')
    expect(seconds).toBeLessThan(5)
  })

  test.each([
    ['routes send testers to stable', { share: { canary: false, stable: true } }],
    ['the share of the canary is not known', {}],
  ])('while %s', (_, more) => {
    const [state] = promote((canary) => ({ canary, stable: 0 }), 'steps: [20, 100]', more)
    expect(verdictOf(state)).toBe('inconclusive')
  })

  test('in more than one of a hundred promotions, whatever is lost of both', () => {
    const verdicts = Array.from({ length: 200 }, () => verdictOf(promote(ofBoth(0.1), 'steps: [10, 100]')[0]))
    expect(verdicts.filter((verdict) => verdict === 'rolled-back').length).toBeLessThanOrEqual(2)
  })
})
