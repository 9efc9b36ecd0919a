// Webhooks at a server on the loopback interface stand for all that is asked of others; time is not waited for.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createExternalChecks } from '../../../../src/canary/hooks/external-checks.ts'
import type { PromotionStatus } from '../../../../src/canary/hooks/finding.ts'
import { clusterWith, planOf } from '../../fixtures.ts'

// The fake timers keep the wall clock; the other one they do not know.
vi.mock('../../../../src/runtime/clock.ts', () => ({ monotonicNow: () => Date.now() }))

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

// The pause between two times follows the fake clock too.
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, _: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve) => {
      setTimeout(resolve, ms)
      signal.addEventListener('abort', () => resolve())
    }),
}))

const outside = (): PromotionStatus => ({
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
})

/** Answers of the webhook `smoke`, one a call; `true` passes. A call beyond them is never answered. */
function asking(more: string, ...answers: boolean[]) {
  const calls: number[] = []
  let [begun, running, most] = [Date.now(), 0, 0]
  vi.stubGlobal('fetch', async () => {
    calls.push((Date.now() - begun) / 1000)
    most = Math.max(most, ++running)
    const answer = answers[calls.length - 1]
    if (answer === undefined) await new Promise(() => undefined)
    running--
    return new Response('', { status: answer ? 200 : 500 })
  })
  const plan = planOf(
    `interval: 30s, webhooks: { smoke: { type: rollout, url: 'http://x.test', ${more} }, other: { type: event, url: 'http://x.test' } }`,
  )
  const asked = createExternalChecks(clusterWith({}), plan, outside)
  begun = Date.now()
  return {
    ...asked,
    calls,
    most: () => most,
    states: () => asked.latest().map(({ name, state, text }) => [name, state, text]),
  }
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000)

test("it is asked at once and then once in a step's interval, until it is stopped", async () => {
  const { start, stop, calls, states, latest } = asking('', true, false, true, true)
  expect(states()).toEqual([])
  start()
  await pass(1)
  expect(states()).toEqual([['smoke', 'pass', 'HTTP 200']])
  await pass(30)
  expect(states()).toEqual([['smoke', 'fail', 'HTTP 500']])
  expect(latest()[0]?.at).toBe(Date.now() - 1_000)
  stop()
  await pass(100)
  expect(calls).toEqual([0, 30])
})

test('on its own period, but no more often than the evidence is looked at', async () => {
  const often = asking('every: 1ms', true, true, true)
  often.start()
  await pass(2.5)
  expect(often.calls).toEqual([0, 1, 2])
  often.stop()
})

test('it counts against the canary when it fails so often in a row', async () => {
  const { start, stop, states } = asking('every: 10s, failures: 2', false, true, false, false, true)
  start()
  const seen = []
  for (let call = 0; call < 5; call++, await pass(9)) {
    await pass(1)
    seen.push(states()[0])
  }
  stop()
  expect(seen).toEqual([
    ['smoke', 'undecided', 'HTTP 500 (failed 1 of 2 times in a row)'],
    ['smoke', 'pass', 'HTTP 200'],
    ['smoke', 'undecided', 'HTTP 500 (failed 1 of 2 times in a row)'],
    ['smoke', 'fail', 'HTTP 500'],
    ['smoke', 'pass', 'HTTP 200'],
  ])
})

test('it is never asked twice at a time, however long it takes, and looks do not wait for it', async () => {
  const { start, calls, most, states } = asking('every: 5s', true)
  start()
  await pass(60)
  expect(calls).toEqual([0, 5])
  expect(most()).toBe(1)
  expect(states()).toEqual([['smoke', 'pass', 'HTTP 200']])
})

test('a query is first asked after its period: what it tells is of the time before', async () => {
  const calls: number[] = []
  const begun = Date.now()
  const service = () => (
    calls.push((Date.now() - begun) / 1000),
    Promise.resolve(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '2'] } }))
  )
  const plan = planOf(
    "prometheus: { service: 'a/prometheus:9090' }, checks: { queries: { errors: { query: x, max: 1, every: 10s } } }",
  )
  const { start, stop, latest } = createExternalChecks(clusterWith({ service }), plan, outside)
  start()
  await pass(21)
  stop()
  expect(calls).toEqual([10, 20])
  expect(latest()).toMatchObject([{ name: 'errors', state: 'fail', text: '2, at most 1 is good' }])
})
