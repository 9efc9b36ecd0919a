import { expect, test } from 'vitest'
import { findUnreadable } from '../../../../src/canary/metrics/unreadable-series.ts'
import { seriesOf } from '../../../../src/envoy/counters.ts'

const names = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
const host = 'backend.shop.svc.cluster.local'

function find(labels: Record<string, string>, { isVersion = true, count = 1 } = {}): string | undefined {
  return findUnreadable(new Map([[seriesOf(names.requests, labels), count]]), names, [host], isVersion)
}

const served = { reporter: 'destination', response_flags: '-' }

test.each<[string, Record<string, string>, string]>([
  ['a class of codes', { response_code: '5xx' }, 'carry response_code "5xx"'],
  ['no code', {}, 'do not carry the label response_code'],
  ['an empty code', { response_code: '' }, 'carry response_code ""'],
  [
    'a gRPC call without its status',
    { response_code: '200', request_protocol: 'grpc' },
    'do not carry the label grpc_response_status',
  ],
  [
    'a gRPC call with a renamed status',
    { response_code: '200', request_protocol: 'grpc', grpc_response_status: 'bad' },
    'carry grpc_response_status "bad"',
  ],
])('%s does not tell whether the request failed', (_, labels, expected) => {
  expect(find({ ...served, ...labels })).toMatch(`the counters of the sidecars ${expected}, so they do not tell`)
})

test.each<[string, Record<string, string>]>([
  ['an HTTP code', { response_code: '503', request_protocol: 'http' }],
  ['no answer', { response_code: '0' }],
  ['a gRPC status', { response_code: '200', request_protocol: 'grpc', grpc_response_status: '14' }],
  ['the empty status of a gRPC call', { response_code: '200', request_protocol: 'grpc', grpc_response_status: '' }],
  [
    'the same in Prometheus, of a call that was cut off',
    { response_code: '200', request_protocol: 'grpc', response_flags: 'UC' },
  ],
])('%s tells it', (_, labels) => {
  expect(find({ ...served, ...labels })).toBeUndefined()
})

test('callers are asked about their calls to the service only, and nobody about what did not grow', () => {
  const caller = { isVersion: false }
  expect(find(served, caller)).toBeUndefined()
  expect(find({ reporter: 'source', destination_service: 'other.shop.svc.cluster.local' })).toBeUndefined()
  expect(find({ reporter: 'source', destination_service: host }, caller)).toContain('response_code')
  expect(find(served, { count: 0 })).toBeUndefined()
})
