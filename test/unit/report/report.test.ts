import { expect, test } from 'vitest'
import type { Promotion } from '../../../src/canary/promote.ts'
import { next, start, sum, type Observation } from '../../../src/canary/machine.ts'
import { promotionReport } from '../../../src/report/report.ts'
import { planOf, served, servedByStable } from '../fixtures.ts'

const plan = planOf('interval: 2s, tick: 1s, steps: [50, 100]')

/** The promotion that the machine makes of what these seconds saw at the canary: requests, and failures among them. */
function promotionOf(seconds: [requests: number, failures: number][]): Promotion {
  const state = seconds.reduce((before, [requests, failures], i) => {
    const canary = served(requests, failures)
    const stable = before.weight === 0 ? served(0) : servedByStable(before.weight, requests)
    const observation: Observation = { canary, stable, users: sum(canary, stable), ready: true, complete: true }
    return next(plan, before, observation, 11_000 + i * 1_000).state
  }, start(plan, 0, 10_000))
  return { ...state, namespace: 'shop', service: 'backend' }
}

test('a promotion is told in seconds from its beginning, step by step', () => {
  const promotion = promotionOf([[0, 0], [20, 0], [20, 0], [20, 0], [20, 0], [20, 0], [20, 0]])
  expect(promotion.verdict).toBe('promoted')
  expect(promotionReport(promotion, 'v1', 'v2')).toEqual({
    service: 'backend',
    stable: 'v1',
    canary: 'v2',
    steps: [
      { weight: 50, startSeconds: 1, seconds: 3, canary: served(60), stable: served(60), outcome: 'passed' },
      { weight: 100, startSeconds: 4, seconds: 3, canary: served(60), stable: served(0), outcome: 'passed' },
    ],
    requestsObserved: 120,
    userRequests: { total: 180, failed: 0 },
  })
})

test('one that failed tells how long it took to find out, and to be safe', () => {
  const failed = { ...promotionOf([[0, 0], [1, 0], [9, 9]]), secondsToSafe: 0.4 }
  expect(promotionReport(failed, 'v1', 'v2')).toMatchObject({
    steps: [{ weight: 50, startSeconds: 1, seconds: 2, canary: served(10, 9), outcome: 'failed' }],
    requestsObserved: 10,
    userRequests: { total: 20, failed: 9 },
    secondsToDetect: 1,
    secondsToSafe: 0.4,
  })
})

test('a step that is still under way has lasted nothing yet, rather than a number that is none', () => {
  expect(promotionReport(promotionOf([[0, 0], [5, 0]]), 'v1', 'v2').steps).toMatchObject([{ seconds: 0, outcome: 'watching' }])
})
