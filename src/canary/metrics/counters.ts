// Sidecar counters: Prometheus text → series, series → what was served between two readings. Pure.
import { noRequests, type RequestCounts, type Times } from '../analysis/request-counts.ts'

export type MetricNames = { requests: string; duration: string }
export type SeriesLabels = Readonly<Record<string, string>>
/** Value by series, the series written as the sidecar writes it. Counters are whole numbers. */
export type Reading = ReadonlyMap<string, number>

/** Keeps the counters and histogram buckets of the named metrics. */
export function parse(text: string, { requests, duration }: MetricNames): Reading {
  const reading = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${requests}{`) && !line.startsWith(`${duration}_bucket{`)) continue
    const cut = line.lastIndexOf('} ')
    const value = Number(
      line
        .slice(cut + 2)
        .trim()
        .split(' ')[0],
    )
    if (cut > 0 && Number.isFinite(value)) reading.set(line.slice(0, cut + 1), value)
  }
  return reading
}

/** What was added since. A pod of which any counter went down has restarted: all of its counters began at zero. */
export function counterDeltas(before: Reading, after: Reading): Reading {
  const restarted = [...after].some(([series, value]) => value < (before.get(series) ?? 0))
  // A bucket that got nothing is kept: it still tells where the histogram has an edge.
  return new Map([...after].map(([series, value]) => [series, restarted ? value : value - (before.get(series) ?? 0)]))
}

/** The same series come again in every look, and taking them apart is what costs most. */
const known = new Map<string, SeriesLabels>()

export function labelsOf(series: string): SeriesLabels {
  const before = known.get(series)
  if (before) return before
  const pairs = series.matchAll(/([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"/g)
  const labels = Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
  known.set(series, labels)
  return labels
}

/** The series of a reading as the sidecars and Prometheus write them. */
export function seriesOf(name: string, labels: SeriesLabels): string {
  return `${name}{${Object.entries(labels)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(',')}}`
}

/**
 * What a server's span has as an error: Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss.
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
 */
const grpcFailures = new Set(['2', '4', '12', '13', '14', '15'])
type Outcome = 'answered' | 'failed' | 'abandoned'

/**
 * A failure is a 5xx, a server's error of gRPC, or no answer at all; abandoned is one whose caller went away first (the
 * flag DC, DR for one stream of several). An HTTP caller that leaves has no code; of a gRPC call Envoy then makes up a status.
 */
function outcomeOf({ response_code: code = '', response_flags: flags = '', ...labels }: SeriesLabels): Outcome {
  const grpc = isGrpc(labels)
  const left = flags.split(',').some((flag) => flag === 'DC' || flag === 'DR')
  if (left && (code === '0' || (grpc && code === '200' && labels['grpc_response_status'] !== '0'))) return 'abandoned'
  const isFailure = /^5\d\d$/.test(code) || code === '0' || (grpc && grpcFailures.has(labels['grpc_response_status']!))
  return isFailure ? 'failed' : 'answered'
}

function isGrpc({ request_protocol: protocol = 'grpc', grpc_response_status: status = '' }: SeriesLabels): boolean {
  return protocol === 'grpc' && /^\d+$/.test(status)
}

/** What the pods served, as their own sidecars counted it. */
export function countServed(deltas: Reading, names: MetricNames): RequestCounts {
  return { ...counted(deltas, names, ({ reporter }) => reporter === 'destination'), times: times(deltas, names) }
}

/** What a client asked of the service under any of its full host names, as its sidecar counted it; not timed. */
export function countCalls(deltas: Reading, names: MetricNames, hosts: string[]): RequestCounts {
  return counted(deltas, names, (labels) => isCall(labels, hosts))
}

function isCall(
  { reporter, destination_service: full, destination_service_name: name }: SeriesLabels,
  hosts: string[],
): boolean {
  return (
    reporter === 'source' && hosts.some((host) => full === host || (full === undefined && name === host.split('.')[0]))
  )
}

function counted(deltas: Reading, names: MetricNames, belongs: (labels: SeriesLabels) => boolean): RequestCounts {
  const total = { answered: 0, failed: 0, abandoned: 0 }
  for (const [labels, delta] of requestsIn(deltas, names)) if (belongs(labels)) total[outcomeOf(labels)] += delta
  return {
    ...noRequests,
    requests: total.answered + total.failed + total.abandoned,
    failures: total.failed,
    abandoned: total.abandoned,
  }
}

function* requestsIn(deltas: Reading, { requests }: MetricNames): Generator<[SeriesLabels, number]> {
  for (const [series, delta] of deltas)
    if (delta > 0 && series.startsWith(`${requests}{`)) yield [labelsOf(series), delta]
}

function times(deltas: Reading, { duration }: MetricNames): Times {
  let total = 0
  const within: Record<string, number> = {}
  for (const [series, delta] of deltas) {
    if (!series.startsWith(`${duration}_bucket{`)) continue
    const { reporter, le = '' } = labelsOf(series)
    if (reporter !== 'destination') continue
    if (le === '+Inf') total += delta
    else within[String(Number(le))] = (within[String(Number(le))] ?? 0) + delta
  }
  return { total, within }
}

/** Failed requests of which the version's own sidecars know nothing (`unseen`), or only that their caller went away (`cut`). */
export type CallerFailures = { unseen: number; cut: number }

/** Flags of Envoy for a request that never got to the pod: no connection, or no room in the pool. */
const unseenFlags = ['UF', 'UO']
/** The caller's sidecar gave up on an answer, or the connection broke under it. */
const cutFlags = ['UT', 'UC']

/** What a client's sidecar saw fail at a version. A failure that the version's sidecar answered itself is counted there. */
export function countCallerFailures(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  isVersion: (labels: SeriesLabels) => boolean,
): CallerFailures {
  const total = { unseen: 0, cut: 0 }
  for (const [labels, delta] of requestsIn(deltas, names)) {
    if (!isCall(labels, hosts) || !isVersion(labels) || outcomeOf(labels) !== 'failed') continue
    const flags = labels['response_flags']?.split(',') ?? []
    if (flags.some((flag) => unseenFlags.includes(flag))) total.unseen += delta
    else if (flags.some((flag) => cutFlags.includes(flag))) total.cut += delta
  }
  return total
}
