// Finds requests whose outcome the counters do not tell, because a Telemetry classifies or removes a label. Pure.
import type { MetricNames, Reading, SeriesLabels } from '../../envoy/counters.ts'
import { isCallTo, requestsIn } from './request-outcomes.ts'

/**
 * The label at fault, in words; undefined if every request of these counters is an answer, a failure or neither by its
 * labels. `isVersion`: the pod is of one of the two versions, and not just a caller.
 */
export function findUnreadable(
  deltas: Reading,
  names: MetricNames,
  hosts: string[],
  isVersion: boolean,
): string | undefined {
  for (const [labels] of requestsIn(deltas, names)) {
    const isServed = isVersion && labels['reporter'] === 'destination'
    const fault = isServed || isCallTo(hosts, labels) ? faultOf(labels) : undefined
    if (fault !== undefined) return fault
  }
  return undefined
}

function faultOf(labels: SeriesLabels): string | undefined {
  const { response_code: code, response_flags: flags = '-', request_protocol: protocol } = labels
  if (!/^\d+$/.test(code ?? '')) return describe('response_code', code)
  const { grpc_response_status: status } = labels
  // Prometheus drops an empty label, which a call has that was cut off.
  const hasStatus = status === undefined ? flags !== '-' : /^(\d*|-)$/.test(status)
  return protocol === 'grpc' && code === '200' && !hasStatus ? describe('grpc_response_status', status) : undefined
}

function describe(label: string, value: string | undefined): string {
  const what = value === undefined ? `do not carry the label ${label}` : `carry ${label} ${JSON.stringify(value)}`
  return (
    `the counters of the sidecars ${what}, so they do not tell which requests failed: ` +
    `let the Telemetry keep the tag ${label} as Istio sets it, and run again`
  )
}
