import { describe, expect, test } from 'vitest'
import { asked, difference, labelsOf, parse, served } from '../../../../src/canary/evidence/counters.ts'

const names = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }

function requests(code: string, count: number, { reporter = 'destination', flags = '-', more = '' } = {}): string {
  return `istio_requests_total{reporter="${reporter}",response_code="${code}",response_flags="${flags}"${more}} ${count}\n`
}

/** Cumulative buckets of one series, `le` → count, as Envoy writes them. */
function buckets(counts: Record<string, number>, code = '200', reporter = 'destination'): string {
  return Object.entries(counts).map(([le, count]) => `istio_request_duration_milliseconds_bucket{reporter="${reporter}",response_code="${code}",le="${le}"} ${count}\n`).join('')
}

const read = (text: string) => parse(text, names)
const since = (before: string, after: string) => difference(read(before), read(after))

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
      ['istio_request_duration_milliseconds_count{a="b"}', 4],
    ])
  })

  test('metrics of another name are read when they are named', () => {
    expect([...parse('my_total{a="b"} 1\nistio_requests_total{a="b"} 2', { requests: 'my_total', duration: 'my_ms' }).values()]).toEqual([1])
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
    expect(served(since(requests('200', 100) + requests('503', 4), requests('200', 130) + requests('503', 5)), names, undefined)).toEqual({ requests: 31, failures: 1, timed: 0, slow: 0 })
  })

  test('of a counter that was restarted is all that it has', () => {
    expect([...since(requests('200', 100), requests('200', 30)).values()]).toEqual([30])
  })

  test('of a pod that was restarted is all that it has, also in the series that have passed their old count already', () => {
    expect([...since(requests('200', 100) + requests('503', 4), requests('200', 30) + requests('503', 9)).values()]).toEqual([30, 9])
  })

  test('does not take a series that is gone for a restart: Envoy may drop one that is no longer used', () => {
    expect([...since(requests('200', 100) + requests('503', 4), requests('200', 130)).values()]).toEqual([30])
  })

  test('of a series that was not there before is all that it has', () => {
    expect(served(since(requests('200', 100), requests('200', 100) + requests('500', 3)), names, undefined)).toEqual({ requests: 3, failures: 3, timed: 0, slow: 0 })
  })

  test('is nothing when nothing came', () => {
    expect(served(since(requests('200', 100), requests('200', 100)), names, 500)).toEqual({ requests: 0, failures: 0, timed: 0, slow: 0 })
  })
})

describe('what counts as a failure', () => {
  test.each<[string, string, number]>([
    ['200', '-', 0],
    ['404', '-', 0],
    ['429', '-', 0],
    ['500', '-', 1],
    ['503', 'UC', 1],
    ['504', 'UT', 1],
    ['599', '-', 1],
    ['0', 'UC', 1],
    ['0', '-', 1],
    ['0', 'DC', 0],
    ['0', 'UC,DC', 0],
    ['503', 'DC', 1],
    ['5', '-', 0],
  ])('code %s with the flags %s: %d', (code, flags, failures) => {
    expect(served(read(requests(code, 1, { flags })), names, undefined)).toEqual({ requests: 1, failures, timed: 0, slow: 0 })
  })

  test('only what the pod itself served, not what it asked of others', () => {
    expect(served(read(requests('200', 5) + requests('503', 9, { reporter: 'source' })), names, undefined)).toEqual({ requests: 5, failures: 0, timed: 0, slow: 0 })
  })
})

describe('what counts as slow', () => {
  const slow = (text: string, limitMs: number) => served(read(text), names, limitMs).slow
  const histogram = buckets({ '100': 60, '250': 80, '500': 95, '+Inf': 100 })

  test.each<[string, number, number]>([
    ['on an edge: above it', 250, 20],
    ['between two edges: above the higher, so that none is called slow that was not', 300, 5],
    ['below the first edge: above the first', 1, 40],
    ['above the last edge: none can be called slow', 501, 0],
  ])('a limit %s', (_, limitMs, count) => {
    expect(slow(histogram, limitMs)).toBe(count)
  })

  test('everything, when no request was within any edge', () => {
    expect(slow(buckets({ '100': 0, '250': 0, '+Inf': 7 }), 100)).toBe(7)
  })

  test('everything that came since, when the edges got nothing since', () => {
    expect(served(since(buckets({ '100': 40, '500': 50, '+Inf': 50 }), buckets({ '100': 40, '500': 50, '+Inf': 58 })), names, 500).slow).toBe(8)
  })

  test('is counted among the requests that were timed, which may be fewer than those that were counted', () => {
    const text = requests('200', 120) + histogram + buckets({ '100': 0, '250': 0, '500': 0, '+Inf': 50 }, '200', 'source')
    expect(served(read(text), names, 250)).toEqual({ requests: 120, failures: 0, timed: 100, slow: 20 })
    expect(served(read(text), names, undefined)).toEqual({ requests: 120, failures: 0, timed: 100, slow: 0 })
  })

  test('the series are added up', () => {
    expect(slow(histogram + buckets({ '100': 0, '250': 1, '500': 1, '+Inf': 3 }, '503'), 250)).toBe(22)
  })

  test('what the pod asked of others is left out', () => {
    expect(slow(histogram + buckets({ '100': 0, '250': 0, '500': 0, '+Inf': 50 }, '200', 'source'), 250)).toBe(20)
  })

  test('nothing, when there is no limit or no histogram', () => {
    expect(served(read(histogram), names, undefined).slow).toBe(0)
    expect(slow(requests('200', 9), 100)).toBe(0)
  })
})

describe('what clients asked of the service', () => {
  const host = 'backend.shop.svc.cluster.local'
  const ask = (more: string, reporter = 'source', code = '200') => asked(read(requests(code, 3, { reporter, more })), names, 'backend', host)
  const three = { requests: 3, failures: 0, timed: 0, slow: 0 }
  const none = { requests: 0, failures: 0, timed: 0, slow: 0 }

  test.each([
    ['by the full name', `,destination_service="${host}"`, three],
    ['by the full name, whatever the short one', `,destination_service="${host}",destination_service_name="x"`, three],
    ['by the short name, when there is no full one', ',destination_service_name="backend"', three],
    ['of the same name in another namespace', ',destination_service="backend.other.svc.cluster.local",destination_service_name="backend"', none],
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
    expect(asked(read(text), names, 'backend', host)).toEqual({ requests: 2, failures: 2, timed: 0, slow: 0 })
  })
})
