// Access logs and tracing of the namespace's sidecars.
import type { KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import { object } from './names.ts'
import { defined } from './render.ts'

export function telemetries({ namespace, telemetry }: Config): KubeObject[] {
  if (!telemetry) return []
  const { accessLogs, tracing } = telemetry
  const spec = defined({
    accessLogging: accessLogs === undefined ? undefined : [{ providers: [{ name: 'envoy' }], disabled: !accessLogs }],
    tracing: tracing === undefined ? undefined : [{ randomSamplingPercentage: tracing }],
  })
  return spec ? [object('Telemetry', namespace, 'default', spec)] : []
}
