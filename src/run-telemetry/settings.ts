// Whether and how a run sends its telemetry, by the standard variables of OpenTelemetry. The exporters themselves read
// the headers, the timeout and the compression. Pure.

export type Environment = Readonly<Record<string, string | undefined>>
export type Signal = 'traces' | 'metrics'
export type Protocol = 'http/protobuf' | 'http/json'

/** `url`: where requests go, with the path of the signal. */
export type SignalSettings = { url: URL; protocol: Protocol }

/** A signal that is missing is not sent. */
export type Settings = { traces?: SignalSettings; metrics?: SignalSettings & { intervalMs: number } }

/** A promotion takes minutes, and a chart of it needs more points than OpenTelemetry's default of 60 s gives. */
const metricIntervalMs = 10_000

/** @throws Error with one sentence that names the variable, its value, and what it must be */
export function readSettings(env: Environment): Settings {
  if (valueOf(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return {}
  const [traces, metrics] = [readSignal(env, 'traces'), readSignal(env, 'metrics')]
  return {
    ...(traces ? { traces } : {}),
    ...(metrics ? { metrics: { ...metrics, intervalMs: readInterval(env) } } : {}),
  }
}

/** The value of `OTEL_EXPORTER_OTLP_<signal>_<name>`, or else of the variable for all signals. */
export function signalValue(env: Environment, signal: Signal, name: string): string | undefined {
  return (
    valueOf(env, `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`) ?? valueOf(env, `OTEL_EXPORTER_OTLP_${name}`)
  )
}

function readSignal(env: Environment, signal: Signal): SignalSettings | undefined {
  const url = readEndpoint(env, signal)
  if (url === undefined || !isExported(env, signal)) return undefined
  return { url, protocol: readProtocol(env, signal) }
}

/** The specification: an empty variable is one that is not set. */
function valueOf(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined
}

/** The address for all signals gets the signal's path; that of one signal is used as it is. */
function readEndpoint(env: Environment, signal: Signal): URL | undefined {
  const ownName = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`
  const own = valueOf(env, ownName)
  const shared = valueOf(env, 'OTEL_EXPORTER_OTLP_ENDPOINT')
  if (own !== undefined) return parseEndpoint(ownName, own)
  if (shared === undefined) return undefined
  const url = parseEndpoint('OTEL_EXPORTER_OTLP_ENDPOINT', shared)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/${signal}`
  return url
}

/** The error does not repeat the address, because it may hold a password where nobody expects it. */
function parseEndpoint(name: string, address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url
  throw new Error(`${name} is not an address of http or https; give one such as http://collector:4318`)
}

function isExported(env: Environment, signal: Signal): boolean {
  const name = `OTEL_${signal.toUpperCase()}_EXPORTER`
  const exporter = valueOf(env, name) ?? 'otlp'
  if (exporter === 'otlp' || exporter === 'none') return exporter === 'otlp'
  throw new Error(`${name}: "${exporter}" is not supported; set it to otlp or none`)
}

function readProtocol(env: Environment, signal: Signal): Protocol {
  const protocol = signalValue(env, signal, 'PROTOCOL') ?? 'http/protobuf'
  if (protocol === 'http/protobuf' || protocol === 'http/json') return protocol
  throw new Error(
    `OTEL_EXPORTER_OTLP_PROTOCOL: "${protocol}" is not supported; set it to http/protobuf or http/json, ` +
      "and the endpoint to the collector's port for HTTP, usually 4318",
  )
}

function readInterval(env: Environment): number {
  const text = valueOf(env, 'OTEL_METRIC_EXPORT_INTERVAL')
  if (text === undefined) return metricIntervalMs
  const ms = Number(text)
  if (Number.isInteger(ms) && ms > 0 && ms < 2 ** 31) return ms
  throw new Error(`OTEL_METRIC_EXPORT_INTERVAL: "${text}" is not a number of milliseconds; give one such as 10000`)
}
