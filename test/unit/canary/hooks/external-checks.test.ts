// A webhook stands for every check, because all are repeated in the same way. A query differs only in when it starts.
import { afterEach, expect, test, vi } from 'vitest'
import { createExternalChecks } from '../../../../src/canary/hooks/external-checks.ts'
import type { PromotionStatus } from '../../../../src/canary/hooks/promotion-status.ts'
import { clusterWith, planOf } from '../../fixtures.ts'
import { ManualClock } from './manual-clock.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const status = (): PromotionStatus => ({
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
})

/** The webhook `smoke` gives these answers, one per call; `true` passes. A call beyond them is never answered. */
function checksWith(more: string, ...answers: boolean[]) {
  const clock = new ManualClock()
  const calls: number[] = []
  let [running, mostAtOnce] = [0, 0]
  vi.stubGlobal('fetch', async () => {
    calls.push(clock.now() / 1000)
    mostAtOnce = Math.max(mostAtOnce, ++running)
    const answer = answers[calls.length - 1]
    if (answer === undefined) await new Promise(() => undefined)
    running--
    return new Response('', { status: answer ? 200 : 500 })
  })
  const plan = planOf(
    `interval: 30s, webhooks: { smoke: { type: rollout, url: 'http://x.test', ${more} }, other: { type: event, url: 'http://x.test' } }`,
  )
  const checks = createExternalChecks(clusterWith({}), plan, status, clock)
  return {
    ...checks,
    calls,
    now: () => clock.now(),
    pass: (seconds: number) => clock.advance(seconds * 1_000),
    mostAtOnce: () => mostAtOnce,
    states: () => checks.latest().map(({ name, state, text }) => [name, state, text]),
  }
}

test('a check runs at once and then once per interval of the step, until it is stopped', async () => {
  const { start, stop, pass, now, calls, states, latest } = checksWith('', true, false, true, true)
  expect(states()).toEqual([])
  start()
  await pass(1)
  expect(states()).toEqual([['smoke', 'pass', 'HTTP 200']])
  await pass(30)
  expect(states()).toEqual([['smoke', 'fail', 'HTTP 500']])
  expect(latest()[0]?.at).toBe(now() - 1_000)
  stop()
  await pass(100)
  expect(calls).toEqual([0, 30])
})

test('a check runs in its own period, but no more often than the evidence is sampled', async () => {
  const { start, stop, pass, calls } = checksWith('every: 1ms', true, true, true)
  start()
  await pass(2.5)
  expect(calls).toEqual([0, 1, 2])
  stop()
})

test('a check counts against the canary only after so many failures in a row', async () => {
  const { start, stop, pass, states } = checksWith('every: 10s, failures: 2', false, true, false, false, true)
  start()
  const statesAfterEach = []
  for (let call = 0; call < 5; call++, await pass(9)) {
    await pass(1)
    statesAfterEach.push(states()[0])
  }
  stop()
  expect(statesAfterEach).toEqual([
    ['smoke', 'undecided', 'HTTP 500 (failed 1 of 2 times in a row)'],
    ['smoke', 'pass', 'HTTP 200'],
    ['smoke', 'undecided', 'HTTP 500 (failed 1 of 2 times in a row)'],
    ['smoke', 'fail', 'HTTP 500'],
    ['smoke', 'pass', 'HTTP 200'],
  ])
})

test('a check never runs twice at a time, and samples do not wait for it', async () => {
  const { start, pass, calls, mostAtOnce, states } = checksWith('every: 5s', true)
  start()
  await pass(60)
  expect(calls).toEqual([0, 5])
  expect(mostAtOnce()).toBe(1)
  expect(states()).toEqual([['smoke', 'pass', 'HTTP 200']])
})

test('a query first runs after its period, because its answer covers the time before', async () => {
  const clock = new ManualClock()
  const calls: number[] = []
  const service = () => (
    calls.push(clock.now() / 1000),
    Promise.resolve(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '2'] } }))
  )
  const plan = planOf(
    "prometheus: { service: 'a/prometheus:9090' }, checks: { queries: { errors: { query: x, max: 1, every: 10s } } }",
  )
  const { start, stop, latest } = createExternalChecks(clusterWith({ service }), plan, status, clock)
  start()
  await clock.advance(21_000)
  stop()
  expect(calls).toEqual([10, 20])
  expect(latest()).toMatchObject([{ name: 'errors', state: 'fail', text: '2, expected at most 1' }])
})
