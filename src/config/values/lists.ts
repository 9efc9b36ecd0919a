// Lists: a YAML list, or one string with commas or line breaks.
import { isMap } from '../../runtime/is-map.ts'
import { inRange, parseWholeNumber } from './numbers.ts'
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

function parseItems(raw: unknown): unknown[] | undefined {
  if (Array.isArray(raw)) return raw as unknown[]
  if (typeof raw === 'number') return [raw]
  if (typeof raw !== 'string') return undefined
  return raw
    .split(/[,\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** At least one item, each of which `parseItem` understands; undefined otherwise. */
export function parseEach<T>(raw: unknown, parseItem: (item: unknown) => T | undefined): T[] | undefined {
  const parsed = parseItems(raw)?.map(parseItem)
  return parsed && parsed.length > 0 && !parsed.includes(undefined) ? (parsed as T[]) : undefined
}

export function listOf<T>(
  expected: string,
  parseItem: (item: unknown) => T | undefined,
  more: Record<string, unknown> = {},
) {
  return parsedValue<T[]>(expected, { type: ['array', 'string'], ...more }, (raw) => parseEach(raw, parseItem))
}

export const strings = listOf('a list of strings', (item) =>
  typeof item === 'string' && item !== '' ? item : undefined,
)

export function stringsMatching(expected: string, pattern: RegExp, more: Record<string, unknown> = {}) {
  return listOf(expected, (item) => (typeof item === 'string' && pattern.test(item) ? item : undefined), more)
}

export const ports = listOf(
  'ports, whole numbers from 1 to 65535',
  (item) => inRange(parseWholeNumber(item), 1, 65535),
  publicValue,
)

/**
 * The canary's weights in per cent, rising: `5, 25, 50, 100`, or `{ by: 10, to: 50 }` for 10, 20, … 50, and then 100, as
 * with `stepWeight` and `maxWeight` of Flagger.
 */
export const weightSteps = parsedValue<number[]>(
  'rising whole weights from 1 to 100, such as 5, 25, 50, 100, or { by: 10, to: 50 }',
  { type: ['array', 'string', 'object'], items: { type: 'integer', minimum: 1, maximum: 100 } },
  (raw) => {
    const weights = isMap(raw) ? evenSteps(raw) : parseEach(raw, parseWholeNumber)
    const isRising = weights?.every((weight, i) => weight >= 1 && weight <= 100 && weight > (weights[i - 1] ?? 0))
    return isRising ? weights : undefined
  },
)

function evenSteps({ by, to = 100, ...rest }: Record<string, unknown>): number[] | undefined {
  const [step, last] = [parseWholeNumber(by), parseWholeNumber(to)]
  if (step === undefined || last === undefined || Object.keys(rest).length > 0) return undefined
  if (step < 1 || last < 1 || last > 100) return undefined
  const multiples = Array.from({ length: Math.floor(last / step) }, (_, i) => (i + 1) * step)
  return [...new Set([...multiples, last, 100])]
}
