// The small languages inside the configuration: durations, percentages, lists, workloads.
// Each is one zod schema that reads what a person writes and yields what the program uses.
import * as z from 'zod'

/** A schema for one written form: `parse` answers undefined for what it does not understand. */
function written<T>(expected: string, json: Record<string, unknown>, parse: (raw: unknown) => T | undefined) {
  return z
    .unknown()
    .meta(json)
    .transform((raw, context): T => {
      const value = parse(raw)
      if (value !== undefined) return value
      context.issues.push({ code: 'custom', message: `expected ${expected}`, input: raw })
      return z.NEVER
    })
}

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
const durationPattern = '^(\\d+(\\.\\d+)?(ms|s|m|h))+$'

/** Milliseconds of `500ms`, `30s`, `1m30s`; undefined without a unit. */
export function parseDuration(raw: unknown): number | undefined {
  if (typeof raw !== 'string' || !new RegExp(durationPattern).test(raw.trim())) return undefined
  const parts = raw.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)
  return Math.round([...parts].reduce((sum, [, amount, unit]) => sum + Number(amount) * unitMs[unit as string]!, 0))
}

/** Written `30s`, read as milliseconds, above zero. */
export const duration = written(
  'a duration with its unit, such as 500ms, 30s or 5m',
  { type: 'string', pattern: durationPattern },
  (raw) => {
    const ms = parseDuration(raw)
    return ms === undefined || ms <= 0 ? undefined : ms
  },
)

/** A duration, or none at all: `0s`. */
export const durationOrNone = written(
  'a duration with its unit, such as 30s or 10m, or 0s for none',
  { type: 'string', pattern: durationPattern },
  parseDuration,
)

/** A duration of five seconds or more, or `off`. */
export const durationOrOff = written(
  'a duration of 5s or more, such as 30s, or off',
  { type: 'string', pattern: `${durationPattern}|^off$` },
  (raw): number | 'off' | undefined => {
    if (raw === 'off' || raw === false) return 'off'
    const ms = parseDuration(raw)
    return ms === undefined || ms < 5_000 ? undefined : ms
  },
)

/** Written `99.5%`, read as a fraction of 1. */
export const percentage = written(
  'a percentage such as 99% or 99.5%, above 0% and below 100%',
  { type: 'string', pattern: '^\\d+(\\.\\d+)?\\s*%$' },
  (raw) => {
    const match = typeof raw === 'string' ? /^(\d+(?:\.\d+)?)\s*%$/.exec(raw.trim()) : null
    const value = match ? Number(match[1]) / 100 : NaN
    return value > 0 && value < 1 ? value : undefined
  },
)

function integer(raw: unknown): number | undefined {
  const text = typeof raw === 'number' || typeof raw === 'string' ? String(raw).trim() : ''
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

/** A whole number within bounds; inputs deliver it as text. */
export function whole(min: number, max: number) {
  return written(`a whole number from ${min} to ${max}`, { type: 'integer', minimum: min, maximum: max }, (raw) => {
    const value = integer(raw)
    return value !== undefined && value >= min && value <= max ? value : undefined
  })
}

const isMap = (raw: unknown) => typeof raw === 'object' && raw !== null && !Array.isArray(raw)

function itemsOf(raw: unknown): unknown[] | undefined {
  if (Array.isArray(raw)) return raw as unknown[]
  if (typeof raw === 'number') return [raw]
  if (typeof raw !== 'string') return undefined
  return raw
    .split(/[,\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** A YAML list, or the same on one line with commas, or one item a line. */
export function listOf<T>(
  expected: string,
  parseItem: (item: unknown) => T | undefined,
  items?: { enum: readonly string[] },
) {
  return written<T[]>(expected, { type: ['array', 'string'], ...(items ? { items } : {}) }, (raw) => {
    const parsed = itemsOf(raw)?.map(parseItem)
    return parsed && parsed.length > 0 && !parsed.includes(undefined) ? (parsed as T[]) : undefined
  })
}

export const texts = listOf('a list of texts', (item) => (typeof item === 'string' && item !== '' ? item : undefined))

/** The canary's weights in per cent, rising: `5, 25, 50, 100`, or `{ by: 10, to: 50 }` for 10, 20, … 50. */
export const steps = written<number[]>(
  'rising whole weights from 1 to 100, such as 5, 25, 50, 100, or { by: 10, to: 50 }',
  { type: ['array', 'string', 'object'], items: { type: 'integer', minimum: 1, maximum: 100 } },
  (raw) => {
    const weights = isMap(raw) ? evenly(raw as Record<string, unknown>) : itemsOf(raw)?.map(integer)
    if (!weights || weights.length === 0) return undefined
    const rising = weights.every(
      (weight, i) => weight !== undefined && weight >= 1 && weight <= 100 && weight > (weights[i - 1] ?? 0),
    )
    return rising ? (weights as number[]) : undefined
  },
)

function evenly({ by, to = 100, ...rest }: Record<string, unknown>): number[] | undefined {
  const [step, last] = [integer(by), integer(to)]
  if (step === undefined || last === undefined || step < 1 || last > 100 || Object.keys(rest).length > 0)
    return undefined
  const whole = Array.from({ length: Math.floor(last / step) }, (_, i) => (i + 1) * step)
  return last % step === 0 ? whole : [...whole, last]
}

export type WorkloadKind = 'Deployment' | 'StatefulSet' | 'DaemonSet'
export type Workload = { kind: WorkloadKind; name: string }

const kinds: Record<string, WorkloadKind> = {
  deploy: 'Deployment',
  deployment: 'Deployment',
  deployments: 'Deployment',
  sts: 'StatefulSet',
  statefulset: 'StatefulSet',
  statefulsets: 'StatefulSet',
  ds: 'DaemonSet',
  daemonset: 'DaemonSet',
  daemonsets: 'DaemonSet',
}

export const dnsName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

function workload(item: unknown): Workload | undefined {
  const [type, name, ...rest] = typeof item === 'string' ? item.split('/') : []
  const kind = kinds[type?.toLowerCase() ?? '']
  return kind && name && dnsName.test(name) && rest.length === 0 ? { kind, name } : undefined
}

/** `all`, or workloads in the order in which they are to be restarted. */
export const workloads = written<Workload[] | 'all'>(
  'all, or a list such as deploy/mysql, sts/cache, ds/agent',
  { type: ['array', 'string'] },
  (raw) => {
    if (raw === 'all') return 'all'
    const parsed = itemsOf(raw)?.map(workload)
    return parsed && parsed.length > 0 && !parsed.includes(undefined) ? (parsed as Workload[]) : undefined
  },
)

/** One of a few words, in any case. */
export function word<const W extends string>(...words: W[]) {
  return written<W>(`one of ${words.join(', ')}`, { type: 'string', enum: words }, (raw) =>
    typeof raw === 'string' ? words.find((each) => each === raw.trim().toLowerCase()) : undefined,
  )
}

/** A Kubernetes object's name. */
export const objectName = written(
  'a Kubernetes name: lower-case letters, digits and dashes',
  { type: 'string', pattern: dnsName.source },
  (raw) => (typeof raw === 'string' && dnsName.test(raw) ? raw : undefined),
)

/** A name of a kind cluster, from which those of its containers are made. */
export const clusterName = written(
  'a name of up to 50 lower-case letters, digits, dots and dashes',
  { type: 'string', pattern: '^[a-z0-9][a-z0-9.-]{0,49}$' },
  (raw) => (typeof raw === 'string' && /^[a-z0-9][a-z0-9.-]{0,49}$/.test(raw) ? raw : undefined),
)

/** An exact version of a tool, without the `v` that its tags have. */
export function releaseOf(tool: string, example: string) {
  return written(
    `an exact version of ${tool} such as ${example}`,
    { type: 'string', pattern: '^v?\\d+\\.\\d+\\.\\d+' },
    (raw) =>
      typeof raw === 'string' && /^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(raw.trim())
        ? raw.trim().replace(/^v/, '')
        : undefined,
  )
}

/** YAML reads 1.36 as a number, and 1.30 as 1.3: of that the text cannot be told. */
export const kubernetesVersion = written(
  'a Kubernetes version such as 1.36 or 1.36.4 (quote it in YAML)',
  { type: ['string', 'number'], pattern: '^v?1\\.\\d{2}(\\.\\d+)?$' },
  (raw) => {
    const text = typeof raw === 'string' || typeof raw === 'number' ? String(raw).trim().replace(/^v/, '') : ''
    return /^1\.\d{2}(\.\d+)?$/.test(text) ? text : undefined
  },
)

export const sha256 = written(
  'a sha256 checksum: 64 hexadecimal digits',
  { type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
  (raw) => (typeof raw === 'string' && /^[0-9a-f]{64}$/i.test(raw.trim()) ? raw.trim().toLowerCase() : undefined),
)

export const text = written('a text', { type: 'string' }, (raw) =>
  typeof raw === 'string' && raw.trim() !== '' ? raw : undefined,
)

/** Written `10%`, read as 10. */
export function perCent(min: 0 | 1) {
  const bounds = min === 0 ? 'from 0% to 100%' : 'above 0% and up to 100%'
  return written(
    `a percentage such as 10% or 0.5%, ${bounds}`,
    { type: 'string', pattern: '^\\d+(\\.\\d+)?\\s*%$' },
    (raw) => {
      const match = typeof raw === 'string' ? /^(\d+(?:\.\d+)?)\s*%$/.exec(raw.trim()) : null
      const value = match ? Number(match[1]) : NaN
      return value <= 100 && (min === 0 || value > 0) ? value : undefined
    },
  )
}

/** Inputs deliver it as text. */
export const flag = written('true or false', { type: 'boolean' }, (raw) => {
  const said = typeof raw === 'string' ? raw.trim().toLowerCase() : raw
  return said === 'true' || said === true ? true : said === 'false' || said === false ? false : undefined
})

/** A point in time with its zone, read as RFC 3339 in UTC. */
export const instant = written(
  'a point in time with its zone, such as 2026-12-01T18:00:00Z',
  { type: 'string', format: 'date-time' },
  (raw) => {
    const isWhole =
      typeof raw === 'string' && /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$/.test(raw.trim())
    const time = isWhole ? Date.parse(raw.trim()) : NaN
    return Number.isNaN(time) ? undefined : new Date(time).toISOString()
  },
)

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']
const knownMethod = (raw: unknown) =>
  typeof raw === 'string' ? methods.find((each) => each === raw.trim().toUpperCase()) : undefined
export const method = written(`an HTTP method: ${methods.join(', ')}`, { type: 'string' }, knownMethod)
export const methodList = listOf(`HTTP methods out of ${methods.join(', ')}`, knownMethod)

/** A path prefix of a request. */
export const pathPrefix = written('a path that begins with /', { type: 'string', pattern: '^/' }, (raw) =>
  typeof raw === 'string' && /^\/\S*$/.test(raw) ? raw : undefined,
)

/** Envoy's regular expressions know neither looking around nor references back. */
export const regex = written(
  'a regular expression in RE2 form, without looking around or references back',
  { type: 'string', format: 'regex' },
  (raw) => {
    if (typeof raw !== 'string' || raw === '' || /\(\?<?[=!]|\\[1-9]/.test(raw)) return undefined
    try {
      new RegExp(raw)
      return raw
    } catch {
      return undefined
    }
  },
)

/** A list of whole numbers within bounds. */
export function wholes(min: number, max: number, what: string) {
  return listOf(`${what}, whole numbers from ${min} to ${max}`, (item) => {
    const value = integer(item)
    return value !== undefined && value >= min && value <= max ? value : undefined
  })
}

/** Items that look as the pattern says. */
export function textsLike(expected: string, pattern: RegExp) {
  return listOf(expected, (item) => (typeof item === 'string' && pattern.test(item) ? item : undefined))
}

/** A section that may be written as a single value: `mtls: strict` for `mtls: { mode: strict }`. */
export function orShortForm<S extends z.ZodObject, T>(
  section: S,
  short: z.ZodType<T>,
  expand: (value: T) => z.infer<S>,
) {
  const json = Object.fromEntries(
    Object.entries(z.toJSONSchema(section, { io: 'input' })).filter(([key]) => key !== '$schema'),
  )
  return z
    .unknown()
    .meta({ ...json, type: ['string', 'object'] })
    .transform((raw, context): z.infer<S> => {
      const parsed = isMap(raw) ? section.safeParse(raw) : short.transform(expand).safeParse(raw)
      if (parsed.success) return parsed.data
      context.issues.push(...(parsed.error.issues as z.core.$ZodRawIssue[]))
      return z.NEVER
    })
}
