import { describe, expect, test } from 'vitest'
import { requestsToCertify } from '../../../../src/canary/analysis/checks.ts'
import { describeTooLittleTraffic } from '../../../../src/canary/load/traffic-need.ts'
import { planOf } from '../../fixtures.ts'

const warningOf = (more: string, rate: number) => describeTooLittleTraffic(planOf(more), rate)

describe('the requests that certify a canary', () => {
  test('are fewer with a larger tolerance, and more where the latency is judged after a warm-up', () => {
    const needed = (more: string) => requestsToCertify(planOf(more))
    const failures = needed('checks: { noWorseThanStable: false }')
    expect(failures).toBeGreaterThan(150)
    expect(needed('checks: { noWorseThanStable: false, tolerance: 4 }')).toBeLessThan(failures / 1.8)
    expect(needed('warmup: 500')).toBeGreaterThan(500)
  })
})

describe('a plan that the traffic', () => {
  test('supports has no warning', () => {
    expect(warningOf('', 10)).toBeUndefined()
    expect(warningOf('steps: [10], warmup: 0', 0.1)).toBeUndefined()
  })

  test('cannot support has one: the requests needed, those it gets, and what to change', () => {
    const warning = warningOf('steps: [50, 100], warmup: 0, interval: 10s, progressDeadline: 30s', 2)
    expect(warning).toMatch(
      /^backend gets 2 requests a second, which is too few for this plan: a canary without a failure needs about \d+ requests to be promoted, and gets 40 until `progressDeadline`; set `progressDeadline: 4m` or more, raise/,
    )
  })

  test('supports with that deadline has none', () => {
    expect(warningOf('steps: [50, 100], warmup: 0, interval: 10s, progressDeadline: 4m', 2)).toBeUndefined()
  })

  test('does not support before the last step only needs a mirror, or load', () => {
    const plan = 'steps: [100], warmup: 0, interval: 10s, progressDeadline: 30s'
    expect(warningOf(plan, 2)).toContain('gets 80 until')
    expect(warningOf(`${plan}, mirror: { percent: 50% }`, 2)).toContain('gets 40 until')
    expect(describeTooLittleTraffic({ ...planOf(plan), load: { path: '/' } }, 2)).toBeUndefined()
  })

  test('does not reach at all asks for requests', () => {
    expect(warningOf('', 0)).toMatch(/; send requests, or let `load` add them$/)
    expect(warningOf('checks: { minRequests: 0 }', 0)).toBeUndefined()
  })
})
