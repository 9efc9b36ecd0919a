// The last step waits until the canary is certified, and no step advances while the evidence leans against the canary.
import { describe, expect, test } from 'vitest'
import { next } from '../../../../src/canary/state/machine.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import type { Action, State } from '../../../../src/canary/state/types.ts'
import { addRequests, noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served, servedByStable } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

type Canary = { requests: number; failures?: number; slow?: number }

/** Takes a sample each second until the end. `canary`: what it serves in that second. */
function promote(more: string, canary: (second: number, state: State) => Canary, startWeight = 0) {
  const plan = planOf(
    `interval: 10s, pollInterval: 1s, ${more.includes('progressDeadline') ? '' : 'progressDeadline: 60s, '}${more}`,
  )
  const actions: Action[] = []
  let state: State = initialState(plan, startWeight, 0, served(10_000, 0, 20))
  let second = 0
  while (state.phase !== 'ended') {
    second++
    const { requests, failures = 0, slow = 0 } = state.phase === 'waiting' ? { requests: 0 } : canary(second, state)
    const [ofCanary, ofStable] = [served(requests, failures, slow), servedByStable(state.weight, requests)]
    const both = { canary: ofCanary, stable: state.phase === 'waiting' ? noRequests : ofStable }
    const rest = { users: addRequests(ofCanary, ofStable), ready: true, complete: true, findings: [], gates: {} }
    const step = next(plan, state, { ...both, ...rest }, second * 1_000)
    state = step.state
    actions.push(...step.actions)
  }
  const weights = actions.flatMap((action) => (action.kind === 'weight' ? [action.weight] : []))
  return { state, seconds: second, weights, outcome: outcomeOf(state)! }
}

describe('the last step', () => {
  test('starts at once if the earlier ones have shown enough', () => {
    const { weights, seconds } = promote('steps: [50, 100]', () => ({ requests: 50 }))
    expect(weights).toEqual([50, 100])
    expect(seconds).toBe(1 + 2 * 10)
  })

  test('waits until they have, and then the canary is promoted', () => {
    const { outcome, state } = promote('steps: [50, 100]', () => ({ requests: 5 }))
    expect(outcome.verdict).toBe('promoted')
    const [before] = state.steps
    expect(before!.canary.requests).toBeGreaterThan(150)
    expect(before!.canary.requests).toBeLessThan(220)
  })

  test('does not start within the deadline: the reason says what was seen, what is missing and what to change', () => {
    const { outcome, weights } = promote('steps: [50, 100]', () => ({ requests: 1 }))
    expect(weights).toEqual([50, 0])
    expect(outcome).toMatchObject({ verdict: 'inconclusive' })
    expect(outcome.reason).toMatch(
      /^at weight 50, watched for 70 s, the evidence does not exclude that 2% of the canary's requests or more fail \(success rate: 0 of 71 canary requests .*\); at least \d+ more good requests are needed: raise `progressDeadline` or `checks.tolerance`, or let `load` add requests$/,
    )
  })

  test('starts without it with `onInconclusive: promote`, and the reason says so', () => {
    const { outcome } = promote('steps: [50, 100], onInconclusive: promote', () => ({ requests: 1 }))
    expect(outcome.verdict).toBe('promoted')
    expect(outcome.reason).toContain('the steps at 50, 100 had too little evidence')
  })

  test.each([
    ['a shorter plan', 'steps: [10, 20]'],
    ['`until`', 'steps: [10, 20, 100], until: 20'],
  ])('of %s waits, too', (_, plan) => {
    expect(promote(plan, () => ({ requests: 1 })).weights).toEqual([10, 0])
    expect(promote(plan, () => ({ requests: 20 })).outcome).toMatchObject({ verdict: 'held', asPlanned: true })
  })

  test('that is the only one, below 100, needs none: stable still serves', () => {
    expect(promote('steps: [10]', () => ({ requests: 1 })).outcome).toMatchObject({ verdict: 'held', asPlanned: true })
  })

  test.each([
    ['of a plan with one step', 'steps: [100]', 0, [100, 0]],
    ['of a run that continues from 50', 'steps: [50, 100]', 50, [100, 0]],
  ])('%s ends only when the canary is certified', (_, plan, start, weights) => {
    expect(promote(plan, () => ({ requests: 20 }), start).outcome.verdict).toBe('promoted')
    const few = promote(plan, () => ({ requests: 2 }), start)
    expect([few.outcome.verdict, few.weights]).toEqual(['inconclusive', weights])
  })

  test('starts after a mirror that has shown enough', () => {
    const { weights, seconds } = promote('steps: [100], mirror: { percent: 50% }', () => ({ requests: 50 }))
    expect([weights, seconds]).toEqual([[100], 21])
    expect(promote('steps: [100], mirror: { percent: 50% }', () => ({ requests: 1 })).weights).toEqual([0])
  })

  test('ends by its own requests if only chosen requests came before', () => {
    const ab = 'steps: [100], ab: { match: { headers: { x-beta: "1" } } }'
    const { outcome } = promote(ab, (_, { weight }) => ({ requests: weight === 0 ? 100 : 1 }))
    expect(outcome.reason).toMatch(/^at weight 100, watched for 70 s, .* at least \d+ more good requests are needed/)
  })
})

describe('a service whose requests nobody counts, with `minRequests: 0`', () => {
  const plan = 'steps: [50, 100], warmup: 0, checks: { minRequests: 0 }'

  function promoteSilently(users = noRequests) {
    const silent = planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, ${plan}`)
    let state: State = initialState(silent, 0, 0)
    const both = { canary: noRequests, stable: noRequests, users }
    for (let second = 1; state.phase !== 'ended'; second++)
      state = next(
        silent,
        state,
        { ...both, ready: true, complete: true, findings: [], gates: {} },
        second * 1_000,
      ).state
    return outcomeOf(state)
  }

  test('is promoted by its other checks, and the reason says that no request was counted', () => {
    expect(promoteSilently()).toMatchObject({
      verdict: 'promoted',
      reason: 'every step passed its checks, which counted no request (`checks.minRequests: 0`)',
    })
  })

  test('is not promoted if only its callers count requests', () => {
    expect(promoteSilently(served(10, 2))).toMatchObject({ verdict: 'inconclusive' })
  })

  test('is judged by its requests if there are some', () => {
    expect(promote(plan, () => ({ requests: 1 })).outcome.verdict).toBe('inconclusive')
  })
})

test('a canary that turns bad while a webhook has to confirm the last step does not start it', () => {
  const plan = planOf(
    'interval: 10s, pollInterval: 1s, warmup: 0, confirmTimeout: 60s, steps: [50, 100], webhooks: { go: { type: confirm-promotion, url: "http://x.test" } }',
  )
  const yes = { name: 'go', state: 'pass', text: '', at: 0 } as const
  let state: State = initialState(plan, 0, 0, served(10_000, 0, 20))
  const weights: number[] = []
  for (let second = 1; state.phase !== 'ended'; second++) {
    const isBad = state.phase === 'confirming'
    const canary = served(state.phase === 'waiting' ? 0 : 25, isBad && second % 2 === 0 ? 1 : 0)
    const stable = served(25, isBad && second % 2 === 1 ? 1 : 0)
    const gates = second === 30 ? { 'confirm-promotion': yes } : {}
    const rest = { users: noRequests, ready: true, complete: true, findings: [], gates }
    const step = next(plan, state, { canary, stable, ...rest }, second * 1_000)
    state = step.state
    weights.push(...step.actions.flatMap((action) => (action.kind === 'weight' ? [action.weight] : [])))
  }
  expect(weights).toEqual([50, 0])
  expect(outcomeOf(state)!.verdict).toBe('inconclusive')
})

describe('a limit of p99 between two bucket edges', () => {
  const limit = 'steps: [50, 100], warmup: 0, checks: { p99: 700ms, noWorseThanStable: false }'

  test('certifies no canary whose requests may be slower, and the reason names the edges', () => {
    const { outcome } = promote(limit, () => ({ requests: 20, slow: 20 }))
    expect(outcome.verdict).toBe('inconclusive')
    expect(outcome.reason).toMatch(
      /are too slow \(latency: 0 of \d+ canary requests .*\); (\d+) of \1 timed requests tell nothing: the sidecars' latency buckets have no edge at 700 ms, so requests of 500 to 10000 ms count neither as good nor as too slow; set `checks.p99` to 500ms or 10000ms, or give the pods such an edge/,
    )
  })

  test('certifies one whose requests are below both', () => {
    expect(promote(limit, () => ({ requests: 20 })).outcome.verdict).toBe('promoted')
  })
})

describe('a canary that is worse than tolerated', () => {
  const share = (more: string, canary: (random: () => number) => Canary) => {
    const random = randomFrom(3)
    const verdicts = Array.from({ length: 100 }, () => promote(more, () => canary(random)).outcome.verdict)
    return verdicts.filter((verdict) => verdict === 'promoted').length / verdicts.length
  }
  const drawn = (random: () => number, rate: number) =>
    Array.from({ length: 10 }, random).filter((each) => each < rate).length

  test.each([
    ['fails 2% of its requests', '', (random: () => number) => ({ requests: 10, failures: drawn(random, 0.02) })],
    [
      'is too slow in 2%',
      'checks: { p99: 500ms }',
      (random: () => number) => ({ requests: 10, slow: drawn(random, 0.02) }),
    ],
    [
      "is slow three times as often as stable's p99 may be",
      '',
      (random: () => number) => ({ requests: 10, slow: drawn(random, 0.03) }),
    ],
  ])('is promoted in at most 5% of the promotions: %s', (_, checks, canary) => {
    expect(share(`steps: [25, 50, 100], ${checks}`, canary)).toBeLessThanOrEqual(0.05)
  })

  test('is promoted if it is within a larger tolerance', () => {
    const wide = 'steps: [25, 50, 100], checks: { tolerance: 20, noWorseThanStable: false, falseRollback: 0.01% }'
    expect(share(wide, (random) => ({ requests: 10, failures: drawn(random, 0.02) }))).toBeGreaterThan(0.5)
  })
})

describe('suspicion', () => {
  const burst = (second: number): Canary => ({ requests: 3, failures: second === 10 ? 3 : 0 })

  test('holds a step after its interval, and the next one starts when it has passed', () => {
    const { state, outcome, weights } = promote('steps: [25, 60, 100], progressDeadline: 5m', burst)
    expect(weights).toEqual([25, 60, 100])
    expect(outcome.verdict).toBe('promoted')
    expect(state.steps[0]!.canary.requests / 3).toBeGreaterThan(11)
  })

  test('that lasts until the deadline ends the promotion undecided', () => {
    const { outcome, weights } = promote('steps: [25, 60, 100], progressDeadline: 1s', burst)
    expect(weights).toEqual([25, 0])
    expect(outcome.verdict).toBe('inconclusive')
    expect(outcome.reason).toMatch(/^at weight 25, watched for 11 s, the evidence leans against the canary/)
  })
})
