// Draws what the HTML report shows of real runs (test/fixtures/reports), for docs/html-report.md: the same sentence, and the
// same charts from the same data. What a browser makes of the pages is in out/report/ after `npm test -- test/browser`.
import { readFileSync } from 'node:fs'
import type { ChartSpec, Role, Series } from '../src/report/html/chart-spec.ts'
import { promotionCharts } from '../src/report/html/promotion-charts.ts'
import { headline, type Headline } from '../src/report/headline.ts'
import type { Report } from '../src/report/report.ts'
import { atEnd, opening, text } from '../src/simulate/svg.ts'
import { axisMarks, colours, line, middle, type Point } from './svg.ts'

export function reportPictures(): { file: string; text: string }[] {
  return ['promoted', 'rolled-back'].map((name) => {
    const report = JSON.parse(readFileSync(`test/fixtures/reports/${name}.json`, 'utf8')) as Report
    return { file: `docs/report-${name}.svg`, text: picture(report) }
  })
}

const cell = { width: 450, height: 264 }
const plot = { left: 52, right: 430, top: 42, bottom: 188 }
const headHeight = 96
const tones: Record<Headline['tone'], string> = { good: colours.good, bad: colours.failures, open: colours.faint }
const roles: Record<Role, string> = {
  canary: '#0969da',
  stable: '#57606a',
  asked: colours.text,
  users: '#8250df',
  against: colours.failures,
  for: colours.good,
  undecided: colours.faint,
}

/** Two charts side by side, under the verdict. */
function picture(report: Report): string {
  const { tone, verdict, sentence, reason = '' } = headline(report)
  const charts = promotionCharts(report.promotions[0]!, 'p0')
  const size = { width: 2 * cell.width, height: headHeight + Math.ceil(charts.length / 2) * cell.height }
  return [
    ...opening(size, `${sentence}: ${reason}`),
    text(20, 26, verdict, `font-weight="600" fill="${tones[tone]}"`),
    text(20, 52, sentence, `font-size="19" font-weight="600" fill="${colours.text}"`),
    text(20, 76, reason.length > 128 ? `${reason.slice(0, 127)}…` : reason, `fill="${colours.text}"`),
    ...charts.flatMap((chart, i) => [
      `<g transform="translate(${(i % 2) * cell.width} ${headHeight + Math.floor(i / 2) * cell.height})">`,
      ...draw(chart),
      '</g>',
    ]),
    '</svg>\n',
  ].join('\n')
}

/** From the values of a chart to pixels. */
type Scale = { x: (value: number) => number; y: (value: number) => number }

function scaleOf({ x, scale, categories }: ChartSpec): Scale {
  const first = categories ? -0.5 : 0
  const last = categories ? categories.length - 0.5 : x.at(-1)!
  const [low, high] = scale.kind === 'log' ? [Math.log10(scale.low), Math.log10(scale.high)] : [scale.low, scale.high]
  const level = (value: number) => (scale.kind === 'log' ? Math.log10(Math.max(value, scale.low)) : value)
  const within = (part: number) => Math.min(1, Math.max(0, part))
  return {
    x: (value) => plot.left + ((plot.right - plot.left) * (value - first)) / (last - first),
    y: (value) => plot.bottom - (plot.bottom - plot.top) * within((level(value) - low) / (high - low)),
  }
}

function draw(chart: ChartSpec): string[] {
  const { title, series, limits = [], marks = [] } = chart
  const scale = scaleOf(chart)
  return [
    text(14, 22, title, `font-size="14" font-weight="600" fill="${colours.text}"`),
    ...levels(chart).flatMap(({ value, label }) => grid(scale.y(value), label)),
    ...bottomAxis(chart, scale),
    ...marks.map(({ x }) => upright(scale.x(x))),
    ...limits.map(({ value, role }) => level(scale.y(value), roles[role])),
    ...series.flatMap((each) => drawSeries(each, chart, scale)),
    ...series.map(({ name, role }, i) => text(14, 222 + 16 * i, `■ ${name}`, `font-size="11" fill="${roles[role]}"`)),
  ]
}

function levels({ scale: { kind, low, high }, unit }: ChartSpec): { value: number; label: string }[] {
  if (kind === 'log') {
    const powers = Math.round(Math.log10(high / low))
    return Array.from({ length: powers + 1 }, (_, i) => low * 10 ** i).map((value) => ({ value, label: `${value}` }))
  }
  const label = (value: number) => `${Number(value.toPrecision(3))}${unit === '%' ? '%' : ''}`
  return [low, (low + high) / 2, high].map((value) => ({ value, label: label(value) }))
}

function grid(y: number, label: string): string[] {
  return [
    `<line x1="${plot.left}" y1="${y.toFixed(1)}" x2="${plot.right}" y2="${y.toFixed(1)}" stroke="${colours.grid}"/>`,
    text(plot.left - 6, y + 4, label, `font-size="11" fill="${colours.faint}" ${atEnd}`),
  ]
}

function upright(x: number): string {
  return `<line x1="${x.toFixed(1)}" y1="${plot.top}" x2="${x.toFixed(1)}" y2="${plot.bottom}" stroke="${colours.faint}" stroke-dasharray="2 3"/>`
}

function level(y: number, colour: string): string {
  return `<line x1="${plot.left}" y1="${y.toFixed(1)}" x2="${plot.right}" y2="${y.toFixed(1)}" stroke="${colour}" stroke-dasharray="6 4"/>`
}

function bottomAxis({ x, categories }: ChartSpec, scale: Scale): string[] {
  const label = (at: number, name: string) =>
    text(scale.x(at), plot.bottom + 16, name, `font-size="11" fill="${colours.faint}" ${middle}`)
  if (!categories) return axisMarks(x.at(-1)!).map((at) => label(at, `${at} s`))
  const apart = Math.ceil(categories.length / 6)
  return categories.flatMap((name, i) => (i % apart === 0 ? [label(i, name)] : []))
}

function drawSeries(series: Series, chart: ChartSpec, scale: Scale): string[] {
  const colour = roles[series.role]
  if (series.draw === 'bars') return bars(series, chart, scale)
  const places = series.values.flatMap((value, i): Point[] =>
    value === null ? [] : [[scale.x(chart.x[i]!), scale.y(value)]],
  )
  const path = line(series.draw === 'stairs' ? stairs(places) : places)
  return [...interval(series, chart, scale), `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>`]
}

function stairs(places: Point[]): Point[] {
  return places.flatMap(([x, y], i): Point[] =>
    i === 0
      ? [[x, y]]
      : [
          [x, places[i - 1]![1]],
          [x, y],
        ],
  )
}

/** The area between the bounds of each value. */
function interval({ low = [], high = [], role }: Series, { x }: ChartSpec, scale: Scale): string[] {
  const bound = (values: (number | null)[]) =>
    values.flatMap((value, i): Point[] => (value === null ? [] : [[scale.x(x[i]!), scale.y(value)]]))
  const around = [...bound(high), ...bound(low).reverse()]
  return around.length === 0 ? [] : [`<path d="${line(around)}Z" fill="${roles[role]}" fill-opacity="0.12"/>`]
}

/** The bars of all series stand beside each other. */
function bars(series: Series, { x, series: all }: ChartSpec, scale: Scale): string[] {
  const width = (scale.x(1) - scale.x(0)) / (all.length + 1)
  const shift = (all.indexOf(series) - all.length / 2) * width
  return series.values.flatMap((value, i) => {
    const top = scale.y(value ?? 0)
    const left = scale.x(x[i]!) + shift
    if (!value) return []
    return [
      `<rect x="${left.toFixed(1)}" y="${top.toFixed(1)}" width="${width.toFixed(1)}" height="${(plot.bottom - top).toFixed(1)}" fill="${roles[series.role]}"/>`,
    ]
  })
}
