import { expect, test } from 'vitest'
import type { Clock } from '../../../src/runtime/clock.ts'
import { backOffMs, poll, retry, type RetryOptions } from '../../../src/runtime/retry.ts'

/** A clock whose sleeps take no time; `slept` records them. */
function testClock(): Clock & { slept: number[] } {
  const slept: number[] = []
  let time = 0
  return {
    slept,
    now: () => time,
    sleep: (ms, signal) => {
      slept.push(ms)
      time += ms
      signal?.throwIfAborted()
      return Promise.resolve()
    },
  }
}

/** Work that fails this number of times and then returns `done`. */
function failing(times: number, error: (nth: number) => Error = (nth) => new Error(`failure ${nth}`)) {
  let calls = 0
  const work = () => (++calls <= times ? Promise.reject(error(calls)) : Promise.resolve('done'))
  return Object.assign(work, { calls: () => calls })
}

const options = (clock: Clock, more: Partial<RetryOptions> = {}): RetryOptions => ({
  attempts: 4,
  firstDelayMs: 100,
  isTransient: () => true,
  clock,
  ...more,
})

test('work that fails three times is tried a fourth time, with doubled delays in between', async () => {
  const clock = testClock()
  const work = failing(3)
  expect(await retry(work, options(clock))).toBe('done')
  expect(clock.slept).toEqual([100, 200, 400])
})

test('the last error is thrown when no try is left', async () => {
  const clock = testClock()
  const work = failing(9)
  await expect(retry(work, options(clock))).rejects.toThrow('failure 4')
  expect([work.calls(), clock.slept]).toEqual([4, [100, 200, 400]])
})

test('an error that is not transient is thrown at once', async () => {
  const work = failing(9)
  const isTransient = (error: unknown) => (error as Error).message !== 'failure 2'
  await expect(retry(work, options(testClock(), { isTransient }))).rejects.toThrow('failure 2')
  expect(work.calls()).toBe(2)
})

test('a server that requests a longer delay gets it, up to the maximum', async () => {
  const clock = testClock()
  const requested = [5_000, 50, 70_000]
  const requestedDelayMs = (error: unknown) => requested[Number((error as Error).message.at(-1)) - 1]!
  const work = failing(9)
  await expect(retry(work, options(clock, { requestedDelayMs, longestDelayMs: 60_000 }))).rejects.toThrow('failure 3')
  expect(clock.slept).toEqual([5_000, 200])
})

test('progress restarts the count and the delays', async () => {
  const clock = testClock()
  const work = failing(6)
  const progress = () => Math.min(work.calls(), 4)
  expect(await retry(work, options(clock, { progress }))).toBe('done')
  expect(clock.slept).toEqual([100, 100, 100, 100, 200, 400])
})

test('a cancelled run is not retried, and rejects with its own reason', async () => {
  const controller = new AbortController()
  const work = failing(9, (nth) => {
    if (nth === 2) controller.abort(new Error('the run was cancelled'))
    return new Error('broken off')
  })
  await expect(retry(work, options(testClock(), { signal: controller.signal }))).rejects.toThrow(
    'the run was cancelled',
  )
  expect(work.calls()).toBe(2)
})

test('a back-off doubles from zero up to its maximum', () => {
  expect([0, 1, 2, 3, 4, 9].map((failures) => backOffMs(failures, 200, 1_000))).toEqual([
    0, 200, 400, 800, 1_000, 1_000,
  ])
})

test('polling ends with the first sufficient result', async () => {
  const clock = testClock()
  let polls = 0
  const result = await poll(
    () => Promise.resolve(++polls),
    (n) => n === 3,
    { limitMs: 10_000, intervalMs: 500, clock },
  )
  expect([result, clock.slept]).toEqual([3, [500, 500]])
})

test('polling returns the last result when the time is over, and polls once when it has no time', async () => {
  const clock = testClock()
  let polls = 0
  const nextResult = () => Promise.resolve(++polls)
  expect(await poll(nextResult, () => false, { limitMs: 1_000, intervalMs: 500, clock })).toBe(3)
  expect(await poll(nextResult, () => false, { limitMs: 0, intervalMs: 500, clock })).toBe(4)
})

test('polling rejects with the reason of a signal that aborts', async () => {
  const signal = AbortSignal.abort(new Error('the run was cancelled'))
  const polling = poll(
    () => Promise.resolve(1),
    () => false,
    { limitMs: 10_000, intervalMs: 500, signal, clock: testClock() },
  )
  await expect(polling).rejects.toThrow('the run was cancelled')
})
