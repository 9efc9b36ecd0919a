// The chances of a plan as a picture in SVG: a column for each failure rate. Pure.
import type { Chances } from './chances.ts'
import { percent } from '../statistics/percent.ts'
import { atEnd, opening, text } from './svg.ts'

const size = { width: 800, height: 320 }
const plot = { left: 56, right: 780, top: 64, bottom: 250 }
const colours = {
  promoted: '#1a7f37',
  inconclusive: '#bf8700',
  rolledBack: '#d1242f',
  text: '#1f2328',
  faint: '#656d76',
}
const names = { promoted: 'promoted', inconclusive: 'inconclusive', rolledBack: 'rolled back' }
const verdicts = ['promoted', 'inconclusive', 'rolledBack'] as const

export function chancesChart(title: string, all: Chances[]): string {
  const width = (plot.right - plot.left) / all.length
  return [
    ...opening(size, title),
    text(20, 28, title, `font-size="16" font-weight="600" fill="${colours.text}"`),
    ...verdicts.map((verdict, i) => text(plot.left + 130 * i, 50, `■ ${names[verdict]}`, `fill="${colours[verdict]}"`)),
    ...[0, 50, 100].map((share) =>
      text(plot.left - 8, y(share / 100) + 4, `${share}%`, `fill="${colours.faint}" ${atEnd}`),
    ),
    ...all.flatMap((chances, i) => column(chances, plot.left + i * width, width)),
    text(
      plot.left,
      310,
      "canary's failing requests (above) and median time until the verdict (below)",
      `fill="${colours.faint}"`,
    ),
    '</svg>\n',
  ].join('\n')
}

const y = (share: number) => plot.bottom - (plot.bottom - plot.top) * share

function column(chances: Chances, left: number, width: number): string[] {
  let below = 0
  const parts = verdicts.flatMap((verdict) => {
    const [from, to] = [below, (below += chances[verdict])]
    if (to === from) return []
    const [top, height] = [y(to), y(from) - y(to)]
    return [
      `<rect x="${(left + 3).toFixed(1)}" y="${top.toFixed(1)}" width="${(width - 6).toFixed(1)}" height="${height.toFixed(1)}" fill="${colours[verdict]}"/>`,
    ]
  })
  const label = (at: number, content: string) =>
    text(left + width / 2, at, content, `fill="${colours.text}" text-anchor="middle" font-size="12"`)
  return [
    ...parts,
    label(plot.bottom + 18, percent(chances.failing, 1)),
    label(plot.bottom + 36, `${chances.seconds} s`),
  ]
}
