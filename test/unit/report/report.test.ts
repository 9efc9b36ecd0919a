import { expect, test } from 'vitest'
import { next } from '../../../src/canary/state/machine.ts'
import { initialState } from '../../../src/canary/state/start.ts'
import type { Observation, State } from '../../../src/canary/state/types.ts'
import type { Promotion } from '../../../src/canary/controller/context.ts'
import { addRequests } from '../../../src/canary/analysis/request-counts.ts'
import { promotionReport, worstPromotion, type PromotionReport } from '../../../src/report/report.ts'
import { planOf, served, servedByStable } from '../fixtures.ts'

const plan = planOf('interval: 3s, pollInterval: 1s, steps: [50, 100], checks: { tolerance: 10 }')

/** The promotion that results from these seconds: requests of the canary, and failures among them. */
function promotionOf(seconds: [requests: number, failures: number][]): Promotion {
  const state = seconds.reduce<State>(
    (before, [requests, failures], i) => {
      const canary = served(requests, failures)
      const stable = before.weight === 0 ? served(0) : servedByStable(before.weight, requests)
      const observation: Observation = {
        canary,
        stable,
        users: addRequests(canary, stable),
        ready: true,
        complete: true,
        findings: [],
        gates: {},
      }
      return next(plan, before, observation, 11_000 + i * 1_000).state
    },
    initialState(plan, 0, 10_000),
  )
  return { ...state, plan, namespace: 'shop' } as Promotion
}

test('the report of a promotion lists its steps in seconds from its start', () => {
  const promotion = promotionOf([
    [0, 0],
    [20, 0],
    [20, 0],
    [20, 0],
    [20, 0],
    [20, 0],
    [20, 0],
  ])
  expect(promotion.verdict).toBe('promoted')
  expect(promotionReport(promotion)).toMatchObject({
    service: 'backend',
    stable: 'v1',
    canary: 'v2',
    verdict: 'promoted',
    weight: 100,
    reason: 'every step passed its checks',
    steps: [
      {
        kind: 'weight',
        weight: 50,
        startSeconds: 1,
        seconds: 3,
        canary: { requests: 60, failures: 0 },
        stable: { requests: 60, failures: 0 },
        split: { observed: 50, fits: true },
        outcome: 'passed',
      },
      {
        kind: 'weight',
        weight: 100,
        startSeconds: 4,
        seconds: 3,
        canary: { requests: 60, failures: 0 },
        stable: { requests: 0, failures: 0 },
        split: { observed: 100, fits: true },
        outcome: 'passed',
      },
    ],
    requestsObserved: 120,
    userRequests: { total: 180, failed: 0 },
  })
})

test('the report of a failed promotion has the seconds until detection and until all traffic was safe', () => {
  const failed = {
    ...promotionOf([
      [0, 0],
      [1, 0],
      [29, 29],
    ]),
    secondsToSafe: 0.4,
  }
  expect(promotionReport(failed)).toMatchObject({
    steps: [{ weight: 50, startSeconds: 1, seconds: 2, canary: { requests: 30, failures: 29 }, outcome: 'failed' }],
    requestsObserved: 30,
    userRequests: { total: 60, failed: 29 },
    secondsToDetect: 1,
    secondsToSafe: 0.4,
  })
})

test('the report of a step in progress has 0 seconds, not NaN', () => {
  expect(
    promotionReport(
      promotionOf([
        [0, 0],
        [5, 0],
      ]),
    ).steps,
  ).toMatchObject([{ seconds: 0, outcome: 'watching' }])
})

test('the worst verdict of several promotions is that of the run', () => {
  const of = (verdict: PromotionReport['verdict']) => ({ verdict }) as PromotionReport
  expect(worstPromotion([of('promoted'), of('held'), of('skipped')])?.verdict).toBe('held')
  expect(worstPromotion([of('inconclusive'), of('rolled-back'), of('promoted')])?.verdict).toBe('rolled-back')
  expect(worstPromotion([])).toBeUndefined()
})

test('a promotion that was only rolled back with another one does not decide the verdict of the run', () => {
  const companion = { verdict: 'rolled-back', rolledBackWith: 'reviews' } as PromotionReport
  const cause = { verdict: 'inconclusive' } as PromotionReport
  expect(worstPromotion([companion, { verdict: 'skipped' } as PromotionReport, cause])).toBe(cause)
})
