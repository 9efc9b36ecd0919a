// Counts what the callers' sidecars saw: the users' requests with their times, and the calls that a fault concerned. Pure.
import { isAbandoned, isFailed, isCallTo } from '../../canary/metrics/request-outcomes.ts'
import { noRequests, type Origins, type RequestCounts, type Times } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { labelsOf, type MetricNames, type Reading, type SeriesLabels } from '../../envoy/counters.ts'
import type { FaultSigns } from '../state/coverage.ts'

/**
 * `refusals`: an AuthorizationPolicy cuts a workload off, so its refusals are failures. `namespaces`: those whose sidecars
 * are read.
 */
export type UserCounting = { names: MetricNames; host: string; refusals: boolean; namespaces: string[] }

/**
 * The calls of one pod to the service, with the outcome after all retries. A user who gives up waiting has no answer, and
 * one who gets an injected error gets an error, whatever its status is.
 */
export function countUsers(delta: Reading, counting: UserCounting): RequestCounts {
  const { names, host, refusals } = counting
  let [requests, failures] = [0, 0]
  for (const [labels, count] of callsIn(delta, names, host)) {
    requests += count
    const isWithoutAnswer = isFailed(labels) || isAbandoned(labels) || hasFlag(labels, flagsOf.abort)
    if (isWithoutAnswer || (refusals && isRefused(labels))) failures += count
  }
  const origins = countOrigins(delta, counting)
  if (requests === 0) return origins.tries === 0 ? noRequests : { ...noRequests, origins }
  return { ...noRequests, requests, failures, origins, times: timesOf(delta, names, host) }
}

/** What a pod of the service served. Nobody reads the answers of a caller without a sidecar, or in another namespace. */
function countOrigins(delta: Reading, { names, host, namespaces }: UserCounting): Origins {
  const total = { tries: 0, withoutSidecar: 0 }
  for (const [series, count] of delta) {
    if (count === 0 || !series.startsWith(`${names.requests}{`)) continue
    const { reporter, destination_service: to, source_workload_namespace: from } = labelsOf(series)
    if (reporter !== 'destination' || to !== host) continue
    total.tries += count
    if (from !== undefined && !namespaces.includes(from)) total.withoutSidecar += count
  }
  return total
}

/** HTTP's 403, and gRPC's PermissionDenied. */
function isRefused({ response_code: code, grpc_response_status: status }: SeriesLabels): boolean {
  return code === '403' || status === '7'
}

/** Envoy's flags for an injected delay, an injected abort, and a request that the connection limits refuse. */
const flagsOf = { delay: 'DI', abort: 'FI', overload: 'UO' } as const

function hasFlag({ response_flags: flags = '' }: SeriesLabels, flag: string): boolean {
  return flags.split(',').includes(flag)
}

/** Calls of one pod to the target of the fault, and those that carry its flag. */
export function countFaultedCalls(
  delta: Reading,
  names: MetricNames,
  host: string,
  inject: ExperimentConfig['inject'],
): FaultSigns {
  const kind = (['delay', 'abort', 'overload'] as const).find((each) => inject[each] !== undefined)
  const total = { calls: 0, faulted: 0 }
  if (kind === undefined) return total
  for (const [labels, count] of callsIn(delta, names, host)) {
    total.calls += count
    if (hasFlag(labels, flagsOf[kind])) total.faulted += count
  }
  return total
}

/**
 * Requests and connections that one pod's sidecar has refused by policy. Envoy's own counters say so; a 403 may as well be
 * the application's.
 */
export function countRefusals(delta: Reading, names: MetricNames): FaultSigns {
  let [served, requests, connections] = [0, 0, 0]
  for (const [series, count] of delta) {
    if (series.startsWith(`${names.requests}{`) && labelsOf(series)['reporter'] === 'destination') served += count
    else if (!denial.test(series)) continue
    else if (series.startsWith('envoy_tcp')) connections += count
    else requests += count
  }
  // Istio publishes its counters a little later than Envoy.
  return { calls: Math.max(served, requests) + connections, faulted: requests + connections }
}

/** `envoy_http_rbac` and `envoy_tcp`, by Istio's labels. What a policy would only refuse (`dry-run`) has another label. */
const denial = /^envoy_(http|tcp)[^{]*\{[^}]*\bauthz_enforce_result="denied"/

/** The lines of Envoy's counters of refusals. */
export function parseDenials(text: string): Reading {
  const lines = text.split('\n').filter((line) => denial.test(line))
  return new Map(
    lines.map((line): [string, number] => {
      const end = line.lastIndexOf(' ')
      return [line.slice(0, end), Number(line.slice(end + 1))]
    }),
  )
}

/** The latencies of the calls, as the callers' sidecars timed them. */
function timesOf(delta: Reading, { duration }: MetricNames, host: string): Times {
  let total = 0
  const within: Record<string, number> = {}
  for (const [series, count] of delta) {
    if (!series.startsWith(`${duration}_bucket{`)) continue
    const { le = '', ...labels } = labelsOf(series)
    if (!isCallTo([host], labels)) continue
    if (le === '+Inf') total += count
    else within[String(Number(le))] = (within[String(Number(le))] ?? 0) + count
  }
  return { total, within }
}

function* callsIn(delta: Reading, { requests }: MetricNames, host: string): Generator<[SeriesLabels, number]> {
  for (const [series, count] of delta) {
    if (count === 0 || !series.startsWith(`${requests}{`)) continue
    const labels = labelsOf(series)
    if (isCallTo([host], labels)) yield [labels, count]
  }
}
