// Access logs and tracing of the namespace's sidecars: one Telemetry for the sections `telemetry` and `observability`,
// because Istio follows only the oldest one of a namespace.
import type { KubeObject } from '../../cluster/objects.ts'
import { samplingOf } from '../../config/observability.ts'
import type { Config, ObservabilityConfig } from '../../config/schema.ts'
import { object } from './names.ts'
import { defined } from './render.ts'

/**
 * A request without a response has no code, but a flag. Envoy derives a gRPC status for every response, so it counts only
 * for calls of gRPC. A term about what a request lacks does not count.
 */
const isError =
  'response.code >= 400 || response.flags > 0 || ' +
  "(request.headers['content-type'].startsWith('application/grpc') && response.grpc_status > 0)"

export function telemetries({ namespace, telemetry, observability }: Config): KubeObject[] {
  const logging = [...plainLogging(telemetry), ...(observability ? providerLogging(observability) : [])]
  const spec = defined({
    accessLogging: logging.length > 0 ? logging : undefined,
    tracing: tracing(telemetry, observability),
  })
  return spec ? [object('Telemetry', namespace, 'default', spec)] : []
}

function plainLogging(telemetry: Config['telemetry']): object[] {
  const { accessLogs } = telemetry ?? {}
  return accessLogs === undefined ? [] : [{ providers: [{ name: 'envoy' }], disabled: !accessLogs }]
}

function providerLogging({ logs }: ObservabilityConfig): object[] {
  if (!logs) return []
  const filter = logs.onlyErrors ? { filter: { expression: isError } } : {}
  return [{ providers: [{ name: logs.provider }], ...filter }]
}

function tracing(telemetry: Config['telemetry'], observability: Config['observability']): object[] | undefined {
  const { traces } = observability ?? {}
  if (traces) return [{ providers: [{ name: traces.provider }], randomSamplingPercentage: samplingOf(observability!) }]
  return telemetry?.tracing === undefined ? undefined : [{ randomSamplingPercentage: telemetry.tracing }]
}
