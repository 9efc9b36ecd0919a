// The charts of one promotion, from its report. Pure.
import type { CheckResult } from '../../canary/analysis/check-results.ts'
import { evidenceText } from '../../statistics/evidence.ts'
import { inPercent } from '../../statistics/percent.ts'
import type { PromotionReport, StepReport } from '../report.ts'
import type { TimelineReport } from '../timeline-report.ts'
import { niceMost, round } from './axis.ts'
import type { ChartSpec, Series } from './chart-spec.ts'
import { latencyChart } from './latency-chart.ts'
import { successRates } from './success-rates.ts'
import { verdictName } from '../headline.ts'

/** `group`: a name that no other promotion of the page has. `most`: about how many samples a chart shows. */
export function promotionCharts(promotion: PromotionReport, group: string, most = Infinity): ChartSpec[] {
  const { timeline, latency, checks } = promotion
  const spreads = latency ? [latencyChart(promotion, latency, group)] : []
  if (!timeline || timeline.seconds.length === 0) return spreads
  const over = { group, x: timeline.seconds, xName: 'seconds', marks: marksOf(promotion) }
  const charts = [
    trafficChart(promotion, timeline),
    rateChart(promotion, timeline),
    successChart(promotion, timeline),
    ...failureChart(promotion, timeline),
    ...checks.flatMap((check) => evidenceChart(check, timeline)),
  ]
  const shown = shownSamples(timeline, most)
  return [...charts.map((chart, i) => withSamples({ ...over, ...chart, id: `${group}-${i}` }, shown)), ...spreads]
}

/** The indices of every n-th sample, of those around the start of a step, and of the last one. */
function shownSamples({ seconds, step }: TimelineReport, most: number): number[] {
  const every = Math.max(1, Math.ceil(seconds.length / most))
  const isEdge = (i: number) => step[i] !== step[i - 1] || step[i] !== step[i + 1]
  return [...seconds.keys()].filter((i) => i % every === 0 || isEdge(i))
}

/** Each value of a chart over time holds at its moment, so that others can be left out. */
function withSamples(chart: ChartSpec, shown: number[]): ChartSpec {
  const pick = <T>(values: T[]) => shown.map((i) => values[i]!)
  const series = chart.series.map(({ low, high, values, ...rest }) => ({
    ...rest,
    values: pick(values),
    ...(low && high ? { low: pick(low), high: pick(high) } : {}),
  }))
  return { ...chart, x: pick(chart.x), series }
}

type OverTime = Omit<ChartSpec, 'id' | 'group' | 'x' | 'xName' | 'marks'>

/** The start of each step, and the end of the last one. */
function marksOf({ steps, verdict }: PromotionReport): NonNullable<ChartSpec['marks']> {
  const last = steps.at(-1)
  const starts = steps.map((step) => ({ x: step.startSeconds, label: markName(step) }))
  return last ? [...starts, { x: last.startSeconds + last.seconds, label: verdictName(verdict) }] : starts
}

function markName({ kind, weight }: StepReport): string {
  if (kind === 'ab') return 'match'
  return kind === 'mirror' ? `copies ${weight}%` : `${weight}%`
}

function trafficChart({ canary }: PromotionReport, timeline: TimelineReport): OverTime {
  const shares = observedShares(timeline)
  const most = Math.max(...timeline.weight, ...shares.map((share) => share ?? 0))
  return {
    title: 'Weight and observed share',
    unit: '%',
    scale: { kind: 'linear', low: 0, high: Math.min(100, niceMost([1.2 * most])) },
    series: [
      { name: `weight of ${canary}`, role: 'asked', draw: 'stairs', values: timeline.weight },
      { name: `observed share, of ${windowSeconds} s`, role: 'canary', draw: 'line', values: shares },
    ],
  }
}

/** A single second has few requests, and no poll takes as long as the one before. So values are of the last seconds. */
const windowSeconds = 5

/** Sums over the window that ends with each sample, of the same step only. */
function windows(timeline: TimelineReport): { seconds: number; canary: number; stable: number }[] {
  const { seconds, step, lasted, canary, stable } = timeline
  let first = 0
  const sum = (values: number[], end: number) => values.slice(first, end + 1).reduce((total, each) => total + each, 0)
  return seconds.map((now, i) => {
    while (first < i && (step[first] !== step[i] || seconds[first]! <= now - windowSeconds)) first++
    return { seconds: sum(lasted, i), canary: sum(canary.requests, i), stable: sum(stable.requests, i) }
  })
}

/** The canary's share of the requests in per cent. */
function observedShares(timeline: TimelineReport): (number | null)[] {
  return windows(timeline).map(({ canary, stable }) =>
    canary + stable > 0 ? inPercent(canary / (canary + stable)) : null,
  )
}

function rateChart({ canary, stable }: PromotionReport, timeline: TimelineReport): OverTime {
  const all = windows(timeline)
  const rates = (version: 'canary' | 'stable') =>
    all.map((window) => round(window[version] / Math.max(window.seconds, 0.001), 2))
  const [ofCanary, ofStable] = [rates('canary'), rates('stable')]
  return {
    title: 'Requests by version',
    unit: 'per second',
    scale: { kind: 'linear', low: 0, high: niceMost([...ofCanary, ...ofStable]) },
    series: bothVersions(canary, stable, ofCanary, ofStable),
  }
}

function bothVersions(canary: string, stable: string, ofCanary: number[], ofStable: number[]): Series[] {
  return [
    { name: canary, role: 'canary', draw: 'line', values: ofCanary },
    { name: stable, role: 'stable', draw: 'line', values: ofStable },
  ]
}

function successChart({ canary, stable }: PromotionReport, timeline: TimelineReport): OverTime {
  const ofCanary = successRates(timeline.canary)
  const ofStable = successRates(timeline.stable)
  // The first requests say little: the scale is that of the second half.
  const settled = [ofCanary, ofStable].flatMap(({ low }) => low.slice(low.length / 2)).filter((each) => each !== null)
  const low = Math.floor(Math.min(...settled, 99))
  return {
    title: 'Success since the start, with 95% intervals',
    unit: '%',
    scale: { kind: 'linear', low, high: 100 },
    series: [
      { name: canary, role: 'canary', draw: 'line', ...ofCanary },
      { name: stable, role: 'stable', draw: 'line', ...ofStable },
    ],
  }
}

/** Nothing to draw without a failure. */
function failureChart({ canary, stable }: PromotionReport, timeline: TimelineReport): OverTime[] {
  const sums = ({ failures }: { failures: number[] }) => {
    let sum = 0
    return failures.map((count) => round((sum += count), 2))
  }
  const [ofCanary, ofStable, ofUsers] = [sums(timeline.canary), sums(timeline.stable), sums(timeline.users)]
  const most = Math.max(ofCanary.at(-1)!, ofStable.at(-1)!, ofUsers.at(-1)!)
  if (most === 0) return []
  return [
    {
      title: 'Failed requests so far',
      unit: 'requests',
      scale: { kind: 'linear', low: 0, high: niceMost([most]) },
      series: [
        { name: 'users, after retries', role: 'users', draw: 'stairs', values: ofUsers },
        { name: canary, role: 'canary', draw: 'stairs', values: ofCanary },
        { name: stable, role: 'stable', draw: 'stairs', values: ofStable },
      ],
    },
  ]
}

/** E below this says no more than "no evidence". */
const leastE = 0.01

function evidenceChart({ check, failThreshold, passThreshold }: CheckResult, timeline: TimelineReport): OverTime[] {
  const found = timeline.evidence[check]
  if (!found) return []
  const most = Math.max(failThreshold, passThreshold, ...[...found.fail, ...found.pass].map((each) => each ?? 0))
  return [
    {
      title: `Evidence: ${check}`,
      unit: 'E',
      scale: { kind: 'log', low: leastE, high: 10 ** Math.min(6, Math.floor(Math.log10(most)) + 1) },
      series: [
        { name: 'against the canary', role: 'against', draw: 'line', values: found.fail },
        { name: 'for the canary', role: 'for', draw: 'line', values: found.pass },
      ],
      limits: [
        { name: `fails at ${evidenceText(failThreshold)}`, role: 'against', value: failThreshold },
        { name: `passes at ${evidenceText(passThreshold)}`, role: 'for', value: passThreshold },
      ],
    },
  ]
}
