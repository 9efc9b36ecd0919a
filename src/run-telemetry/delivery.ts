// Whether the collector took what a run sent, and why not. A run says so once, at its end.
import { diag, DiagLogLevel } from '@opentelemetry/api'
import { ExportResultCode, setGlobalErrorHandler, type ExportResult } from '@opentelemetry/core'
import { messageOf } from '../runtime/errors.ts'
import { tlsFault } from '../runtime/tls-fault.ts'
import { withoutCredentials } from '../tools/http.ts'
import type { Settings, Signal } from './settings.ts'

type Exporter<Items> = { export: (items: Items, done: (result: ExportResult) => void) => void }

export class Delivery {
  private readonly settings: Settings
  private readonly isDelivered: Partial<Record<Signal, boolean>> = {}
  private isTraceFaulty = false
  private failure: string | undefined

  constructor(settings: Settings) {
    this.settings = settings
    // By default the libraries write their failures to the console.
    const error = (...parts: unknown[]) => this.fail(describeNotice(parts))
    // Warnings are about answers, of either signal.
    const warn = (...parts: unknown[]) => this.fail(describeNotice(parts), 'traces')
    const ignore = () => undefined
    diag.setLogger(
      { error, warn, info: ignore, debug: ignore, verbose: ignore },
      { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
    )
    setGlobalErrorHandler((problem) => this.fail(messageOf(problem)))
  }

  /** The exporter, which from now on tells how each export ended. */
  watch<Items, Each extends Exporter<Items>>(signal: Signal, exporter: Each & Exporter<Items>): Each {
    const send = exporter.export.bind(exporter)
    exporter.export = (items, done) => {
      this.isDelivered[signal] = false
      send(items, (result) => {
        this.isDelivered[signal] = result.code === ExportResultCode.SUCCESS
        if (result.code !== ExportResultCode.SUCCESS) this.fail(describeFailure(signal, result.error), signal)
        done(result)
      })
    }
    return exporter
  }

  /** Only the first cause is kept: the others follow from it. `signal`: whose data is missing for sure. */
  fail(cause: string, signal?: Signal): void {
    this.isTraceFaulty ||= signal === 'traces'
    const url = (this.settings[signal ?? 'traces'] ?? this.settings.metrics)?.url
    this.failure ??= `not all telemetry of this run reached ${withoutCredentials(url?.href ?? '')}: ${cause}`
  }

  get hasFailed(): boolean {
    return this.failure !== undefined
  }

  /** True if all spans have arrived, the root last. */
  get isTraceDelivered(): boolean {
    return this.isDelivered.traces === true && !this.isTraceFaulty
  }

  /** One sentence, if anything was not delivered. */
  warnings(): string[] {
    return this.failure === undefined ? [] : [`${this.failure}; the result of the run does not depend on it`]
  }
}

/** The errors of the exporters have the HTTP status as `code`, those of Node.js a name. */
function describeFailure(signal: Signal, error: (Error & { code?: unknown }) | undefined): string {
  const { code } = error ?? {}
  if (code === 401 || code === 403)
    return `access denied (HTTP ${code}); check the credentials in OTEL_EXPORTER_OTLP_HEADERS`
  if (code === 404)
    return (
      `HTTP 404; check the path of OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/${signal} is added, ` +
      `or set OTEL_${signal.toUpperCase()}_EXPORTER=none if it takes no ${signal}`
    )
  if (typeof code === 'number') return `HTTP ${code}`
  if (typeof code === 'string' && code.startsWith('HPE_'))
    return `it does not answer with HTTP (${code}); give the collector's port for HTTP, usually 4318: 4317 is for gRPC`
  // An answer of 429 or 503 leaves no error behind.
  if (error === undefined || error.message === retryable)
    return 'it asks to try again later (HTTP 429, 502, 503 or 504)'
  const trust = 'set OTEL_EXPORTER_OTLP_CERTIFICATE to a file with that CA'
  const fault = tlsFault(error as NodeJS.ErrnoException, trust)
  if (fault) return `${fault.cause}: ${fault.remedy}`
  return typeof code === 'string' ? code : error.message
}

const retryable = 'Export failed with retryable status'

/** `parts`: the module that says it, what it says, and details that may hold anything. */
function describeNotice(parts: unknown[]): string {
  const text = parts.filter((part) => typeof part === 'string').join(': ')
  return /deserialize|parse \w+ export response/.test(text) ? 'its answer is not one of OTLP; check the address' : text
}
