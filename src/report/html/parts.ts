// The parts that all pages are made of: tables, lists, folded blocks, the places of charts. Pure.
import type { ChartSpec } from './chart-spec.ts'
import { html, nothing, type Markup } from './escape.ts'

export type Cell = string | number | Markup

/** `name`: what a screen reader calls it. The first cell of each row names the row. */
export function table(name: string, heads: string[], rows: Cell[][]): Markup {
  const line = ([first = '', ...rest]: Cell[]) =>
    html`<tr><th scope="row">${first}</th>${rest.map((cell) => html`<td>${cell}</td>`)}</tr>`
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${name}"><table>
<thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${rows.map(line)}</tbody></table></div>`
}

export function facts(rows: readonly (readonly [name: string, value: string | undefined])[]): Markup {
  const known = rows.filter((row): row is [string, string] => row[1] !== undefined)
  return html`<dl>${known.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

export function lines(texts: readonly string[]): Markup {
  return html`<ul class="lines">${texts.map((text) => html`<li>${text}</li>`)}</ul>`
}

export function section(id: string, title: string, body: Markup): Markup {
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>
${body}</section>`
}

export function folded(summary: string, body: Markup, isOpen = false): Markup {
  return html`<details${isOpen ? openAttribute : nothing}><summary>${summary}</summary>${body}</details>`
}

const openAttribute = html` open`

/** The places of charts, which the script fills. Without it there is no table to open. */
export function chartPlaces(charts: readonly ChartSpec[]): Markup {
  if (charts.length === 0) return nothing
  return html`<div class="charts">${charts.map(place)}</div>`
}

function place({ id, title }: ChartSpec): Markup {
  return html`<figure id="${id}"><figcaption>${title}</figcaption>
<div class="plot" tabindex="0" role="application" aria-roledescription="chart" aria-label="${title}. The arrow keys move through the values; the same values are in the table below."></div>
<ul class="legend"></ul>
<details hidden><summary>Values as a table<span class="hidden">: ${title}</span></summary></details></figure>`
}

/** Lines of a diff: the sign at the start says what the colour says. */
export function diff(texts: readonly string[]): Markup {
  return html`<pre>${texts.map(diffLine)}</pre>`
}

function diffLine(text: string): Markup {
  if (text.startsWith('+')) return html`<ins>${text}</ins>\n`
  return text.startsWith('-') ? html`<del>${text}</del>\n` : html`${text}\n`
}
