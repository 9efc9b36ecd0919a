// A Jaeger for previews: takes spans over OTLP and keeps them in memory; passes access logs on if the config asks for
// that. Pure.
import type { KubeObject } from '../cluster/objects.ts'
import { installed } from '../config/observability.ts'
import type { Config, ObservabilityConfig } from '../config/schema.ts'
import { stringify } from '../yaml/stringify.ts'
import { programObjects } from './workload.ts'

const jaegerImage = 'docker.io/jaegertracing/jaeger:2.13.0'

const { name, otlpPort, queryPort } = installed.jaeger
const healthPort = 13133

export function installedJaeger({ observability }: Config): KubeObject[] {
  if (observability?.traces?.collector !== 'install') return []
  return programObjects({
    name,
    namespace: observability.namespace,
    image: jaegerImage,
    user: 10001,
    args: ['--config', '/etc/jaeger/config.yaml'],
    ports: [
      { name: 'grpc-otlp', port: otlpPort },
      { name: 'http-otlp', port: 4318 },
      { name: 'http-query', port: queryPort },
    ],
    config: { 'config.yaml': stringify(settings(observability)) },
    configFolder: '/etc/jaeger',
    dataFolder: '/tmp',
    readiness: { path: '/status', port: healthPort },
    requests: { cpu: '50m', memory: '128Mi' },
    memoryLimit: '1Gi',
  })
}

/** About 300 MB of spans. */
const maxTraces = 50_000

function settings({ logs }: ObservabilityConfig): object {
  const forwards = logs?.collector === 'install' ? logs.endpoint : undefined
  return {
    service: {
      extensions: ['jaeger_storage', 'jaeger_query', 'healthcheckv2'],
      pipelines: {
        traces: { receivers: ['otlp'], processors: ['batch'], exporters: ['jaeger_storage_exporter'] },
        ...(forwards === undefined
          ? {}
          : { logs: { receivers: ['otlp'], processors: ['batch'], exporters: ['otlphttp'] } }),
      },
      telemetry: { metrics: { level: 'none' } },
    },
    extensions: {
      jaeger_query: { storage: { traces: 'memory' }, http: { endpoint: `0.0.0.0:${queryPort}` } },
      jaeger_storage: { backends: { memory: { memory: { max_traces: maxTraces } } } },
      healthcheckv2: { use_v2: true, http: { endpoint: `0.0.0.0:${healthPort}` } },
    },
    receivers: {
      otlp: {
        protocols: { grpc: { endpoint: `0.0.0.0:${otlpPort}` }, http: { endpoint: '0.0.0.0:4318' } },
      },
    },
    processors: { batch: { timeout: '1s' } },
    exporters: {
      jaeger_storage_exporter: { trace_storage: 'memory' },
      // VictoriaLogs takes the field of a message and of the stream from the records themselves.
      ...(forwards === undefined ? {} : { otlphttp: { logs_endpoint: forwards } }),
    },
  }
}
