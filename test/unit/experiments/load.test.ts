// How many requests of its own an experiment sends.
import { expect, test } from 'vitest'
import { aimed, wantedRate } from '../../../src/experiments/load.ts'
import { FakeClock } from '../fake-clock.ts'
import { experimentOf } from './fixtures.ts'

test('more are wanted for less time, a stricter limit, or a steady state with more requests', () => {
  const base = wantedRate(experimentOf())
  expect(wantedRate({ ...experimentOf(), duration: 10_000 })).toBeCloseTo(2 * base)
  expect(wantedRate(experimentOf('expect: { successRate: 90% }'))).toBeLessThan(base)
  expect(wantedRate(experimentOf('minRequests: 5000'))).toBe(1000)
})

test('requests of users are not sent again, and no more than the limit', () => {
  const clock = new FakeClock()
  let [rate, answered] = [0, 0]
  const generator = { setRate: (each: number) => (rate = each), takeAnswered: () => answered, stop: () => undefined }
  const load = aimed(generator, 40, 100, clock)
  expect(rate).toBe(40)

  clock.time = 1_000
  answered = 40
  load.aim(55)
  expect(rate).toBe(25)

  clock.time = 3_000
  answered = 50
  load.aim(250)
  expect(rate).toBe(0)

  expect(aimed(generator, 400, 100, clock)).toBeDefined()
  expect(rate).toBe(100)
})
