// How the value of a header or parameter is compared.
import { isMap } from '../../runtime/is-map.ts'
import { parsedValue } from './parsed-value.ts'
import { parseRegex } from './strings.ts'

/** In Istio's own form. */
export type TextMatch = { exact: string } | { prefix: string } | { regex: string }

/** YAML reads bare words as numbers and booleans: those count as the text they look like. */
export const exactText = parsedValue('a string', { type: ['string', 'number', 'boolean'] }, parseText)

/**
 * A text to be compared as a whole, or a map with one of Istio's keys. A text that can only be meant as a pattern is no
 * exact value: nothing would match.
 */
export const textMatch = parsedValue<TextMatch>(
  'a string, or one of { exact: … }, { prefix: … } and { regex: … }; a pattern such as .* needs { regex: … }, in RE2 syntax',
  {
    type: ['string', 'number', 'boolean', 'object'],
    propertyNames: { enum: ['exact', 'prefix', 'regex'] },
    maxProperties: 1,
  },
  (raw) => {
    if (isMap(raw)) return parseMap(raw)
    const exact = parseText(raw)
    return exact === undefined || /\.[*+]/.test(exact) ? undefined : { exact }
  },
)

function parseMap(raw: Record<string, unknown>): TextMatch | undefined {
  const [[key, value] = [], ...others] = Object.entries(raw)
  const text = key === 'regex' ? parseRegex(value) : parseText(value)
  if (text === undefined || others.length > 0) return undefined
  if (key === 'exact') return { exact: text }
  if (key === 'prefix') return { prefix: text }
  return key === 'regex' ? { regex: text } : undefined
}

function parseText(raw: unknown): string | undefined {
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw)
  return typeof raw === 'string' && raw !== '' ? raw : undefined
}
