import { expect, test } from 'vitest'
import { missingRate } from '../../../../src/canary/load/demand.ts'

// 300 requests in a step of 30 s are 10 per second; at 25 % the canary gets them out of 40 per second.
const demand = { needed: 300, stepMs: 30_000, weight: 25, fromUsers: 0, seconds: 10 }

test.each<[string, Parameters<typeof missingRate>[0], number]>([
  ['everything when users send nothing', demand, 40],
  ['everything before the first sample', { ...demand, seconds: 0 }, 40],
  ['the rest of what users send, rounded up', { ...demand, fromUsers: 105 }, 30],
  ['nothing when users send enough', { ...demand, fromUsers: 500 }, 0],
  ['nothing while the canary gets no share', { ...demand, weight: 0 }, 0],
  ['no more than the limit', { ...demand, weight: 1 }, 100],
])('the generator adds %s', (_, given, rate) => {
  expect(missingRate(given, 100)).toBe(rate)
})
