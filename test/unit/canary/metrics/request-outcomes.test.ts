import { describe, expect, test } from 'vitest'
import { countCallerFailures, countCalls, countServed } from '../../../../src/canary/metrics/request-outcomes.ts'
import { counterDeltas, parseCounters } from '../../../../src/envoy/counters.ts'
import type { RequestCounts } from '../../../../src/canary/analysis/request-counts.ts'

const names = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }

function requests(code: string, count: number, { reporter = 'destination', flags = '-', more = '' } = {}): string {
  return `istio_requests_total{reporter="${reporter}",response_code="${code}",response_flags="${flags}"${more}} ${count}\n`
}

/** Cumulative buckets of one series, `le` → count, as Envoy writes them. */
function buckets(counts: Record<string, number>, code = '200', reporter = 'destination'): string {
  return Object.entries(counts)
    .map(
      ([le, count]) =>
        `istio_request_duration_milliseconds_bucket{reporter="${reporter}",response_code="${code}",le="${le}"} ${count}\n`,
    )
    .join('')
}

const read = (text: string) => parseCounters(text, names)
/** The counts without the times. */
const counts = ({ requests, failures, abandoned }: RequestCounts) => ({ requests, failures, abandoned })
const since = (before: string, after: string) => counterDeltas(read(before), read(after))

describe('the requests that a pod served between two readings', () => {
  test('are the differences of its counters', () => {
    expect(
      counts(
        countServed(since(requests('200', 100) + requests('503', 4), requests('200', 130) + requests('503', 5)), names),
      ),
    ).toEqual({ requests: 31, failures: 1, abandoned: 0 })
  })

  test('are the full value of a new series', () => {
    expect(counts(countServed(since(requests('200', 100), requests('200', 100) + requests('500', 3)), names))).toEqual({
      requests: 3,
      failures: 3,
      abandoned: 0,
    })
  })

  test('are none while its counters do not change', () => {
    expect(counts(countServed(since(requests('200', 100), requests('200', 100)), names))).toEqual({
      requests: 0,
      failures: 0,
      abandoned: 0,
    })
  })
})

describe('a request from a caller without a sidecar', () => {
  const origins = (more: string, { code = '200', reporter = 'destination' } = {}) =>
    countServed(read(requests(code, 4, { more, reporter }) + requests('200', 6)), names, () => 4).origins

  test('is one in plain text whose caller no sidecar names; every try counts', () => {
    const more = ',connection_security_policy="none",source_workload="unknown"'
    expect(origins(more)).toEqual({ tries: 10, withoutSidecar: 4 })
    expect(origins(more, { code: '503' })).toEqual({ tries: 10, withoutSidecar: 4 })
    expect(origins(more, { reporter: 'source' })).toEqual({ tries: 6, withoutSidecar: 0 })
  })

  test('is none with mutual TLS, from a known caller, or where the labels are missing', () => {
    for (const more of [
      ',connection_security_policy="mutual_tls",source_workload="unknown"',
      ',connection_security_policy="none",source_workload="web"',
      ',connection_security_policy="none"',
    ])
      expect(origins(more)).toEqual({ tries: 10, withoutSidecar: 0 })
  })
})

describe('the outcome of a request', () => {
  const outcome = (code: string, more: Parameters<typeof requests>[2]) => {
    const { requests: all, failures, abandoned } = countServed(read(requests(code, 1, more)), names)
    expect(all).toBe(1)
    return failures === 1 ? 'failed' : abandoned === 1 ? 'abandoned' : 'answered'
  }

  test.each<[string, string, string]>([
    ['200', '-', 'answered'],
    ['404', '-', 'answered'],
    ['429', '-', 'answered'],
    ['500', '-', 'failed'],
    ['503', 'UC', 'failed'],
    ['504', 'UT', 'failed'],
    ['599', '-', 'failed'],
    ['0', 'UC', 'failed'],
    ['0', '-', 'failed'],
    ['0', 'DC', 'abandoned'],
    ['0', 'DR', 'abandoned'],
    ['0', 'UC,DC', 'abandoned'],
    ['200', 'DC', 'answered'],
    ['503', 'DC', 'failed'],
    ['5', '-', 'answered'],
  ])('with code %s and the flags %s is: %s', (code, flags, expected) => {
    expect(outcome(code, { flags })).toBe(expected)
  })

  test.each<[string, string, string, string, string]>([
    ['Ok', '0', 'grpc', '-', 'answered'],
    ["NotFound, the caller's own", '5', 'grpc', '-', 'answered'],
    ['PermissionDenied', '7', 'grpc', '-', 'answered'],
    ['Unknown', '2', 'grpc', '-', 'failed'],
    ['DeadlineExceeded', '4', 'grpc', '-', 'failed'],
    ['Unimplemented', '12', 'grpc', '-', 'failed'],
    ['Internal', '13', 'grpc', '-', 'failed'],
    ['Unavailable', '14', 'grpc', '-', 'failed'],
    ['DataLoss', '15', 'grpc', '-', 'failed'],
    ['Internal, of a protocol that is not gRPC', '13', 'http', '-', 'answered'],
    ['none', '', 'grpc', '-', 'answered'],
    ['none, as stock Envoy writes it', '-', 'http', '-', 'answered'],
    ['Unknown, invented for a call that its caller cancelled', '2', 'grpc', 'DR', 'abandoned'],
    ['Ok, for a caller that cancelled afterwards', '0', 'grpc', 'DC', 'answered'],
  ])('with the gRPC status %s is: %s, %s, %s, %s', (_, status, protocol, flags, expected) => {
    expect(outcome('200', { flags, more: `,request_protocol="${protocol}",grpc_response_status="${status}"` })).toBe(
      expected,
    )
  })

  test('follows the gRPC status when the protocol is unknown', () => {
    expect(outcome('200', { more: ',grpc_response_status="13"' })).toBe('failed')
  })

  test('counts only for requests that the pod served, not for those that it sent', () => {
    expect(counts(countServed(read(requests('200', 5) + requests('503', 9, { reporter: 'source' })), names))).toEqual({
      requests: 5,
      failures: 0,
      abandoned: 0,
    })
  })
})

describe('the durations of requests', () => {
  const times = (text: string) => countServed(read(text), names).times
  const histogram = buckets({ '100': 60, '250': 80, '500': 95, '+Inf': 100 })

  test('add up the buckets of all series, whatever the outcome of the requests was', () => {
    expect(times(histogram)).toEqual({ total: 100, within: { 100: 60, 250: 80, 500: 95 } })
    expect(
      times(requests('200', 120) + histogram + buckets({ '100': 0, '250': 1, '500': 1, '+Inf': 3 }, '503')),
    ).toEqual({ total: 103, within: { 100: 60, 250: 81, 500: 96 } })
  })

  test('keep the edges of buckets that gained nothing', () => {
    expect(
      countServed(
        since(buckets({ '100': 40, '500': 50, '+Inf': 50 }), buckets({ '100': 40, '500': 50, '+Inf': 58 })),
        names,
      ).times,
    ).toEqual({ total: 8, within: { 100: 0, 500: 0 } })
  })

  test('treat edges as equal however they are written', () => {
    expect(times(buckets({ '0.5': 1, '5.0': 2, '1e+01': 3, '+Inf': 3 }))).toEqual({
      total: 3,
      within: { '0.5': 1, 5: 2, 10: 3 },
    })
  })

  test('leave out the requests that the pod sent', () => {
    expect(times(histogram + buckets({ '100': 0, '250': 0, '500': 0, '+Inf': 50 }, '200', 'source'))).toEqual({
      total: 100,
      within: { 100: 60, 250: 80, 500: 95 },
    })
    expect(times(requests('200', 9))).toEqual({ total: 0, within: {} })
  })
})

describe('the requests that clients sent to the service', () => {
  const host = 'backend.shop.svc.cluster.local'
  const ask = (more: string, reporter = 'source', code = '200') =>
    counts(countCalls(read(requests(code, 3, { reporter, more })), names, [host]))
  const three = { requests: 3, failures: 0, abandoned: 0 }
  const none = { requests: 0, failures: 0, abandoned: 0 }

  test.each([
    ['under its full name', `,destination_service="${host}"`, three],
    [
      'under its full name, whatever the short one is',
      `,destination_service="${host}",destination_service_name="x"`,
      three,
    ],
    [
      'under its short name and its namespace if there is no full one',
      ',destination_service_name="backend",destination_service_namespace="shop"',
      three,
    ],
    [
      'but not under its short name in another namespace',
      ',destination_service_name="backend",destination_service_namespace="other"',
      none,
    ],
    ['but not under its short name in an unknown namespace', ',destination_service_name="backend"', none],
    [
      'but not for a service of the same name in another namespace',
      ',destination_service="backend.other.svc.cluster.local",destination_service_name="backend"',
      none,
    ],
    ['but not for another service', ',destination_service_name="frontend",destination_service_namespace="shop"', none],
    ['but not for an unknown service', '', none],
  ])('are counted %s', (_, more, expected) => {
    expect(ask(more)).toEqual(expected)
  })

  test('are counted by the callers, not by the servers', () => {
    expect(ask(`,destination_service="${host}"`, 'destination')).toEqual(none)
  })

  test('include failures that no server saw', () => {
    const text = requests('503', 2, { reporter: 'source', flags: 'UH', more: `,destination_service="${host}"` })
    expect(counts(countCalls(read(text), names, [host]))).toEqual({ requests: 2, failures: 2, abandoned: 0 })
  })

  test("are counted under a version's own Service where the route sends them there", () => {
    const text = requests('200', 2, {
      reporter: 'source',
      more: ',destination_service="backend-v2.shop.svc.cluster.local"',
    })
    expect(countCalls(read(text), names, [host, 'backend-v2.shop.svc.cluster.local']).requests).toBe(2)
    expect(countCalls(read(text), names, [host]).requests).toBe(0)
  })
})

describe('failures that only the callers of a version know', () => {
  const host = 'backend.shop.svc.cluster.local'
  const isForCanary = (labels: Record<string, string>) => labels['destination_version'] === 'v2'
  const failures = (code: string, flags: string, { version = 'v2', reporter = 'source', service = host } = {}) =>
    countCallerFailures(
      read(
        requests(code, 3, {
          reporter,
          flags,
          more: `,destination_service="${service}",destination_version="${version}"`,
        }),
      ),
      names,
      [host],
      isForCanary,
    )

  test.each<[string, string, string, { notReached: number; cutOff: number }]>([
    ['no connection', '503', 'UF', { notReached: 3, cutOff: 0 }],
    ['no connection, after all retries', '503', 'UF,URX', { notReached: 3, cutOff: 0 }],
    ['no room in the connection pool', '503', 'UO', { notReached: 3, cutOff: 0 }],
    ['a timeout', '504', 'UT', { notReached: 0, cutOff: 3 }],
    ['a connection that broke', '503', 'UC', { notReached: 0, cutOff: 3 }],
    ['nothing for an answer of the version, which counts it itself', '503', '-', { notReached: 0, cutOff: 0 }],
    ['nothing for the last of several such answers', '503', 'URX', { notReached: 0, cutOff: 0 }],
    ['nothing for a timeout after a good answer had begun', '200', 'UT', { notReached: 0, cutOff: 0 }],
  ])('count %s: %s %s', (_, code, flags, expected) => {
    expect(failures(code, flags)).toEqual(expected)
  })

  test.each<[string, Parameters<typeof failures>[2]]>([
    ['at another version', { version: 'v1' }],
    ['at another service', { service: 'frontend.shop.svc.cluster.local' }],
    ['that the version itself counted', { reporter: 'destination' }],
  ])('do not count a failure %s', (_, more) => {
    expect(failures('503', 'UF', more)).toEqual({ notReached: 0, cutOff: 0 })
  })
})
