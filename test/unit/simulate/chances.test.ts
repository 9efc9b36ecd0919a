// The chances of a plan by simulation, and how they are shown.
import { describe, expect, test } from 'vitest'
import { chancesChart } from '../../../src/simulate/chart.ts'
import { chancesOf, failureRates, stableFailing, type Chances } from '../../../src/simulate/chances.ts'
import { chancesTable } from '../../../src/simulate/table.ts'
import { planOf } from '../fixtures.ts'

const plan = planOf('interval: 10s, pollInterval: 1s, warmup: 0')

describe('the failure rates', () => {
  test('go from none to all, and include the limit and what is tolerated', () => {
    const rates = failureRates(plan)
    expect([rates[0], rates.at(-1)]).toEqual([0, 1])
    expect(rates).toEqual(expect.arrayContaining([0.01, 0.02]))
    expect(rates).toEqual(rates.toSorted((a, b) => a - b))
  })

  test('of a lenient limit are at most 1', () => {
    expect(Math.max(...failureRates(planOf('checks: { successRate: 60% }')))).toBe(1)
  })

  test('of stable are within a strict limit', () => {
    expect(stableFailing(planOf('checks: { successRate: 99.99% }'))).toBeCloseTo(0.00005, 10)
  })
})

describe('the chances', () => {
  const at = (rate: number, more = '', load?: { path: string }) => {
    const by = { ...planOf(`interval: 10s, pollInterval: 1s, warmup: 0, ${more}`), ...(load ? { load } : {}) }
    return new Map(chancesOf(by, rate, 40).map((each) => [each.failing, each]))
  }

  test('of a plan with enough traffic promote a good canary, and none that is worse than tolerated', () => {
    const chances = at(50)
    expect(chances.get(0)!.promoted).toBe(1)
    for (const [failing, { promoted }] of chances) if (failing >= 0.02) expect(promoted).toBeLessThanOrEqual(0.05)
    expect(chances.get(1)).toMatchObject({ rolledBack: 1, promoted: 0 })
    expect(chances.get(1)!.failedRequests).toBeGreaterThan(0)
  })

  test('with few requests are mostly inconclusive, and better with synthetic ones', () => {
    expect(at(0.5).get(0)!.inconclusive).toBe(1)
    expect(at(0.5, '', { path: '/' }).get(0)!.promoted).toBe(1)
  })

  test('of a plan that stops below 100 count what is held as planned', () => {
    expect(at(50, 'until: 25').get(0)).toMatchObject({ promoted: 1 })
  })

  test('count no copies among the failed requests of users', () => {
    expect(at(50, 'mirror: { percent: 100% }').get(1)).toMatchObject({ rolledBack: 1, failedRequests: 0 })
  })

  test('are the same each time', () => {
    expect(chancesOf(plan, 10, 10)).toEqual(chancesOf(plan, 10, 10))
  })
})

const two: Chances[] = [
  { failing: 0, promoted: 0.75, rolledBack: 0, inconclusive: 0.25, seconds: 60, failedRequests: 0 },
  { failing: 0.2, promoted: 0, rolledBack: 1, inconclusive: 0, seconds: 4, failedRequests: 3 },
]

test('the table has a line for each failure rate, with a bar of its shares', () => {
  const lines = chancesTable(two).split('\n')
  expect(lines[1]).toMatch(/^ +0% +75% +0% +25% +60 s +0 {2}█{15}▒{5}$/)
  expect(lines[2]).toMatch(/^ +20% +0% +100% +0% +4 s +3 {2}·{20}$/)
})

test('the picture has a column for each failure rate, and parts only for what happens', () => {
  const svg = chancesChart('a <b>', two)
  expect(svg.match(/<rect x=/g)).toHaveLength(3)
  expect(svg).toContain('a &lt;b&gt;')
  expect(svg).toContain('>20%<')
})
