// Contradictions in the section `observability`, and with the sections `telemetry`, `stages` and `canary`.
import { allCanariesOf } from '../names.ts'
import { namesNoServer, prometheusServer } from '../observability.ts'
import type { Config, ObservabilityConfig } from '../schema.ts'
import { withPrefix, type Fault } from './fault.ts'

export function observabilityFaults(config: Config): Fault[] {
  const { observability } = config
  if (!observability) return serverFaults(config)
  return [
    ...withPrefix(
      ['observability'],
      [
        ...alertFaults(observability),
        ...logFaults(observability),
        ...queryFaults(observability),
        ...providerFaults(observability),
      ],
    ),
    ...telemetryFaults(config, observability),
    ...stageFaults(config, observability),
    ...serverFaults(config),
  ]
}

function alertFaults({ alerts, metrics }: ObservabilityConfig): Fault[] {
  if (!alerts?.enabled) return []
  const { install, operator } = metrics?.prometheus ?? {}
  const isEvaluated = install === true || operator !== undefined
  return [
    ...(isEvaluated || alerts.file !== undefined
      ? []
      : [
          {
            path: ['alerts'],
            message:
              'no Prometheus of `metrics.prometheus` takes rules from the run; set it to `install` or `operator`, or set ' +
              '`alerts.file` to give the rules to your Prometheus yourself',
          },
        ]),
    ...(alerts.alertmanager !== undefined && !install
      ? [
          {
            path: ['alerts', 'alertmanager'],
            message: 'is for an installed Prometheus; set `metrics.prometheus: install`, or remove it',
          },
        ]
      : []),
  ]
}

function logFaults({ logs, traces }: ObservabilityConfig): Fault[] {
  if (!logs) return []
  const { collector, endpoint } = logs
  if (collector !== 'install')
    return endpoint === undefined
      ? []
      : [{ path: ['logs', 'endpoint'], message: 'is for `collector: install`; set that, or remove it' }]
  return [
    ...(traces?.collector === 'install'
      ? []
      : [
          {
            path: ['logs', 'collector'],
            message:
              'the installed Jaeger passes the logs on; set `traces.collector: install` as well, or name a Service',
          },
        ]),
    ...(endpoint === undefined
      ? [
          {
            path: ['logs', 'endpoint'],
            message:
              'is missing: `collector: install` keeps no logs; set the address that takes them as OTLP over HTTP, such as ' +
              'http://victoria-logs.monitoring:9428/insert/opentelemetry/v1/logs',
          },
        ]
      : []),
  ]
}

function queryFaults({ logs }: ObservabilityConfig): Fault[] {
  if (logs?.query === undefined || logs.collector !== 'stdout') return []
  return [{ path: ['logs', 'query'], message: 'is for logs that go to a collector; remove it, or name a collector' }]
}

function providerFaults({ logs, traces }: ObservabilityConfig): Fault[] {
  if (!logs || !traces || logs.provider !== traces.provider) return []
  const message = `${logs.provider} is the name of the provider of \`traces\` already; choose another name`
  return [{ path: ['logs', 'provider'], message }]
}

/** Both sections set parts of one Telemetry. */
function telemetryFaults({ telemetry }: Config, { logs, traces }: ObservabilityConfig): Fault[] {
  const isTwice = logs?.collector === 'stdout' && telemetry?.accessLogs === true
  return [
    ...(traces && telemetry?.tracing !== undefined
      ? [
          {
            path: ['telemetry', 'tracing'],
            message: '`observability.traces.sampling` sets the share as well; remove one of the two',
          },
        ]
      : []),
    ...(logs && telemetry?.accessLogs === false
      ? [
          {
            path: ['telemetry', 'accessLogs'],
            message: 'false contradicts `observability.logs`, which asks for access logs; remove one of the two',
          },
        ]
      : []),
    ...(isTwice
      ? [
          {
            path: ['telemetry', 'accessLogs'],
            message: '`observability.logs` writes each request to stdout already; remove one of the two',
          },
        ]
      : []),
  ]
}

/** The Telemetry that makes the sidecars send anything is a policy. */
function stageFaults({ stages = [] }: Config, { logs, traces }: ObservabilityConfig): Fault[] {
  if ((!logs && !traces) || !stages.includes('observe') || stages.includes('policies')) return []
  const key = traces ? 'traces' : 'logs'
  const message =
    `the stage policies writes the Telemetry of \`observability.${key}\`, and without it the sidecars send nothing; ` +
    'add that stage'
  return [{ path: ['stages'], message }]
}

function serverFaults(config: Config): Fault[] {
  const { canary, observability } = config
  if (observability && prometheusServer(observability)) return []
  const message = observability?.metrics
    ? 'names no server, and `observability.metrics` leaves it to the cluster which Prometheus of the operator it is; ' +
      'write `operator: namespace/name` there, or set `address` or `service` here'
    : 'names no server; set `address` or `service`, or the section `observability.metrics`'
  return allCanariesOf(config).flatMap(({ prometheus }, i) =>
    prometheus && namesNoServer(prometheus)
      ? [{ path: canary ? ['canary', 'prometheus'] : ['canaries', String(i), 'prometheus'], message }]
      : [],
  )
}
