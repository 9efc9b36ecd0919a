// Reads the Prometheus text that sidecars publish, and computes what their counters gained between two readings. Pure.
import { createInterner } from '../runtime/interning.ts'

/** The metrics to read: a counter of requests and a histogram of their durations. */
export type MetricNames = { requests: string; duration: string }
export type SeriesLabels = Readonly<Record<string, string>>
/** The value of each series. The key is the series as the sidecar writes it; counters are whole numbers. */
export type Reading = ReadonlyMap<string, number>

/** Keeps the request counters and the duration buckets, and drops every other line. */
export function parseCounters(text: string, { requests, duration }: MetricNames): Reading {
  const [ofRequests, ofDurations] = [`${requests}{`, `${duration}_bucket{`]
  const reading = new Map<string, number>()
  for (const [from, to] of linesOf(text)) {
    if (!text.startsWith(ofRequests, from) && !text.startsWith(ofDurations, from)) continue
    const end = text.lastIndexOf('} ', to - 1)
    if (end <= from) continue
    // A timestamp may follow the value.
    const value = Number.parseFloat(text.slice(end + 2, to))
    if (Number.isFinite(value)) reading.set(knownSeries(text.slice(from, end + 1)).text, value)
  }
  return reading
}

/** Where each line begins and ends. A list of the lines would be as large as the text. */
function* linesOf(text: string): Generator<readonly [from: number, to: number]> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from)
    const to = end === -1 ? text.length : end
    yield [from, to]
    from = to + 1
  }
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

type KnownSeries = { text: string; labels?: SeriesLabels }

/**
 * Each sample contains the same series again, and many pods have the same ones. One text for all of them saves memory, and
 * parsing the labels again would be the most expensive part of a sample.
 */
const intern = createInterner<KnownSeries>(100_000)

const knownSeries = (series: string) => intern(series, (text) => ({ text }))

/** The labels of a series; escape sequences in their values stay as written. */
export function labelsOf(series: string): SeriesLabels {
  const found = knownSeries(series)
  return (found.labels ??= parseLabels(series))
}

function parseLabels(series: string): SeriesLabels {
  const pairs = series.matchAll(/([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"/g)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
}

/** A series in the form that sidecars and Prometheus write. */
export function seriesOf(name: string, labels: SeriesLabels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  return `${name}{${pairs.join(',')}}`
}
