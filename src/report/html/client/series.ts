// The series of a chart as uPlot takes them.
import uPlot from 'uplot'
import type { ChartSpec, Role, Series } from '../chart-spec.ts'
import type { Palette } from './palette.ts'

type Plotted = { series: uPlot.Series[]; bands: uPlot.Band[]; data: uPlot.AlignedData }

/** Without colours, the second of two lines is told by its dashes. */
const dashes: Partial<Record<Role, number[]>> = { stable: [6, 4], for: [6, 4], asked: [2, 3] }

export function plottedSeries(spec: ChartSpec, palette: Palette): Plotted {
  const plotted: Plotted = { series: [{}], bands: [], data: [spec.x] }
  const heights = spec.stacked ? stackedValues(spec.series) : spec.series.map(({ values }) => values)
  // Of a stack the highest bars come first, so that the lower ones cover their feet.
  const order = spec.series.map((_, i) => i)
  for (const i of spec.stacked ? order.reverse() : order) add(plotted, spec, i, heights[i]!, palette)
  return plotted
}

function add(plotted: Plotted, spec: ChartSpec, i: number, values: (number | null)[], palette: Palette): void {
  const series = spec.series[i]!
  const data = plotted.data as (number | null)[][]
  data.push(values.map((value) => inScale(spec, value)))
  plotted.series.push(lookOf(spec, i, palette))
  const { low, high } = series
  if (!low || !high) return
  const bound: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } }
  data.push(
    low.map((value) => inScale(spec, value)),
    high.map((value) => inScale(spec, value)),
  )
  plotted.series.push(bound, bound)
  const last = plotted.series.length - 1
  plotted.bands.push({ series: [last, last - 1], fill: transparent(palette.colourOf(series.role)) })
}

/** Values beyond the scale are drawn at its edge. */
function inScale({ scale: { low, high } }: ChartSpec, value: number | null): number | null {
  return value === null ? null : Math.min(high, Math.max(low, value))
}

function lookOf(spec: ChartSpec, i: number, palette: Palette): uPlot.Series {
  const { role, draw } = spec.series[i]!
  const stroke = palette.colourOf(role)
  const common: uPlot.Series = { stroke, width: 2, points: { show: spec.x.length === 1 } }
  if (draw === 'bars') return { ...common, fill: stroke, width: 0, points: { show: false }, ...barsOf(spec, i) }
  return {
    ...common,
    ...(dashes[role] ? { dash: dashes[role] } : {}),
    ...(draw === 'stairs' ? { paths: uPlot.paths.stepped!({ align: -1 }) } : {}),
  }
}

/** Bars of two series stand side by side, unless they are stacked. */
function barsOf({ stacked }: ChartSpec, i: number): Partial<uPlot.Series> {
  if (stacked) return { paths: uPlot.paths.bars!({ size: [0.7, 90] }) }
  return { paths: uPlot.paths.bars!({ size: [0.36, 40], align: i === 0 ? -1 : 1 }) }
}

function stackedValues(all: Series[]): (number | null)[][] {
  const sums = all[0]!.values.map(() => 0)
  return all.map(({ values }) => values.map((value, i) => (sums[i]! += value ?? 0)))
}

/** An eighth of the colour, which is given as `#rrggbb`. */
const transparent = (colour: string) => `${colour}26`
