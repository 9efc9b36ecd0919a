// OpenTelemetry's SDK with exporters for OTLP over HTTP. A module of its own, loaded only by runs that send telemetry.
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { randomUUID } from 'node:crypto'
import { ROOT_CONTEXT, trace, type Attributes, type Context } from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
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
import { proxyFor } from '../runtime/proxy.ts'
import type { Redactor } from '../runtime/redaction.ts'
import packageJson from '../../package.json' with { type: 'json' }
import type { Delivery } from './delivery.ts'
import { withRedaction } from './redacted-spans.ts'
import { signalValue, type Environment, type Settings, type Signal, type SignalSettings } from './settings.ts'

/** What has ended is on its way after so long, in case the run is killed. */
const spanDelayMs = 1_000

export type Sdk = { tracerProvider: TracerProvider; meterProvider: MeterProvider }

/** @throws Error if the file of a certificate cannot be read */
export function createSdk(
  { traces, metrics }: Settings,
  delivery: Delivery,
  pipeline: Attributes,
  redact: Redactor['redact'],
): Sdk {
  const resource = resourceOf(pipeline)
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
    tracerProvider: new TracerProvider({ resource, spanProcessors }),
    meterProvider: new MeterProvider({ resource, readers }),
  }
}

/** What the user's variables say comes last and wins. */
function resourceOf(pipeline: Attributes): Resource {
  const own = {
    ...pipeline,
    [ATTR_SERVICE_NAME]: packageJson.name,
    [ATTR_SERVICE_VERSION]: packageJson.version,
    [ATTR_SERVICE_INSTANCE_ID]: randomUUID(),
  }
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
  return { url: url.href, userAgent: `${packageJson.name}/${packageJson.version}`, httpAgentOptions: () => agent }
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

/** The span that the pipeline has put into TRACEPARENT, if any. */
export function parentContext(env: Environment): Context {
  const parent = parseTraceParent(env['TRACEPARENT'] ?? '')
  return parent ? trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true }) : ROOT_CONTEXT
}
