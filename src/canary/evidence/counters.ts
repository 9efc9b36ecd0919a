// Sidecar counters: Prometheus text → series, series → what was served between two readings. Pure.
import type { Served } from '../machine.ts'

export type MetricNames = { requests: string; duration: string }
/** Value by series, the series written as the sidecar writes it. Counters are whole numbers. */
export type Reading = ReadonlyMap<string, number>

/** Keeps the counters and histogram buckets of the named metrics. */
export function parse(text: string, { requests, duration }: MetricNames): Reading {
  const reading = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${requests}{`) && !line.startsWith(`${duration}_`)) continue
    const cut = line.lastIndexOf('} ')
    const value = Number(line.slice(cut + 2).trim().split(' ')[0])
    if (cut > 0 && Number.isFinite(value)) reading.set(line.slice(0, cut + 1), value)
  }
  return reading
}

/** What was added since; a counter that went down was restarted from zero, a series that was not there began at zero. */
export function difference(before: Reading, after: Reading): Reading {
  const deltas = new Map<string, number>()
  for (const [series, value] of after) {
    const was = before.get(series) ?? 0
    // A bucket that got nothing is kept: it still tells where the histogram has an edge.
    deltas.set(series, value >= was ? value - was : value)
  }
  return deltas
}

export function labelsOf(series: string): Record<string, string> {
  const pairs = series.matchAll(/([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"/g)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
}

/** A 5xx, or no answer at all unless it was the caller who went away (flag DC). */
function isFailure({ response_code: code = '', response_flags: flags = '' }: Record<string, string>): boolean {
  return /^5\d\d$/.test(code) || (code === '0' && !flags.includes('DC'))
}

/** What the pods served, as their own sidecars counted it. `limitMs`: above it, a request counts as slow. */
export function served(deltas: Reading, names: MetricNames, limitMs: number | undefined): Served {
  const total = { requests: 0, failures: 0, slow: 0 }
  for (const [series, delta] of deltas) {
    const labels = labelsOf(series)
    if (labels['reporter'] !== 'destination') continue
    if (series.startsWith(`${names.requests}{`)) {
      total.requests += delta
      if (isFailure(labels)) total.failures += delta
    }
  }
  return { ...total, slow: limitMs === undefined ? 0 : slow(deltas, names, limitMs) }
}

/** Requests above the first bucket edge that is not below the limit: a request is never called slow that was within it. */
function slow(deltas: Reading, { duration }: MetricNames, limitMs: number): number {
  let all = 0
  const within = new Map<number, number>()
  for (const [series, delta] of deltas) {
    if (!series.startsWith(`${duration}_bucket{`)) continue
    const labels = labelsOf(series)
    if (labels['reporter'] !== 'destination') continue
    if (labels['le'] === '+Inf') all += delta
    else within.set(Number(labels['le']), (within.get(Number(labels['le'])) ?? 0) + delta)
  }
  const edges = [...within.keys()].filter((edge) => edge >= limitMs)
  return edges.length === 0 ? 0 : Math.max(0, all - within.get(Math.min(...edges))!)
}

/** What a client asked of the service, as its sidecar counted it. */
export function asked(deltas: Reading, { requests }: MetricNames, service: string, host: string): Served {
  const total = { requests: 0, failures: 0, slow: 0 }
  for (const [series, delta] of deltas) {
    if (!series.startsWith(`${requests}{`)) continue
    const labels = labelsOf(series)
    const toService = labels['destination_service'] === host || (labels['destination_service'] === undefined && labels['destination_service_name'] === service)
    if (labels['reporter'] !== 'source' || !toService) continue
    total.requests += delta
    if (isFailure(labels)) total.failures += delta
  }
  return total
}
