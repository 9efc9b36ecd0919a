// The section `observability`: its short forms, what is rejected, and the Prometheus that a canary gets from it.
import { describe, expect, test } from 'vitest'
import { logQuery, samplingOf, traceQuery } from '../../../src/config/observability.ts'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { configOf, refusal } from '../fixtures.ts'

const section = (yaml: string) => configOf(`observability: ${yaml}`).observability!

test('a word stands for the Prometheus to install, or for that of the operator', () => {
  expect(section('{ metrics: { prometheus: install } }').metrics?.prometheus).toEqual({
    install: true,
    timeout: 10_000,
  })
  expect(section('{ metrics: { prometheus: operator } }').metrics?.prometheus).toEqual({
    operator: true,
    timeout: 10_000,
  })
})

test('an installed Jaeger gets all traces, and a collector of the user one in a hundred, as in Istio', () => {
  expect(samplingOf(section('{ traces: { collector: install } }'))).toBe(100)
  expect(samplingOf(section('{ traces: { collector: "monitoring/otel:4317" } }'))).toBe(1)
  expect(samplingOf(section('{ traces: { collector: "monitoring/otel:4317", sampling: 0% } }'))).toBe(0)
})

test('a request is sent without being asked for, and `off` sends none', () => {
  expect(section('{}').proof).toEqual({ enabled: true, path: '/', timeout: 120_000 })
  expect(section('{ proof: off }').proof.enabled).toBe(false)
  expect(section('{ proof: { through: "backend, stock" } }').proof.through).toEqual(['backend', 'stock'])
})

test('traces and logs are read back at a Service or an address; by default in the installed Jaeger', () => {
  expect(traceQuery(section('{ traces: { collector: install } }'))).toEqual({ service: 'observability/jaeger:16686' })
  expect(traceQuery(section('{ traces: { collector: "a/otel:4317" } }'))).toBeUndefined()
  expect(traceQuery(section('{ traces: { collector: "a/otel:4317", query: "https://jaeger.example/" } }'))).toEqual({
    address: 'https://jaeger.example',
  })
  expect(logQuery(section('{ logs: { collector: "a/otel:4317", query: "a/logs:9428" } }'))).toEqual({
    service: 'a/logs:9428',
  })
})

test('the section runs the stages policies, for the Telemetry, and observe', () => {
  expect(stagesOf(configOf('observability: {}'))).toEqual(['policies', 'observe', 'verify'])
})

test('the tokens of Prometheus and Grafana, and the password in the address for logs, are secrets', () => {
  const config = configOf(
    'observability:\n' +
      '  metrics: { prometheus: { address: "https://prom.example", token: prom-token } }\n' +
      '  dashboards: { grafana: { url: "https://grafana.example", token: grafana-token } }\n' +
      '  traces: { collector: install }\n' +
      '  logs: { collector: install, endpoint: "https://u:pass-word@logs.example" }\n',
  )
  expect(secretsInConfig(config)).toEqual(['prom-token', 'grafana-token', 'pass-word'])
})

describe.each([
  [
    'observability.dashboards.grafana.url',
    (url: string) => `observability: { dashboards: { grafana: { url: "${url}", token: t } } }`,
  ],
  [
    'observability.metrics.prometheus.address',
    (url: string) => `observability: { metrics: { prometheus: { address: "${url}" } } }`,
  ],
  ['canary.prometheus.address', (url: string) => `canary: { service: backend, prometheus: { address: "${url}" } }`],
  [
    'observability.traces.query',
    (url: string) => `observability: { traces: { collector: "a/otel:4317", query: "${url}" } }`,
  ],
  [
    'observability.logs.query',
    (url: string) => `observability: { logs: { collector: "a/otel:4317", query: "${url}" } }`,
  ],
])('%s', (key, yaml) => {
  test.each([
    'https://u:p@x.example',
    'https://token@x.example',
    'https://x.example/?orgId=1',
    'https://x.example/?',
    'https://x.example/#d',
    'https://x.example:0',
    'https://x.example:65536',
  ])('is refused as %s', (address) => {
    const message = refusal(yaml(address))
    expect(message).toContain(`${key}: a text of ${address.length} characters is invalid: expected `)
    expect(message).not.toContain('x.example')
  })

  test('may have a path and a port', () => {
    expect(() => configOf(yaml('https://x.example:65535/path'))).not.toThrow()
  })
})

describe('the Prometheus of a canary that names none', () => {
  const canary = (observability: string, prometheus = '{ counters: true }') =>
    configOf(`observability: ${observability}\ncanary: { service: backend, prometheus: ${prometheus} }`).canary
      ?.prometheus

  test('is the installed one', () => {
    expect(canary('{ metrics: { prometheus: install } }')).toEqual({
      service: 'observability/prometheus:9090',
      timeout: 10_000,
      counters: true,
    })
  })

  test("is the operator's, by the Service that the operator makes", () => {
    expect(canary('{ metrics: { prometheus: { operator: monitoring/main } } }')?.service).toBe(
      'monitoring/prometheus-operated:9090',
    )
  })

  test('is the existing one, with its token', () => {
    expect(canary('{ metrics: { prometheus: { address: "https://prom.example", token: secret-token } } }')).toEqual({
      address: 'https://prom.example',
      token: 'secret-token',
      timeout: 10_000,
      counters: true,
    })
  })

  test('is not replaced where the canary names its own', () => {
    expect(canary('{ metrics: { prometheus: install } }', '{ service: "other/prometheus:80" }')?.service).toBe(
      'other/prometheus:80',
    )
  })
})

describe('a config with mistakes in its observability', () => {
  test.each<[string, string, string[]]>([
    [
      'two servers',
      'observability: { metrics: { prometheus: { install: true, address: "http://a" } } }',
      ['observability.metrics.prometheus', 'exactly one of install, operator, address, service'],
    ],
    [
      'an unknown word for Prometheus',
      'observability: { metrics: { prometheus: helm } }',
      ['observability.metrics.prometheus', '"helm"', 'one of install, operator'],
    ],
    [
      'a token through the API server',
      'observability: { metrics: { prometheus: { service: "a/b:1", token: x } } }',
      ['observability.metrics.prometheus', '`address` beside `token`'],
    ],
    [
      'a sampling of more than 100 %',
      'observability: { traces: { collector: install, sampling: 101% } }',
      ['observability.traces.sampling', '"101%"', 'from 0% to 100%'],
    ],
    [
      'a sampling below 0 %',
      'observability: { traces: { collector: install, sampling: -1% } }',
      ['observability.traces.sampling', '"-1%"', 'from 0% to 100%'],
    ],
    [
      'a collector as a host name',
      'observability: { traces: { collector: "otel.monitoring:4317" } }',
      ['observability.traces.collector', '"otel.monitoring:4317"', 'monitoring/otel-collector:4317'],
    ],
    [
      'alerts that nothing evaluates',
      'observability: { alerts: true }',
      ['observability.alerts', 'no Prometheus', '`install` or `operator`', '`alerts.file`'],
    ],
    [
      'an Alertmanager for a Prometheus of others',
      'observability: { alerts: { alertmanager: "a/b:9093" }, metrics: { prometheus: operator } }',
      ['observability.alerts.alertmanager', 'is for an installed Prometheus'],
    ],
    [
      'logs to a Jaeger that is not installed',
      'observability: { logs: { collector: install, endpoint: "http://logs" } }',
      ['observability.logs.collector', 'set `traces.collector: install` as well'],
    ],
    [
      'logs to a Jaeger that keeps none',
      'observability: { traces: { collector: install }, logs: { collector: install } }',
      ['observability.logs.endpoint', 'is missing', 'OTLP over HTTP'],
    ],
    [
      'an endpoint that nobody uses',
      'observability: { logs: { collector: stdout, endpoint: "http://logs" } }',
      ['observability.logs.endpoint', 'is for `collector: install`'],
    ],
    [
      'one provider for traces and logs',
      'observability: { traces: { collector: install, provider: otel }, logs: { collector: stdout, provider: otel } }',
      ['observability.logs.provider', 'otel is the name of the provider of `traces`'],
    ],
    [
      'two shares of requests to trace',
      'telemetry: { tracing: 5% }\nobservability: { traces: { collector: install } }',
      ['telemetry.tracing', '`observability.traces.sampling`', 'remove one of the two'],
    ],
    [
      'logs that are off elsewhere',
      'telemetry: { accessLogs: false }\nobservability: { logs: { collector: stdout } }',
      ['telemetry.accessLogs', 'contradicts `observability.logs`'],
    ],
    [
      'logs to stdout twice',
      'telemetry: { accessLogs: true }\nobservability: { logs: { collector: stdout } }',
      ['telemetry.accessLogs', 'to stdout already'],
    ],
    [
      'the stage without the one that writes the Telemetry',
      'stages: observe\nobservability: { traces: { collector: install } }',
      ['stages', 'the stage policies writes the Telemetry'],
    ],
    ['the stage without the section', 'stages: observe\nmtls: strict', ['stages', 'observe has nothing to do']],
    [
      'a query API as a host name',
      'observability: { traces: { collector: "a/otel:4317", query: "jaeger.monitoring:16686" } }',
      ['observability.traces.query', "the address of Jaeger's query API", 'monitoring/jaeger-query:16686'],
    ],
    [
      'the query API of a port that no Service can have',
      'observability: { traces: { collector: "a/otel:4317", query: "a/jaeger:99999" } }',
      ['observability.traces.query', '"a/jaeger:99999"', 'ports go from 1 to 65535'],
    ],
    [
      'a port that no Service can have',
      'observability: { traces: { collector: "a/otel:65536" } }',
      ['observability.traces.collector', '"a/otel:65536"', 'namespace/name:port'],
    ],
    [
      'a port of Prometheus that no Service can have',
      'observability: { metrics: { prometheus: { service: "a/prometheus:0" } } }',
      ['observability.metrics.prometheus.service', '"a/prometheus:0"', 'namespace/name:port'],
    ],
    ...['""', '__name__', 'my-team', '1st'].map((name): [string, string, string[]] => [
      `an alert label with the name ${name}`,
      `observability: { alerts: { labels: { ${name}: payments } } }`,
      ['observability.alerts.labels', 'expected letters, digits and underscores'],
    ]),
    ...['severity', 'alertname', 'canary'].map((name): [string, string, string[]] => [
      `an alert label ${name}, which each alert has already`,
      `observability: { alerts: { labels: { ${name}: page } } }`,
      ['observability.alerts.labels', name, 'expected another name than alertname, severity, canary'],
    ]),
    ...['""', '"{{ broken"'].map((value): [string, string, string[]] => [
      `an alert label with the value ${value}`,
      `observability: { alerts: { labels: { team: ${value} } } }`,
      ['observability.alerts.labels.team', 'expected a text without {{'],
    ]),
    [
      'a label of a subset that PromQL and selectors would read differently',
      `services: { backend: { subsets: { new: { version: 'v2"} or vector(1) #' } } } }`,
      ['services.backend.subsets.new.version', 'expected a label value'],
    ],
    [
      'a label of a subset without a key',
      'services: { backend: { subsets: { new: { "": v2 } } } }',
      ['services.backend.subsets.new', 'expected the key of a label'],
    ],
    [
      'a query API for logs that go nowhere',
      'observability: { logs: { collector: stdout, query: "a/logs:9428" } }',
      ['observability.logs.query', 'is for logs that go to a collector'],
    ],
    [
      'a path that is none',
      'observability: { proof: { path: items } }',
      ['observability.proof.path', 'a path that begins with /'],
    ],
    [
      'a word for no proof that is none',
      'observability: { proof: never } ',
      ['observability.proof', '"never"', 'one of off'],
    ],
    [
      'a canary whose Prometheus is nowhere',
      'canary: { service: backend, prometheus: { counters: true } }',
      ['canary.prometheus', 'names no server', '`observability.metrics`'],
    ],
    [
      'a canary whose Prometheus only the cluster knows',
      'observability: { metrics: { prometheus: operator } }\ncanary: { service: backend, prometheus: {} }',
      ['canary.prometheus', 'leaves it to the cluster', '`operator: namespace/name`'],
    ],
  ])('%s', (_name, yaml, parts) => {
    for (const part of parts) expect(refusal(yaml)).toContain(part)
  })
})
