// Draws panels of the dashboards from what a real Prometheus answers to their queries. Grafana itself is not involved.
// `node dev/panels.ts PICTURE PROMETHEUS NAMESPACE SERVICE [SECONDS]` asks for the last so many seconds and keeps the answers
// in docs/measurements/; `node dev/generate.ts` draws them again from there. After `npm start -- --observe`, run it in the
// network of the mesh (`npm run mesh -- exec -- node …`).
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { type PanelQuery, panelQueries } from './dashboards/queries.ts'
import { atEnd, opening, text } from '../src/simulate/svg.ts'
import { axisMarks, colours, line, middle, type Point } from './svg.ts'

/** `points`: seconds since the start, and the value. */
type Series = { name: string; points: Point[] }
type PanelData = Pick<PanelQuery, 'dashboard' | 'row' | 'panel' | 'unit'> & { series: Series[] }
type Saved = { measuredAt: string; machine: string; source: string; seconds: number; panels: PanelData[] }

/** Dashboard, row and title of the panels in each picture. */
const pictured = {
  services: [
    'Mesh services/By version/Requests',
    'Mesh services/By version/p99 duration',
    'Mesh services/By caller/Requests',
    'Mesh services/Resilience and mutual TLS/Mutual TLS',
  ],
  canary: [
    'Mesh canary/Traffic/Observed share',
    'Mesh canary/Traffic/Requests',
    'Mesh canary/Success and latency by version/Success rate',
    'Mesh canary/Success and latency by version/p99 duration',
  ],
}
type Picture = keyof typeof pictured
const savedFile = (picture: Picture) => `docs/measurements/panels-${picture}.json`

export function panelPictures(): { file: string; text: string }[] {
  return (Object.keys(pictured) as Picture[]).map((picture) => {
    const { panels, seconds } = JSON.parse(readFileSync(savedFile(picture), 'utf8')) as Saved
    return { file: `docs/panels-${picture}.svg`, text: sheet(panels, seconds) }
  })
}

function titleOf({ dashboard, row, panel }: Pick<PanelQuery, 'dashboard' | 'row' | 'panel'>): string {
  return `${dashboard}/${row}/${panel}`
}

const panelSize = { width: 400, height: 230 }
const plot = { left: 58, right: 384, top: 44, bottom: 176 }
/** Apart in brightness too, for readers who see no red or green. */
const lines = ['#1f6feb', '#bf5700', '#1a7f37', '#8250df', '#cf222e', '#57606a']

/** Two panels side by side in each line. */
function sheet(panels: PanelData[], seconds: number): string {
  const size = { width: 2 * panelSize.width, height: Math.ceil(panels.length / 2) * panelSize.height }
  return [
    ...opening(size, panels.map(({ panel }) => panel).join(', ')),
    ...panels.flatMap((panel, i) => [
      `<g transform="translate(${(i % 2) * panelSize.width} ${Math.floor(i / 2) * panelSize.height})">`,
      ...draw(panel, seconds),
      '</g>',
    ]),
    '</svg>\n',
  ].join('\n')
}

function draw({ panel, row, unit, series }: PanelData, seconds: number): string[] {
  const most = top(Math.max(0, ...series.flatMap(({ points }) => points.map(([, value]) => value))), unit)
  const x = (at: number) => plot.left + ((plot.right - plot.left) * at) / seconds
  const y = (value: number) => plot.bottom - ((plot.bottom - plot.top) * value) / most
  return [
    text(14, 24, panel, `font-size="14" font-weight="600" fill="${colours.text}"`),
    text(plot.right, 24, row, `fill="${colours.faint}" ${atEnd}`),
    ...[0, 0.5, 1].flatMap((part) => [
      `<line x1="${plot.left}" y1="${y(part * most)}" x2="${plot.right}" y2="${y(part * most)}" stroke="${colours.grid}"/>`,
      text(
        plot.left - 6,
        y(part * most) + 4,
        shown(part * most, unit),
        `font-size="11" fill="${colours.faint}" ${atEnd}`,
      ),
    ]),
    ...axisMarks(seconds)
      .filter((_, i) => i % 2 === 0)
      .map((at) => text(x(at), plot.bottom + 16, `${at} s`, `font-size="11" fill="${colours.faint}" ${middle}`)),
    ...series.flatMap(({ name, points }, i) => [
      `<path d="${line(points.map(([at, value]) => [x(at), y(value)]))}" fill="none" stroke="${lines[i % lines.length]!}" stroke-width="2"/>`,
      text(
        14 + 190 * (i % 2),
        208 + 16 * Math.floor(i / 2),
        `■ ${name}`,
        `font-size="11" fill="${lines[i % lines.length]!}"`,
      ),
    ]),
  ]
}

/** The top of the axis: 1, 2 or 5 times a power of ten; a whole for shares near it. */
function top(most: number, unit: string): number {
  if (unit === 'percentunit' && most > 0.5) return 1
  if (unit === 'percent') return 100
  const power = 10 ** Math.floor(Math.log10(most || 1))
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= most)!
}

function shown(value: number, unit: string): string {
  const digits = (number: number) => String(Number(number.toPrecision(3)))
  switch (unit) {
    case 'percentunit':
      return `${digits(value * 100)}%`
    case 'percent':
      return `${digits(value)}%`
    case 'ms':
      return `${digits(value)} ms`
    case 'reqps':
      return `${digits(value)}/s`
    default:
      return digits(value)
  }
}

type Matrix = { metric: Record<string, string>; values: [number, string][] }[]

/** The answers of the last so many seconds, one value every two seconds. */
async function measure(
  titles: readonly string[],
  prometheus: string,
  { namespace, service, seconds }: { namespace: string; service: string; seconds: number },
): Promise<Saved> {
  const end = Math.floor(Date.now() / 1000)
  const start = end - seconds
  const queries = panelQueries({ namespace, service, range: '20s', wholeRange: `${seconds}s` })
  const panels: PanelData[] = []
  for (const { expr, legend, ...query } of queries.filter((each) => titles.includes(titleOf(each)))) {
    const body = new URLSearchParams({ query: expr, start: String(start), end: String(end), step: '2' })
    const response = await fetch(`${prometheus}/api/v1/query_range`, { method: 'POST', body })
    const { status, error, data } = (await response.json()) as {
      status: string
      error?: string
      data: { result: Matrix }
    }
    if (status !== 'success') throw new Error(`${titleOf(query)}: ${error}`)
    const { dashboard, row, panel, unit } = query
    panels.push({ dashboard, row, panel, unit, series: data.result.map((each) => seriesOf(each, legend, start)) })
  }
  const missing = panels.filter(({ series }) => series.length === 0).map(titleOf)
  if (missing.length > 0) throw new Error(`Prometheus has nothing for ${missing.join(', ')}`)
  return {
    measuredAt: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores, ${process.platform}`,
    source: 'promotions of the sample app on the embedded mesh',
    seconds,
    panels,
  }
}

/** A value that is no number, such as a share of nothing, is left out. */
function seriesOf({ metric, values }: Matrix[number], legend: string, start: number): Series {
  const name = legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '').trim()
  const points = values
    .map(([at, value]): Point => [at - start, Number(Number(value).toPrecision(4))])
    .filter(([, value]) => Number.isFinite(value))
  return { name, points }
}

if (import.meta.main) {
  const [picture, prometheus, namespace, service, seconds = '120'] = process.argv.slice(2)
  if (!isPicture(picture) || prometheus === undefined || namespace === undefined || service === undefined)
    throw new Error('usage: node dev/panels.ts services|canary PROMETHEUS NAMESPACE SERVICE [SECONDS]')
  const saved = await measure(pictured[picture], prometheus, { namespace, service, seconds: Number(seconds) })
  writeFileSync(savedFile(picture), `${JSON.stringify(saved, null, 2)}\n`)
}

function isPicture(name: string | undefined): name is Picture {
  return name !== undefined && Object.hasOwn(pictured, name)
}
