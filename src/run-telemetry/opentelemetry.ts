// OpenTelemetry's SDK with exporters for OTLP over HTTP. A module of its own, loaded only by runs that send telemetry.
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { randomUUID } from 'node:crypto'
import { ROOT_CONTEXT, type Attributes, type Context } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPMetricExporter as JsonMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtobufMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as JsonTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
  type Resource,
} from '@opentelemetry/resources'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions/incubating'
import { systemCertificates } from '../runtime/certificates.ts'
import { programVersion } from '../runtime/environment.ts'
import { proxyFor } from '../runtime/proxy.ts'
import type { Redactor } from '../runtime/redaction.ts'
import type { Delivery } from './delivery.ts'
import { withRedaction } from './redacted-spans.ts'
import { signalValue, type Environment, type Settings, type Signal, type SignalSettings } from './settings.ts'

/** What has ended is on its way after so long, in case the run is killed. */
const spanDelayMs = 1_000

/** With all retries, unless a variable says so: shorter than the wait at the end, so that the cause of a failure is known. */
const exportTimeoutMs = 4_000

const program = 'mesh-canary'

export type Sdk = { tracerProvider: TracerProvider; meterProvider: MeterProvider }

/**
 * `pipeline`: the attributes of all runs of a pipeline; `run`: of this one.
 * @throws Error if the file of a certificate cannot be read
 */
export function createSdk(
  { traces, metrics }: Settings,
  delivery: Delivery,
  { pipeline, run }: { pipeline: Attributes; run: Attributes },
  redact: Redactor['redact'],
): Sdk {
  const own = {
    ...pipeline,
    [ATTR_SERVICE_NAME]: program,
    [ATTR_SERVICE_VERSION]: programVersion(),
    [ATTR_SERVICE_INSTANCE_ID]: randomUUID(),
  }
  const spanProcessors = traces
    ? [
        new BatchSpanProcessor({
          exporter: delivery.watch('traces', withRedaction(traceExporter(traces), redact)),
          scheduledDelayMillis: spanDelayMs,
        }),
      ]
    : []
  const readers = metrics
    ? [
        new PeriodicExportingMetricReader({
          exporter: delivery.watch('metrics', metricExporter(metrics)),
          exportIntervalMillis: metrics.intervalMs,
        }),
      ]
    : []
  return {
    tracerProvider: new TracerProvider({ resource: resourceOf({ ...own, ...run }), spanProcessors }),
    meterProvider: new MeterProvider({ resource: resourceOf(own), readers }),
  }
}

/** What the user's variables say comes last and wins. */
function resourceOf(own: Attributes): Resource {
  const detectors = [resourceAttributesEnvDetector, serviceNameEnvDetector]
  return defaultResource().merge(resourceFromAttributes(own)).merge(detectResources({ detectors }))
}

function traceExporter(settings: SignalSettings) {
  const options = exporterOptions('traces', settings)
  return settings.protocol === 'http/json' ? new JsonTraceExporter(options) : new ProtobufTraceExporter(options)
}

function metricExporter(settings: SignalSettings) {
  const options = exporterOptions('metrics', settings)
  return settings.protocol === 'http/json' ? new JsonMetricExporter(options) : new ProtobufMetricExporter(options)
}

function exporterOptions(signal: Signal, { url }: SignalSettings) {
  const agent = agentFor(signal, url, process.env)
  return {
    url: url.href,
    userAgent: program,
    httpAgentOptions: () => agent,
    ...(signalValue(process.env, signal, 'TIMEOUT') === undefined ? { timeoutMillis: exportTimeoutMs } : {}),
  }
}

/** Goes through the proxy, and trusts the CAs, that the rest of the program does. */
function agentFor(signal: Signal, url: URL, env: Environment): http.Agent {
  const proxy = proxyFor(url, env)
  const options = {
    keepAlive: true,
    ...(proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
  }
  if (url.protocol === 'http:') return new http.Agent(options)
  const ca = fileOf(signal, 'CERTIFICATE', env) ?? systemCertificates()
  const [cert, key] = [fileOf(signal, 'CLIENT_CERTIFICATE', env), fileOf(signal, 'CLIENT_KEY', env)]
  return new https.Agent({ ...options, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) })
}

function fileOf(signal: Signal, name: string, env: Environment): string | undefined {
  const path = signalValue(env, signal, name)
  return path === undefined ? undefined : readFileSync(path, 'utf8')
}

/** The span that the pipeline has put into TRACEPARENT and TRACESTATE, if any. */
export function parentContext(env: Environment): Context {
  const getter = { keys: () => Object.keys(env), get: (_: unknown, key: string) => env[key.toUpperCase()] }
  return new W3CTraceContextPropagator().extract(ROOT_CONTEXT, env, getter)
}
