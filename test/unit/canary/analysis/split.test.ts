import { describe, expect, test } from 'vitest'
import { initialState, type Step } from '../../../../src/canary/state/machine.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { promotionReport } from '../../../../src/report/report.ts'
import { splitWarnings } from '../../../../src/stages/promote.ts'
import { planOf } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('steps: [5, 25, 50, 75, 90, 100]')

/** What is doubted of a promotion in which the canary served so many of the requests of each step. */
function doubts(requests: number, canary: (weight: number) => number): string[] {
  const steps = plan.steps.map(
    (weight): Step => ({
      kind: 'weight',
      weight,
      from: 0,
      shiftedAt: 0,
      watchedFrom: 0,
      endedAt: 1,
      canary: noRequests,
      stable: noRequests,
      watched: { canary: canary(weight), stable: requests - canary(weight) },
      outcome: 'passed',
    }),
  )
  return splitWarnings(
    promotionReport({ ...initialState(plan, 0, 0), steps, verdict: 'promoted', plan, namespace: 'shop' }),
  )
}

describe('warnings about a split that does not follow the weight', () => {
  test.each([60, 150])(
    'is not told of more than one in a hundred promotions that split as they should, with %d requests a step',
    (requests) => {
      const random = randomFrom(23)
      const drawn = (weight: number) =>
        Array.from({ length: requests }, () => 100 * random()).filter((each) => each < weight).length
      let doubted = 0
      for (let promotion = 0; promotion < 400; promotion++) {
        const counts = new Map(plan.steps.map((weight) => [weight, drawn(weight)]))
        if (doubts(requests, (weight) => counts.get(weight)!).length > 0) doubted++
      }
      expect(doubted).toBeLessThanOrEqual(4)
    },
  )

  test('is told where a fifth of the requests go elsewhere', () => {
    expect(doubts(150, (weight) => 0.8 * weight * 1.5)).toContain(
      'at weight 100 v2 served 80% of the requests of backend: something other than the moved routes decides which version serves, such as another VirtualService, or callers that address the pods',
    )
  })

  test('is not told for a difference that is sure, and small', () => {
    expect(doubts(10_000, (weight) => 100 * Math.max(0, weight - 4))).toEqual([])
  })
})
