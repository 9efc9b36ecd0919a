// Draws the charts of the page, and keeps them in its colours and width. Runs in the browser.
import type { ChartSpec } from '../chart-spec.ts'
import { draw, type Drawing } from './draw.ts'
import { tableOf } from './table.ts'

const { charts } = JSON.parse(document.getElementById('data')!.textContent) as { charts: ChartSpec[] }
const figures = charts.flatMap((spec) => {
  const figure = document.getElementById(spec.id)
  return figure ? [{ spec, figure }] : []
})
let drawings: Drawing[] = []

function drawAll(): void {
  drawings.forEach((drawing) => drawing.remove())
  drawings = figures.map(({ spec, figure }) => draw(spec, figure))
}

function keepSize(): void {
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) drawings.find(({ place }) => place === target)?.resize()
  })
  for (const { figure } of figures) observer.observe(figure.querySelector('.plot')!)
}

/** A table is made when somebody opens it. */
function offerTables(): void {
  for (const { spec, figure } of figures) {
    const details = figure.querySelector('details')!
    details.hidden = false
    details.addEventListener('toggle', () => {
      if (details.open && !details.querySelector('table')) details.append(tableOf(spec))
    })
  }
}

drawAll()
keepSize()
offerTables()
for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', drawAll)
