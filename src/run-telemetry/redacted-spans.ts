// Takes secrets out of spans when they are sent: by then, all that a run has learned is known.
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { Redactor } from '../runtime/redaction.ts'

/** The exporter, which from now on sends copies without secrets. */
export function withRedaction<Each extends SpanExporter>(exporter: Each, redact: Redactor['redact']): Each {
  const send = exporter.export.bind(exporter)
  exporter.export = (spans, done) =>
    send(
      spans.map((span) => redacted(span, redact)),
      done,
    )
  return exporter
}

/** The same span with other texts; what it computes comes from the original. */
function redacted(span: ReadableSpan, redact: Redactor['redact']): ReadableSpan {
  const { name, attributes, status, events } = span
  const texts = Object.entries({ name, attributes, status, events })
  const replaced = texts.map(([key, value]) => [key, { value: redact<unknown>(value), enumerable: true }] as const)
  return Object.create(span, Object.fromEntries(replaced)) as ReadableSpan
}
