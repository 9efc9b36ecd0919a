// Whole numbers and percentages.
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

/** The whole number of a YAML number, or of the text that an input delivers. */
export function parseWholeNumber(raw: unknown): number | undefined {
  const text = typeof raw === 'number' || typeof raw === 'string' ? String(raw).trim() : ''
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

export function wholeNumber(min: number, max: number) {
  return parsedValue(`a whole number from ${min} to ${max}`, { type: 'integer', minimum: min, maximum: max }, (raw) =>
    inRange(parseWholeNumber(raw), min, max),
  )
}

export const port = wholeNumber(1, 65535)

export function inRange(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}

const percentageJson = { ...publicValue, type: 'string', pattern: '^\\d+(\\.\\d+)?\\s*%$' }

function parsePercentage(raw: unknown): number {
  const match = typeof raw === 'string' ? /^(\d+(?:\.\d+)?)\s*%$/.exec(raw.trim()) : null
  return match ? Number(match[1]) : NaN
}

/** Written `99.5%`, read as a fraction of 1: 0.995. Neither 0% nor 100%, which no evidence can show. */
export const fraction = parsedValue(
  'a percentage such as 99% or 99.5%, above 0% and below 100%',
  percentageJson,
  (raw) => {
    const value = parsePercentage(raw) / 100
    return value > 0 && value < 1 ? value : undefined
  },
)

/** Written `10%`, read as 10. */
export function percentage(bounds: 'above 0%' | 'from 0%') {
  const upTo = bounds === 'from 0%' ? 'from 0% to 100%' : 'above 0% and up to 100%'
  return parsedValue(`a percentage such as 10% or 0.5%, ${upTo}`, percentageJson, (raw) => {
    const value = parsePercentage(raw)
    return value <= 100 && (bounds === 'from 0%' || value > 0) ? value : undefined
  })
}
