import { expect, test } from 'vitest'
import { addRequests } from '../../../src/canary/analysis/request-counts.ts'
import { initialState } from '../../../src/canary/state/start.ts'
import type { ActiveState, Observation } from '../../../src/canary/state/types.ts'
import { doubtOf, judge, type Judgement } from '../../../src/engines/judge.ts'
import type { RolloutProgress } from '../../../src/engines/progress.ts'
import { planOf, served } from '../fixtures.ts'
import { randomFrom } from '../random.ts'

const plan = { ...planOf('engine: argo-rollouts, warmup: 0'), steps: [20, 50, 100] }
const at = (weight: number, more: Partial<RolloutProgress> = {}): RolloutProgress => ({
  phase: 'moving',
  revision: 'new',
  weight,
  where: '',
  reason: '',
  ...more,
})
const sample = (
  canary: ReturnType<typeof served>,
  stable = served(40),
  more: Partial<Observation> = {},
): Observation => ({
  canary,
  stable,
  users: addRequests(canary, stable),
  ready: true,
  complete: true,
  findings: [],
  gates: {},
  ...more,
})
const start = initialState(plan, 0, 0)

test('the steps are the weights that the engine has set, each with what was served in it', () => {
  const weights = [0, 20, 20, 50, 50, 100, 0]
  let state: ActiveState = start
  weights.forEach((weight, i) => {
    state = judge(plan, state, at(weight), sample(served(10)), (i + 1) * 1_000).state
  })
  expect(state.steps.map(({ weight, outcome, canary }) => [weight, outcome, canary.requests])).toEqual([
    [20, 'passed', 20],
    [50, 'passed', 20],
    [100, 'passed', 10],
  ])
  expect(state.phase).toBe('waiting')
})

test('requests before the canary has traffic are no evidence', () => {
  const { state } = judge(plan, start, at(0), sample(served(10, 10)), 1_000)
  expect(state.canary.requests).toBe(0)
})

test.each([
  ['testers whom a header sends there', { isChosen: true as const }, 'ab', 100],
  ['copies of requests', { copies: 35 }, 'mirror', 35],
])('at weight 0, a canary that fails %s is condemned', (_, more, kind, weight) => {
  let judged: Judgement = { state: start, results: [] }
  for (let second = 1; judged.condemned === undefined && second < 60; second++)
    judged = judge(plan, judged.state, at(0, more), sample(served(10, 10)), second * 1_000)
  expect(judged.condemned).toMatch(/100% of 10 requests failed|failed/)
  expect(judged.state.steps).toMatchObject([{ kind, weight }])
  expect(judged.state.weight).toBe(0)
})

test('a canary that fails a fifth of its requests is condemned after a few', () => {
  const random = randomFrom(7)
  let judged: Judgement = { state: start, results: [] }
  let requests = 0
  for (let second = 1; judged.condemned === undefined && second < 60; second++) {
    const failures = Array.from({ length: 10 }, () => random()).filter((each) => each < 0.2).length
    requests += 10
    judged = judge(plan, judged.state, at(20), sample(served(10, failures)), second * 1_000)
  }
  expect(judged.condemned).toMatch(/failed/)
  expect(requests).toBeLessThan(80)
})

test('a canary that crashes is condemned even without traffic', () => {
  const crashed = sample(served(0), served(50), { fault: 'container app of backend-2 crashes in a loop' })
  expect(judge(plan, start, at(0), crashed, 1_000).condemned).toMatch(/crashes in a loop/)
})

test('a check of the user that fails condemns it', () => {
  const failing = { name: 'orders', state: 'fail', text: 'too few', at: 2_000 } as const
  const { state } = judge(plan, start, at(20), sample(served(10)), 1_000)
  expect(judge(plan, state, at(20), sample(served(10), served(40), { findings: [failing] }), 2_000).condemned).toBe(
    'orders: too few',
  )
})

test('an outage of both versions condemns nobody', () => {
  let judged: Judgement = { state: start, results: [] }
  for (let second = 1; second < 30; second++)
    judged = judge(plan, judged.state, at(20), sample(served(10, 5), served(40, 20)), second * 1_000)
  expect(judged.condemned).toBeUndefined()
  expect(doubtOf(plan, judged.state)).toMatchObject({ leansAgainst: true })
})

test('requests that a match has chosen are a step of their own', () => {
  const { state } = judge(plan, start, at(100, { isChosen: true }), sample(served(10)), 1_000)
  expect(state.steps.map(({ kind }) => kind)).toEqual(['ab'])
})

test('a check of the user that has not answered is no passed check, and one that failed without traffic speaks against', () => {
  const asking = planOf('engine: argo-rollouts, warmup: 0, checks: { commands: { smoke: { run: ["false"] } } }')
  const over = { ...asking, steps: [20, 100] }
  let state: ActiveState = start
  for (let second = 1; second <= 60; second++)
    state = judge(over, state, at(20), sample(served(20), served(80)), second * 1_000).state
  expect(doubtOf(over, state)).toEqual({ text: 'smoke did not pass (no answer yet)', leansAgainst: false })
  const failing = { name: 'smoke', state: 'fail', text: 'exit code 1', at: 500 } as const
  const { state: unserved } = judge(over, start, at(0), sample(served(0), served(40), { findings: [failing] }), 1_000)
  expect(doubtOf(over, unserved)).toEqual({ text: 'smoke failed (exit code 1)', leansAgainst: true })
})
