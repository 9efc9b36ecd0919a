// Whether the trace of a request has arrived as a whole, and how much it shows. Pure.
import { callsElsewhere, hopNames, missingHops, podsWithoutCounters, type Route } from './hops.ts'
import type { Span } from './jaeger.ts'
import type { Finding, SentRequest } from './types.ts'

/** Undefined as long as a hop lacks its span, or is not known. */
export function arrivedTrace(all: readonly Span[], request: SentRequest, route: Route): Finding | undefined {
  const { traceId } = request
  const spans = all.filter((span) => span.traceId === traceId)
  const isOpen = missingHops(spans, route).length > 0 || podsWithoutCounters(spans, route).length > 0
  if (spans.length === 0 || isOpen) return undefined
  const notes = notesOf(spans, request, route)
  return {
    ok: true,
    text: [`the trace ${traceId} has a span of each hop: ${hopNames(spans).join(', ')}`, ...notes].join('; '),
  }
}

/** What the reader has to know to judge how much the trace shows. */
function notesOf(spans: readonly Span[], { way, status }: SentRequest, route: Route): string[] {
  const { service } = route.entry
  const ways = {
    sidecar: `through the sidecar of ${service}`,
    gateway: 'through the gateway',
    'past-sidecar': `past the sidecar of ${service}`,
  }
  const elsewhere = callsElsewhere(spans, route)
  const isAlone = elsewhere.length === 0 && !spans.some(({ kind, host }) => kind === 'client' && host !== undefined)
  const remedy = status >= 400 ? ' then; set `observability.proof.path` to a path that does' : ''
  const isSilent = way === 'gateway' && !spans.some((span) => span.service.includes('gateway'))
  return [
    `the request went ${ways[way]} and was answered with ${status}`,
    ...(isAlone ? [`${service} called no other service${remedy}`] : []),
    ...(elsewhere.length > 0 ? [`calls out of the namespace were not looked at: ${elsewhere.join(', ')}`] : []),
    ...(isSilent
      ? ['the gateway in front of it sends no span, because no Telemetry of its namespace asks for one']
      : []),
  ]
}
