// Reads the Prometheus text that sidecars publish, and computes what their counters gained between two readings. Pure.

/** The metrics to read: a counter of requests and a histogram of their durations. */
export type MetricNames = { requests: string; duration: string }
export type SeriesLabels = Readonly<Record<string, string>>
/** The value of each series. The key is the series as the sidecar writes it; counters are whole numbers. */
export type Reading = ReadonlyMap<string, number>

/** Keeps the request counters and the duration buckets, and drops every other line. */
export function parseCounters(text: string, { requests, duration }: MetricNames): Reading {
  const reading = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${requests}{`) && !line.startsWith(`${duration}_bucket{`)) continue
    const end = line.lastIndexOf('} ')
    // A timestamp may follow the value.
    const [number] = line
      .slice(end + 2)
      .trim()
      .split(' ')
    const value = Number(number)
    if (end > 0 && Number.isFinite(value)) reading.set(line.slice(0, end + 1), value)
  }
  return reading
}

/**
 * What each counter gained between two readings of one process. A counter that went down began again at zero; that says
 * nothing of the others, because Envoy drops single series.
 */
export function counterDeltas(before: Reading, after: Reading): Reading {
  // Empty buckets stay: they still tell where the edges of the histogram are.
  return new Map([...after].map(([series, value]) => [series, gained(before.get(series) ?? 0, value)]))
}

function gained(before: number, after: number): number {
  return after < before ? after : after - before
}

/** True when any counter went down. */
export function hasDecrease(before: Reading, after: Reading): boolean {
  return [...after].some(([series, value]) => value < (before.get(series) ?? 0))
}

/** Each sample contains the same series again, and parsing their labels is the most expensive part. */
const labelCache = new Map<string, SeriesLabels>()

/** The labels of a series; escape sequences in their values stay as written. */
export function labelsOf(series: string): SeriesLabels {
  const cached = labelCache.get(series)
  if (cached) return cached
  const pairs = series.matchAll(/([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"/g)
  const labels = Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
  labelCache.set(series, labels)
  return labels
}

/** A series in the form that sidecars and Prometheus write. */
export function seriesOf(name: string, labels: SeriesLabels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  return `${name}{${pairs.join(',')}}`
}
