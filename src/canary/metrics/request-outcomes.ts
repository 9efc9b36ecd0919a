// Counts requests by their outcome, from what the sidecars' counters gained. Pure.
import { labelsOf, type MetricNames, type Reading, type SeriesLabels } from '../../envoy/counters.ts'
import { addOrigins, noRequests, type Origins, type RequestCounts, type Times } from '../analysis/request-counts.ts'

/**
 * The gRPC codes that are errors of a server: Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable,
 * DataLoss.
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
 */
const grpcServerErrors = new Set(['2', '4', '12', '13', '14', '15'])
type Outcome = 'answered' | 'failed' | 'abandoned'

/**
 * A request failed when it got a 5xx, a server error of gRPC, or no answer at all. It was abandoned when its caller
 * left first: Envoy's flag is DC for a connection, DR for one of several streams. An HTTP request that was abandoned
 * has no code; for a gRPC call Envoy makes up a status.
 */
function outcomeOf({ response_code: code = '', response_flags: flags = '', ...labels }: SeriesLabels): Outcome {
  const grpcStatus = grpcStatusOf(labels)
  const callerLeft = flags.split(',').some((flag) => flag === 'DC' || flag === 'DR')
  const noAnswer = code === '0'
  const madeUpStatus = code === '200' && grpcStatus !== undefined && grpcStatus !== '0'
  if (callerLeft && (noAnswer || madeUpStatus)) return 'abandoned'
  const grpcFailed = grpcStatus !== undefined && grpcServerErrors.has(grpcStatus)
  return noAnswer || grpcFailed || /^5\d\d$/.test(code) ? 'failed' : 'answered'
}

export function isFailed(labels: SeriesLabels): boolean {
  return outcomeOf(labels) === 'failed'
}

export function isAbandoned(labels: SeriesLabels): boolean {
  return outcomeOf(labels) === 'abandoned'
}

/** The gRPC status of a series; undefined when the requests were not gRPC, or got no status. */
function grpcStatusOf({
  request_protocol: protocol = 'grpc',
  grpc_response_status: status = '',
}: SeriesLabels): string | undefined {
  return protocol === 'grpc' && /^\d+$/.test(status) ? status : undefined
}

/**
 * The requests that a pod served, as its own sidecar counted them: every try. `mostTries`: of one call that failed as a
 * series says. A failure is that part of a request.
 */
export function countServed(
  deltas: Reading,
  names: MetricNames,
  mostTries: (labels: SeriesLabels) => number = () => 1,
): RequestCounts {
  const counts = countRequests(deltas, names, ({ reporter }) => reporter === 'destination', mostTries)
  return { ...counts, origins: countOrigins(deltas, names), times: timesOf(deltas, names) }
}

/**
 * A caller without a sidecar sends plain text, and no sidecar names its workload. A sidecar names it even where mutual
 * TLS is off, in the headers of the request.
 */
function countOrigins(deltas: Reading, names: MetricNames): Origins {
  let origins: Origins = { tries: 0, withoutSidecar: 0 }
  for (const [labels, tries] of requestsIn(deltas, names)) {
    if (labels['reporter'] !== 'destination') continue
    const { connection_security_policy: security, source_workload: caller } = labels
    const hasNoSidecar = security === 'none' && caller === 'unknown'
    origins = addOrigins(origins, { tries, withoutSidecar: hasNoSidecar ? tries : 0 })
  }
  return origins
}

/**
 * The calls of a client to any of the full host names, as its sidecar counted them: one for all tries, with the outcome
 * that the user got; without their times.
 */
export function countCalls(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  isForVersion: (labels: SeriesLabels) => boolean = () => true,
): RequestCounts {
  return countRequests(deltas, names, (labels) => isCallTo(hosts, labels) && isForVersion(labels))
}

/** The answers that a pod gave and that no retry follows. `mostTries`: of one call that failed as a series says. */
export function countAnswersGiven(
  deltas: Reading,
  names: MetricNames,
  mostTries: (labels: SeriesLabels) => number,
): AnswerCounts {
  return countFinalAnswers(deltas, names, ({ reporter }) => reporter === 'destination', mostTries)
}

/** The same answers as the sidecar of a client counted them. */
export function countAnswersReceived(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  isForVersion: (labels: SeriesLabels) => boolean,
  mostTries: (labels: SeriesLabels) => number,
): AnswerCounts {
  return countFinalAnswers(deltas, names, (labels) => isCallTo(hosts, labels) && isForVersion(labels), mostTries)
}

export type AnswerCounts = { answered: number; failed: number }

function countFinalAnswers(
  deltas: Reading,
  names: MetricNames,
  belongs: (labels: SeriesLabels) => boolean,
  mostTries: (labels: SeriesLabels) => number,
): AnswerCounts {
  const total = { answered: 0, failed: 0 }
  for (const [labels, delta] of requestsIn(deltas, names)) {
    if (!belongs(labels)) continue
    const outcome = outcomeOf(labels)
    if (outcome === 'answered') total.answered += delta
    else if (outcome === 'failed' && isAnswer(labels) && mostTries(labels) === 1) total.failed += delta
  }
  return total
}

/** A caller's sidecar flags an error of its own; URX says only that all tries are used up. */
function isAnswer({ reporter, response_code: code, response_flags: flags = '-' }: SeriesLabels): boolean {
  return code !== '0' && (reporter !== 'source' || ['', '-', 'URX'].includes(flags))
}

export function isCallTo(hosts: string[], labels: SeriesLabels): boolean {
  if (labels['reporter'] !== 'source') return false
  const {
    destination_service: fullName,
    destination_service_name: name,
    destination_service_namespace: namespace,
  } = labels
  if (fullName !== undefined) return hosts.includes(fullName)
  // Services of other namespaces may have the same name.
  return hosts.some((host) => host.startsWith(`${name}.${namespace}.`))
}

function countRequests(
  deltas: Reading,
  names: MetricNames,
  belongs: (labels: SeriesLabels) => boolean,
  mostTries: (labels: SeriesLabels) => number = () => 1,
): RequestCounts {
  const total = { answered: 0, failed: 0, abandoned: 0 }
  for (const [labels, delta] of requestsIn(deltas, names)) {
    if (!belongs(labels)) continue
    const outcome = outcomeOf(labels)
    total[outcome] += outcome === 'answered' ? delta : delta / mostTries(labels)
  }
  return {
    ...noRequests,
    requests: total.answered + total.failed + total.abandoned,
    failures: total.failed,
    abandoned: total.abandoned,
  }
}

type CountedSeries = readonly (readonly [labels: SeriesLabels, delta: number])[]
/** A sample counts the same deltas many times. Most of their series are buckets, and no requests. */
const counted = new WeakMap<Reading, { requests: string; series: CountedSeries }>()

/** The series of requests that grew. */
export function requestsIn(deltas: Reading, { requests }: MetricNames): CountedSeries {
  const before = counted.get(deltas)
  if (before?.requests === requests) return before.series
  const series = [...deltas].flatMap(([name, delta]) =>
    delta > 0 && name.startsWith(`${requests}{`) ? [[labelsOf(name), delta] as const] : [],
  )
  counted.set(deltas, { requests, series })
  return series
}

/** The durations of the requests that the pod served, added up over all its series. */
function timesOf(deltas: Reading, { duration }: MetricNames): Times {
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

/**
 * Requests that failed at the caller and that the version's own sidecars do not count as failures. `notReached`: they
 * never got there, and no sidecar of the version knows them. `cutOff`: the version's sidecar counts them as abandoned.
 */
export type CallerFailures = { notReached: number; cutOff: number }

export const noCallerFailures: CallerFailures = { notReached: 0, cutOff: 0 }

/** Envoy's flags for a request that never reached the pod: no connection (UF), or no room in the pool (UO). */
const notReachedFlags = ['UF', 'UO']
/** The caller's sidecar stopped waiting for an answer (UT), or the connection broke (UC). */
const cutOffFlags = ['UT', 'UC']

/** What a client's sidecar saw fail at a version, without the failures that the version's sidecar answered itself. */
export function countCallerFailures(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  isForVersion: (labels: SeriesLabels) => boolean,
): CallerFailures {
  const total = { ...noCallerFailures }
  for (const [labels, delta] of requestsIn(deltas, names)) {
    if (!isCallTo(hosts, labels) || !isForVersion(labels) || outcomeOf(labels) !== 'failed') continue
    const flags = labels['response_flags']?.split(',') ?? []
    if (flags.some((flag) => notReachedFlags.includes(flag))) total.notReached += delta
    else if (flags.some((flag) => cutOffFlags.includes(flag))) total.cutOff += delta
  }
  return total
}

export function addCallerFailures(a: CallerFailures, b: CallerFailures): CallerFailures {
  return { notReached: a.notReached + b.notReached, cutOff: a.cutOff + b.cutOff }
}

/** The part of the failures that belongs to the same part of a version's pods. */
export function scaleCallerFailures({ notReached, cutOff }: CallerFailures, share: number): CallerFailures {
  return { notReached: notReached * share, cutOff: cutOff * share }
}
