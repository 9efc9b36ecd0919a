// Reads traces from Jaeger's query API, as far as the proof needs them.
import { hasReachedNoPod } from '../../envoy/response-flags.ts'
import { isMap } from '../../runtime/is-map.ts'
import { parseJson, type Query } from './query.ts'

/** A span of a proxy. */
export type Span = {
  id: string
  traceId: string
  parent?: string
  kind: string
  /** As Jaeger lists it. */
  service: string
  /** Of the sidecar that made it; a gateway's span has neither this nor `namespace`. */
  pod?: string
  namespace?: string
  /** Of the service that a `client` span called. */
  host?: string
  /** The call failed at the caller, so no pod could make a span of it. */
  isUnserved?: true
}

type JaegerSpan = {
  traceID: string
  spanID: string
  references?: { refType: string; spanID: string }[]
  tags?: { key: string; value: unknown }[]
  processID: string
}
type JaegerTraces = {
  data: { spans: JaegerSpan[]; processes: Record<string, { serviceName: string }> }[] | null
}

/** The spans of these traces that Jaeger has by now. */
export async function spansOf(query: Query, traceIds: readonly string[]): Promise<Span[]> {
  return parseTraces(await query(`/api/traces?${traceIds.map((id) => `traceID=${id}`).join('&')}`))
}

/** The spans of traces of a service that began in this time, in milliseconds since the epoch. */
export async function spansDuring(query: Query, service: string, fromMs: number, toMs: number): Promise<Span[]> {
  const range = `start=${fromMs * 1_000}&end=${toMs * 1_000}&limit=200`
  return parseTraces(await query(`/api/traces?service=${encodeURIComponent(service)}&${range}`))
}

/** The cheapest question that only Jaeger answers. */
export const jaegerCheck = '/api/services'

/**
 * Jaeger puts every answer under `data`, which is null if there is nothing.
 * @throws Error with a sentence if the answer is not from Jaeger
 */
export function parseData(text: string): unknown {
  const answer = parseJson(text, "Jaeger's query API")
  if (!isMap(answer) || answer['data'] === undefined)
    throw new Error("the answer does not come from Jaeger's query API; check the address")
  return answer['data']
}

export function parseTraces(text: string): Span[] {
  const data = parseData(text) as JaegerTraces['data']
  return (data ?? []).flatMap(({ spans, processes }) =>
    spans.map((span) => spanOf(span, processes[span.processID]?.serviceName ?? '')),
  )
}

function spanOf({ traceID, spanID, references = [], tags = [] }: JaegerSpan, service: string): Span {
  const tag = (key: string) => tags.find((each) => each.key === key)?.value
  const parent = references.find(({ refType }) => refType === 'CHILD_OF')?.spanID
  const [, pod, namespace] = /^sidecar~[^~]*~(.+)\.([^.~]+)~/.exec(textOf(tag('node_id'))) ?? []
  const host = /^outbound\|\d+\|[^|]*\|([^|;]+)/.exec(textOf(tag('upstream_cluster')))?.[1]
  return {
    id: spanID,
    traceId: traceID.padStart(32, '0'),
    kind: textOf(tag('span.kind')),
    service,
    ...(parent === undefined ? {} : { parent }),
    ...(pod === undefined || namespace === undefined ? {} : { pod, namespace }),
    ...(host === undefined ? {} : { host }),
    ...(hasReachedNoPod(textOf(tag('response_flags'))) ? { isUnserved: true } : {}),
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
