import { describe, expect, test } from 'vitest'
import { counterDeltas, hasDecrease, labelsOf, parseCounters, seriesOf } from '../../../src/envoy/counters.ts'

const names = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
const read = (text: string) => parseCounters(text, names)
const requests = (code: string, count: number) => `istio_requests_total{response_code="${code}"} ${count}\n`
const valuesOf = (before: string, after: string) => [...counterDeltas(read(before), read(after)).values()]

describe('a reading', () => {
  test('keeps only the two metrics, one entry per series', () => {
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

  test('has the metrics of the config instead of the default', () => {
    const text = 'my_total{a="b"} 1\nistio_requests_total{a="b"} 2'
    expect([...parseCounters(text, { requests: 'my_total', duration: 'my_ms' }).values()]).toEqual([1])
  })

  test.each<[string, number]>([
    ['istio_requests_total{a="b"} 7 1700000000000', 7],
    ['istio_requests_total{a="b"} 1.5e3', 1_500],
    ['istio_requests_total{path="/a} 3"} 8', 8],
  ])('parses the line %s as the value %d', (line, value) => {
    expect([...read(line).values()]).toEqual([value])
  })
})

test.each<[string, Record<string, string>]>([
  ['m{a="b",c="d"}', { a: 'b', c: 'd' }],
  ['m{a="say \\"hi\\", x=\\"1\\"",b="2"}', { a: 'say \\"hi\\", x=\\"1\\"', b: '2' }],
  ['m{a="back\\\\",b="2"}', { a: 'back\\\\', b: '2' }],
  ['m{a="",b="x,y={z}"}', { a: '', b: 'x,y={z}' }],
  ['m{}', {}],
])('the labels of %s are parsed', (series, labels) => {
  expect(labelsOf(series)).toEqual(labels)
})

test('a written series has labels that can be parsed again', () => {
  const labels = { a: 'b', c: 'x,y={z}' }
  expect(seriesOf('m', labels)).toBe('m{a="b",c="x,y={z}"}')
  expect(labelsOf(seriesOf('m', labels))).toEqual(labels)
})

describe('the delta between two readings', () => {
  test('is the difference of each series', () => {
    expect(valuesOf(requests('200', 100) + requests('503', 4), requests('200', 130) + requests('503', 5))).toEqual([
      30, 1,
    ])
  })

  test('is the full value of a new series', () => {
    expect(valuesOf(requests('200', 100), requests('200', 100) + requests('500', 3))).toEqual([0, 3])
  })

  test('is the full value of a counter that decreased', () => {
    expect(valuesOf(requests('200', 100), requests('200', 30))).toEqual([30])
  })

  test('is the difference of the other series when one decreased, because Envoy may drop and recreate a series', () => {
    expect(
      valuesOf(requests('200', 100) + requests('503', 5_000), requests('200', 30) + requests('503', 5_001)),
    ).toEqual([30, 1])
  })

  test('does not treat a missing series as a restart, because Envoy may drop an unused series', () => {
    const [before, after] = [requests('200', 100) + requests('503', 4), requests('200', 130)]
    expect(hasDecrease(read(before), read(after))).toBe(false)
    expect(valuesOf(before, after)).toEqual([30])
  })
})
