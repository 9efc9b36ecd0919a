// Durations: written `30s`, read as milliseconds. And points in time.
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
export const durationPattern = '^(\\d+(\\.\\d+)?(ms|s|m|h))+$'

/** Milliseconds of `500ms`, `30s`, `1m30s`; undefined without a unit. */
export function parseDuration(raw: unknown): number | undefined {
  if (typeof raw !== 'string' || !new RegExp(durationPattern).test(raw.trim())) return undefined
  const parts = raw.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)
  return Math.round([...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * unitMs[unit as string]!, 0))
}

/** More than zero milliseconds, and no more seconds than Kubernetes can count. */
export const duration = durationUpTo((2 ** 31 - 1) * unitMs['s']!)

/** More than zero milliseconds, for one response of another program. */
export const responseTime = durationUpTo(24 * unitMs['h']!, ', up to 24h')

function durationUpTo(longestMs: number, limit = '') {
  return parsedValue(
    `a duration with its unit, such as 500ms, 30s or 5m${limit}`,
    { ...publicValue, type: 'string', pattern: durationPattern },
    (raw) => {
      const ms = parseDuration(raw)
      return ms === undefined || ms <= 0 || ms > longestMs ? undefined : ms
    },
  )
}

/** Milliseconds from a minimum on. */
export function durationAtLeast(minimum: string) {
  return duration.refine((ms) => ms >= parseDuration(minimum)!, { error: `expected ${minimum} or more` })
}

/** Milliseconds; `0s` is allowed. */
export const durationOrZero = parsedValue(
  'a duration with its unit, such as 30s or 10m, or 0s for none',
  { ...publicValue, type: 'string', pattern: durationPattern },
  parseDuration,
)

/** Milliseconds from a minimum on, or `off`. */
export function durationOrOff(minimum: string) {
  return parsedValue(
    `a duration of ${minimum} or more, such as 30s, or off`,
    { ...publicValue, type: 'string', pattern: `${durationPattern}|^off$` },
    (raw): number | 'off' | undefined => {
      // `guard: false` means the same.
      if (raw === 'off' || raw === false) return 'off'
      const ms = parseDuration(raw)
      return ms === undefined || ms < parseDuration(minimum)! ? undefined : ms
    },
  )
}

/** RFC 3339 with a time zone; read as RFC 3339 in UTC. */
export const instant = parsedValue(
  'a point in time with its zone, such as 2026-12-01T18:00:00Z',
  { ...publicValue, type: 'string', format: 'date-time' },
  (raw) => {
    const isComplete =
      typeof raw === 'string' && /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$/.test(raw.trim())
    const time = isComplete ? Date.parse(raw.trim()) : NaN
    return Number.isNaN(time) ? undefined : new Date(time).toISOString()
  },
)
