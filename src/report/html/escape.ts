// HTML whose values cannot become markup: names, labels and log lines come from the cluster. Pure.

/** Markup, as opposed to text that has to be escaped. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Value = string | number | Markup | undefined | false | readonly (Markup | false | undefined)[]

/** Escapes each value but markup. An absent one is nothing. */
export function html(parts: TemplateStringsArray, ...values: Value[]): Markup {
  return new Markup(parts.map((part, i) => part + (i < values.length ? markupOf(values[i]) : '')).join(''))
}

export const nothing = new Markup('')

function markupOf(value: Value): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'object') return value.map(markupOf).join('')
  return escape(String(value))
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escape(text: string): string {
  return visible(text).replace(/[&<>"']/g, (sign) => entities[sign]!)
}

/**
 * Control characters, and those that reverse or hide the text around them, in a form that shows them. Lines may end, and
 * tabs stay.
 */
export function visible(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(
      /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (sign) => `\\u{${sign.codePointAt(0)!.toString(16)}}`,
    )
}

/** JSON for a `<script>` of a type that is not executed: nothing in it can end the script or start a comment. */
export function jsonForScript(value: unknown): Markup {
  const json = JSON.stringify(value, (_, each: unknown) => (typeof each === 'string' ? visible(each) : each))
  return new Markup(
    json.replace(/[<>&\u2028\u2029]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`),
  )
}
