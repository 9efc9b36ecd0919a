import { expect, test } from 'vitest'
import { htmlPage } from '../../../../src/report/html/page.ts'
import { promotionCharts } from '../../../../src/report/html/promotion-charts.ts'
import { emptyReport } from '../../../../src/report/report.ts'
import { promotionReportOf } from '../promotion-reports.ts'

const samples = Array.from({ length: 480 }, (_, i) => i)
const tally = () => ({ requests: samples.map((i) => 12_345.5 + i), failures: samples.map((i) => i % 7) })
const step = samples.map((i) => (i < 101 ? 0 : 1))
const promotion = promotionReportOf({
  timeline: {
    ...{ seconds: samples.map((i) => i * 30.123), lasted: samples.map(() => 30.123), step },
    weight: step.map((each) => (each === 0 ? 10 : 50)),
    ...{ canary: tally(), stable: tally(), users: tally(), evidence: {} },
  },
})
const page = (canaries: number) => {
  const promotions = Array.from({ length: canaries }, () => promotion)
  return htmlPage({ ...emptyReport('shop', new Date(0), false), promotions }, { script: '', style: '' })
}

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
