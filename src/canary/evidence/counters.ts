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

/** What was added since. A pod of which any counter went down has restarted: all of its counters began at zero. */
export function difference(before: Reading, after: Reading): Reading {
  const restarted = [...after].some(([series, value]) => value < (before.get(series) ?? 0))
  // A bucket that got nothing is kept: it still tells where the histogram has an edge.
  return new Map([...after].map(([series, value]) => [series, restarted ? value : value - (before.get(series) ?? 0)]))
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
  const total = { requests: 0, failures: 0 }
  for (const [series, delta] of deltas) {
    const labels = labelsOf(series)
    if (labels['reporter'] !== 'destination' || !series.startsWith(`${names.requests}{`)) continue
    total.requests += delta
    if (isFailure(labels)) total.failures += delta
  }
  return { ...total, ...times(deltas, names, limitMs) }
}

/** Slow are those above the first bucket edge that is not below the limit: a request is never called slow that was within it. */
function times(deltas: Reading, { duration }: MetricNames, limitMs: number | undefined): { timed: number; slow: number } {
  let timed = 0
  const within = new Map<number, number>()
  for (const [series, delta] of deltas) {
    if (!series.startsWith(`${duration}_bucket{`)) continue
    const labels = labelsOf(series)
    if (labels['reporter'] !== 'destination') continue
    if (labels['le'] === '+Inf') timed += delta
    else within.set(Number(labels['le']), (within.get(Number(labels['le'])) ?? 0) + delta)
  }
  const edges = [...within.keys()].filter((edge) => edge >= (limitMs ?? Infinity))
  return { timed, slow: edges.length === 0 ? 0 : Math.max(0, timed - within.get(Math.min(...edges))!) }
}

/** What a client asked of the service, as its sidecar counted it. */
export function asked(deltas: Reading, { requests }: MetricNames, service: string, host: string): Served {
  const total = { requests: 0, failures: 0, timed: 0, slow: 0 }
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
