// Starts the telemetry of a run, if its environment names a collector. Loads OpenTelemetry's packages only then.
import { messageOf } from '../runtime/errors.ts'
import { readSettings, type Environment } from './settings.ts'
import { noTelemetry, type Telemetry, type TelemetryStart } from './telemetry.ts'

/** By the standard variables of OpenTelemetry. Never rejects. */
export async function startTelemetry(env: Environment, start: TelemetryStart): Promise<Telemetry> {
  try {
    const settings = readSettings(env)
    if (!settings.traces && !settings.metrics) return noTelemetry()
    const { OtlpTelemetry } = await import('./otlp-telemetry.ts')
    return new OtlpTelemetry(settings, env, start)
  } catch (error) {
    return noTelemetry([`this run sends no telemetry: ${messageOf(error)}`])
  }
}
