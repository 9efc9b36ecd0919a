// The steps of a promotion as vertical lines, and the limits of a check as horizontal ones.
import type uPlot from 'uplot'
import type { ChartSpec } from '../chart-spec.ts'
import type { Palette } from './palette.ts'

/** A label that would meet the one before it is left out. */
export function drawMarks(plot: uPlot, { marks = [], scale }: ChartSpec, palette: Palette): void {
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  let free = -Infinity
  prepared(ctx, palette, () => {
    for (const { x, label } of marks) {
      const at = Math.round(plot.valToPos(x, 'x', true))
      if (at < bbox.left || at > bbox.left + bbox.width) continue
      line(ctx, [at, bbox.top, at, bbox.top + bbox.height], palette.mark, [])
      if (scale.kind === 'log' || at < free) continue
      const width = ctx.measureText(label).width
      const fits = at + width + 8 * ratio < bbox.left + bbox.width
      if (!fits && at - width - 8 * ratio < free) continue
      free = at + width + 12 * ratio
      write(ctx, label, fits ? at + 4 * ratio : at - width - 4 * ratio, bbox.top + 12 * ratio, palette.text)
    }
  })
}

export function drawLimits(plot: uPlot, { limits = [] }: ChartSpec, palette: Palette): void {
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  // The higher limit has its name above, the lower one below, so that close ones do not meet.
  const highest = Math.max(...limits.map(({ value }) => value))
  prepared(ctx, palette, () => {
    for (const { name, role, value } of limits) {
      const at = Math.round(plot.valToPos(value, 'y', true))
      const colour = palette.colourOf(role)
      line(ctx, [bbox.left, at, bbox.left + bbox.width, at], colour, [2 * ratio, 3 * ratio])
      write(ctx, name, bbox.left + 6 * ratio, at + (value === highest ? -5 : 13) * ratio, colour)
    }
  })
}

function prepared(ctx: CanvasRenderingContext2D, { font, page }: Palette, work: () => void): void {
  ctx.save()
  ctx.font = font.replace(/^\d+px/, `${11 * devicePixelRatio}px`)
  ctx.textAlign = 'left'
  ctx.textBaseline = 'alphabetic'
  // Letters stand on the background, where a line passes behind them.
  ctx.strokeStyle = page
  work()
  ctx.restore()
}

function write(ctx: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string): void {
  ctx.fillStyle = colour
  ctx.lineWidth = 4 * devicePixelRatio
  ctx.strokeText(text, x, y)
  ctx.fillText(text, x, y)
}

type Ends = [fromX: number, fromY: number, toX: number, toY: number]

function line(ctx: CanvasRenderingContext2D, [fromX, fromY, toX, toY]: Ends, colour: string, dash: number[]): void {
  ctx.save()
  ctx.strokeStyle = colour
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash(dash)
  ctx.beginPath()
  ctx.moveTo(fromX, fromY)
  ctx.lineTo(toX, toY)
  ctx.stroke()
  ctx.restore()
}
