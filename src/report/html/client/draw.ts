// Draws one chart with uPlot, and shows the values under the cursor.
import uPlot from 'uplot'
import type { ChartSpec } from '../chart-spec.ts'
import { drawLimits, drawMarks } from './marks.ts'
import { plottedSeries } from './series.ts'
import { readout } from './readout.ts'
import { paletteOf, type Palette } from './palette.ts'
import { timeText, valueText } from './values.ts'

/** `place`: the element that its width follows. */
export type Drawing = { place: Element; resize: () => void; remove: () => void }

const height = 220

export function draw(spec: ChartSpec, figure: HTMLElement): Drawing {
  const place = figure.querySelector<HTMLElement>('.plot')!
  const palette = paletteOf(figure)
  const { series, bands, data } = plottedSeries(spec, palette)
  const show = readout(spec, figure)
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height,
      series,
      bands,
      scales: { x: { time: false, range: rangeOfX(spec) }, y: scaleOfY(spec) },
      axes: [axisOfX(spec, palette), axisOfY(spec, palette)],
      legend: { show: false },
      cursor: { y: false, sync: { key: spec.group }, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: {
        setCursor: [({ cursor }) => show(cursor.idx ?? undefined)],
        draw: [(u) => drawMarks(u, spec, palette), (u) => drawLimits(u, spec, palette)],
      },
    },
    data,
    place,
  )
  const stop = followKeys(plot, spec, place, () => announce(figure))
  show(undefined)
  return {
    place,
    resize: () => plot.setSize({ width: place.clientWidth, height }),
    remove: () => {
      stop()
      plot.destroy()
    },
  }
}

/** Bars need half a category of room at each end. */
function rangeOfX({ x, categories, marks = [] }: ChartSpec): [number, number] {
  if (categories) return [-0.6, categories.length - 0.4]
  const [first, last] = [x[0]!, x.at(-1)!]
  const ends = marks.map((mark) => mark.x)
  return first === last ? [first - 1, last + 1] : [Math.min(first, ...ends), Math.max(last, ...ends)]
}

function scaleOfY({ scale: { kind, low, high } }: ChartSpec): uPlot.Scale {
  // The enum has no value at run time: uPlot declares it for its types only.
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
  return { range: [low, high], ...(kind === 'log' ? { distr: 3, log: 10 } : {}) }
}

function axisOfX({ categories, xName }: ChartSpec, { text, grid, font }: Palette): uPlot.Axis {
  const looks = { stroke: text, font, ticks: { stroke: grid, size: 4 }, gap: 4, size: 28 }
  if (!categories) return { ...looks, grid: { show: false }, values: (_, at) => at.map(timeText), space: 70 }
  return {
    ...looks,
    grid: { show: false },
    label: xName,
    labelFont: font,
    labelSize: 20,
    incrs: [1, 2, 5],
    space: 46,
    values: (_, at) => at.map((each) => (Number.isInteger(each) ? (categories[each] ?? '') : '')),
  }
}

function axisOfY(spec: ChartSpec, { text, grid, font }: Palette): uPlot.Axis {
  const values = (_: uPlot, at: (number | null)[]) => at.map((each) => (each === null ? '' : valueText(spec, each)))
  const looks = { stroke: text, font, size: 58, gap: 4, ticks: { show: false }, grid: { stroke: grid, width: 1 } }
  return { ...looks, values, ...(spec.scale.kind === 'log' ? { splits: powersOfTen(spec) } : {}) }
}

function powersOfTen({ scale: { low, high } }: ChartSpec): () => number[] {
  const [first, last] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))]
  return () => Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i))
}

/** Says the values under the cursor to who cannot see them. */
function announce(figure: HTMLElement): void {
  const entries = [...figure.querySelectorAll('.legend li')].map(({ textContent }) => textContent.trim())
  document.getElementById('live')!.textContent = entries.filter(Boolean).join(', ')
}

/** The arrow keys move the cursor, as a pointer does. Returns how to stop. */
function followKeys(plot: uPlot, { x }: ChartSpec, place: HTMLElement, moved: () => void): () => void {
  const moves: Record<string, (i: number) => number> = {
    ArrowLeft: (i) => i - 1,
    ArrowRight: (i) => i + 1,
    Home: () => 0,
    End: () => x.length - 1,
  }
  const onKey = (event: KeyboardEvent) => {
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    const i = Math.min(x.length - 1, Math.max(0, move(plot.cursor.idx ?? (event.key === 'ArrowLeft' ? x.length : -1))))
    plot.setCursor({ left: plot.valToPos(x[i]!, 'x'), top: 10 })
    moved()
  }
  const onBlur = () => plot.setCursor({ left: -10, top: -10 })
  place.addEventListener('keydown', onKey)
  place.addEventListener('blur', onBlur)
  return () => {
    place.removeEventListener('keydown', onKey)
    place.removeEventListener('blur', onBlur)
  }
}
