// A chart as a table.
import type { ChartSpec, Series } from '../chart-spec.ts'
import { nameOfX, valueText } from './values.ts'

export function tableOf(spec: ChartSpec): HTMLElement {
  const table = document.createElement('table')
  const heads = [spec.xName === 'seconds' ? 'time' : spec.xName, ...spec.series.map(({ name }) => name)]
  table.append(rowOf(heads.map((text) => cell('th', text, 'col'))))
  spec.x.forEach((_, i) => {
    const values = spec.series.map((series) => cell('td', textOf(spec, series, i)))
    table.append(rowOf([cell('th', nameOfX(spec, i), 'row'), ...values]))
  })
  const scroll = document.createElement('div')
  scroll.className = 'scroll tall'
  scroll.tabIndex = 0
  scroll.setAttribute('role', 'group')
  scroll.setAttribute('aria-label', `${spec.title}: table`)
  scroll.append(table)
  return scroll
}

function textOf(spec: ChartSpec, { values, low, high }: Series, i: number): string {
  const value = valueText(spec, values[i])
  return low && values[i] != null ? `${value} (${valueText(spec, low[i])} to ${valueText(spec, high?.[i])})` : value
}

function rowOf(cells: HTMLElement[]): HTMLElement {
  const row = document.createElement('tr')
  row.append(...cells)
  return row
}

function cell(kind: 'th' | 'td', text: string, scope?: 'col' | 'row'): HTMLElement {
  const made = document.createElement(kind)
  made.textContent = text
  if (scope) made.setAttribute('scope', scope)
  return made
}
