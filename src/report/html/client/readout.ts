// The legend of a chart, which shows the values under the cursor.
import type { ChartSpec } from '../chart-spec.ts'
import { nameOfX, valueText } from './values.ts'

/** Fills the legend of the figure. Returns what shows the `i`th values, or with `undefined` none. */
export function readout(spec: ChartSpec, figure: HTMLElement): (i: number | undefined) => void {
  const legend = figure.querySelector('.legend')!
  const entries = spec.series.map(({ name, role, draw }) => entry(name, `key ${role} ${draw}`))
  const moment = document.createElement('li')
  legend.replaceChildren(...entries.map(({ item }) => item), moment)
  return (i) => {
    moment.textContent = i === undefined ? '' : nameOfX(spec, i)
    entries.forEach(({ value }, s) => {
      value.textContent = i === undefined ? '' : valueText(spec, spec.series[s]!.values[i])
    })
  }
}

function entry(name: string, key: string): { item: HTMLElement; value: HTMLElement } {
  const [item, mark, value] = [element('li'), element('span'), element('b')]
  mark.className = key
  item.append(mark, name, ' ', value)
  return { item, value }
}

const element = (name: string) => document.createElement(name)
