// A canary whose latency is not judged at first.
import { describe, expect, test } from 'vitest'
import { next } from '../../../../src/canary/state/machine.ts'
import { outcomeOf } from '../../../../src/canary/state/ending.ts'
import { initialState, resumeState } from '../../../../src/canary/state/start.ts'
import type { State } from '../../../../src/canary/state/types.ts'
import { addRequests, noRequests, type RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, refusal, served, servedByStable } from '../../fixtures.ts'

/** What the canary serves in a second, when it has served so many requests before. */
type Behavior = (before: number, weight: number) => RequestCounts

const cold: Behavior = (before, weight) => {
  const requests = Math.round(weight / 2)
  return served(requests, 0, Math.min(requests, Math.max(0, 150 - before)))
}

/** 50 requests a second. `from`: a promotion that was interrupted. */
function promote(settings: string, behave: Behavior, from?: State, maxSeconds = 1_000): State {
  const plan = planOf(
    `pollInterval: 1s, ${settings.includes('progressDeadline') ? '' : 'progressDeadline: 20s, '}${settings}`,
  )
  let state: State = from ?? initialState(plan, 0, 0, served(10_000, 0, 20))
  let total = noRequests
  for (let second = 1; second <= maxSeconds && state.phase !== 'ended'; second++) {
    const share = state.steps.at(-1)?.kind === 'mirror' ? 100 : state.weight
    const canary = state.phase === 'waiting' ? noRequests : behave(total.requests, share)
    const stable = state.phase === 'waiting' ? served(50) : servedByStable(state.weight, canary.requests)
    total = addRequests(total, canary)
    const seen = { canary, stable, users: addRequests(canary, stable), findings: [], gates: {} }
    state = next(plan, state, { ...seen, ready: true, complete: true }, second * 1_000).state
  }
  return state
}

const limits = 'checks: { p99: 500ms }'
const verdictOf = (state: State) => outcomeOf(state)?.verdict

describe('a canary whose first 150 requests are slow', () => {
  test.each([
    ['of itself', `interval: 30s, ${limits}`],
    ['without a limit on latency, beside a fast stable version', 'interval: 30s'],
    ['with time instead of a number of requests', `interval: 30s, warmup: 90s, ${limits}`],
    ['in a single step', `steps: [100], interval: 30s, ${limits}`],
    ['after a mirror', `mirror: { percent: 100% }, interval: 20s, ${limits}`],
  ])('is promoted %s', (_, settings) => {
    expect(verdictOf(promote(settings, cold))).toBe('promoted')
  })

  test.each([
    ['by number', 'warmup: 0'],
    ['by time', 'warmup: 0s'],
  ])('is rolled back where the plan gives it no time to warm up (%s)', (_, warmup) => {
    const ended = promote(`interval: 30s, ${warmup}, ${limits}`, cold)
    expect(verdictOf(ended)).toBe('rolled-back')
    expect(outcomeOf(ended)?.reason).toMatch(/^latency: /)
  })

  test('is rolled back while it warms up if it fails', () => {
    const ended = promote(`interval: 30s, ${limits}`, (_, weight) => served(Math.round(weight / 2), 1))
    expect([verdictOf(ended), ended.steps.length]).toEqual(['rolled-back', 1])
    expect(outcomeOf(ended)?.reason).toMatch(/^success rate: /)
  })
})

describe('a canary that stays slow', () => {
  const slow: Behavior = (_, weight) => served(Math.round(weight / 2), 0, Math.round(weight / 2))

  test.each([
    ['after the requests of its warm-up', `interval: 30s, ${limits}`, 2],
    [
      'in the last step at the latest, however few requests came before',
      `steps: [2, 100], interval: 10s, ${limits}`,
      2,
    ],
    ['after the time of its warm-up', `interval: 60s, warmup: 20s, ${limits}`, 1],
    ['also when it is only compared with stable', `interval: 60s`, 2],
  ])('is rolled back %s', (_, settings, steps) => {
    const ended = promote(settings, slow)
    expect(verdictOf(ended)).toBe('rolled-back')
    expect(ended.steps.filter(({ outcome }) => outcome !== 'returned-to-compare').length).toBeLessThanOrEqual(steps + 1)
  })

  test('is not promoted by a single step that is too short for its warm-up', () => {
    const ended = promote(`steps: [100], interval: 10s, ${limits}`, () => served(1, 0, 1))
    expect(verdictOf(ended)).toBe('rolled-back')
    expect(outcomeOf(ended)?.reason).toMatch(/^latency: /)
  })

  test('is not promoted by a single step that ends with its warm-up, before its sidecar has published more', () => {
    const everyFiveSeconds: Behavior = (before) => {
      const counts = served(20, 0, 20)
      const times = { total: 100, within: { 500: 0, 10000: 100 } }
      return { ...counts, times: (before / 20) % 5 === 4 ? times : noRequests.times }
    }
    const ended = promote(`steps: [100], interval: 10s, warmup: 12s, ${limits}`, everyFiveSeconds)
    expect(verdictOf(ended)).toBe('rolled-back')
  })
})

describe('a fast canary with few requests', () => {
  const few = (every: number): Behavior => {
    let second = 0
    return () => served(second++ % every === 0 ? 1 : 0)
  }

  test('stops where a single step ends, before it has served all requests of its warm-up', () => {
    expect(outcomeOf(promote(`until: 5, interval: 30s, progressDeadline: 2m, ${limits}`, few(4)))).toMatchObject({
      verdict: 'held',
      asPlanned: true,
    })
  })

  test('has to serve some after the warm-up', () => {
    const ended = promote(`until: 5, interval: 30s, progressDeadline: 2m, ${limits}`, few(10))
    expect(verdictOf(ended)).toBe('inconclusive')
    expect(outcomeOf(ended)?.reason).toMatch(
      /its latency is judged only after 200 requests \(`warmup`\), and it has served \d since/,
    )
  })
})

test('a run that resumes a promotion continues the warm-up', () => {
  const settings = `interval: 30s, ${limits}`
  const interrupted = promote(settings, cold, undefined, 20)
  const { timed } = interrupted.warmUp
  expect(timed).toBeGreaterThan(20)
  const saved = JSON.parse(JSON.stringify(interrupted)) as State
  const resumed = promote(settings, cold, resumeState(saved, 5, 0), 3)
  expect(resumed.warmUp.timed).toBeGreaterThanOrEqual(timed)
  expect(resumed.warmUp.isOver).toBe(false)
})

test.each(['30', '45s', '2m', '0'])('`warmup: %s` is a warm-up', (warmup) => {
  expect(planOf(`warmup: ${warmup}`).warmup).toEqual(
    /[ms]$/.test(warmup)
      ? { by: 'time', ms: parseInt(warmup) * (warmup.endsWith('m') ? 60_000 : 1_000) }
      : { by: 'requests', count: Number(warmup) },
  )
})

test.each(['-1', '1.5', 'soon', '30 s', '[200]'])('`warmup: %s` is refused', (warmup) => {
  expect(refusal(`canary: { service: backend, warmup: ${warmup} }`)).toMatch(
    /canary\.warmup: .* is invalid: expected a number of requests such as 200, or a duration with its unit such as 30s/,
  )
})
