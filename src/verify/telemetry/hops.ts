// Which hops of a request its trace must have, and which it lacks. A hop has two ends: the caller's sidecar makes a client
// span, and the sidecar of the called pod a server span. Pure.
import type { Span } from './jaeger.ts'

/** What the request is known to pass. Pods by name, services by name within the namespace. */
export type Route = {
  namespace: string
  entry: { service: string; pod: string; sidecarSawRequest: boolean }
  /**
   * By pod, the services that its sidecar counted calls of while the request ran. Another request that ran at the same
   * time may have caused such a call. A service of another namespace is `name.namespace`.
   */
  countedCalls: ReadonlyMap<string, readonly string[]>
  /** Pods whose counters were read before and after the request. The calls of others are not known. */
  podsWithCounters: ReadonlySet<string>
  /** Services that it reaches because the config says so (`observability.proof.through`). */
  statedServices: readonly string[]
  /** By service, its pods that have a sidecar. */
  pods: ReadonlyMap<string, readonly string[]>
}

/**
 * `end`: which span is missing. `isCertain`: the request made this call, by the config or by a span of its trace. Otherwise
 * another request at the same time may have made it.
 */
export type MissingHop = { from?: string; to: string; end: 'client' | 'server'; isCertain: boolean }

export function missingHops(spans: readonly Span[], route: Route): MissingHop[] {
  const { entry, statedServices } = route
  const arrived = spans.some(({ kind, pod }) => kind === 'server' && pod === entry.pod)
  const first: MissingHop[] =
    entry.sidecarSawRequest && !arrived ? [{ to: entry.service, end: 'server', isCertain: true }] : []
  const calls = missingCalls(spans, route)
  const known = new Set(calls.map(({ to }) => to))
  const stated = statedServices.filter((service) => !known.has(service) && !isServed(spans, route, service))
  return [
    ...first,
    ...calls.map((hop) => ({ ...hop, isCertain: hop.isCertain || statedServices.includes(hop.to) })),
    ...stated.map((to): MissingHop => ({ to, end: 'server', isCertain: true })),
  ]
}

/** Follows the calls within the namespace from the entry, as far as the trace leads. */
function missingCalls(spans: readonly Span[], route: Route): MissingHop[] {
  const reached = [route.entry.pod]
  const missing: MissingHop[] = []
  // The list grows while it is walked.
  for (const from of reached)
    for (const to of (route.countedCalls.get(from) ?? []).filter((service) => route.pods.has(service))) {
      const call = spans.find((span) => span.pod === from && isCallOf(span, to, route.namespace))
      const server = call && spans.find((span) => span.kind === 'server' && span.parent === call.id)
      if (!call) missing.push({ from, to, end: 'client', isCertain: false })
      else if (!server && !call.isUnserved && (route.pods.get(to) ?? []).length > 0)
        missing.push({ from, to, end: 'server', isCertain: true })
      if (server?.pod !== undefined && !reached.includes(server.pod)) reached.push(server.pod)
    }
  return missing
}

function isServed(spans: readonly Span[], { pods }: Route, service: string): boolean {
  return spans.some(({ kind, pod = '' }) => kind === 'server' && pods.get(service)?.includes(pod))
}

/** True for a client span of a call of the service, not of one with the same name elsewhere. */
export function isCallOf({ kind, host = '' }: Span, service: string, namespace: string): boolean {
  const [name, place = namespace] = host.split('.')
  return kind === 'client' && name === service && place === namespace
}

/** The pods of the namespace on the way of the request whose calls are not known, as of one that has just started. */
export function podsWithoutCounters(spans: readonly Span[], { namespace, entry, podsWithCounters }: Route): string[] {
  const reached = spans.flatMap((span) => (span.namespace === namespace ? (span.pod ?? []) : []))
  return [...new Set([entry.pod, ...reached])].filter((pod) => !podsWithCounters.has(pod))
}

/** The services elsewhere that pods on the way of the request called; their spans are not looked at. */
export function callsElsewhere(spans: readonly Span[], { entry, countedCalls, pods }: Route): string[] {
  const reached = new Set([entry.pod, ...spans.flatMap(({ pod }) => pod ?? [])])
  const called = [...reached].flatMap((pod) => countedCalls.get(pod) ?? [])
  return [...new Set(called.filter((service) => !pods.has(service)))].sort()
}

/** The hops that the trace has, in words. */
export function hopNames(spans: readonly Span[]): string[] {
  const names = spans.flatMap(({ kind, service, host }) => {
    if (kind === 'server') return [`${shortName(service)} (server)`]
    return host === undefined ? [] : [`${shortName(service)} → ${shortName(host)} (client)`]
  })
  return [...new Set(names)].sort()
}

function shortName(name: string): string {
  return name.split('.')[0]!
}
