// PromQL over the metrics that Istio's sidecars publish, for the dashboards and the alerts. Pure.
// https://istio.io/latest/docs/reference/config/metrics/ lists the metrics and their labels.
import { flagsWithoutPod } from '../envoy/response-flags.ts'

/**
 * Which requests. `reporter`: `destination` is the sidecar of the server, which counts every try; `source` is that of
 * the caller, which counts a call once, with the outcome that its user got.
 */
export type Selection = { reporter: 'source' | 'destination'; matchers: readonly string[] }

/** The labels of Istio's metrics that name the service which is called. */
export const namespaceLabel = 'destination_service_namespace'
export const serviceLabel = 'destination_service_name'
/** The host of that service, such as `backend.shop.svc.cluster.local`. */
export const hostLabel = 'destination_service'
/**
 * The labels that name the pods that answer. A caller knows them even without a sidecar there, unlike app and version,
 * and they are the same whichever of several Services it has called.
 */
export const canonicalLabels = ['destination_canonical_service', 'destination_canonical_revision'] as const

const requestCounter = 'istio_requests_total'
/** No answer at all, or an error of the server. */
const failedCodes = 'response_code=~"5..|0"'
/**
 * Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable and DataLoss.
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
 */
const failedGrpc = ['response_code!~"5..|0"', 'request_protocol="grpc"', 'grpc_response_status=~"2|4|12|13|14|15"']
/** The caller left first, so there is nothing to blame the server for. */
const notAbandoned = 'response_flags!~".*(DC|DR).*"'

/** Envoy's response flags of calls that the caller's sidecar ended itself, because it reached no pod. */
export const reachedNoPod = `response_flags=~".*(${flagsWithoutPod.join('|')}).*"`

/**
 * A matcher for the service that is called, by its host. Of a call that reached no pod, the caller's sidecar knows the
 * host, but not the namespace. `service` is a regular expression.
 */
export function calledHost(namespace: string, service: string): string {
  return `${hostLabel}=~"(${service})[.]${namespace}[.].+"`
}

/** The selector of PromQL for a metric with these matchers. */
export function selector(metric: string, matchers: readonly string[]): string {
  return `${metric}{${matchers.join(',')}}`
}

/** An aggregation over all labels but these. */
export function sumBy(labels: readonly string[], vector: string): string {
  return labels.length === 0 ? `sum(${vector})` : `sum by (${labels.join(', ')}) (${vector})`
}

/** Requests per second. `range` is a PromQL duration. */
export function requestRate(selection: Selection, by: readonly string[], range: string): string {
  return sumBy(by, `rate(${requestSelector(selection)}[${range}])`)
}

/** Requests within the range. */
export function requestCount(selection: Selection, by: readonly string[], range: string): string {
  return sumBy(by, `increase(${requestSelector(selection)}[${range}])`)
}

/** Failed requests per second, as a canary's checks count them: 5xx, no answer, and server errors of gRPC. */
export function failureRate({ reporter, matchers }: Selection, by: readonly string[], range: string): string {
  const rateOf = (failed: readonly string[]) =>
    `rate(${requestSelector({ reporter, matchers: [...matchers, ...failed, notAbandoned] })}[${range}])`
  return sumBy(by, `${rateOf([failedCodes])} or ${rateOf(failedGrpc)}`)
}

/** Failed requests as a share from 0 to 1. It is 0, not missing, where nothing has failed. */
export function failureShare(selection: Selection, by: readonly string[], range: string): string {
  return shareOf(failureRate(selection, by, range), requestRate(selection, by, range))
}

/** A part of a whole from 0 to 1, where the part has no series if there is nothing of it. */
export function shareOf(part: string, whole: string): string {
  return `(${part} or 0 * ${whole}) / ${whole}`
}

/** The time in milliseconds within which this share of the requests is answered. */
export function latencyQuantile(share: number, selection: Selection, by: readonly string[], range: string): string {
  const buckets = selector('istio_request_duration_milliseconds_bucket', allMatchers(selection))
  return `histogram_quantile(${share}, ${sumBy(['le', ...by], `rate(${buckets}[${range}])`)})`
}

function requestSelector(selection: Selection): string {
  return selector(requestCounter, allMatchers(selection))
}

function allMatchers({ reporter, matchers }: Selection): string[] {
  return [`reporter="${reporter}"`, ...matchers]
}

/**
 * A counter or gauge of Envoy's clusters at the callers, with the name of the called service as `serviceLabel`. `service`
 * is a regular expression. Envoy names such a cluster `outbound|PORT|SUBSET|HOST`. Sidecars publish these metrics only
 * with `proxyStatsMatcher`.
 */
export function clusterMetric(metric: string, namespace: string, service: string, range?: string): string {
  const clusters = `outbound[|][0-9]+[|][^|]*[|]`
  const selected = selector(metric, [`cluster_name=~"${clusters}(${service})[.]${namespace}[.].+"`])
  const values = range === undefined ? selected : `rate(${selected}[${range}])`
  return `label_replace(${values}, "${serviceLabel}", "$1", "cluster_name", "${clusters}([^.]+)[.].+")`
}

/**
 * What a counter gained within the range. Some counters exist only after they have counted something, and `increase`
 * does not see the first value of a series. That value counts if Prometheus scraped the job before: what it finds when it
 * begins may be old.
 */
export function increaseWithNewSeries(counter: string, by: readonly string[], range: string): string {
  const newSeries = `(${counter} unless ${counter} offset ${range}) and on (job) up offset ${range}`
  return `(${sumBy(by, `increase(${counter}[${range}])`)} > 0 or ${sumBy(by, newSeries)} > 0)`
}
