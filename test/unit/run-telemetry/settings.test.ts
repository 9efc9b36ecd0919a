import { describe, expect, test } from 'vitest'
import { readSettings } from '../../../src/run-telemetry/settings.ts'

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }

/** The address of each signal that is sent. */
function addresses(env: Record<string, string>) {
  const { traces, metrics } = readSettings(env)
  return { traces: traces?.url.href, metrics: metrics?.url.href }
}

describe('what a run sends, and where to', () => {
  test.each([
    ['nothing without an endpoint', {}, undefined, undefined],
    ['nothing with an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, undefined, undefined],
    ['both signals', endpoint, 'http://collector:4318/v1/traces', 'http://collector:4318/v1/metrics'],
    [
      'below the path of the endpoint',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://host/otlp/' },
      'https://host/otlp/v1/traces',
      'https://host/otlp/v1/metrics',
    ],
    [
      'to the address of a signal as it is',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://host/take' },
      'https://host/take',
      undefined,
    ],
    [
      'a signal elsewhere',
      { ...endpoint, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://prometheus:9090/api/v1/otlp/v1/metrics' },
      'http://collector:4318/v1/traces',
      'http://prometheus:9090/api/v1/otlp/v1/metrics',
    ],
    ['without traces', { ...endpoint, OTEL_TRACES_EXPORTER: 'none' }, undefined, 'http://collector:4318/v1/metrics'],
    ['without metrics', { ...endpoint, OTEL_METRICS_EXPORTER: 'none' }, 'http://collector:4318/v1/traces', undefined],
    ['nothing if the SDK is disabled', { ...endpoint, OTEL_SDK_DISABLED: 'TRUE' }, undefined, undefined],
  ])('%s', (_, env: Record<string, string>, traces, metrics) => {
    expect(addresses(env)).toEqual({ traces, metrics })
  })

  test('in the encoding that the variable of the signal or of all signals asks for', () => {
    const { traces, metrics } = readSettings({
      ...endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/protobuf',
    })
    expect([traces?.protocol, metrics?.protocol]).toEqual(['http/json', 'http/protobuf'])
    expect(readSettings(endpoint).traces?.protocol).toBe('http/protobuf')
  })

  test('how often', () => {
    expect(readSettings({ ...endpoint, OTEL_METRIC_EXPORT_INTERVAL: '2500' }).metrics?.intervalMs).toBe(2500)
  })
})

describe('a value that cannot be used is named, with what to do', () => {
  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4317', /OTEL_EXPORTER_OTLP_ENDPOINT is not an address of http or https/],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'unix:///otel', /OTLP_TRACES_ENDPOINT is not an address of http or https/],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', /"grpc" is not supported; set it to http\/protobuf or http\/json.*4318/],
    ['OTEL_TRACES_EXPORTER', 'zipkin', /OTEL_TRACES_EXPORTER: "zipkin" is not supported; set it to otlp or none/],
    ['OTEL_METRIC_EXPORT_INTERVAL', '10s', /OTEL_METRIC_EXPORT_INTERVAL: "10s" is not a number of milliseconds/],
  ])('%s=%s', (name, value, error) => {
    expect(() => readSettings({ ...endpoint, [name]: value })).toThrow(error)
  })

  test('but not the password of an address', () => {
    const address = 'https//user:hunter2@collector'
    expect(() => readSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: address })).toThrow(/^(?!.*hunter2)/)
  })
})
