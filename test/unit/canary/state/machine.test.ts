import { describe, expect, test } from 'vitest'
import type { Finding } from '../../../../src/canary/state/finding.ts'
import type { Action, EndedStep, Observation, State } from '../../../../src/canary/state/types.ts'
import { dueGates } from '../../../../src/canary/state/gates.ts'
import { explainChecks, next } from '../../../../src/canary/state/machine.ts'
import { endHeld, endOnStable, outcomeOf, timeToDetect } from '../../../../src/canary/state/ending.ts'
import { initialState, resumeState } from '../../../../src/canary/state/start.ts'
import { stagesOf } from '../../../../src/canary/state/stages.ts'
import { noRequests, addRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import type { CanaryConfig } from '../../../../src/config/schema.ts'
import { planOf, served, servedByStable } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('interval: 11s, pollInterval: 1s, progressDeadline: 60s, warmup: 0')

/** One sample of the canary; without `stable` the mesh splits by the weight. */
type Sample = Omit<Observation, 'stable' | 'users' | 'findings' | 'gates'> &
  Partial<Pick<Observation, 'stable' | 'findings' | 'gates'>>

/** A sample with this number of `requests` to the canary, of `failures` among them, and of `slow` ones. */
function sample(requests: number, failures = 0, more: Partial<Sample> & { slow?: number } = {}): Sample {
  const { slow = 0, ...rest } = more
  return { canary: served(requests, failures, slow), ready: true, complete: true, ...rest }
}

/** The observation of a mesh that splits by this weight. */
function observe({ stable, ...seen }: Sample, weight: number): Observation {
  const rest = stable ?? servedByStable(weight, seen.canary.requests)
  return { findings: [], gates: {}, ...seen, stable: rest, users: addRequests(seen.canary, rest) }
}

type Run = { state: State; actions: Action[]; seconds: number }

/** Takes a sample each second, from `start` until the end or for `maxSeconds`. */
function simulate(
  by: CanaryConfig,
  start: State,
  sampleAt: (second: number, state: State) => Sample,
  maxSeconds = 1_000,
  from = 0,
): Run {
  const actions: Action[] = []
  let state = start
  let second = from
  while (state.phase !== 'ended' && second < from + maxSeconds) {
    second++
    const step = next(by, state, observe(sampleAt(second, state), state.weight), second * 1_000)
    state = step.state
    actions.push(...step.actions)
  }
  return { state, actions, seconds: second }
}

const verdictOf = (state: State) => outcomeOf(state)?.verdict
const reasonOf = (state: State) => outcomeOf(state)?.reason
const endedSteps = (state: State) => state.steps as EndedStep[]
const watchedMs = ({ endedAt, watched }: EndedStep) => endedAt - watched!.since

const weightsIn = (actions: Action[]) =>
  actions.map((action) => (action.kind === 'weight' ? action.weight : action.kind))

describe('a healthy canary', () => {
  const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), (_, { phase }) =>
    phase === 'waiting' ? sample(0, 0, { stable: noRequests }) : sample(20),
  )

  test('goes through 5, 25, 50 and 100 and is promoted', () => {
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(state).toMatchObject({
      phase: 'ended',
      verdict: 'promoted',
      weight: 100,
      reason: 'every step passed its checks',
    })
    expect(timeToDetect(state)).toBeUndefined()
  })

  test('stays for the whole interval in every step', () => {
    expect(seconds).toBe(1 + 4 * 11)
    expect(state.steps).toEqual([
      {
        kind: 'weight',
        weight: 5,
        from: 0,
        shiftedAt: 1_000,
        endedAt: 12_000,
        canary: served(220),
        stable: served(4_180),
        watched: { since: 2_000, canary: 200, stable: 3800 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 25,
        from: 5,
        shiftedAt: 12_000,
        endedAt: 23_000,
        canary: served(220),
        stable: served(660),
        watched: { since: 13_000, canary: 200, stable: 600 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 50,
        from: 25,
        shiftedAt: 23_000,
        endedAt: 34_000,
        canary: served(220),
        stable: served(220),
        watched: { since: 24_000, canary: 200, stable: 200 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 100,
        from: 50,
        shiftedAt: 34_000,
        endedAt: 45_000,
        canary: served(220),
        stable: served(0),
        watched: { since: 35_000, canary: 200, stable: 0 },
        outcome: 'passed',
      },
    ])
  })

  test('stays for its interval whatever the traffic needs to shift and a poll needs to answer', () => {
    const by = planOf('interval: 30s, pollInterval: 1s, progressDeadline: 60s')
    const old = sample(1, 0, { stable: served(999) })
    let state = initialState(by, 0, 0) as State
    for (let now = 0; state.phase !== 'ended'; now += 1_170) {
      const last = state.steps.at(-1)
      const hasShifted = !last || now > last.shiftedAt + 1_200
      state = next(by, state, observe(hasShifted ? sample(200) : old, state.weight), now).state
    }
    for (const { endedAt, shiftedAt } of endedSteps(state))
      expect(Math.abs(endedAt - shiftedAt - 30_000)).toBeLessThanOrEqual(600)
  })

  test('is watched for most of its interval, however late or short', () => {
    const late = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(second < 7 ? 0 : 20, 0, { stable: noRequests }),
    )
    expect(late.state.steps[0]).toMatchObject({ shiftedAt: 1_000, endedAt: 16_000 })
    const short = planOf('interval: 2s, pollInterval: 1s')
    expect(simulate(short, initialState(short, 0, 0), () => sample(20)).state.steps[0]).toMatchObject({
      endedAt: 3_000,
    })
  })

  test('has all its requests and all requests of users counted', () => {
    expect(state.canary).toEqual(served(880))
    expect(state.users).toEqual(served(11 * (400 + 80 + 40 + 20)))
  })

  test('that fails half as often as the limit allows is promoted in at least 99% of 300 promotions', () => {
    const patient = planOf('interval: 10s, pollInterval: 1s, checks: { noWorseThanStable: false }')
    const random = randomFrom(5)
    const bernoulli = (n: number, rate: number) =>
      Array.from({ length: n }, random).filter((each) => each < rate).length
    const verdicts = Array.from({ length: 300 }, () =>
      verdictOf(simulate(patient, initialState(patient, 0, 0), () => sample(10, bernoulli(10, 0.005))).state),
    )
    expect(verdicts.filter((verdict) => verdict !== 'promoted').length).toBeLessThanOrEqual(3)
  })
})

describe('a failing canary', () => {
  test('is rolled back at once, with the reason and the time to detect it', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (second) =>
      second < 4 ? sample(0) : second === 4 ? sample(1, 1) : sample(10, 10),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({
      phase: 'ended',
      verdict: 'rolled-back',
      weight: 0,
      firstTrafficAt: 4_000,
      timeToDetectMs: 1_000,
    })
    expect(reasonOf(state)).toBe(
      'success rate: 11 of 11 canary requests (100%) failed, the limit is 1%; stable: 0 of 399 (0%)',
    )
    expect(state.steps).toHaveLength(1)
    expect(state.steps[0]).toMatchObject({ outcome: 'failed', endedAt: 5_000, canary: { requests: 11, failures: 11 } })
  })

  test('is detected in a later step too', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (_, { weight }) =>
      sample(20, weight === 50 ? 15 : 0),
    )
    expect(weightsIn(actions)).toEqual([5, 25, 50, 0])
    expect(verdictOf(state)).toBe('rolled-back')
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['passed', 'passed', 'failed'])
  })

  test('that is slow is rolled back for its latency', () => {
    const timed = planOf('interval: 10s, pollInterval: 1s, warmup: 0, checks: { p99: 500ms }')
    const { state, actions } = simulate(timed, initialState(timed, 0, 0), (_, { weight }) =>
      weight === 0 ? sample(0) : sample(20, 0, { slow: 10 }),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(reasonOf(state)).toBe(
      'latency: 100 of 200 canary requests (50%) took longer than the limit of p99 (500 ms), which allows 1%; stable: 0 of 3800 (0%)',
    )
  })

  test('that is slow is rolled back when its latencies are published, which may be later than its requests', () => {
    const timed = planOf('interval: 10s, pollInterval: 1s, warmup: 0, checks: { p99: 500ms }')
    const late = sample(0, 0, { canary: { ...noRequests, times: served(20, 0, 10).times } })
    const { state } = simulate(timed, initialState(timed, 0, 0), (second) =>
      second < 4 ? sample(0, 0, { canary: { ...noRequests, requests: 2_000 } }) : late,
    )
    expect(state).toMatchObject({ verdict: 'rolled-back' })
    expect(reasonOf(state)).toContain(
      'latency: 80 of 160 canary requests (50%) took longer than the limit of p99 (500 ms), which allows 1%; stable: 0 of ',
    )
  })

  test('may be slow when the plan sets no limit on latency', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { noWorseThanStable: { latency: false } }')
    expect(verdictOf(simulate(by, initialState(by, 0, 0), () => sample(20, 0, { slow: 20 })).state)).toBe('promoted')
  })

  test('keeps its weight with `onFail: hold`', () => {
    const held = planOf('interval: 10s, pollInterval: 1s, onFail: hold')
    const { state, actions } = simulate(held, initialState(held, 0, 0), (_, { weight }) =>
      weight === 0 ? sample(0) : sample(10, 10),
    )
    expect(weightsIn(actions)).toEqual([5])
    expect(state).toMatchObject({ phase: 'ended', verdict: 'held', weight: 5 })
    expect(reasonOf(state)).toContain('success rate')
  })
})

describe('a canary with broken pods', () => {
  test('that never become ready gets no traffic and is rolled back after progressDeadline', () => {
    const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), () => sample(0, 0, { ready: false }))
    expect(seconds).toBe(60)
    expect(weightsIn(actions)).toEqual([0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      weight: 0,
      reason: "the canary's pods did not become ready within 60 s (`progressDeadline`)",
      steps: [],
    })
  })

  test('does not fail by requests before its first step', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      second < 5 ? sample(20, 20, { ready: false }) : second === 5 ? sample(20, 20) : sample(20),
    )
    expect(state).toMatchObject({
      verdict: 'promoted',
      firstTrafficAt: 6_000,
      canary: { failures: 0 },
      users: { failures: 0 },
    })
  })

  test('that become ready late starts then', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) => sample(20, 0, { ready: second >= 30 }))
    expect(verdictOf(state)).toBe('promoted')
    expect(state.steps[0]!.shiftedAt).toBe(30_000)
  })

  test('that crash before they are ready is rolled back at once', () => {
    const { state, seconds } = simulate(plan, initialState(plan, 0, 0), () =>
      sample(0, 0, { ready: false, fault: 'container app crashes in a loop' }),
    )
    expect(seconds).toBe(1)
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'container app crashes in a loop' })
  })

  test('that crash under traffic is rolled back at once, without a failed request', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, 0, second === 15 ? { ready: false, fault: 'container app was restarted' } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 25, 0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      weight: 0,
      reason: 'container app was restarted',
      timeToDetectMs: 14_000 - 1_000,
    })
  })
})

describe('too little evidence', () => {
  const without = (choice: string) =>
    planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 100], onInconclusive: ${choice}`)

  test.each<[string, number[], Partial<State>]>([
    ['rollback', [5, 0], { verdict: 'inconclusive', weight: 0 }],
    ['hold', [5], { verdict: 'held', weight: 5 }],
  ])('without a single request ends as `onInconclusive: %s` says', (choice, weights, end) => {
    const by = without(choice)
    const { state, actions, seconds } = simulate(by, initialState(by, 0, 0), () => sample(0))
    expect(weightsIn(actions)).toEqual(weights)
    expect(seconds).toBe(61)
    expect(state).toMatchObject({
      ...end,
      phase: 'ended',
      reason: 'at weight 5, no request reached the canary within 60 s (`progressDeadline`)',
    })
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['inconclusive'])
  })

  test('without a single request passes with `onInconclusive: promote`, and the steps say that they are inconclusive', () => {
    const by = without('promote')
    const { state, actions } = simulate(by, initialState(by, 0, 0), () => sample(0))
    expect(weightsIn(actions)).toEqual([5, 100])
    expect(state).toMatchObject({
      verdict: 'promoted',
      weight: 100,
      reason:
        'no check failed; the steps at 5, 100 had too little evidence and passed because of `onInconclusive: promote`',
    })
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['inconclusive', 'inconclusive'])
  })

  test('lets a step last longer than its interval, until it has enough requests', () => {
    const two = planOf(
      'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 25, 50], checks: { tolerance: 60 }',
    )
    const { state } = simulate(two, initialState(two, 0, 0), (second) =>
      second % 4 === 0 ? sample(1) : sample(0, 0, { stable: noRequests }),
    )
    expect(verdictOf(state)).toBe('held')
    expect(state.steps.map(({ canary }) => canary.requests)).toEqual([10, 10, 10])
  })

  test('for longer than progressDeadline is inconclusive', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (second) => sample(second === 2 ? 9 : 0))
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason:
        'at weight 5, watched for 71 s, the canary served 9 requests, fewer than the 10 that a step needs (`checks.minRequests`)',
    })
  })

  test('in some steps with `onInconclusive: promote` makes the reason name those steps', () => {
    const by = planOf(
      'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 20, 50], onInconclusive: promote',
    )
    const { state } = simulate(by, initialState(by, 0, 0), (_, { weight }) => sample(weight === 20 ? 0 : 20))
    expect(state).toMatchObject({
      verdict: 'held',
      weight: 50,
      reason:
        'no check failed; the steps at 20 had too little evidence and passed because of `onInconclusive: promote`, and the steps end at 50',
    })
  })

  test('still rolls back a canary whose few requests fail', () => {
    const once = (second: number) => (second === 2 ? sample(3, 3) : sample(0))
    expect(verdictOf(simulate(plan, initialState(plan, 0, 0), once).state)).toBe('rolled-back')
  })
})

describe('counters that do not tell which requests failed', () => {
  const unreadable = 'the counters of the sidecars carry response_code "5xx"'

  test.each<[string, number, number[]]>([
    ['before the first step', 0, [0]],
    ['in a step', 20, [5, 25, 0]],
  ])('end the promotion at once %s', (_, from, weights) => {
    const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, 0, second > from ? { unreadable } : {}),
    )
    expect(weightsIn(actions)).toEqual(weights)
    expect([verdictOf(state), reasonOf(state), seconds]).toEqual(['inconclusive', unreadable, from + 1])
  })
})

describe('counters that cannot be read', () => {
  const unreadable = sample(0, 0, { stable: noRequests, complete: false })
  const interrupted = (choice: string, from = 5, until = Infinity) => {
    const by = planOf(`interval: 11s, pollInterval: 1s, progressDeadline: 60s, onInconclusive: ${choice}`)
    return simulate(by, initialState(by, 0, 0), (second) =>
      second > from && second <= until ? unreadable : sample(20),
    )
  }

  test.each<[string, number[], Partial<State>, string]>([
    ['rollback', [5, 0], { verdict: 'inconclusive', weight: 0 }, 'inconclusive'],
    ['promote', [5, 0], { verdict: 'inconclusive', weight: 0 }, 'inconclusive'],
    ['hold', [5], { verdict: 'held', weight: 5 }, 'held'],
  ])('for progressDeadline end the promotion with `onInconclusive: %s`', (choice, weights, end, outcome) => {
    const { state, actions, seconds } = interrupted(choice)
    expect(weightsIn(actions)).toEqual(weights)
    expect(state).toMatchObject({
      ...end,
      phase: 'ended',
      reason: 'the counters of the sidecars could not be read for 60 s (`progressDeadline`)',
    })
    expect(state.steps.map((step) => step.outcome)).toEqual([outcome])
    expect(seconds).toBe(66)
  })

  test('let no step pass meanwhile, however good the earlier evidence was', () => {
    const { state, actions } = interrupted('rollback', 11, 40)
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(endedSteps(state).map(({ endedAt }) => endedAt)).toEqual([41_000, 52_000, 63_000, 74_000])
  })

  test('let no step start its interval meanwhile, whatever was counted', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, 0, { complete: second === 1 || second > 20 }),
    )
    expect(state.steps[0]).toMatchObject({ shiftedAt: 1_000, watched: { since: 21_000 } })
  })

  test('keep a ready canary waiting for its first traffic', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) => sample(20, 0, { complete: second > 20 }))
    expect(state.steps[0]).toMatchObject({ shiftedAt: 21_000, watched: { since: 22_000 } })
  })

  test('start a new deadline once they were read again, even for one sample', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      second > 5 && second <= 105 && second !== 55 ? unreadable : sample(20),
    )
    expect(state).toMatchObject({ verdict: 'promoted' })
    expect(state).not.toHaveProperty('countersMissingSince')
  })

  test('do not hide failures that are counted', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      second > 5 ? sample(20, 20, { complete: false }) : sample(20),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', timeToDetectMs: 4_000 })
  })

  test('do not matter while the pods are not ready, because the reason names the pods', () => {
    const { state, seconds } = simulate(plan, initialState(plan, 0, 0), () =>
      sample(0, 0, { ready: false, complete: false }),
    )
    expect(seconds).toBe(60)
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: "the canary's pods did not become ready within 60 s (`progressDeadline`)",
    })
  })
})

describe('a weight that the requests do not show yet', () => {
  const jump = planOf('interval: 11s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 100], warmup: 0')
  const old = sample(1, 0, { stable: served(19) })

  test('does not start its interval while the requests follow the old weight, even if some reach the canary', () => {
    const { state } = simulate(jump, initialState(jump, 0, 0), (second, { weight }) =>
      weight === 100 && second < 16 ? old : sample(20),
    )
    expect(verdictOf(state)).toBe('promoted')
    expect(state.steps[1]).toMatchObject({ shiftedAt: 12_000, watched: { since: 16_000 } })
    expect(state.steps[1]).not.toHaveProperty('shift')
  })

  test('starts its interval when the requests follow it just before progressDeadline', () => {
    const { state } = simulate(jump, initialState(jump, 0, 0), (second, { weight }) =>
      weight === 100 && second < 12 + 58 ? old : sample(20),
    )
    expect(state).toMatchObject({ verdict: 'promoted', steps: [{}, { shiftedAt: 12_000, watched: { since: 70_000 } }] })
  })

  test('keeps the evidence of the shift when the state is saved', () => {
    const until = simulate(
      jump,
      initialState(jump, 0, 0),
      (_, { weight }) => (weight === 100 ? old : sample(20)),
      20,
    ).state
    const again = JSON.parse(JSON.stringify(until)) as State
    expect(again.steps[1]).toMatchObject({ outcome: 'shifting', shift: { samples: 8 } })
    expect(simulate(jump, again, () => sample(20), 1, 20).state.phase).toBe('watching')
  })

  describe('beside a route that sends 30% of the requests to stable', () => {
    const steps = planOf('interval: 21s, pollInterval: 1s, progressDeadline: 60s, steps: [10, 50, 100], warmup: 0')
    const share = { stable: true, canary: false }
    /** The canary serves this part of 100 requests a second. */
    const pinned = (weight: number, routed = 0.7) =>
      sample(weight * routed, 0, { stable: served(100 - weight * routed), share })

    test.each([0.7, 0.3])('is recognised by its share before: %d of the requests are split', (routed) => {
      const { state } = simulate(steps, initialState(steps, 0, 0), (_, { weight }) => pinned(weight, routed))
      expect(state).toMatchObject({ verdict: 'promoted', weight: 100 })
      expect(
        endedSteps(state)
          .slice(1)
          .map(({ shiftedAt, watched }) => watched!.since - shiftedAt),
      ).toEqual([1_000, 1_000])
    })

    test('is still one while the canary has its share of before', () => {
      const { state } = simulate(steps, initialState(steps, 0, 0), (_, { weight }) => pinned(Math.min(weight, 50)))
      expect(state).toMatchObject({ verdict: 'inconclusive', weight: 0 })
      expect(reasonOf(state)).toContain('at weight 100, the canary served only 35% of the requests')
    })

    test('counts when proxies have had time to follow it, if no step shows the share before', () => {
      const from = initialState(steps, 50, 0)
      const { state } = simulate(steps, from, (_, { weight }) => pinned(weight))
      const [step] = endedSteps(state)
      expect(step).toMatchObject({ weight: 100, from: 50, outcome: 'passed' })
      expect(step!.watched!.since - step!.shiftedAt).toBe(10_000)
    })
  })

  test('for longer than progressDeadline is inconclusive, with the share that the canary served', () => {
    const { state, actions, seconds } = simulate(jump, initialState(jump, 0, 0), (_, { weight }) =>
      weight === 100 ? old : sample(20),
    )
    expect(weightsIn(actions)).toEqual([5, 100, 0])
    expect(seconds).toBe(12 + 60)
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: 'at weight 100, the canary served only 5% of the requests within 60 s (`progressDeadline`)',
    })
  })

  test.each<[number, number, boolean]>([
    [37, 63, false],
    [38, 62, true],
  ])(
    'counts as shifted from 25 to 50 with %d requests to the canary and %d to stable: %j',
    (atCanary, atStable, moved) => {
      const { state } = simulate(
        plan,
        initialState(plan, 0, 0),
        (_, { weight }) => (weight === 50 ? sample(atCanary, 0, { stable: served(atStable) }) : sample(20)),
        24,
      )
      expect(state).toMatchObject({ weight: 50, phase: moved ? 'watching' : 'shifting' })
    },
  )
})

describe('the comparison with stable', () => {
  const strict = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 99% }')

  test('does not fail a canary that misses its limit like stable, but its step does not pass', () => {
    const random = randomFrom(9)
    const failing = (n: number) => served(n, Array.from({ length: n }, random).filter((each) => each < 0.1).length)
    const by = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, checks: { successRate: 99% }')
    const { state } = simulate(by, initialState(by, 0, 0), () => ({
      canary: failing(50),
      stable: failing(950),
      ready: true,
      complete: true,
    }))
    expect(state).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(reasonOf(state)).toContain('the limit was missed, but stable is no better')
  })

  test('rolls back a canary within its limit that fails far more often than stable', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 90% }')
    const { state } = simulate(by, initialState(by, 0, 0), (second) => ({
      canary: served(100, second > 1 ? 4 : 0),
      stable: served(1_900),
      ready: true,
      complete: true,
    }))
    expect(state).toMatchObject({ verdict: 'rolled-back' })
    expect(reasonOf(state)).toMatch(
      /^no worse than stable: \d+ of \d+ canary requests \(4%\) failed or were abandoned; stable: 0 of \d+ \(0%\); 1.5 times stable's rate is tolerated$/,
    )
  })

  test('is the only check that counts abandoned requests', () => {
    const given = (n: number, abandoned: number): RequestCounts => ({ ...served(n), abandoned })
    const ended = (share: number) =>
      simulate(strict, initialState(strict, 0, 0), (_, { weight }) => {
        const atStable = servedByStable(weight, 100).requests
        return { canary: given(100, 20), stable: given(atStable, atStable * share), ready: true, complete: true }
      }).state
    expect(reasonOf(ended(0))).toContain('failed or were abandoned')
    expect(verdictOf(ended(0.2))).toBe('promoted')
  })

  test("rolls back a canary slower than stable's own p99, without a latency limit in the plan", () => {
    const { state } = simulate(strict, initialState(strict, 0, 0, served(10_000, 0, 20)), () => ({
      canary: served(100, 0, 5),
      stable: served(1_900, 0, 4),
      ready: true,
      complete: true,
    }))
    expect(reasonOf(state)).toMatch(
      /^no worse than stable: .* canary requests .* took longer than 500 ms, stable's own p99; stable: /,
    )
  })

  test('does not happen with `noWorseThanStable: false`', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 90%, noWorseThanStable: false }')
    const { state } = simulate(by, initialState(by, 0, 0, served(10_000)), () => sample(100, 4, { slow: 50 }))
    expect(verdictOf(state)).toBe('promoted')
    expect(explainChecks(by, state).map(({ check }) => check)).toEqual(['success rate'])
  })
})

test('the parts of all checks in the evidence against the canary are 1 together at the start', () => {
  for (const checks of ['noWorseThanStable: false', 'p99: 500ms, noWorseThanStable: { latency: false }']) {
    const by = planOf(`checks: { ${checks} }`)
    const results = explainChecks(by, initialState(by, 0, 0))
    expect(results.reduce((sum, { failEvidence }) => sum + failEvidence, 0)).toBeCloseTo(1, 10)
  }
})

describe('advance: early', () => {
  const early = planOf('interval: 61s, pollInterval: 1s, advance: early, minInterval: 5s')

  test('ends a step once every limit is certified, but not before minInterval', () => {
    const { state } = simulate(early, initialState(early, 0, 0), () => sample(1_000))
    expect(verdictOf(state)).toBe('promoted')
    expect(endedSteps(state).map(watchedMs)).toEqual([5_000, 5_000, 5_000, 5_000])
  })

  test('lets a step with little traffic last its whole interval', () => {
    const { state } = simulate(early, initialState(early, 0, 0), () => sample(1))
    expect(watchedMs(endedSteps(state)[0]!)).toBe(60_000)
  })
})

describe('mirror and A/B stages', () => {
  const both = planOf(
    'interval: 11s, pollInterval: 1s, steps: [50, 100], mirror: { percent: 30%, interval: 6s }, ab: { match: { headers: { x-beta: yes-please } }, intervals: 2 }',
  )

  test('come before the weights, each for its time, and are removed', () => {
    const { state, actions } = simulate(both, initialState(both, 0, 0), () => sample(20))
    expect(actions).toEqual([
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
      { kind: 'ab' },
      { kind: 'clear' },
      { kind: 'weight', weight: 50 },
      { kind: 'weight', weight: 100 },
    ])
    expect(endedSteps(state).map((step) => [step.kind, step.weight, watchedMs(step)])).toEqual([
      ['mirror', 30, 5_000],
      ['ab', 0, 21_000],
      ['weight', 50, 10_000],
      ['weight', 100, 10_000],
    ])
  })

  test('roll back a canary that fails on copies before it gets a user', () => {
    const { state, actions } = simulate(both, initialState(both, 0, 0), () => sample(20, 20))
    expect(actions).toEqual([{ kind: 'mirror', percent: 30 }, { kind: 'weight', weight: 0 }, { kind: 'clear' }])
    expect(verdictOf(state)).toBe('rolled-back')
  })

  test('are skipped when the canary already has a weight', () => {
    expect(simulate(both, initialState(both, 50, 0), () => sample(20)).actions).toEqual([
      { kind: 'weight', weight: 100 },
    ])
  })

  test('are removed when the promotion is held', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, onFail: hold, mirror: { percent: 30% }')
    expect(simulate(by, initialState(by, 0, 0), () => sample(20, 20)).actions).toEqual([
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
    ])
  })
})

test('a plan with `until` stops there as planned, and a later run continues from there', () => {
  const first = planOf('interval: 10s, pollInterval: 1s, until: 25')
  const { state, actions } = simulate(first, initialState(first, 0, 0), () => sample(20))
  expect(weightsIn(actions)).toEqual([5, 25])
  expect(state).toMatchObject({
    verdict: 'held',
    weight: 25,
    asPlanned: true,
    reason: 'every step passed its checks, and the plan stops at 25 for now (`until`)',
  })
  expect(weightsIn(simulate(plan, initialState(plan, 25, 0), () => sample(20)).actions)).toEqual([50, 100])
})

test('a plan has a stage for each of its steps, and equal steps end at 100', () => {
  expect(
    stagesOf(planOf('interval: 1s, pollInterval: 1s, steps: { by: 40, to: 90 }')).map(
      (stage) => stage.kind === 'weight' && stage.weight,
    ),
  ).toEqual([40, 80, 90, 100])
})

describe('commands and webhooks', () => {
  const answer = (name: string, state: Finding['state'], at: number): Finding => ({
    name,
    state,
    text: `said at ${at}`,
    at,
  })
  const asking = planOf(
    'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { commands: { smoke: { run: [smoke] } } }',
  )

  test('roll the canary back with the text of a command that fails', () => {
    const { state } = simulate(asking, initialState(asking, 0, 0), (second) =>
      sample(20, 0, { findings: [answer('smoke', second < 5 ? 'pass' : 'fail', second * 1_000)] }),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'smoke: said at 5000' })
  })

  test('let a step pass only after they passed in that step', () => {
    const { state } = simulate(asking, initialState(asking, 0, 0), () =>
      sample(20, 0, { findings: [answer('smoke', 'pass', 500)] }),
    )
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      reason: 'at weight 50, watched for 70 s, smoke did not pass (said at 500)',
    })
  })

  test('do not count with their answers from before the first step', () => {
    const { state } = simulate(asking, initialState(asking, 0, 0), (second) =>
      sample(20, 0, { ready: second > 3, findings: [answer('smoke', second < 3 ? 'fail' : 'pass', second * 1_000)] }),
    )
    expect(verdictOf(state)).toBe('promoted')
  })

  const hooked = planOf(
    'interval: 10s, pollInterval: 1s, confirmTimeout: 30s, steps: [50, 100], webhooks: { ok: { type: confirm-rollout, url: "http://x.test" }, warm: { type: pre-rollout, url: "http://x.test" }, go: { type: confirm-promotion, url: "http://x.test" }, stop: { type: rollback, url: "http://x.test" } }',
  )

  test('are asked one after the other before the first weight, and again before the last weight', () => {
    const seen: string[] = []
    const { state, actions } = simulate(hooked, initialState(hooked, 0, 0), (second, before) => {
      const [gate] = dueGates(hooked, before)
      if (seen.at(-1) !== gate) seen.push(gate!)
      return sample(
        20,
        0,
        second % 4 === 0 && gate !== 'rollback' ? { gates: { [gate!]: answer('x', 'pass', second) } } : {},
      )
    })
    expect(seen).toEqual(['confirm-rollout', 'pre-rollout', 'rollback', 'confirm-promotion', 'rollback'])
    expect(weightsIn(actions)).toEqual([50, 100])
    expect(state).toMatchObject({ verdict: 'promoted' })
    expect(state.steps[0]!.shiftedAt).toBe(8_000)
  })

  test('are named in the reason when they never confirm', () => {
    const { state, seconds } = simulate(hooked, initialState(hooked, 0, 0), () =>
      sample(20, 0, { gates: { 'confirm-rollout': answer('ok', 'fail', 1) } }),
    )
    expect(seconds).toBe(30)
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: 'confirm-rollout was not confirmed (ok: said at 1) within 30 s (`confirmTimeout`)',
    })
  })

  test('of type rollback roll the canary back at once', () => {
    const { state } = simulate(hooked, initialState(hooked, 50, 0), (second) =>
      sample(20, 0, {
        gates:
          second === 1
            ? { 'confirm-rollout': answer('ok', 'pass', 1) }
            : second === 2
              ? { 'pre-rollout': answer('warm', 'pass', 2) }
              : { rollback: answer('stop', 'pass', second) },
      }),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: 'the webhook stop requested a rollback' })
  })
})

describe('a promotion whose guard stops', () => {
  const unguarded = (from: number, to: number) => (second: number) =>
    sample(20, 0, second >= from && second < to ? { unguarded: 'starting' as const } : {})

  test('takes no step until a guard watches again', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), unguarded(5, 20))
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(endedSteps(state)[0]).toMatchObject({ outcome: 'passed', endedAt: 20_000 })
  })

  test('ends undecided after the progressDeadline', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), unguarded(5, Infinity))
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: `no guard has watched the promotion for ${plan.progressDeadline / 1_000} s (\`progressDeadline\`)`,
    })
  })

  test('is rolled back when the canary fails meanwhile', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      second >= 5 ? sample(20, 20, { unguarded: 'starting' as const }) : sample(20),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  })
})

describe('a promotion that starts at a weight', () => {
  test('counts the steps up to that weight as done', () => {
    const { state, actions } = simulate(plan, initialState(plan, 25, 0), () => sample(20))
    expect(weightsIn(actions)).toEqual([50, 100])
    expect(verdictOf(state)).toBe('promoted')
  })

  test('continues with the higher of two steps', () => {
    expect(weightsIn(simulate(plan, initialState(plan, 30, 0), () => sample(20)).actions)).toEqual([50, 100])
  })

  test('starts the interval of its first step only once the requests follow the new weight', () => {
    const { state } = simulate(plan, initialState(plan, 25, 0), () => sample(26, 0, { stable: served(74) }), 20)
    expect(state).toMatchObject({ weight: 50, phase: 'shifting' })
  })

  test('continues in the same way after its state was saved and read at any second', () => {
    const sampleAt = (second: number) => sample(20, second === 30 ? 20 : 0)
    const whole = simulate(plan, initialState(plan, 0, 0), sampleAt)
    for (let cut = 1; cut < whole.seconds; cut++) {
      const half = simulate(plan, initialState(plan, 0, 0), sampleAt, cut)
      const rest = simulate(plan, JSON.parse(JSON.stringify(half.state)) as State, sampleAt, 1_000, cut)
      expect(rest.state).toEqual(whole.state)
      expect([...half.actions, ...rest.actions]).toEqual(whole.actions)
    }
    expect(verdictOf(whole.state)).toBe('rolled-back')
  })
})

describe('a resumed promotion', () => {
  const healthy = () => sample(20)
  /** The state that the Lease saves. */
  const saved = ({ state }: Run) => JSON.parse(JSON.stringify(state)) as State
  /** Runs until `second`, and resumes a minute later with `weight` in force. */
  const again = (second: number, weight: (before: State) => number, by = plan) => {
    const before = saved(simulate(by, initialState(by, 0, 0), healthy, second))
    return {
      before,
      ...simulate(by, resumeState(before, weight(before), (second + 60) * 1_000), healthy, 1_000, second + 60),
    }
  }
  const outcomes = ({ state }: { state: State }) =>
    state.steps.map(({ weight, from, outcome }) => [from, weight, outcome])

  test.each<[string, number, (before: State) => number, number[], [number, number, string][]]>([
    [
      'before its first step',
      0,
      () => 0,
      [5, 25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'while shifting, with its weight written',
      12,
      () => 25,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [5, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'while shifting, with its weight not written',
      12,
      () => 5,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [5, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'while watching',
      20,
      () => 25,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [5, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'while watching and then rolled back by the guard',
      20,
      () => 0,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [0, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'in its last step',
      40,
      () => 100,
      [100],
      [
        [0, 5, 'passed'],
        [5, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'interrupted'],
        [50, 100, 'passed'],
      ],
    ],
  ])('that was interrupted %s repeats that step, but no earlier one', (_, second, weight, weights, steps) => {
    const run = again(second, weight)
    expect(weightsIn(run.actions)).toEqual(weights)
    expect(outcomes(run)).toEqual(steps)
    expect(run.state).toMatchObject({ verdict: 'promoted', weight: 100 })
  })

  test.each([
    ['unchanged', 25],
    ['rolled back by the guard', 0],
  ])('repeats a step for its whole time, with its weight %s', (_, weight) => {
    const { state } = again(20, () => weight)
    const [, cut, taken] = endedSteps(state)
    expect(cut).toMatchObject({ outcome: 'interrupted', endedAt: 13_000 })
    expect(taken!.watched!.since - taken!.shiftedAt).toBe(1_000)
    expect(watchedMs(taken!)).toBe(10_000)
  })

  test('that is interrupted again while it waits does not return to an earlier step', () => {
    const first = resumeState(saved(simulate(plan, initialState(plan, 0, 0), healthy, 20)), 25, 60_000)
    const waiting = simulate(plan, first, () => sample(0, 0, { ready: false }), 5, 60)
    const second = resumeState(saved(waiting), 25, 120_000)
    expect(second).toEqual({ ...first, waitingSince: 120_000, stableTotal: second.stableTotal })
    expect(weightsIn(simulate(plan, second, healthy, 1_000, 120).actions)).toEqual([25, 50, 100])
  })

  test('waits for progressDeadline from the start of its own run', () => {
    const { state, seconds } = simulate(
      plan,
      resumeState(initialState(plan, 0, 0), 0, 500_000),
      () => sample(0, 0, { ready: false }),
      1_000,
      500,
    )
    expect(reasonOf(state)).toBe("the canary's pods did not become ready within 60 s (`progressDeadline`)")
    expect(seconds).toBe(560)
  })

  test('ignores requests while it waits, because the weights at that time are unknown', () => {
    const before = saved(simulate(plan, initialState(plan, 0, 0), healthy, 20))
    const { state } = simulate(plan, resumeState(before, 25, 60_000), () => sample(20, 20, { ready: false }), 5, 60)
    expect(state.checks).toEqual(resumeState(before, 25, 60_000).checks)
    expect(state.canary).toEqual(before.canary)
  })

  test('still waits for a missing confirmation, and does not request a given one again', () => {
    const by = planOf(
      'interval: 11s, pollInterval: 1s, warmup: 0, steps: [50, 100], confirmTimeout: 300s, webhooks: { go: { type: confirm-promotion, url: "http://x.test" } }',
    )
    const yes = { name: 'go', state: 'pass', text: '', at: 0 } as const
    const before = saved(simulate(by, initialState(by, 0, 0), healthy, 30))
    expect(before).toMatchObject({ phase: 'confirming', confirmingSince: 13_000 })
    const waiting = simulate(by, resumeState(before, 50, 200_000), healthy, 20, 200)
    expect(waiting).toMatchObject({
      actions: [],
      state: { phase: 'confirming', confirmingSince: 201_000, stagesStarted: 1 },
    })
    const confirmed = simulate(by, waiting.state, () => sample(20, 0, { gates: { 'confirm-promotion': yes } }), 1, 220)
    expect(weightsIn(confirmed.actions)).toEqual([100])
    expect(weightsIn(simulate(by, resumeState(saved(confirmed), 100, 300_000), healthy, 1_000, 300).actions)).toEqual([
      100,
    ])
  })

  test('sets an interrupted mirror again and removes it before the first weight', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, steps: [50, 100], mirror: { percent: 30% }')
    const before = saved(simulate(by, initialState(by, 0, 0), healthy, 5))
    expect(simulate(by, resumeState(before, 0, 60_000), healthy, 1_000, 60).actions).toEqual([
      { kind: 'clear' },
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
      { kind: 'weight', weight: 50 },
      { kind: 'weight', weight: 100 },
    ])
  })

  test.each([
    ['unchanged weights', 25],
    ['all traffic on stable', 0],
  ])('that had stopped at `until` continues when the plan has none, from %s', (_, weight) => {
    const first = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, until: 25')
    const before = saved(simulate(first, initialState(first, 0, 0), healthy))
    expect(before).toMatchObject({ phase: 'ended', verdict: 'held', asPlanned: true })
    const { state, actions } = simulate(plan, resumeState(before, weight, 100_000), healthy, 1_000, 100)
    expect(weightsIn(actions)).toEqual([50, 100])
    expect(state).toMatchObject({ phase: 'ended', verdict: 'promoted', reason: 'every step passed its checks' })
    expect(state).not.toHaveProperty('asPlanned')
  })

  test('ignores the earlier results of commands', () => {
    const by = planOf(
      'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { commands: { smoke: { run: [smoke] } } }',
    )
    const said = (state: Finding['state'], at: number): Finding => ({ name: 'smoke', state, text: `said at ${at}`, at })
    const before = saved(
      simulate(
        by,
        initialState(by, 0, 0),
        (second) => sample(20, 0, { findings: [said('undecided', second * 1_000)] }),
        5,
      ),
    )
    const failed = { ...before, findings: { smoke: said('fail', 4_000) } }
    const passing = (second: number) => sample(20, 0, { findings: second > 63 ? [said('pass', second * 1_000)] : [] })
    expect(verdictOf(simulate(by, resumeState(failed, 50, 60_000), passing, 1_000, 60).state)).toBe('promoted')
  })

  const strength = (by: CanaryConfig, state: State) =>
    explainChecks(by, state).reduce((sum, { failEvidence, failThreshold }) => sum + failEvidence / failThreshold, 0)

  test('keeps the evidence: a canary close to failing fails by an error that a new one may have', () => {
    const failing = (second: number) => sample(20, second > 5 ? 1 : 0)
    let seconds = 6
    while (simulate(plan, initialState(plan, 0, 0), failing, seconds + 1).state.phase !== 'ended') seconds++
    const before = saved(simulate(plan, initialState(plan, 0, 0), failing, seconds))
    expect(strength(plan, before)).toBeGreaterThan(0.1)
    const few = (from: number) => (second: number) => sample(20, second > from + 1 && second <= from + 3 ? 1 : 0)
    const resumed = simulate(plan, resumeState(before, before.weight, 100_000), few(100), 20, 100)
    expect(resumed.state).toMatchObject({ verdict: 'rolled-back', canary: { failures: before.canary.failures + 1 } })
    expect(simulate(plan, initialState(plan, 0, 0), few(0), 20).state).not.toHaveProperty('verdict')
  })

  // If an interruption lost the evidence, about 20 of them would be rolled back.
  test('has one false alarm budget: of 1,000 canaries at their limit at most 1% are rolled back', () => {
    const by = planOf(
      'interval: 9s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { successRate: 70%, noWorseThanStable: false }',
    )
    const random = randomFrom(11)
    const atLimit = () => sample(10, Array.from({ length: 10 }, random).filter((each) => each < 0.3).length)
    const seconds = () => 2 + Math.floor(random() * 8)
    let [interruptions, rollbacks] = [0, 0]
    for (let rollout = 0; rollout < 1_000; rollout++) {
      let run = simulate(by, initialState(by, 0, 0), atLimit, seconds())
      for (let cut = 1; cut <= 12 && run.state.phase !== 'ended'; cut++, interruptions++) {
        const weight = random() < 0.5 ? 0 : run.state.weight
        run = simulate(
          by,
          resumeState(saved(run), weight, run.seconds * 1_000),
          atLimit,
          cut === 12 ? 1_000 : seconds(),
          run.seconds,
        )
      }
      if (verdictOf(run.state) === 'rolled-back') rollbacks++
    }
    expect(interruptions).toBeGreaterThan(10_000)
    expect(rollbacks).toBeLessThanOrEqual(10)
  })
})

describe('weights that somebody else changes', () => {
  const drift = 'VirtualService shop/backend gives the canary 0% instead of 5%: argocd wrote it'
  const advice = '; let only one of the two write the weights (`onDrift`, docs/gitops.md)'
  const over = planOf('interval: 11s, pollInterval: 1s, progressDeadline: 60s, onDrift: take-over')

  test('roll the canary back at once, and the reason names the writer', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, 0, second === 5 ? { drift } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: `${drift}${advice}` })
    expect(state.steps.at(-1)).toMatchObject({ outcome: 'failed', endedAt: 5_000 })
  })

  test('stay as they are with `onFail: hold`', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, onFail: hold')
    const { state, actions } = simulate(by, initialState(by, 0, 0), (second) =>
      sample(20, 0, second === 5 ? { drift } : {}),
    )
    expect(weightsIn(actions)).toEqual([5])
    expect(verdictOf(state)).toBe('held')
  })

  test('are written again up to three times with `onDrift: take-over`', () => {
    const { state, actions } = simulate(over, initialState(over, 0, 0), (second) =>
      sample(20, 0, [5, 6, 15].includes(second) ? { drift } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 5, 5, 25, 25, 50, 100])
    expect(state).toMatchObject({ verdict: 'promoted', takeovers: 3 })
  })

  test('roll the canary back the fourth time with `onDrift: take-over`', () => {
    const { state, actions } = simulate(over, initialState(over, 0, 0), (second) =>
      sample(20, 0, second > 4 ? { drift } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 5, 5, 5, 0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: `${drift}, though its weights were written again 3 times${advice}`,
    })
  })

  test('let no step pass in the sample that shows them', () => {
    const { state } = simulate(
      over,
      initialState(over, 0, 0),
      (second) => sample(20, 0, second === 12 ? { drift } : {}),
      12,
    )
    expect(state).toMatchObject({ phase: 'watching', weight: 5 })
  })

  test.each<[string, Action]>([
    ['mirror: { percent: 30% }', { kind: 'mirror', percent: 30 }],
    ['ab: { match: { headers: { x-beta: yes-please } }, intervals: 2 }', { kind: 'ab' }],
  ])('are written again together with the routes of the stage: %s', (stage, action) => {
    const by = planOf(`interval: 10s, pollInterval: 1s, onDrift: take-over, ${stage}`)
    const { actions } = simulate(
      by,
      initialState(by, 0, 0),
      (second) => sample(20, 0, second === 3 ? { drift } : {}),
      5,
    )
    expect(actions).toEqual([action, { kind: 'weight', weight: 0 }, action])
  })
})

describe('a guard Job that has not started', () => {
  test('prevents any weight, and requests meanwhile are no evidence', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, second < 30 ? 20 : 0, second < 30 ? { unguarded: 'starting' } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(state.steps[0]!.shiftedAt).toBe(30_000)
    expect(state).toMatchObject({ verdict: 'promoted', canary: { failures: 0 } })
  })

  test('is not the reason if a pod of the canary fails first', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), () =>
      sample(0, 0, { unguarded: 'starting', ready: false, fault: 'container app of v2-1 crashes in a loop' }),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'container app of v2-1 crashes in a loop' })
    expect(state).not.toHaveProperty('about')
  })

  test('for progressDeadline ends the promotion, and is the reason whatever else is wrong', () => {
    const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), () =>
      sample(0, 0, { unguarded: 'starting', ready: false, complete: false }),
    )
    expect(seconds).toBe(60)
    expect(weightsIn(actions)).toEqual([0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: 'the guard Job did not start within 60 s (`progressDeadline`)',
      about: 'guard',
      steps: [],
    })
  })

  test('that runs, but does not know all routes, is not called a guard that did not start', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), () => sample(0, 0, { unguarded: 'uncovered' }))
    expect(state).toMatchObject({ reason: 'the guard was not told of all routes within 60 s (`progressDeadline`)' })
  })

  test('ends the promotion at once if the API server refuses its pod, because waiting does not help', () => {
    const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, 0, { unguarded: second < 3 ? 'starting' : 'refused' }),
    )
    expect(seconds).toBe(3)
    expect(weightsIn(actions)).toEqual([0])
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'the API server refuses the pod of the guard Job' })
  })

  test('does not delay the rollback of a canary with traffic', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) =>
      sample(20, second > 5 ? 20 : 0, second > 5 ? { unguarded: 'starting' } : {}),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  })
})

describe('the end of a promotion', () => {
  test('holds the weight of a plan whose steps end below 100', () => {
    const short = planOf('interval: 10s, pollInterval: 1s, steps: [5, 20]')
    const { state, actions } = simulate(short, initialState(short, 0, 0), () => sample(20))
    expect(weightsIn(actions)).toEqual([5, 20])
    expect(state).toMatchObject({
      verdict: 'held',
      weight: 20,
      reason: 'every step passed its checks, and the steps end at 20',
    })
  })

  test('ignores all further samples', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), () => sample(20))
    expect(next(plan, state, observe(sample(50, 50, { fault: 'late' }), 100), 999_000)).toEqual({ state, actions: [] })
  })

  test('by a rollback from outside ends the current step and sets the weight to 0', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), () => sample(20), 15)
    const back = endOnStable(state, 'rolled-back', 'the run was cancelled', 16_000)
    expect(back.actions).toEqual([{ kind: 'weight', weight: 0 }])
    expect(back.state).toMatchObject({
      phase: 'ended',
      verdict: 'rolled-back',
      weight: 0,
      reason: 'the run was cancelled',
    })
    expect(endedSteps(back.state).map(({ outcome, endedAt }) => [outcome, endedAt])).toEqual([
      ['passed', 12_000],
      ['rolled-back', 16_000],
    ])
  })

  test('by a hold from outside writes no weight, ends the current step, and is no success', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), () => sample(20), 15)
    const { state: held, actions } = endHeld(state, 'the run was cancelled', 16_000)
    expect(actions).toEqual([])
    expect(held).toMatchObject({ phase: 'ended', verdict: 'held', weight: 25, reason: 'the run was cancelled' })
    expect(held).not.toHaveProperty('asPlanned')
    expect(endedSteps(held).map(({ outcome, endedAt }) => [outcome, endedAt])).toEqual([
      ['passed', 12_000],
      ['held', 16_000],
    ])
  })

  test('by a hold from outside still removes the mirror', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, mirror: { percent: 30% }')
    expect(
      endHeld(simulate(by, initialState(by, 0, 0), () => sample(20), 5).state, 'the run was cancelled', 6_000).actions,
    ).toEqual([{ kind: 'clear' }])
  })

  test('does not change the state before', () => {
    const before = initialState(plan, 0, 0)
    const copy = structuredClone(before)
    next(plan, before, observe(sample(20, 20), 0), 1_000)
    expect(before).toEqual(copy)
    expect(noRequests).toEqual({ requests: 0, failures: 0, abandoned: 0, times: { total: 0, within: {} } })
  })
})

test('samples with little traffic are joined until they contain requests of both versions', () => {
  const slow = planOf('interval: 10m, pollInterval: 1s, steps: [10, 100]')
  const { state } = simulate(slow, initialState(slow, 0, 0), (second) =>
    second % 10 === 0 ? sample(1, 1, { stable: noRequests }) : sample(0, 0, { stable: served(1) }),
  )
  expect(state).toMatchObject({ verdict: 'rolled-back', canary: { requests: 3, failures: 3 } })
})

test('joined samples are compared before a weight changes, because the failure rate may change with it', () => {
  const two = planOf('interval: 1s, pollInterval: 1s, steps: [50, 60, 100], checks: { minRequests: 1 }')
  const { state } = simulate(two, initialState(two, 0, 0), () => sample(2, 1, { stable: served(2, 1) }), 3)
  expect(state).toMatchObject({
    phase: 'shifting',
    weight: 60,
    checks: { uncompared: { canary: noRequests, stable: noRequests } },
  })
  expect(explainChecks(two, state).find(({ check }) => check === 'failures vs stable')?.failEvidence).not.toBe(1)
})

test('a canary that fails while the weights drift is rolled back, and the weights are not taken over', () => {
  const over = planOf('interval: 10s, pollInterval: 1s, onDrift: take-over')
  const { state } = simulate(over, initialState(over, 0, 0), () => sample(20), 4)
  const { state: after } = next(
    over,
    state,
    { ...observe(sample(20), 5), drift: 'somebody wrote', fault: 'it crashes' },
    5_000,
  )
  expect(after).toMatchObject({ verdict: 'rolled-back', reason: 'it crashes' })
})

test('drift before the first step is also overwritten, while the last weight waits for its confirmation', () => {
  const over = planOf(
    'steps: [50, 100], onDrift: take-over, webhooks: { go: { type: confirm-promotion, url: "http://go.test" } }',
  )
  const { state } = simulate(over, initialState(over, 50, 0), () => sample(20), 2)
  expect(state.phase).toBe('confirming')
  expect(next(over, state, { ...observe(sample(20), 50), drift: 'somebody wrote' }, 3_000).actions).toEqual([
    { kind: 'weight', weight: 50 },
  ])
})

test('a resumed canary that misses its limit at 100 returns to the step before', () => {
  const first = simulate(plan, initialState(plan, 0, 0), () => sample(50), 36)
  expect(first.state).toMatchObject({ phase: 'watching', weight: 100 })
  const again = simulate(
    plan,
    resumeState(first.state, 0, 40_000),
    (_, { weight }) => (weight === 100 ? sample(50, 25) : sample(50)),
    8,
    40,
  )
  expect(weightsIn(again.actions)).toEqual([100, 50])
})

describe('a stable version without a ready pod', () => {
  const down = { stableDown: true } as const

  test('keeps the promotion from starting, which ends after the progressDeadline and says what to do', () => {
    const { state, actions, seconds } = simulate(plan, initialState(plan, 0, 0), () => sample(0, 0, down))
    expect(weightsIn(actions)).toEqual([0])
    expect([verdictOf(state), seconds]).toEqual(['inconclusive', 60])
    expect(reasonOf(state)).toBe(
      'after 60 s (`progressDeadline`) no ready pod of v1, which serves beside the canary, is behind the Service backend; scale it up, or repair its pods',
    )
  })

  test('only delays the start if its pods become ready', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (second) => sample(20, 0, second < 30 ? down : {}))
    expect(verdictOf(state)).toBe('promoted')
  })

  test.each<[string, string, number[]]>([
    ['the traffic returns', '', [5, 25, 0]],
    ['the weight is held', 'onInconclusive: hold', [5, 25]],
    ['no evidence is replaced by consent', 'onInconclusive: promote', [5, 25, 0]],
  ])('ends a promotion under way without blaming the canary: %s', (_, more, weights) => {
    const { state, actions } = simulate(
      planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, ${more}`),
      initialState(plan, 0, 0),
      (_second, { weight }) => sample(20, 0, weight === 25 ? down : {}),
    )
    expect(weightsIn(actions)).toEqual(weights)
    expect(reasonOf(state)).toMatch(
      /^no ready pod of v1, which serves beside the canary, is behind the Service backend/,
    )
  })
})

describe('requests that fail before they reach a version', () => {
  const unserved = (violations: number, requests = 400) => ({ unserved: { requests, violations } })
  const run = (seen: (weight: number) => Partial<Observation>, more = '') =>
    simulate(
      planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, ${more}`),
      initialState(plan, 0, 0),
      (_, { weight, phase }) => (phase === 'waiting' ? sample(0) : sample(20, 0, seen(weight))),
    )

  test('end the step although the versions answer all that they get', () => {
    const { state, actions } = run((weight) => unserved(weight === 25 ? 100 : 0))
    expect(weightsIn(actions)).toEqual([5, 25, 0])
    expect(verdictOf(state)).toBe('inconclusive')
    expect(reasonOf(state)).toMatch(/^\d+ of \d+ requests of users failed before they reached any version/)
  })

  test('are the failure of a canary that has lost its pods', () => {
    const { state } = run((weight) => (weight === 25 ? { ...unserved(100), ready: false } : {}))
    expect(verdictOf(state)).toBe('rolled-back')
    expect(reasonOf(state)).toMatch(/^the canary has no ready pod left, and \d+ of \d+ requests of users failed/)
  })

  test('end it also with `onInconclusive: promote`', () => {
    const { actions } = run((weight) => unserved(weight === 25 ? 100 : 0), 'onInconclusive: promote')
    expect(weightsIn(actions)).toEqual([5, 25, 0])
  })

  test('do not matter while they are as rare as failures may be', () => {
    expect(verdictOf(run(() => unserved(2)).state)).toBe('promoted')
  })

  test('do not matter before the first step', () => {
    const { state } = simulate(plan, initialState(plan, 0, 0), (_, { phase }) =>
      phase === 'waiting' ? sample(0, 0, unserved(400)) : sample(20, 0, unserved(0)),
    )
    expect(verdictOf(state)).toBe('promoted')
  })
})

test('a step does not pass while no pod of the canary is behind the Service', () => {
  const { state, actions } = simulate(plan, initialState(plan, 0, 0), (_, { weight, phase }) =>
    phase === 'waiting' ? sample(0) : sample(20, 0, weight === 25 ? { canaryDown: true } : {}),
  )
  expect(weightsIn(actions)).toEqual([5, 25, 0])
  expect(reasonOf(state)).toContain('no ready pod of the canary is behind the Service')
})

describe('callers without a sidecar', () => {
  const withOrigins = (withoutSidecar: number) => ({
    ...sample(20, 0, { stable: { ...served(20), origins: { tries: 40, withoutSidecar } } }),
  })

  test('end a promotion inconclusive, whichever version serves them', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), () => withOrigins(16))
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      about: 'share',
      reason: expect.stringMatching(/^40% of the requests came in plain text from callers without a sidecar/) as string,
    })
    expect(weightsIn(actions)).toEqual([5, 0])
  })

  test('end it also if they start late', () => {
    const { state, actions } = simulate(plan, initialState(plan, 0, 0), (_, { weight }) =>
      withOrigins(weight === 100 ? 16 : 0),
    )
    expect(reasonOf(state)).toContain('from callers without a sidecar')
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100, 0])
  })
})

describe('requests that do not follow the weight', () => {
  const nobody = { stable: false, canary: false }
  const halves = (share = nobody) => sample(20, 0, { stable: served(20), share })
  const inTurn = (by: CanaryConfig, at: (second: number, state: State) => Sample) =>
    simulate(by, initialState(by, 0, 0), (second, state) =>
      state.phase === 'waiting' ? sample(0, 0, { stable: noRequests }) : at(second, state),
    )

  test('end the step once all callers had time to receive it, and the weight goes back', () => {
    const { state, actions, seconds } = inTurn(plan, () => halves())
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      reason: 'at weight 5, the canary served 50% of the requests',
    })
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(seconds).toBe(7)
    expect(endedSteps(state).at(-1)).toMatchObject({ outcome: 'inconclusive' })
  })

  test('end it after 10 s if the interval is longer', () => {
    expect(inTurn(planOf('interval: 1m, pollInterval: 1s'), () => halves()).seconds).toBe(11)
  })

  test('end it even with `onInconclusive: promote`, and are held with `hold`', () => {
    const verdict = (reaction: string) =>
      verdictOf(inTurn(planOf(`interval: 10s, pollInterval: 1s, onInconclusive: ${reaction}`), () => halves()).state)
    expect([verdict('promote'), verdict('hold')]).toEqual(['inconclusive', 'held'])
  })

  test('end a step at weight 100, too', () => {
    const { state } = inTurn(planOf('interval: 10s, pollInterval: 1s, steps: [100]'), () =>
      sample(80, 0, { stable: served(20), share: nobody }),
    )
    expect(reasonOf(state)).toBe('at weight 100, the canary served 80% of the requests')
  })

  test('are no reason where some pods are not counted, or routes name the canary on purpose', () => {
    for (const share of [undefined, { stable: false, canary: true }])
      expect(
        verdictOf(
          inTurn(plan, (_, { weight }) => (weight === 5 ? ({ ...halves(), share } as Sample) : sample(20))).state,
        ),
      ).toBe('promoted')
  })

  test('are no reason while some callers have not received the weight yet', () => {
    const slow = planOf('interval: 1m, pollInterval: 1s, steps: [50, 100]')
    const { state } = inTurn(slow, (second, { weight }) =>
      weight === 50 && second < 10
        ? sample(10, 0, { stable: served(90), share: nobody })
        : { ...sample(50), share: nobody },
    )
    expect(verdictOf(state)).toBe('promoted')
  })

  describe('but are wrong on the side of the weight before', () => {
    const most = sample(70, 0, { stable: served(30), share: nobody })
    const all = sample(100, 0, { stable: noRequests, share: nobody })
    const atOnce = (more: string) => planOf(`steps: [100], pollInterval: 1s, ${more}`)
    /** A promotion whose canary gets only 70 of 100 requests until this second. */
    const mostUntil = (end: number, by = atOnce('interval: 12s')) => inTurn(by, (second) => (second < end ? most : all))

    test('are no reason before 30 s, because busy pods answer older requests late', () => {
      const { state, seconds } = mostUntil(20)
      expect(verdictOf(state)).toBe('promoted')
      expect(seconds).toBeGreaterThan(20)
    })

    test('end the step when that does not pass', () => {
      const { state, seconds } = mostUntil(Infinity)
      expect(reasonOf(state)).toBe('at weight 100, the canary served 70% of the requests')
      expect(seconds).toBe(31)
      expect(mostUntil(Infinity, atOnce('interval: 12s, progressDeadline: 15s')).seconds).toBe(16)
    })

    test('keep the step from passing until four times as many requests follow the weight', () => {
      const few = sample(10, 0, { stable: noRequests, share: nobody })
      const { state, seconds } = inTurn(atOnce('interval: 8s'), (second) => (second < 7 ? most : few))
      expect(verdictOf(state)).toBe('promoted')
      // After 6 s, 100 requests had the wrong share; then 10 come in each second.
      expect(seconds).toBe(46)
    })

    test('end the step if no more requests come', () => {
      const { state } = inTurn(atOnce('interval: 8s, progressDeadline: 20s'), (second) =>
        second < 7 ? most : sample(0, 0, { stable: noRequests, share: nobody }),
      )
      expect(reasonOf(state)).toMatch(/the canary's share of the requests does not follow the weight yet$/)
    })
  })

  test('leave the failure of the canary as the reason when it fails', () => {
    expect(verdictOf(inTurn(plan, () => ({ ...sample(20, 20), stable: served(20), share: nobody })).state)).toBe(
      'rolled-back',
    )
  })
})
