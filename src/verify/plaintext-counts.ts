// What the sidecars of servers count of callers that send plaintext, and for how long to watch before none means none.
// Pure.
import { labelsOf, type Reading, type SeriesLabels } from '../envoy/counters.ts'
import type { Pod } from '../cluster/objects.ts'
import { matches } from '../cluster/labels.ts'
import { servicePorts, targetPort } from '../cluster/service-ports.ts'
import { hasRunningSidecar } from '../mesh/sidecar.ts'
import type { MtlsFacts } from './mtls-facts.ts'
import { effectiveMode, portsOf } from './mtls-modes.ts'

/** A pod of which the run sets ports to STRICT that accept plaintext now. */
export type Server = { pod: Pod; isClosed: (labels: SeriesLabels) => boolean }

/** `isClosed`: true for a series of requests that the pod will refuse. */
export function newlyStrict(facts: MtlsFacts): Server[] {
  return facts.pods.filter(hasRunningSidecar).flatMap((pod) => {
    const closes = (port: number) =>
      effectiveMode(pod, port, facts.after).mode === 'STRICT' &&
      effectiveMode(pod, port, facts.before).mode !== 'STRICT'
    const all = portsOf(pod, facts.services).map(({ number }) => number)
    if (![...all, 0].some(closes)) return []
    // The counters tell the service and not the port. If a port stays open, its callers are the likely ones.
    const isClosed = (labels: SeriesLabels) => {
      const ports = portsOfService(pod, labels['destination_service_name'], facts) ?? all
      return ports.length > 0 ? ports.every(closes) : closes(0)
    }
    return [{ pod, isClosed }]
  })
}

/** Undefined if the name is not that of a Service in front of the pod. */
function portsOfService(pod: Pod, name: string | undefined, { services }: MtlsFacts): number[] | undefined {
  const service = services.find(
    ({ metadata, spec }) =>
      metadata.name === name && spec.selector !== undefined && matches(spec.selector, pod.metadata.labels),
  )
  return service && servicePorts(service).flatMap((port) => targetPort(pod, port) ?? [])
}

const counters = /^(?:envoy_)?(istio_requests_total|istio_tcp_connections_(?:opened|closed)_total)\{/

/** The series of plaintext that the server's sidecar reports. `requests`: another name of the counter of requests. */
export function parsePlaintext(text: string, requests: string, { isClosed }: Server): Reading {
  const reading = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!counters.test(line) && !line.startsWith(`${requests}{`)) continue
    const end = line.lastIndexOf('} ') + 1
    const series = line.slice(0, end)
    const labels = labelsOf(series)
    const isPlaintext = labels['reporter'] === 'destination' && labels['connection_security_policy'] === 'none'
    if (isPlaintext && isClosed(labels)) reading.set(series, Number(line.slice(end + 1).split(' ')[0]))
  }
  return reading
}

const isClosing = (series: string) => series.includes('_connections_closed_total{')

/** Requests, and connections that were opened. */
export function totalOf(reading: Reading): number {
  return sum([...reading].filter(([series]) => !isClosing(series)))
}

/** The connections that were opened. */
export function openedIn(reading: Reading): [string, number][] {
  return [...reading].filter(([series]) => series.includes('_connections_opened_total{'))
}

/** TCP connections in plaintext that are open now. */
export function openConnections(reading: Reading): number {
  return Math.max(0, sum(openedIn(reading)) - sum([...reading].filter(([series]) => isClosing(series))))
}

function sum(entries: [string, number][]): number {
  return entries.reduce((total, [, value]) => total + value, 0)
}

const shortestMs = 5_000
const longestMs = 30_000
const youngMs = 60_000

/**
 * How long a server must see no plaintext before its callers count as gone. A sidecar that has run for a minute and
 * never saw any needs no further watch; a young one a short watch; one that did see some three times the mean interval
 * between two requests, within limits.
 */
export function quietTime(total: number, ageMs: number): number {
  if (total === 0) return ageMs < youngMs ? shortestMs : 0
  return Math.min(longestMs, Math.max(shortestMs, (3 * ageMs) / total))
}
