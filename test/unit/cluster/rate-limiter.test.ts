import { describe, expect, test, vi } from 'vitest'
import { createRateLimiter } from '../../../src/cluster/rate-limiter.ts'

/** A clock that jumps to the end of each sleep. `at`: when each piece of work began, in ms. */
function world(options: { requestsPerSecond?: number; concurrency?: number } = {}) {
  let now = 10_000
  const clock = { now: () => now, sleep: (ms: number) => Promise.resolve(void (now += ms)) }
  const at: number[] = []
  const limiter = createRateLimiter({ ...options, clock })
  const work = () => limiter.schedule(() => Promise.resolve(void at.push(now - 10_000)))
  const workTimes = async (count: number) => {
    for (let i = 0; i < count; i++) await work()
    return at
  }
  return { limiter, work, workTimes }
}

describe('the rate of requests', () => {
  test('lets as many begin at once as one second allows, and then one after the other', async () => {
    expect(await world({ requestsPerSecond: 4 }).workTimes(8)).toEqual([0, 0, 0, 0, 0, 250, 500, 750])
  })

  test('has no limit by default', async () => {
    expect(await world().workTimes(500)).toEqual(Array.from({ length: 500 }, () => 0))
  })

  test('makes the others wait longer for a request that did not wait', async () => {
    const { limiter, workTimes } = world({ requestsPerSecond: 2 })
    for (let i = 0; i < 4; i++) limiter.countUrgent()
    expect(await workTimes(2)).toEqual([1_000, 1_500])
  })

  test('makes them wait for a second at most for any number of requests that did not wait', async () => {
    const { limiter, workTimes } = world({ requestsPerSecond: 1 })
    for (let i = 0; i < 100; i++) limiter.countUrgent()
    expect(await workTimes(2)).toEqual([1_000, 2_000])
  })

  test('takes no place for work that would begin too late', async () => {
    const { limiter, work, workTimes } = world({ requestsPerSecond: 1 })
    await workTimes(2)
    await expect(limiter.schedule(() => Promise.resolve(), 500)).rejects.toThrow(
      'more than `limits.requestsPerSecond` (1) requests are waiting; raise it',
    )
    expect(await workTimes(1)).toEqual([0, 0, 1_000])
    await work()
  })

  test('waits for the end of a pause that became longer meanwhile', async () => {
    let now = 0
    const extend = [2_000, 0]
    const clock = {
      now: () => now,
      sleep: (ms: number) => {
        now += ms
        limiter.pauseFor(extend.shift() ?? 0)
        return Promise.resolve()
      },
    }
    const limiter = createRateLimiter({ clock })
    limiter.pauseFor(1_000)
    await limiter.schedule(() => Promise.resolve())
    expect(now).toBe(3_000)
    limiter.pauseFor(1_000)
    extend.push(2_000)
    await expect(limiter.schedule(() => Promise.resolve(), 1_500)).rejects.toThrow(
      'the API server is busy (429) and asks to wait longer than this request may',
    )
  })

  test('names no key that the user has not set when the API server is slow', async () => {
    let now = 0
    const clock = { now: () => now, sleep: (ms: number) => Promise.resolve(void (now += ms)) }
    const limiter = createRateLimiter({ concurrency: 1, clock })
    const slow = limiter.schedule(() => Promise.resolve(void (now += 5_000)))
    const next = limiter.schedule(() => Promise.resolve(), 1_000)
    await slow
    await expect(next).rejects.toThrow('1 requests are under way, and the API server answers too late')
  })

  test('begins nothing while a busy server asks for a pause', async () => {
    const { limiter, workTimes } = world()
    limiter.pauseFor(3_000)
    expect(await workTimes(2)).toEqual([3_000, 3_000])
  })

  test('does not wait after a pause for the turns that it made void', async () => {
    vi.useFakeTimers({ now: 10_000 })
    const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
    const limiter = createRateLimiter({ requestsPerSecond: 5, clock: { now: Date.now, sleep } })
    const at: number[] = []
    const all = Array.from({ length: 20 }, () =>
      limiter.schedule(() => Promise.resolve(void at.push(Date.now() - 10_000))),
    )
    await vi.advanceTimersByTimeAsync(0)
    const before = at.length
    limiter.pauseFor(100)
    await vi.advanceTimersByTimeAsync(20_000)
    await Promise.all(all)
    vi.useRealTimers()
    expect(at[before]).toBeLessThan(500)
  })

  test('keeps its rate after a pause, for those that waited when it began and those that came in it', async () => {
    vi.useFakeTimers({ now: 10_000 })
    const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
    const limiter = createRateLimiter({ requestsPerSecond: 5, clock: { now: Date.now, sleep } })
    const at: number[] = []
    const ask = () => limiter.schedule(() => Promise.resolve(void at.push(Date.now() - 10_000)))
    const waiting = Array.from({ length: 10 }, ask)
    await vi.advanceTimersByTimeAsync(0)
    limiter.pauseFor(3_000)
    waiting.push(...Array.from({ length: 10 }, ask))
    await vi.advanceTimersByTimeAsync(20_000)
    await Promise.all(waiting)
    vi.useRealTimers()
    const atPauseEnd = at.filter((ms) => ms >= 3_000 && ms < 4_000)
    expect(at.filter((ms) => ms < 3_000)).toHaveLength(6)
    expect(atPauseEnd).toHaveLength(5)
    expect(at).toHaveLength(20)
  })

  test('lets only so many run at a time, also after one of them has failed', async () => {
    const { limiter } = world({ concurrency: 2 })
    let [running, most] = [0, 0]
    const work = async (fails: boolean) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      if (fails) throw new Error('no answer')
    }
    const outcomes = await Promise.allSettled(
      Array.from({ length: 9 }, (_, i) => limiter.schedule(() => work(i % 3 === 0))),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(6)
    expect(most).toBe(2)
  })
})
