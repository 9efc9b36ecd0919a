// At weight 100 there is no stable traffic to compare with, so the machine returns to the step before.
import { describe, expect, test } from 'vitest'
import { next } from '../../../../src/canary/state/machine.ts'
import { initialState, resumeState } from '../../../../src/canary/state/start.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import type { Action, Observation, State } from '../../../../src/canary/state/types.ts'
import { noRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

/** Takes a sample of 100 requests each second until the end. `failures`: the share of failures at each version. */
function simulate(
  more: string,
  failures: (second: number, state: State) => { canary: number; stable: number },
  startWeight = 0,
): { state: State; weights: number[] } {
  const plan = planOf(`interval: 10s, progressDeadline: 60s, ${more}`)
  const weights: number[] = []
  let state: State = initialState(plan, startWeight, 0, served(10_000))
  for (let second = 1; state.phase !== 'ended'; second++) {
    const { weight } = state
    const shares = failures(second, state)
    const of = (requests: number, share: number): RequestCounts =>
      requests === 0 ? noRequests : served(requests, Math.round(requests * share))
    const step = next(
      plan,
      state,
      {
        canary: of(weight, shares.canary),
        stable: of(100 - weight, shares.stable),
        users: noRequests,
        ready: true,
        complete: true,
        findings: [],
        gates: {},
      },
      second * 1_000,
    )
    state = step.state
    weights.push(...step.actions.flatMap((action: Action) => (action.kind === 'weight' ? [action.weight] : [])))
  }
  return { state, weights }
}

const good = { canary: 0, stable: 0 }
const allFail = { canary: 1, stable: 1 }

describe('a canary that misses its limit at weight 100', () => {
  test('together with stable returns to the step before, and continues when the limit is kept again', () => {
    const outage = (_: number, { weight, steps }: State) => (weight === 100 && steps.length === 2 ? allFail : good)
    const { state, weights } = simulate('steps: [50, 100], checks: { successRate: 90% }', outage)
    expect(weights).toEqual([50, 100, 50, 100])
    expect(state).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect(state.steps.map(({ weight, outcome }) => [weight, outcome])).toEqual([
      [50, 'passed'],
      [100, 'returned-to-compare'],
      [50, 'passed'],
      [100, 'passed'],
    ])
  })

  test('alone is rolled back once it is compared with stable', () => {
    let hasStarted = false
    const { state, weights } = simulate('steps: [50, 100]', (_, { weight }) =>
      (hasStarted ||= weight === 100) ? { canary: 0.5, stable: 0 } : good,
    )
    expect(weights).toEqual([50, 100, 50, 0])
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  })

  test('again after every return ends as inconclusive', () => {
    const { state, weights } = simulate('steps: [50, 100], checks: { successRate: 90% }', (_, { weight }) =>
      weight === 100 ? { canary: 0.5, stable: 0.5 } : good,
    )
    expect(weights).toEqual([50, 100, 50, 100, 50, 100, 50, 100, 0])
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      reason: expect.stringContaining('missed 4 times') as string,
    })
  })

  test('returns to its start weight when the plan has only one step', () => {
    const outage = (_: number, { weight, steps }: State) => (weight === 100 && steps.length === 1 ? allFail : good)
    const { state, weights } = simulate('steps: [100], checks: { successRate: 90% }', outage, 50)
    expect(weights).toEqual([100, 50, 100])
    expect(state).toMatchObject({ verdict: 'promoted', weight: 100 })
  })

  test('continues with the only step when the run is lost after the return to the start weight', () => {
    const plan = planOf('interval: 10s, progressDeadline: 60s, steps: [100], checks: { successRate: 90% }')
    const failing: Observation = {
      canary: served(100, 50),
      stable: noRequests,
      users: noRequests,
      ready: true,
      complete: true,
      findings: [],
      gates: {},
    }
    const atStart = initialState(plan, 50, 0, served(10_000))
    const atStep = next(plan, atStart, { ...failing, canary: noRequests }, 1_000).state
    const returned = next(plan, next(plan, atStep, failing, 2_000).state, failing, 3_000).state
    expect(returned).toMatchObject({ phase: 'shifting', weight: 50 })
    const resumed = next(plan, resumeState(returned, 50, 60_000), { ...failing, canary: noRequests }, 61_000)
    expect(resumed.actions).toEqual([{ kind: 'weight', weight: 100 }])
  })

  test('is rolled back when it never had less than all traffic: blue and green', () => {
    const { state, weights } = simulate('steps: [100]', () => ({ canary: 0.5, stable: 0.5 }))
    expect(weights).toEqual([100, 0])
    expect(outcomeOf(state)?.verdict).toBe('rolled-back')
  })
})
