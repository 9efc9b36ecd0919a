import { describe, expect, test } from 'vitest'
import { checkResults } from '../../../../src/canary/analysis/check-results.ts'
import { addSample, createChecks } from '../../../../src/canary/analysis/checks.ts'
import { noRequests } from '../../../../src/canary/analysis/request-counts.ts'
import { planOf, served } from '../../fixtures.ts'

/** The part of each check in E before the first request. */
function stakes(more: string): Record<string, number> {
  const plan = planOf(more)
  const checks = { ...createChecks(plan), stableP99Ms: 500 }
  const results = checkResults(plan, checks, noRequests, noRequests)
  return Object.fromEntries(results.map(({ check, failEvidence }) => [check, failEvidence]))
}

describe('the stakes on the checks', () => {
  test.each([
    'steps: [10, 100]',
    'steps: [10, 100], checks: { p99: 500ms }',
    'steps: [10, 100], checks: { noWorseThanStable: false }',
    'steps: [100], mirror: { percent: 10% }',
    'steps: [100], checks: { p99: 500ms }',
  ])('are the whole stake: %s', (plan) => {
    expect(Object.values(stakes(plan)).reduce((sum, each) => sum + each, 0)).toBeCloseTo(1, 10)
  })

  test('are on every check that the plan asks for', () => {
    const all = stakes('steps: [10, 100], checks: { p99: 500ms }')
    expect(Object.keys(all)).toEqual(['success rate', 'p99', 'failures vs stable', 'latency vs stable'])
    expect(Math.min(...Object.values(all))).toBeGreaterThan(0.05)
    expect(all['success rate']).toBeGreaterThan(0.4)
  })

  test('are not on a comparison where stable never serves at the same time', () => {
    expect(stakes('steps: [100]')).toEqual({ 'success rate': 1, 'failures vs stable': 0, 'latency vs stable': 0 })
    expect(stakes('steps: [100], mirror: { percent: 10% }')['failures vs stable']).toBeGreaterThan(0.1)
  })
})

test('two failures of the first four requests are enough where stable never serves', () => {
  const plan = planOf('steps: [100]')
  const sample = {
    canary: served(4, 2),
    stable: noRequests,
    alone: true,
    isChosen: false,
    stableTimes: noRequests.times,
  }
  const checks = addSample(plan, createChecks(plan), sample)
  expect(checkResults(plan, checks, served(4, 2), noRequests)[0]).toMatchObject({ verdict: 'fail' })
})
