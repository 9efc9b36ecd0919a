import { describe, expect, test } from 'vitest'
import type { Finding } from '../../../../src/canary/hooks/finding.ts'
import {
  dueGates,
  explainChecks,
  endHeld,
  next,
  endOnStable,
  resumeState,
  stagesOf,
  initialState,
  type Action,
  type Observation,
  type State,
} from '../../../../src/canary/state/machine.ts'
import { noRequests, addRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import type { CanaryConfig } from '../../../../src/config/schema.ts'
import { planOf, served, servedByStable } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s')

/** What a tick saw at the canary; of stable, nothing is said when the mesh splits as it should. */
type Tick = Omit<Observation, 'stable' | 'users' | 'findings' | 'gates'> &
  Partial<Pick<Observation, 'stable' | 'findings' | 'gates'>>

/** What a tick saw: `requests` at the canary, of which `failures` and `slow` count against it. */
function saw(requests: number, failures = 0, more: Partial<Tick> & { slow?: number } = {}): Tick {
  const { slow = 0, ...rest } = more
  return { canary: served(requests, failures, slow), ready: true, complete: true, ...rest }
}

/** The whole of it, in a mesh that splits by this weight. */
function observed({ stable, ...tick }: Tick, weight: number): Observation {
  const rest = stable ?? servedByStable(weight, tick.canary.requests)
  return { findings: [], gates: {}, ...tick, stable: rest, users: addRequests(tick.canary, rest) }
}

type Run = { state: State; actions: Action[]; seconds: number }

/** Ticks of one second from `begun` until the end, or for `most` seconds; each tick sees what `look` tells of it. */
function ride(
  by: CanaryConfig,
  begun: State,
  look: (second: number, state: State) => Tick,
  most = 1_000,
  from = 0,
): Run {
  const actions: Action[] = []
  let state = begun
  let second = from
  while (state.phase !== 'ended' && second < from + most) {
    second++
    const step = next(by, state, observed(look(second, state), state.weight), second * 1_000)
    state = step.state
    actions.push(...step.actions)
  }
  return { state, actions, seconds: second }
}

const weightsIn = (actions: Action[]) =>
  actions.map((action) => (action.kind === 'weight' ? action.weight : action.kind))

describe('a healthy canary', () => {
  const { state, actions, seconds } = ride(plan, initialState(plan, 0, 0), (_, { phase }) =>
    phase === 'waiting' ? saw(0, 0, { stable: noRequests }) : saw(20),
  )

  test('goes through 5, 25, 50 and 100 and is promoted', () => {
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(state).toMatchObject({
      phase: 'ended',
      verdict: 'promoted',
      weight: 100,
      reason: 'every step passed its checks',
    })
    expect(state.timeToDetectMs).toBeUndefined()
  })

  test('is watched for the whole interval in every step', () => {
    expect(seconds).toBe(1 + 4 * 11)
    expect(state.steps).toEqual([
      {
        kind: 'weight',
        weight: 5,
        from: 0,
        shiftedAt: 1_000,
        watchedFrom: 2_000,
        endedAt: 12_000,
        canary: served(220),
        stable: served(4_180),
        watched: { canary: 200, stable: 3800 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 25,
        from: 5,
        shiftedAt: 12_000,
        watchedFrom: 13_000,
        endedAt: 23_000,
        canary: served(220),
        stable: served(660),
        watched: { canary: 200, stable: 600 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 50,
        from: 25,
        shiftedAt: 23_000,
        watchedFrom: 24_000,
        endedAt: 34_000,
        canary: served(220),
        stable: served(220),
        watched: { canary: 200, stable: 200 },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 100,
        from: 50,
        shiftedAt: 34_000,
        watchedFrom: 35_000,
        endedAt: 45_000,
        canary: served(220),
        stable: served(0),
        watched: { canary: 200, stable: 0 },
        outcome: 'passed',
      },
    ])
  })

  test('has all its requests and all of the users counted', () => {
    expect(state.canary).toEqual(served(880))
    expect(state.users).toEqual(served(11 * (400 + 80 + 40 + 20)))
  })

  test('with failures at half of what is allowed is promoted in all but 1% of 300 rollouts', () => {
    const random = randomFrom(5)
    const bernoulli = (n: number, rate: number) =>
      Array.from({ length: n }, random).filter((each) => each < rate).length
    const verdicts = Array.from(
      { length: 300 },
      () => ride(plan, initialState(plan, 0, 0), () => saw(10, bernoulli(10, 0.005))).state.verdict,
    )
    expect(verdicts.filter((verdict) => verdict !== 'promoted').length).toBeLessThanOrEqual(3)
  })
})

describe('a failing canary', () => {
  test('is put back at once, with the reason and the time it took', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (second) =>
      second < 4 ? saw(0) : second === 4 ? saw(1, 1) : saw(10, 10),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({
      phase: 'ended',
      verdict: 'rolled-back',
      weight: 0,
      firstTrafficAt: 4_000,
      timeToDetectMs: 1_000,
    })
    expect(state.reason).toBe(
      "success rate: of the canary's requests 11 of 11 (100%) failed, the limit is 1%; of stable's 0 of 399 (0%)",
    )
    expect(state.steps).toHaveLength(1)
    expect(state.steps[0]).toMatchObject({ outcome: 'failed', endedAt: 5_000, canary: { requests: 11, failures: 11 } })
  })

  test('is caught in a later step too', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (_, { weight }) => saw(20, weight === 50 ? 15 : 0))
    expect(weightsIn(actions)).toEqual([5, 25, 50, 0])
    expect(state.verdict).toBe('rolled-back')
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['passed', 'passed', 'failed'])
  })

  test('that is slow is put back for its latency', () => {
    const timed = planOf('interval: 10s, pollInterval: 1s, checks: { p99: 500ms }')
    const { state, actions } = ride(timed, initialState(timed, 0, 0), (_, { weight }) =>
      weight === 0 ? saw(0) : saw(20, 0, { slow: 10 }),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state.reason).toBe(
      "latency: of the canary's requests 100 of 200 (50%) took longer than the limit of p99 (500 ms), which allows 1%; of stable's 0 of 3800 (0%)",
    )
  })

  test('that is slow is put back when its times are told, which may be later than its requests', () => {
    const timed = planOf('interval: 10s, pollInterval: 1s, checks: { p99: 500ms }')
    const late = saw(0, 0, { canary: { ...noRequests, times: served(20, 0, 10).times } })
    const { state } = ride(timed, initialState(timed, 0, 0), (second) =>
      second < 4 ? saw(0, 0, { canary: { ...noRequests, requests: 2_000 } }) : late,
    )
    expect(state).toMatchObject({ verdict: 'rolled-back' })
    expect(state.reason).toContain(
      "latency: of the canary's requests 80 of 160 (50%) took longer than the limit of p99 (500 ms), which allows 1%; of stable's 0 of ",
    )
  })

  test('that is slow is none while nothing is said about latency', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { noWorseThanStable: { latency: false } }')
    expect(ride(by, initialState(by, 0, 0), () => saw(20, 0, { slow: 20 })).state.verdict).toBe('promoted')
  })

  test('keeps its weight when that was asked for', () => {
    const held = planOf('interval: 10s, pollInterval: 1s, onFail: hold')
    const { state, actions } = ride(held, initialState(held, 0, 0), (_, { weight }) =>
      weight === 0 ? saw(0) : saw(10, 10),
    )
    expect(weightsIn(actions)).toEqual([5])
    expect(state).toMatchObject({ phase: 'ended', verdict: 'held', weight: 5 })
    expect(state.reason).toContain('success rate')
  })
})

describe('a canary whose pods are not right', () => {
  test('that never becomes ready gets no traffic and is given up after the progressDeadline', () => {
    const { state, actions, seconds } = ride(plan, initialState(plan, 0, 0), () => saw(0, 0, { ready: false }))
    expect(seconds).toBe(60)
    expect(weightsIn(actions)).toEqual([0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      weight: 0,
      reason: "the canary's pods did not become ready within 60 s (`progressDeadline`)",
      steps: [],
    })
  })

  test('is not judged by what it served before its first step', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      second < 5 ? saw(20, 20, { ready: false }) : second === 5 ? saw(20, 20) : saw(20),
    )
    expect(state).toMatchObject({
      verdict: 'promoted',
      firstTrafficAt: 6_000,
      canary: { failures: 0 },
      users: { failures: 0 },
    })
  })

  test('that becomes ready late starts then', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) => saw(20, 0, { ready: second >= 30 }))
    expect(state.verdict).toBe('promoted')
    expect(state.steps[0]!.shiftedAt).toBe(30_000)
  })

  test('that crashes before it is ready is given up at once', () => {
    const { state, seconds } = ride(plan, initialState(plan, 0, 0), () =>
      saw(0, 0, { ready: false, fault: 'container app crashes in a loop' }),
    )
    expect(seconds).toBe(1)
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'container app crashes in a loop' })
  })

  test('that crashes under traffic is put back at once, without one failed request', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (second) =>
      saw(20, 0, second === 15 ? { ready: false, fault: 'container app was restarted' } : {}),
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

describe('no evidence', () => {
  const without = (choice: string) =>
    planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 100], onInconclusive: ${choice}`)

  test.each<[string, number[], Partial<State>]>([
    ['rollback', [5, 0], { verdict: 'inconclusive', weight: 0 }],
    ['hold', [5], { verdict: 'held', weight: 5 }],
  ])('no request at all, %s', (choice, weights, end) => {
    const by = without(choice)
    const { state, actions, seconds } = ride(by, initialState(by, 0, 0), () => saw(0))
    expect(weightsIn(actions)).toEqual(weights)
    expect(seconds).toBe(61)
    expect(state).toMatchObject({
      ...end,
      phase: 'ended',
      reason: 'at weight 5 no request reached the canary within 60 s (`progressDeadline`)',
    })
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['inconclusive'])
  })

  test('no request at all, promote: the next step is taken, and the steps say that they saw too little', () => {
    const by = without('promote')
    const { state, actions } = ride(by, initialState(by, 0, 0), () => saw(0))
    expect(weightsIn(actions)).toEqual([5, 100])
    expect(state).toMatchObject({
      verdict: 'promoted',
      weight: 100,
      reason:
        'no check failed; the steps at 5, 100 saw too little evidence and were taken all the same, as onInconclusive says',
    })
    expect(state.steps.map(({ outcome }) => outcome)).toEqual(['inconclusive', 'inconclusive'])
  })

  test('too few requests are waited for beyond the interval, and are enough when they come', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      second % 4 === 0 ? saw(1) : saw(0, 0, { stable: noRequests }),
    )
    expect(state.verdict).toBe('promoted')
    expect(state.steps.map(({ canary }) => canary.requests)).toEqual([10, 10, 10, 10])
  })

  test('too few requests for longer than the progressDeadline are inconclusive', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (second) => saw(second === 2 ? 9 : 0))
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason:
        'at weight 5, watched for 70 s, the canary served 9 requests, fewer than the 10 that a step needs (`checks.minRequests`)',
    })
  })

  test('some steps with too little, promote: the reason names those', () => {
    const by = planOf(
      'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 20, 50], onInconclusive: promote',
    )
    const { state } = ride(by, initialState(by, 0, 0), (_, { weight }) => saw(weight === 20 ? 0 : 20))
    expect(state).toMatchObject({
      verdict: 'held',
      weight: 50,
      reason:
        'no check failed; the steps at 20 saw too little evidence and were taken all the same, as onInconclusive says, and the steps end at 50',
    })
  })

  test('failures among too few requests still count', () => {
    expect(
      ride(plan, initialState(plan, 0, 0), (second) => saw(second === 2 ? 3 : 0, second === 2 ? 3 : 0)).state.verdict,
    ).toBe('rolled-back')
  })
})

describe('counters that cannot be read', () => {
  const blind = saw(0, 0, { stable: noRequests, complete: false })
  const blinded = (choice: string, from = 5, until = Infinity) => {
    const by = planOf(`interval: 10s, pollInterval: 1s, progressDeadline: 60s, onInconclusive: ${choice}`)
    return ride(by, initialState(by, 0, 0), (second) => (second > from && second <= until ? blind : saw(20)))
  }

  test.each<[string, number[], Partial<State>, string]>([
    ['rollback', [5, 0], { verdict: 'inconclusive', weight: 0 }, 'inconclusive'],
    ['promote', [5, 0], { verdict: 'inconclusive', weight: 0 }, 'inconclusive'],
    ['hold', [5], { verdict: 'held', weight: 5 }, 'held'],
  ])('for the progressDeadline end the promotion, onInconclusive: %s', (choice, weights, end, outcome) => {
    const { state, actions, seconds } = blinded(choice)
    expect(weightsIn(actions)).toEqual(weights)
    expect(state).toMatchObject({
      ...end,
      phase: 'ended',
      reason: 'the counters of the sidecars could not be read for 60 s (`progressDeadline`)',
    })
    expect(state.steps.map((step) => step.outcome)).toEqual([outcome])
    expect(seconds).toBe(66)
  })

  test('let no step pass meanwhile, however good what was seen before', () => {
    const { state, actions } = blinded('rollback', 11, 40)
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(state.steps.map(({ endedAt }) => endedAt)).toEqual([41_000, 52_000, 63_000, 74_000])
  })

  test('let no step count as seen meanwhile, whatever of it was seen', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      saw(20, 0, { complete: second === 1 || second > 20 }),
    )
    expect(state.steps[0]).toMatchObject({ shiftedAt: 1_000, watchedFrom: 21_000 })
  })

  test('let no traffic come to the canary, ready as it is', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) => saw(20, 0, { complete: second > 20 }))
    expect(state.steps[0]).toMatchObject({ shiftedAt: 21_000, watchedFrom: 22_000 })
  })

  test('are forgotten when they can be read again, though only once', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      second > 5 && second <= 105 && second !== 55 ? blind : saw(20),
    )
    expect(state).toMatchObject({ verdict: 'promoted' })
    expect(state).not.toHaveProperty('blindSince')
  })

  test('do not hide the failures that are seen all the same', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      second > 5 ? saw(20, 20, { complete: false }) : saw(20),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', timeToDetectMs: 4_000 })
  })

  test('do not matter while the canary is waited for: it is the wait that counts', () => {
    const { state, seconds } = ride(plan, initialState(plan, 0, 0), () => saw(0, 0, { ready: false, complete: false }))
    expect(seconds).toBe(60)
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: "the canary's pods did not become ready within 60 s (`progressDeadline`)",
    })
  })
})

describe('a weight that the data plane does not show yet', () => {
  const jump = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [5, 100]')
  const old = saw(1, 0, { stable: served(19) })

  test('is not watched while the requests still go by the old one, though some reach the canary', () => {
    const { state } = ride(jump, initialState(jump, 0, 0), (second, { weight }) =>
      weight === 100 && second < 16 ? old : saw(20),
    )
    expect(state.verdict).toBe('promoted')
    expect(state.steps[1]).toMatchObject({ shiftedAt: 12_000, watchedFrom: 16_000 })
    expect(state.steps[1]).not.toHaveProperty('shift')
  })

  test('until just before the progressDeadline is over is watched then, whatever was seen before', () => {
    const { state } = ride(jump, initialState(jump, 0, 0), (second, { weight }) =>
      weight === 100 && second < 12 + 58 ? old : saw(20),
    )
    expect(state).toMatchObject({ verdict: 'promoted', steps: [{}, { shiftedAt: 12_000, watchedFrom: 70_000 }] })
  })

  test('is judged by what was seen before an interruption, too', () => {
    const until = ride(jump, initialState(jump, 0, 0), (_, { weight }) => (weight === 100 ? old : saw(20)), 20).state
    const again = JSON.parse(JSON.stringify(until)) as State
    expect(again.steps[1]).toMatchObject({ outcome: 'shifting', shift: { samples: 8 } })
    expect(ride(jump, again, () => saw(20), 1, 20).state.phase).toBe('watching')
  })

  test('for longer than the progressDeadline is inconclusive, and the share that was seen is told', () => {
    const { state, actions, seconds } = ride(jump, initialState(jump, 0, 0), (_, { weight }) =>
      weight === 100 ? old : saw(20),
    )
    expect(weightsIn(actions)).toEqual([5, 100, 0])
    expect(seconds).toBe(12 + 60)
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: 'at weight 100 the canary served only 5% of the requests within 60 s (`progressDeadline`)',
    })
  })

  test.each<[number, number, boolean]>([
    [37, 63, false],
    [38, 62, true],
  ])(
    'from 25 to 50: %d requests at the canary and %d at stable are seen as the new one: %j',
    (atCanary, atStable, moved) => {
      const { state } = ride(
        plan,
        initialState(plan, 0, 0),
        (_, { weight }) => (weight === 50 ? saw(atCanary, 0, { stable: served(atStable) }) : saw(20)),
        24,
      )
      expect(state).toMatchObject({ weight: 50, phase: moved ? 'watching' : 'shifting' })
    },
  )
})

describe('beside stable', () => {
  const strict = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 99% }')

  test('a canary that fails as often as stable is not condemned, but the step does not pass while the limit is missed', () => {
    const random = randomFrom(9)
    const failing = (n: number) => served(n, Array.from({ length: n }, random).filter((each) => each < 0.1).length)
    const by = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, checks: { successRate: 99% }')
    const { state } = ride(by, initialState(by, 0, 0), () => ({
      canary: failing(50),
      stable: failing(950),
      ready: true,
      complete: true,
    }))
    expect(state).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(state.reason).toContain('the limit was missed, but stable fares no better')
  })

  test('one that meets its limit but fails far more often than stable is put back', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 90% }')
    const { state } = ride(by, initialState(by, 0, 0), (second) => ({
      canary: served(100, second > 1 ? 4 : 0),
      stable: served(1_900),
      ready: true,
      complete: true,
    }))
    expect(state).toMatchObject({ verdict: 'rolled-back' })
    expect(state.reason).toMatch(
      /^no worse than stable: of the canary's requests \d+ of \d+ \(4%\) failed or were given up, of stable's 0 of \d+ \(0%\); 1.5 times as often is tolerated$/,
    )
  })

  test('callers that go away count beside stable, and only there', () => {
    const given = (n: number, abandoned: number): RequestCounts => ({ ...served(n), abandoned })
    const ended = (share: number) =>
      ride(strict, initialState(strict, 0, 0), (_, { weight }) => {
        const atStable = servedByStable(weight, 100).requests
        return { canary: given(100, 20), stable: given(atStable, atStable * share), ready: true, complete: true }
      }).state
    expect(ended(0).reason).toContain('failed or were given up')
    expect(ended(0.2).verdict).toBe('promoted')
  })

  test("slower than stable's own p99 more often than stable is put back, with nothing said about times in the plan", () => {
    const { state } = ride(strict, initialState(strict, 0, 0, served(10_000, 0, 20)), () => ({
      canary: served(100, 0, 5),
      stable: served(1_900, 0, 4),
      ready: true,
      complete: true,
    }))
    expect(state.reason).toMatch(
      /^no worse than stable: of the canary's requests .* took longer than 500 ms, stable's own p99; of stable's/,
    )
  })

  test('is not asked when that was not wanted', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, checks: { successRate: 90%, noWorseThanStable: false }')
    const { state } = ride(by, initialState(by, 0, 0, served(10_000)), () => saw(100, 4, { slow: 50 }))
    expect(state.verdict).toBe('promoted')
    expect(explainChecks(by, state).map(({ check }) => check)).toEqual(['success rate'])
  })
})

test('every check more makes each need more evidence: they share the chance of a false alarm', () => {
  const needed = (by: CanaryConfig) =>
    explainChecks(by, initialState(by, 0, 0)).map(({ threshold }) => Math.round(threshold))
  expect(needed(planOf('checks: { noWorseThanStable: false }'))).toEqual([100])
  expect(needed(planOf('checks: { p99: 500ms, noWorseThanStable: { latency: false } }'))).toEqual([300, 300, 300])
})

describe('advance: early', () => {
  const early = planOf('interval: 60s, pollInterval: 1s, advance: early, minInterval: 5s')

  test('a step ends once every limit is certified, and not before its least time', () => {
    const { state } = ride(early, initialState(early, 0, 0), () => saw(1_000))
    expect(state.verdict).toBe('promoted')
    expect(state.steps.map(({ watchedFrom, endedAt }) => (endedAt! - watchedFrom!) / 1_000)).toEqual([5, 5, 5, 5])
  })

  test('with little traffic it takes its whole interval', () => {
    const { state } = ride(early, initialState(early, 0, 0), () => saw(1))
    expect((state.steps[0]!.endedAt! - state.steps[0]!.watchedFrom!) / 1_000).toBe(60)
  })
})

describe('mirror and A/B first', () => {
  const both = planOf(
    'interval: 10s, pollInterval: 1s, steps: [50, 100], mirror: { percent: 30%, interval: 5s }, ab: { match: { headers: { x-beta: yes-please } }, intervals: 2 }',
  )

  test('come before the weights, each for its time, and are cleared', () => {
    const { state, actions } = ride(both, initialState(both, 0, 0), () => saw(20))
    expect(actions).toEqual([
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
      { kind: 'ab' },
      { kind: 'clear' },
      { kind: 'weight', weight: 50 },
      { kind: 'weight', weight: 100 },
    ])
    expect(
      state.steps.map(({ kind, weight, watchedFrom, endedAt }) => [kind, weight, endedAt! - watchedFrom!]),
    ).toEqual([
      ['mirror', 30, 5_000],
      ['ab', 0, 20_000],
      ['weight', 50, 10_000],
      ['weight', 100, 10_000],
    ])
  })

  test('a canary that fails on copies never gets a user', () => {
    const { state, actions } = ride(both, initialState(both, 0, 0), () => saw(20, 20))
    expect(actions).toEqual([{ kind: 'mirror', percent: 30 }, { kind: 'weight', weight: 0 }, { kind: 'clear' }])
    expect(state.verdict).toBe('rolled-back')
  })

  test('are over where a weight is in force already', () => {
    expect(ride(both, initialState(both, 50, 0), () => saw(20)).actions).toEqual([{ kind: 'weight', weight: 100 }])
  })

  test('are cleared when their promotion is held', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, onFail: hold, mirror: { percent: 30% }')
    expect(ride(by, initialState(by, 0, 0), () => saw(20, 20)).actions).toEqual([
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
    ])
  })
})

test('until: it stops there as planned, and a later run goes on from there', () => {
  const first = planOf('interval: 10s, pollInterval: 1s, until: 25')
  const { state, actions } = ride(first, initialState(first, 0, 0), () => saw(20))
  expect(weightsIn(actions)).toEqual([5, 25])
  expect(state).toMatchObject({
    verdict: 'held',
    weight: 25,
    asPlanned: true,
    reason: 'every step passed its checks, and it was to stop at 25 for now',
  })
  expect(weightsIn(ride(plan, initialState(plan, 25, 0), () => saw(20)).actions)).toEqual([50, 100])
})

test('the stages of a plan', () => {
  expect(
    stagesOf(planOf('interval: 1s, pollInterval: 1s, steps: { by: 40, to: 90 }')).map(
      (stage) => stage.kind === 'weight' && stage.weight,
    ),
  ).toEqual([40, 80, 90])
})

describe('who has a say', () => {
  const answer = (name: string, state: Finding['state'], at: number): Finding => ({
    name,
    state,
    text: `said at ${at}`,
    at,
  })
  const asking = planOf(
    'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { commands: { smoke: { run: [smoke] } } }',
  )

  test('a command that fails puts the canary back with what it said', () => {
    const { state } = ride(asking, initialState(asking, 0, 0), (second) =>
      saw(20, 0, { findings: [answer('smoke', second < 5 ? 'pass' : 'fail', second * 1_000)] }),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', reason: 'smoke: said at 5000' })
  })

  test('without its yes in the step no step passes', () => {
    const { state } = ride(asking, initialState(asking, 0, 0), () =>
      saw(20, 0, { findings: [answer('smoke', 'pass', 500)] }),
    )
    expect(state).toMatchObject({
      verdict: 'inconclusive',
      reason: 'at weight 50, watched for 70 s, smoke did not pass (said at 500)',
    })
  })

  test('what it said before the first step does not count', () => {
    const { state } = ride(asking, initialState(asking, 0, 0), (second) =>
      saw(20, 0, { ready: second > 3, findings: [answer('smoke', second < 3 ? 'fail' : 'pass', second * 1_000)] }),
    )
    expect(state.verdict).toBe('promoted')
  })

  const hooked = planOf(
    'interval: 10s, pollInterval: 1s, confirmTimeout: 30s, steps: [50, 100], webhooks: { ok: { type: confirm-rollout, url: "http://x.test" }, warm: { type: pre-rollout, url: "http://x.test" }, go: { type: confirm-promotion, url: "http://x.test" }, stop: { type: rollback, url: "http://x.test" } }',
  )

  test('hooks before the first weight are asked one after the other, and the last weight waits for its own', () => {
    const seen: string[] = []
    const { state, actions } = ride(hooked, initialState(hooked, 0, 0), (second, before) => {
      const [gate] = dueGates(hooked, before)
      if (seen.at(-1) !== gate) seen.push(gate!)
      return saw(
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

  test('a hook that never says yes is named', () => {
    const { state, seconds } = ride(hooked, initialState(hooked, 0, 0), () =>
      saw(20, 0, { gates: { 'confirm-rollout': answer('ok', 'fail', 1) } }),
    )
    expect(seconds).toBe(30)
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: 'confirm-rollout was not confirmed (ok: said at 1) within 30 s (`confirmTimeout`)',
    })
  })

  test('the hook rollback puts back at once', () => {
    const { state } = ride(hooked, initialState(hooked, 50, 0), (second) =>
      saw(20, 0, {
        gates:
          second === 1
            ? { 'confirm-rollout': answer('ok', 'pass', 1) }
            : second === 2
              ? { 'pre-rollout': answer('warm', 'pass', 2) }
              : { rollback: answer('stop', 'pass', second) },
      }),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: 'the webhook stop asked for it' })
  })
})

describe('going on from the weight in force', () => {
  test('the steps at or below the weight in force count as taken', () => {
    const { state, actions } = ride(plan, initialState(plan, 25, 0), () => saw(20))
    expect(weightsIn(actions)).toEqual([50, 100])
    expect(state.verdict).toBe('promoted')
  })

  test('a weight between two steps goes on with the higher', () => {
    expect(weightsIn(ride(plan, initialState(plan, 30, 0), () => saw(20)).actions)).toEqual([50, 100])
  })

  test('the first step too is only watched once its weight shows: the old one is the weight in force then', () => {
    const { state } = ride(plan, initialState(plan, 25, 0), () => saw(26, 0, { stable: served(74) }), 20)
    expect(state).toMatchObject({ weight: 50, phase: 'shifting' })
  })

  test('the state is plain data: saved and read again at any second it goes on the same', () => {
    const look = (second: number) => saw(20, second === 30 ? 20 : 0)
    const whole = ride(plan, initialState(plan, 0, 0), look)
    for (let cut = 1; cut < whole.seconds; cut++) {
      const half = ride(plan, initialState(plan, 0, 0), look, cut)
      const rest = ride(plan, JSON.parse(JSON.stringify(half.state)) as State, look, 1_000, cut)
      expect(rest.state).toEqual(whole.state)
      expect([...half.actions, ...rest.actions]).toEqual(whole.actions)
    }
    expect(whole.state.verdict).toBe('rolled-back')
  })
})

describe('going on after an interruption', () => {
  const healthy = () => saw(20)
  /** As the Lease keeps it. */
  const kept = ({ state }: Run) => JSON.parse(JSON.stringify(state)) as State
  /** Up to `second`, and on from there a minute later; `weight` is what is in force by then. */
  const again = (second: number, weight: (before: State) => number, by = plan) => {
    const before = kept(ride(by, initialState(by, 0, 0), healthy, second))
    return {
      before,
      ...ride(by, resumeState(before, weight(before), (second + 60) * 1_000), healthy, 1_000, second + 60),
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
      'shifting, its weight written',
      12,
      () => 25,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [25, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'shifting, its weight not written',
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
      'watching',
      20,
      () => 25,
      [25, 50, 100],
      [
        [0, 5, 'passed'],
        [5, 25, 'interrupted'],
        [25, 25, 'passed'],
        [25, 50, 'passed'],
        [50, 100, 'passed'],
      ],
    ],
    [
      'watching, then put back by the guard',
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
        [100, 100, 'passed'],
      ],
    ],
  ])(
    '%s: the step that was cut short is taken again, and none that had passed',
    (_, second, weight, weights, steps) => {
      const run = again(second, weight)
      expect(weightsIn(run.actions)).toEqual(weights)
      expect(outcomes(run)).toEqual(steps)
      expect(run.state).toMatchObject({ verdict: 'promoted', weight: 100 })
    },
  )

  test.each([
    ['as it was', 25],
    ['after the guard has put it back', 0],
  ])('a step that is taken again is watched for its whole time, its weight %s', (_, weight) => {
    const { state } = again(20, () => weight)
    const [, cut, taken] = state.steps
    expect(cut).toMatchObject({ outcome: 'interrupted', endedAt: 13_000 })
    expect(taken!.watchedFrom! - taken!.shiftedAt).toBe(1_000)
    expect(taken!.endedAt! - taken!.watchedFrom!).toBe(10_000)
  })

  test('an interruption while it waits is none: what is taken again is not taken back twice', () => {
    const first = resumeState(kept(ride(plan, initialState(plan, 0, 0), healthy, 20)), 25, 60_000)
    const waiting = ride(plan, first, () => saw(0, 0, { ready: false }), 5, 60)
    const second = resumeState(kept(waiting), 25, 120_000)
    expect(second).toEqual({ ...first, waitingSince: 120_000, stableTotal: second.stableTotal })
    expect(weightsIn(ride(plan, second, healthy, 1_000, 120).actions)).toEqual([25, 50, 100])
  })

  test('the progressDeadline begins anew with every interruption', () => {
    const { state, seconds } = ride(
      plan,
      resumeState(initialState(plan, 0, 0), 0, 500_000),
      () => saw(0, 0, { ready: false }),
      1_000,
      500,
    )
    expect(state.reason).toBe("the canary's pods did not become ready within 60 s (`progressDeadline`)")
    expect(seconds).toBe(560)
  })

  test('what comes while it waits is not judged, for it is not known under which weights', () => {
    const before = kept(ride(plan, initialState(plan, 0, 0), healthy, 20))
    const { state } = ride(plan, resumeState(before, 25, 60_000), () => saw(20, 20, { ready: false }), 5, 60)
    expect(state.checks).toEqual(resumeState(before, 25, 60_000).checks)
    expect(state.canary).toEqual(before.canary)
  })

  test('one that was about to be confirmed still is, and a confirmation that was given is not asked for again', () => {
    const by = planOf(
      'interval: 10s, pollInterval: 1s, steps: [50, 100], confirmTimeout: 300s, webhooks: { go: { type: confirm-promotion, url: "http://x.test" } }',
    )
    const yes = { name: 'go', state: 'pass', text: '', at: 0 } as const
    const before = kept(ride(by, initialState(by, 0, 0), healthy, 30))
    expect(before).toMatchObject({ phase: 'confirming', confirmingSince: 12_000 })
    const waiting = ride(by, resumeState(before, 50, 200_000), healthy, 20, 200)
    expect(waiting).toMatchObject({
      actions: [],
      state: { phase: 'confirming', confirmingSince: 201_000, stagesStarted: 1 },
    })
    const confirmed = ride(by, waiting.state, () => saw(20, 0, { gates: { 'confirm-promotion': yes } }), 1, 220)
    expect(weightsIn(confirmed.actions)).toEqual([100])
    expect(weightsIn(ride(by, resumeState(kept(confirmed), 100, 300_000), healthy, 1_000, 300).actions)).toEqual([100])
  })

  test('a mirror that was cut short is set anew, and over before the first weight', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, steps: [50, 100], mirror: { percent: 30% }')
    const before = kept(ride(by, initialState(by, 0, 0), healthy, 5))
    expect(ride(by, resumeState(before, 0, 60_000), healthy, 1_000, 60).actions).toEqual([
      { kind: 'clear' },
      { kind: 'mirror', percent: 30 },
      { kind: 'clear' },
      { kind: 'weight', weight: 50 },
      { kind: 'weight', weight: 100 },
    ])
  })

  test.each([
    ['unchanged weights', 25],
    ['the weights put back', 0],
  ])('what was to stop for now goes on when that is lifted, from %s', (_, weight) => {
    const first = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, until: 25')
    const before = kept(ride(first, initialState(first, 0, 0), healthy))
    expect(before).toMatchObject({ phase: 'ended', verdict: 'held', asPlanned: true })
    const { state, actions } = ride(plan, resumeState(before, weight, 100_000), healthy, 1_000, 100)
    expect(weightsIn(actions)).toEqual([50, 100])
    expect(state).toMatchObject({ phase: 'ended', verdict: 'promoted', reason: 'every step passed its checks' })
    expect(state).not.toHaveProperty('asPlanned')
  })

  test('what outsiders said before says nothing now', () => {
    const by = planOf(
      'interval: 10s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { commands: { smoke: { run: [smoke] } } }',
    )
    const said = (state: Finding['state'], at: number): Finding => ({ name: 'smoke', state, text: `said at ${at}`, at })
    const before = kept(
      ride(by, initialState(by, 0, 0), (second) => saw(20, 0, { findings: [said('undecided', second * 1_000)] }), 5),
    )
    const failed = { ...before, findings: { smoke: said('fail', 4_000) } }
    expect(
      ride(
        by,
        resumeState(failed, 50, 60_000),
        (second) => saw(20, 0, { findings: second > 63 ? [said('pass', second * 1_000)] : [] }),
        1_000,
        60,
      ).state.verdict,
    ).toBe('promoted')
  })

  const strength = (by: CanaryConfig, state: State) =>
    Math.max(...explainChecks(by, state).map(({ failEvidence, threshold }) => failEvidence / threshold))

  test('a canary that was nearly condemned is condemned for a failure that a new one may have', () => {
    const failing = (second: number) => saw(20, second > 5 ? 1 : 0)
    let seconds = 6
    while (ride(plan, initialState(plan, 0, 0), failing, seconds + 1).state.phase !== 'ended') seconds++
    const before = kept(ride(plan, initialState(plan, 0, 0), failing, seconds))
    expect(strength(plan, before)).toBeGreaterThan(0.1)
    const few = (from: number) => (second: number) => saw(20, second > from + 1 && second <= from + 3 ? 1 : 0)
    const resumed = ride(plan, resumeState(before, before.weight, 100_000), few(100), 20, 100)
    expect(resumed.state).toMatchObject({ verdict: 'rolled-back', canary: { failures: before.canary.failures + 1 } })
    expect(ride(plan, initialState(plan, 0, 0), few(0), 20).state).not.toHaveProperty('verdict')
  })

  // Were the memory lost with every interruption, about 20 of them would be.
  test('the chance of a false alarm is spent once, however often it is interrupted: of 1,000 at their limit at most 1% are put back', () => {
    const by = planOf(
      'interval: 8s, pollInterval: 1s, progressDeadline: 60s, steps: [50, 100], checks: { successRate: 70%, noWorseThanStable: false }',
    )
    const random = randomFrom(11)
    const atLimit = () => saw(10, Array.from({ length: 10 }, random).filter((each) => each < 0.3).length)
    const ticks = () => 2 + Math.floor(random() * 8)
    let [interruptions, putBacks] = [0, 0]
    for (let rollout = 0; rollout < 1_000; rollout++) {
      let run = ride(by, initialState(by, 0, 0), atLimit, ticks())
      for (let cut = 1; cut <= 12 && run.state.phase !== 'ended'; cut++, interruptions++) {
        const weight = random() < 0.5 ? 0 : run.state.weight
        run = ride(
          by,
          resumeState(kept(run), weight, run.seconds * 1_000),
          atLimit,
          cut === 12 ? 1_000 : ticks(),
          run.seconds,
        )
      }
      if (run.state.verdict === 'rolled-back') putBacks++
    }
    expect(interruptions).toBeGreaterThan(10_000)
    expect(putBacks).toBeLessThanOrEqual(10)
  })
})

describe('somebody else has a hand in the weights', () => {
  const strayed = 'VirtualService shop/backend gives the canary 0% instead of 5%: argocd wrote it'
  const advice = '; let one of the two have the weights (`onDrift`, docs/gitops.md)'
  const over = planOf('interval: 10s, pollInterval: 1s, progressDeadline: 60s, onDrift: take-over')

  test('and the canary is put back at once, with who it was', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (second) =>
      saw(20, 0, second === 5 ? { drift: strayed } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 0])
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: `${strayed}${advice}` })
    expect(state.steps.at(-1)).toMatchObject({ outcome: 'failed', endedAt: 5_000 })
  })

  test('and the weight stays as that one left it where a failure is to be held', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, onFail: hold')
    const { state, actions } = ride(by, initialState(by, 0, 0), (second) =>
      saw(20, 0, second === 5 ? { drift: strayed } : {}),
    )
    expect(weightsIn(actions)).toEqual([5])
    expect(state.verdict).toBe('held')
  })

  test('take-over: up to three times they are written again, and the promotion goes on', () => {
    const { state, actions } = ride(over, initialState(over, 0, 0), (second) =>
      saw(20, 0, [5, 6, 15].includes(second) ? { drift: strayed } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 5, 5, 25, 25, 50, 100])
    expect(state).toMatchObject({ verdict: 'promoted', takenOver: 3 })
  })

  test('take-over: the fourth time it is given up', () => {
    const { state, actions } = ride(over, initialState(over, 0, 0), (second) =>
      saw(20, 0, second > 4 ? { drift: strayed } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 5, 5, 5, 0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: `${strayed}, though its weights were written again 3 times${advice}`,
    })
  })

  test('take-over: no step passes in the look that shows it', () => {
    const { state } = ride(
      over,
      initialState(over, 0, 0),
      (second) => saw(20, 0, second === 12 ? { drift: strayed } : {}),
      12,
    )
    expect(state).toMatchObject({ phase: 'watching', weight: 5 })
  })

  test.each<[string, Action]>([
    ['mirror: { percent: 30% }', { kind: 'mirror', percent: 30 }],
    ['ab: { match: { headers: { x-beta: yes-please } }, intervals: 2 }', { kind: 'ab' }],
  ])('take-over: what the stage asks beside the weight is written again too: %s', (stage, action) => {
    const by = planOf(`interval: 10s, pollInterval: 1s, onDrift: take-over, ${stage}`)
    const { actions } = ride(
      by,
      initialState(by, 0, 0),
      (second) => saw(20, 0, second === 3 ? { drift: strayed } : {}),
      5,
    )
    expect(actions).toEqual([action, { kind: 'weight', weight: 0 }, action])
  })
})

describe('a guard that is not on duty', () => {
  test('lets nothing move, and what is seen meanwhile counts neither way', () => {
    const { state, actions } = ride(plan, initialState(plan, 0, 0), (second) =>
      saw(20, second < 30 ? 20 : 0, second < 30 ? { unguarded: true } : {}),
    )
    expect(weightsIn(actions)).toEqual([5, 25, 50, 100])
    expect(state.steps[0]!.shiftedAt).toBe(30_000)
    expect(state).toMatchObject({ verdict: 'promoted', canary: { failures: 0 } })
  })

  test('for the progressDeadline ends it, and is what is told, whatever else is amiss', () => {
    const { state, actions, seconds } = ride(plan, initialState(plan, 0, 0), () =>
      saw(0, 0, { unguarded: true, ready: false, complete: false }),
    )
    expect(seconds).toBe(60)
    expect(weightsIn(actions)).toEqual([0])
    expect(state).toMatchObject({
      verdict: 'rolled-back',
      reason: 'the guard did not come on duty within 60 s (`progressDeadline`)',
      steps: [],
    })
  })

  test('keeps no canary from its put-back once it has traffic', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), (second) =>
      saw(20, second > 5 ? 20 : 0, second > 5 ? { unguarded: true } : {}),
    )
    expect(state).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  })
})

describe('the end', () => {
  test('steps that end below 100 are held there', () => {
    const short = planOf('interval: 10s, pollInterval: 1s, steps: [5, 20]')
    const { state, actions } = ride(short, initialState(short, 0, 0), () => saw(20))
    expect(weightsIn(actions)).toEqual([5, 20])
    expect(state).toMatchObject({
      verdict: 'held',
      weight: 20,
      reason: 'every step passed its checks, and the steps end at 20',
    })
  })

  test('after it nothing happens any more, whatever is seen', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), () => saw(20))
    expect(next(plan, state, observed(saw(50, 50, { fault: 'late' }), 100), 999_000)).toEqual({ state, actions: [] })
  })

  test('a put-back from outside closes the step that was under way and takes the weight away', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), () => saw(20), 15)
    const back = endOnStable(state, 'rolled-back', 'the run was cancelled', 16_000)
    expect(back.actions).toEqual([{ kind: 'weight', weight: 0 }])
    expect(back.state).toMatchObject({
      phase: 'ended',
      verdict: 'rolled-back',
      weight: 0,
      reason: 'the run was cancelled',
    })
    expect(back.state.steps.map(({ outcome, endedAt }) => [outcome, endedAt])).toEqual([
      ['passed', 12_000],
      ['rolled-back', 16_000],
    ])
  })

  test('a hold from outside ends it where it is: no weight is written, the step is closed, and it is no success', () => {
    const { state } = ride(plan, initialState(plan, 0, 0), () => saw(20), 15)
    const { state: held, actions } = endHeld(state, 'the run was cancelled', 16_000)
    expect(actions).toEqual([])
    expect(held).toMatchObject({ phase: 'ended', verdict: 'held', weight: 25, reason: 'the run was cancelled' })
    expect(held).not.toHaveProperty('asPlanned')
    expect(held.steps.map(({ outcome, endedAt }) => [outcome, endedAt])).toEqual([
      ['passed', 12_000],
      ['held', 16_000],
    ])
  })

  test('a hold from outside takes copies of requests away all the same', () => {
    const by = planOf('interval: 10s, pollInterval: 1s, mirror: { percent: 30% }')
    expect(
      endHeld(ride(by, initialState(by, 0, 0), () => saw(20), 5).state, 'the run was cancelled', 6_000).actions,
    ).toEqual([{ kind: 'clear' }])
  })

  test('a state is never changed in place', () => {
    const before = initialState(plan, 0, 0)
    const copy = structuredClone(before)
    next(plan, before, observed(saw(20, 20), 0), 1_000)
    expect(before).toEqual(copy)
    expect(noRequests).toEqual({ requests: 0, failures: 0, abandoned: 0, times: { total: 0, within: {} } })
  })
})

test('with hardly any traffic ticks are put together until there is somebody to compare with', () => {
  const slow = planOf('interval: 10m, pollInterval: 1s, steps: [10, 100]')
  const { state } = ride(slow, initialState(slow, 0, 0), (second) =>
    second % 10 === 0 ? saw(1, 1, { stable: noRequests }) : saw(0, 0, { stable: served(1) }),
  )
  expect(state).toMatchObject({ verdict: 'rolled-back', canary: { requests: 4, failures: 4 } })
})

test('what is put together is compared before a weight changes, for what fails may change with it', () => {
  const two = planOf('interval: 1s, pollInterval: 1s, steps: [50, 100], checks: { minRequests: 1 }')
  const { state } = ride(two, initialState(two, 0, 0), () => saw(2, 1, { stable: served(2) }), 3)
  expect(state).toMatchObject({
    phase: 'shifting',
    weight: 100,
    checks: { waiting: { canary: noRequests, stable: noRequests } },
  })
  expect(explainChecks(two, state).find(({ check }) => check === 'failures beside stable')?.failEvidence).not.toBe(1)
})

test('a canary that fails while somebody drifts is put back, not given its weight again', () => {
  const over = planOf('interval: 10s, pollInterval: 1s, onDrift: take-over')
  const { state } = ride(over, initialState(over, 0, 0), () => saw(20), 4)
  const { state: after } = next(
    over,
    state,
    { ...observed(saw(20), 5), drift: 'somebody wrote', fault: 'it crashes' },
    5_000,
  )
  expect(after).toMatchObject({ verdict: 'rolled-back', reason: 'it crashes' })
})

test('drift before there is a step is taken over, too: the last weight waits for its confirmation', () => {
  const over = planOf(
    'steps: [50, 100], onDrift: take-over, webhooks: { go: { type: confirm-promotion, url: "http://go.test" } }',
  )
  const { state } = ride(over, initialState(over, 50, 0), () => saw(20), 2)
  expect(state.phase).toBe('confirming')
  expect(next(over, state, { ...observed(saw(20), 50), drift: 'somebody wrote' }, 3_000).actions).toEqual([
    { kind: 'weight', weight: 50 },
  ])
})

test('a canary that was put back at 100 and goes on there is still compared when the limit is missed', () => {
  const first = ride(plan, initialState(plan, 0, 0), () => saw(50), 36)
  expect(first.state).toMatchObject({ phase: 'watching', weight: 100 })
  const again = ride(
    plan,
    resumeState(first.state, 0, 40_000),
    (_, { weight }) => (weight === 100 ? saw(50, 25) : saw(50)),
    8,
    40,
  )
  expect(weightsIn(again.actions)).toEqual([100, 50])
})
