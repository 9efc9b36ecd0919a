// Draws promotions: the canary's weight, the failed requests and the verdict over time.
// `node dev/picture.ts` keeps and draws the report that `npm start` wrote to out/report.json: a promoted canary as
// docs/run.svg, a rolled-back one as docs/run-bad.svg. `node dev/generate.ts` draws both again from docs/measurements/.
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { atEnd, opening, text } from '../src/simulate/svg.ts'
import { axisMarks, colours, line, middle, type Point } from './svg.ts'
import type { PromotionReport, Report, StepReport } from '../src/report/report.ts'

/** Times in seconds since the promotion began, weights in percent. */
type Charted = Pick<PromotionReport, 'service' | 'canary' | 'verdict' | 'weight' | 'reason' | 'userRequests'> & {
  steps: StepReport[]
  secondsToSafe?: number
  adopted?: boolean
}
type SavedReport = { measuredAt: string; machine: string; source: string; promotion: Charted }

const size = { width: 800, height: 300 }
const plot = { left: 56, right: 736, top: 76, bottom: 252 }

/** The pictures with their files, from the kept reports. */
export function pictures(): { file: string; text: string }[] {
  return ['run', 'run-bad'].map((name) => {
    const { promotion } = JSON.parse(readFileSync(`docs/measurements/${name}.json`, 'utf8')) as SavedReport
    return { file: `docs/${name}.svg`, text: chart(promotion) }
  })
}

export function chart(promotion: Charted): string {
  const { service, canary, verdict, userRequests, secondsToSafe = 0 } = promotion
  const reason = `${promotion.reason}${promotion.adopted ? '; then stable got the version, and the traffic back' : ''}`
  const steps = promotion.steps.filter(({ kind }) => kind === 'weight')
  const decided = Math.max(0, ...steps.map(endOf))
  const end = Math.ceil((decided + secondsToSafe) * 1.12) || 1
  const weights = weightLine(steps, promotion.weight, decided, end)
  const failures = failureLine(steps, end)
  const mostFailures = Math.max(10, ...failures.map(([, value]) => value))
  const x = (seconds: number) => plot.left + ((plot.right - plot.left) * seconds) / end
  const y = (value: number, most: number) => plot.bottom - ((plot.bottom - plot.top) * value) / most
  const path = (points: Point[], most: number) => line(points.map(([at, value]) => [x(at), y(value, most)]))
  const area = `${path(weights, 100)}L${plot.right} ${plot.bottom}L${plot.left} ${plot.bottom}Z`
  const outcome = verdict === 'promoted' ? colours.good : colours.failures
  const decidedX = x(decided).toFixed(1)
  return [
    ...opening(size, `${canary} of ${service}: ${verdict}. ${reason}`),
    text(20, 28, `${canary} of ${service}: ${verdict}`, `font-size="17" font-weight="600" fill="${outcome}"`),
    text(20, 50, reason.length > 112 ? `${reason.slice(0, 111)}…` : reason, `fill="${colours.text}"`),
    ...[0, 25, 50, 75, 100].flatMap((weight) => gridLine(y(weight, 100), `${weight}%`)),
    text(plot.right + 8, plot.top + 4, String(mostFailures), `fill="${colours.failures}"`),
    text(plot.right + 8, plot.bottom + 4, '0', `fill="${colours.failures}"`),
    ...axisMarks(end).map((at) => text(x(at), plot.bottom + 18, `${at} s`, `fill="${colours.faint}" ${middle}`)),
    `<path d="${area}" fill="${colours.weight}" fill-opacity="0.15"/>`,
    `<path d="${path(weights, 100)}" fill="none" stroke="${colours.weight}" stroke-width="2.5"/>`,
    `<path d="${path(failures, mostFailures)}" fill="none" stroke="${colours.failures}" stroke-width="2.5"/>`,
    `<line x1="${decidedX}" y1="${plot.top}" x2="${decidedX}" y2="${plot.bottom}" stroke="${outcome}" stroke-width="1.5" stroke-dasharray="5 4"/>`,
    text(x(decided) - 6, plot.top - 6, `${verdict} after ${decided.toFixed(0)} s`, `fill="${outcome}" ${atEnd}`),
    text(plot.left, 290, `■ weight of ${canary}`, `fill="${colours.weight}"`),
    text(
      plot.right,
      290,
      `■ failed requests, ${userRequests.failed} of ${userRequests.total}`,
      `fill="${colours.failures}" ${atEnd}`,
    ),
    '</svg>\n',
  ].join('\n')
}

const endOf = ({ startSeconds, seconds }: StepReport) => startSeconds + seconds

/** The weight over time: 0 until the first step, then the weight of each step, then the weight at the end. */
function weightLine(steps: StepReport[], lastWeight: number, decided: number, end: number): Point[] {
  const changes: Point[] = [
    ...steps.map(({ startSeconds, weight }): Point => [startSeconds, weight]),
    [decided, lastWeight],
  ]
  const stair = changes.flatMap(([at, weight], i): Point[] => [
    [at, changes[i - 1]?.[1] ?? 0],
    [at, weight],
  ])
  return [[0, 0], ...stair, [end, lastWeight]]
}

/** The failed requests of both versions so far, spread evenly over each step. */
function failureLine(steps: StepReport[], end: number): Point[] {
  let failed = 0
  const points = steps.flatMap((step): Point[] => {
    const before = failed
    failed += step.canary.failures + step.stable.failures
    return [
      [step.startSeconds, before],
      [endOf(step), failed],
    ]
  })
  return [[0, 0], ...points, [end, failed]]
}

function gridLine(y: number, label: string): string[] {
  return [
    `<line x1="${plot.left}" y1="${y}" x2="${plot.right}" y2="${y}" stroke="${colours.grid}"/>`,
    text(plot.left - 8, y + 4, label, `fill="${colours.weight}" ${atEnd}`),
  ]
}

/** Keeps the first promotion of a report under docs/measurements/, for both the picture and its check. */
function keepReport(file: string): void {
  const { startedAt, promotions } = JSON.parse(readFileSync(file, 'utf8')) as Report
  const [promotion] = promotions
  if (!promotion) throw new Error(`${file} has no promotion: run \`npm start\` first`)
  const { service, canary, verdict, weight, reason, steps, userRequests, secondsToSafe, adopted } = promotion
  const saved: SavedReport = {
    measuredAt: startedAt.slice(0, 10),
    machine: `${availableParallelism()} cores, ${process.platform}`,
    source: 'out/report.json of `npm start`',
    promotion: {
      ...{ service, canary, verdict, weight, reason, steps, userRequests },
      ...(secondsToSafe === undefined ? {} : { secondsToSafe }),
      ...(adopted === undefined ? {} : { adopted }),
    },
  }
  const name = verdict === 'promoted' ? 'run' : 'run-bad'
  writeFileSync(`docs/measurements/${name}.json`, `${JSON.stringify(saved, null, 2)}\n`)
}

if (import.meta.main) {
  keepReport(process.argv[2] ?? 'out/report.json')
  for (const { file, text: content } of pictures()) writeFileSync(file, content)
}
