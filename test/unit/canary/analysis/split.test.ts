import { describe, expect, test } from 'vitest'
import { skippedState } from '../../../../src/canary/state/start.ts'
import type { EndedStep } from '../../../../src/canary/state/types.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { promotionReport } from '../../../../src/report/report.ts'
import { splitWarnings } from '../../../../src/stages/promote.ts'
import { planOf } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

const plan = planOf('steps: [5, 25, 50, 75, 90, 100]')

/** The warnings about a promotion in which the canary served this number of the requests of each step. */
function warnings(requests: number, canary: (weight: number) => number): string[] {
  const steps = plan.steps.map(
    (weight): EndedStep => ({
      kind: 'weight',
      weight,
      from: 0,
      shiftedAt: 0,
      endedAt: 1,
      canary: noRequests,
      stable: noRequests,
      watched: { since: 0, canary: canary(weight), stable: requests - canary(weight) },
      outcome: 'passed',
    }),
  )
  return splitWarnings(
    promotionReport({ ...skippedState(plan, 0, 0, ''), steps, verdict: 'promoted', plan, namespace: 'shop' }),
  )
}

describe('a split that does not fit its weight', () => {
  test.each([60, 150])(
    'is reported of at most one in a hundred promotions that split correctly, with %d requests a step',
    (requests) => {
      const random = randomFrom(23)
      const drawn = (weight: number) =>
        Array.from({ length: requests }, () => 100 * random()).filter((each) => each < weight).length
      let warned = 0
      for (let promotion = 0; promotion < 400; promotion++) {
        const counts = new Map(plan.steps.map((weight) => [weight, drawn(weight)]))
        if (warnings(requests, (weight) => counts.get(weight)!).length > 0) warned++
      }
      expect(warned).toBeLessThanOrEqual(4)
    },
  )

  test('is reported when a fifth of the requests go elsewhere', () => {
    expect(warnings(150, (weight) => 0.8 * weight * 1.5)).toContain(
      'at weight 100 v2 served 80% of the requests of backend: something other than the moved routes decides which version serves, such as another VirtualService, or callers that address the pods',
    )
  })

  test('is not reported when the difference is certain but small', () => {
    expect(warnings(10_000, (weight) => 100 * Math.max(0, weight - 4))).toEqual([])
  })
})
