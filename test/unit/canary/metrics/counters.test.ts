import { describe, expect, test } from 'vitest'
import {
  countCalls,
  counterDeltas,
  labelsOf,
  countCallerFailures,
  parse,
  countServed,
  seriesOf,
} from '../../../../src/canary/metrics/counters.ts'
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

const read = (text: string) => parse(text, names)
/** Without the times. */
const counts = ({ requests, failures, abandoned }: RequestCounts) => ({ requests, failures, abandoned })
const since = (before: string, after: string) => counterDeltas(read(before), read(after))

describe('reading', () => {
  test('only the two metrics are kept, series by series', () => {
    const text = [
      '# TYPE istio_requests_total counter',
      'istio_requests_total{response_code="200"} 12',
      'istio_requests_total_other{response_code="200"} 1',
      'istio_request_duration_milliseconds_bucket{le="5"} 3',
      'istio_request_duration_milliseconds_count{a="b"} 4',
      'envoy_server_uptime{} 99',
      'istio_requests_total{response_code="500"} NaN',
      'istio_requests_total{response_code="501"',
      '',
    ].join('\n')
    expect([...read(text)]).toEqual([
      ['istio_requests_total{response_code="200"}', 12],
      ['istio_request_duration_milliseconds_bucket{le="5"}', 3],
    ])
  })

  test('metrics of another name are read when they are named', () => {
    expect([
      ...parse('my_total{a="b"} 1\nistio_requests_total{a="b"} 2', {
        requests: 'my_total',
        duration: 'my_ms',
      }).values(),
    ]).toEqual([1])
  })

  test.each<[string, number]>([
    ['istio_requests_total{a="b"} 7 1700000000000', 7],
    ['istio_requests_total{a="b"} 1.5e3', 1_500],
    ['istio_requests_total{path="/a} 3"} 8', 8],
  ])('%s counts %d', (line, value) => {
    expect([...read(line).values()]).toEqual([value])
  })

  test.each<[string, Record<string, string>]>([
    ['m{a="b",c="d"}', { a: 'b', c: 'd' }],
    ['m{a="say \\"hi\\", x=\\"1\\"",b="2"}', { a: 'say \\"hi\\", x=\\"1\\"', b: '2' }],
    ['m{a="back\\\\",b="2"}', { a: 'back\\\\', b: '2' }],
    ['m{a="",b="x,y={z}"}', { a: '', b: 'x,y={z}' }],
    ['m{}', {}],
  ])('the labels of %s', (series, labels) => {
    expect(labelsOf(series)).toEqual(labels)
  })
})

describe('what was added between two readings', () => {
  test('is the difference, series by series', () => {
    expect(
      counts(
        countServed(since(requests('200', 100) + requests('503', 4), requests('200', 130) + requests('503', 5)), names),
      ),
    ).toEqual({ requests: 31, failures: 1, abandoned: 0 })
  })

  test('of a counter that was restarted is all that it has', () => {
    expect([...since(requests('200', 100), requests('200', 30)).values()]).toEqual([30])
  })

  test('of a pod that was restarted is all that it has, also in the series that have passed their old count already', () => {
    expect([
      ...since(requests('200', 100) + requests('503', 4), requests('200', 30) + requests('503', 9)).values(),
    ]).toEqual([30, 9])
  })

  test('does not take a series that is gone for a restart: Envoy may drop one that is no longer used', () => {
    expect([...since(requests('200', 100) + requests('503', 4), requests('200', 130)).values()]).toEqual([30])
  })

  test('of a series that was not there before is all that it has', () => {
    expect(counts(countServed(since(requests('200', 100), requests('200', 100) + requests('500', 3)), names))).toEqual({
      requests: 3,
      failures: 3,
      abandoned: 0,
    })
  })

  test('is nothing when nothing came', () => {
    expect(counts(countServed(since(requests('200', 100), requests('200', 100)), names))).toEqual({
      requests: 0,
      failures: 0,
      abandoned: 0,
    })
  })
})

describe('what counts as a failure', () => {
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
  ])('code %s with the flags %s: %s', (code, flags, expected) => {
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
    ['Unknown, made up for a call that its caller left', '2', 'grpc', 'DR', 'abandoned'],
    ['Ok, for a caller that left afterwards', '0', 'grpc', 'DC', 'answered'],
  ])('gRPC status %s', (_, status, protocol, flags, expected) => {
    expect(outcome('200', { flags, more: `,request_protocol="${protocol}",grpc_response_status="${status}"` })).toBe(
      expected,
    )
  })

  test('a gRPC status where the protocol is not told', () => {
    expect(outcome('200', { more: ',grpc_response_status="13"' })).toBe('failed')
  })

  test('only what the pod itself served, not what it asked of others', () => {
    expect(counts(countServed(read(requests('200', 5) + requests('503', 9, { reporter: 'source' })), names))).toEqual({
      requests: 5,
      failures: 0,
      abandoned: 0,
    })
  })
})

describe('how long requests took', () => {
  const times = (text: string) => countServed(read(text), names).times
  const histogram = buckets({ '100': 60, '250': 80, '500': 95, '+Inf': 100 })

  test('is told by the buckets of all series together, whatever the requests were counted as', () => {
    expect(times(histogram)).toEqual({ total: 100, within: { 100: 60, 250: 80, 500: 95 } })
    expect(
      times(requests('200', 120) + histogram + buckets({ '100': 0, '250': 1, '500': 1, '+Inf': 3 }, '503')),
    ).toEqual({ total: 103, within: { 100: 60, 250: 81, 500: 96 } })
  })

  test('keeps the edges that got nothing since', () => {
    expect(
      countServed(
        since(buckets({ '100': 40, '500': 50, '+Inf': 50 }), buckets({ '100': 40, '500': 50, '+Inf': 58 })),
        names,
      ).times,
    ).toEqual({ total: 8, within: { 100: 0, 500: 0 } })
  })

  test('takes edges for the same however they are written', () => {
    expect(times(buckets({ '0.5': 1, '5.0': 2, '1e+01': 3, '+Inf': 3 }))).toEqual({
      total: 3,
      within: { '0.5': 1, 5: 2, 10: 3 },
    })
  })

  test('leaves out what the pod asked of others', () => {
    expect(times(histogram + buckets({ '100': 0, '250': 0, '500': 0, '+Inf': 50 }, '200', 'source'))).toEqual({
      total: 100,
      within: { 100: 60, 250: 80, 500: 95 },
    })
    expect(times(requests('200', 9))).toEqual({ total: 0, within: {} })
  })
})

describe('what clients asked of the service', () => {
  const host = 'backend.shop.svc.cluster.local'
  const ask = (more: string, reporter = 'source', code = '200') =>
    counts(countCalls(read(requests(code, 3, { reporter, more })), names, [host]))
  const three = { requests: 3, failures: 0, abandoned: 0 }
  const none = { requests: 0, failures: 0, abandoned: 0 }

  test.each([
    ['by the full name', `,destination_service="${host}"`, three],
    ['by the full name, whatever the short one', `,destination_service="${host}",destination_service_name="x"`, three],
    ['by the short name, when there is no full one', ',destination_service_name="backend"', three],
    [
      'of the same name in another namespace',
      ',destination_service="backend.other.svc.cluster.local",destination_service_name="backend"',
      none,
    ],
    ['of another service', ',destination_service_name="frontend"', none],
    ['of an unknown one', '', none],
  ])('%s', (_, more, expected) => {
    expect(ask(more)).toEqual(expected)
  })

  test('as the callers counted it, not as the servers did', () => {
    expect(ask(`,destination_service="${host}"`, 'destination')).toEqual(none)
  })

  test('with the failures that no server saw', () => {
    const text = requests('503', 2, { reporter: 'source', flags: 'UH', more: `,destination_service="${host}"` })
    expect(counts(countCalls(read(text), names, [host]))).toEqual({ requests: 2, failures: 2, abandoned: 0 })
  })

  test("under a version's own Service, where the route sends to one", () => {
    const text = requests('200', 2, {
      reporter: 'source',
      more: ',destination_service="backend-v2.shop.svc.cluster.local"',
    })
    expect(countCalls(read(text), names, [host, 'backend-v2.shop.svc.cluster.local']).requests).toBe(2)
    expect(countCalls(read(text), names, [host]).requests).toBe(0)
  })
})

describe('what only the callers know to have failed at a version', () => {
  const host = 'backend.shop.svc.cluster.local'
  const isCanary = (labels: Record<string, string>) => labels['destination_version'] === 'v2'
  const seen = (code: string, flags: string, { version = 'v2', reporter = 'source', service = host } = {}) =>
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
      isCanary,
    )

  test.each<[string, string, string, { unseen: number; cut: number }]>([
    ['no connection', '503', 'UF', { unseen: 3, cut: 0 }],
    ['no connection, after all retries', '503', 'UF,URX', { unseen: 3, cut: 0 }],
    ['no room', '503', 'UO', { unseen: 3, cut: 0 }],
    ['a time limit', '504', 'UT', { unseen: 0, cut: 3 }],
    ['a connection that broke', '503', 'UC', { unseen: 0, cut: 3 }],
    ['an answer of the version, which counted it itself', '503', '-', { unseen: 0, cut: 0 }],
    ['the last of several such answers', '503', 'URX', { unseen: 0, cut: 0 }],
    ['a time limit after a good answer had begun', '200', 'UT', { unseen: 0, cut: 0 }],
  ])('%s: %s %s', (_, code, flags, expected) => {
    expect(seen(code, flags)).toEqual(expected)
  })

  test.each<[string, Parameters<typeof seen>[2]]>([
    ['at another version', { version: 'v1' }],
    ['at another service', { service: 'frontend.shop.svc.cluster.local' }],
    ['as the version itself counted', { reporter: 'destination' }],
  ])('not %s', (_, more) => {
    expect(seen('503', 'UF', more)).toEqual({ unseen: 0, cut: 0 })
  })
})

test('a series is written so that its labels are read again', () => {
  const labels = { a: 'b', c: 'x,y={z}' }
  expect(seriesOf('m', labels)).toBe('m{a="b",c="x,y={z}"}')
  expect(labelsOf(seriesOf('m', labels))).toEqual(labels)
})
