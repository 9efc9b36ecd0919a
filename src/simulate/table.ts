// The chances of a plan as a table in text, with a bar for each failure rate. Pure.
import type { Chances } from './chances.ts'
import { percent } from '../statistics/percent.ts'

const head = ['canary fails', 'promoted', 'rolled back', 'inconclusive', 'median time', 'failed requests', '']
const barLength = 20
const marks = { promoted: '█', inconclusive: '▒', rolledBack: '·' }

export function chancesTable(all: Chances[]): string {
  const rows = all.map((chances) => [
    percent(chances.failing, 1),
    percent(chances.promoted, 1),
    percent(chances.rolledBack, 1),
    percent(chances.inconclusive, 1),
    `${chances.seconds} s`,
    String(Math.round(chances.failedRequests)),
    bar(chances),
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => (column === head.length - 1 ? cell : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  const legend = `${marks.promoted} promoted  ${marks.inconclusive} inconclusive  ${marks.rolledBack} rolled back`
  return [line(head), ...rows.map(line), legend].join('\n')
}

function bar({ promoted, inconclusive }: Chances): string {
  const [first, second] = [Math.round(promoted * barLength), Math.round((promoted + inconclusive) * barLength)]
  return (
    marks.promoted.repeat(first) +
    marks.inconclusive.repeat(second - first) +
    marks.rolledBack.repeat(barLength - second)
  )
}
