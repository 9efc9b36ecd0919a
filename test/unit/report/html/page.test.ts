import { expect, test } from 'vitest'
import { htmlPage } from '../../../../src/report/html/page.ts'
import { promotionCharts } from '../../../../src/report/html/promotion-charts.ts'
import { emptyReport } from '../../../../src/report/report.ts'
import { summary } from '../../../../src/report/summary.ts'
import { promotionReportOf, stepReportOf } from '../promotion-reports.ts'

const samples = Array.from({ length: 480 }, (_, i) => i)
const tally = () => ({ requests: samples.map((i) => 12_345.5 + i), failures: samples.map((i) => i % 7) })
const step = samples.map((i) => (i < 101 ? 0 : 1))
const promotion = promotionReportOf({
  timeline: {
    seconds: samples.map((i) => i * 30.123),
    lasted: samples.map(() => 30.123),
    step,
    weight: step.map((each) => (each === 0 ? 10 : 50)),
    canary: tally(),
    stable: tally(),
    users: tally(),
    evidence: {},
  },
})
const page = (canaries: number) => {
  const promotions = Array.from({ length: canaries }, () => promotion)
  return htmlPage({ ...emptyReport('shop', new Date(0), false), promotions }, { script: '', style: '' })
}

const without = { script: '', style: '' }

test('the page says what needs JavaScript, and offers no empty table without it', () => {
  const text = page(1)
  expect(text).toContain('The charts, and the tables of their values, need JavaScript.')
  expect(text.match(/<figure /g)).toHaveLength(text.match(/<details hidden>/g)!.length)
})

test('the page and the summary say the same of a pod that the promotion is to judge', () => {
  const pod = { name: 'a', ready: '1/2', sidecar: 'native', ok: false, restarts: 0 } as const
  const report = { ...emptyReport('shop', new Date(0), false), pods: [pod] }
  expect(htmlPage(report, without)).toContain('<span class="open">left to the checks of the promotion</span>')
  expect(summary(report)).toContain('| left to the checks of the promotion |')
})

test('the page and the summary have the same tables of a promotion', () => {
  const check = {
    canary: { requests: 200, violations: 1 },
    stable: { requests: 400, violations: 0 },
    verdict: 'pass',
  } as const
  const evidence = { failEvidence: 99.97, failThreshold: 100, passEvidence: 12_345, passThreshold: 20 }
  const judged = promotionReportOf({ steps: [stepReportOf({})], checks: [{ check: 'p99', ...check, ...evidence }] })
  const report = { ...emptyReport('shop', new Date(0), false), promotions: [judged] }
  const cells = [...htmlPage(report, without).matchAll(/<t[hd][^>]*>([^<]*)</g)].map(([, text]) => text)
  for (const row of [
    '| 5% | 1 | 10.0 | 200 | 99.5% | 600 | 100% | – | passed |',
    '| p99 | 1 of 200 | 0 of 400 | 99.9 of 100 | 1.2e+4 of 20 | pass |',
  ]) {
    expect(summary(report)).toContain(row)
    expect(cells).toEqual(
      expect.arrayContaining(
        row
          .split('|')
          .map((cell) => cell.trim())
          .filter(Boolean),
      ),
    )
  }
})

test('the page of many canaries stays small, and says that it leaves out samples', () => {
  expect(page(50).length).toBeLessThan(10 * page(1).length)
  expect(page(50)).toContain('the charts leave out samples')
  expect(page(5)).not.toContain('the charts leave out samples')
})

test('charts that leave out samples keep the starts of the steps and the end', () => {
  const all = promotionCharts(promotion, 'p')
  const few = promotionCharts(promotion, 'p', 48)
  expect(all[0]!.x).toHaveLength(480)
  expect(few[0]!.x.length).toBeLessThan(60)
  const weights = few[0]!.x.map((x, i) => [x, few[0]!.series[0]!.values[i]])
  expect(weights).toContainEqual([100 * 30.123, 10])
  expect(weights).toContainEqual([101 * 30.123, 50])
  expect(weights.at(-1)).toEqual([479 * 30.123, 50])
  expect(few.map(({ series }) => series[0]!.low?.length)).toContain(few[0]!.x.length)
})
