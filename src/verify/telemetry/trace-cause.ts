// Why a trace lacks spans: nothing arrives, a service does not forward the trace headers, or a pod has no sidecar.
import { messageOf } from '../../runtime/errors.ts'
import { collectorCause, withCollectorCause } from './collector-cause.ts'
import { hopNames, isCallOf, missingHops, podsWithoutCounters, type MissingHop, type Route } from './hops.ts'
import { spansDuring, spansOf, type Span } from './jaeger.ts'
import type { Query } from './query.ts'
import { calledServices, grown, readRequests } from './sidecar-requests.ts'
import { arrivedTrace } from './trace-arrival.ts'
import { callsDuring, routeOf } from './trace-route.ts'
import type { Application, Finding, ProofDeps, SentRequest } from './types.ts'
import { unseenRequest } from './unseen-request.ts'

/** For requests of which no trace has arrived as a whole. */
export async function traceCause(
  deps: ProofDeps,
  app: Application,
  query: Query,
  requests: readonly SentRequest[],
): Promise<Finding> {
  const found = await spansOf(
    query,
    requests.map(({ traceId }) => traceId),
  ).catch((error: unknown) => messageOf(error))
  if (typeof found === 'string')
    return { ok: false, text: await withCollectorCause(deps, 'traces', found, requests[0]!.at) }
  const last = requests.findLastIndex(({ traceId }) => found.some((span) => span.traceId === traceId))
  const request = requests.at(last)!
  const spans = found.filter(({ traceId }) => traceId === request.traceId)
  const route = routeOf(deps, app, last < 0 ? requests : requests.slice(0, last + 1))
  const search = { deps, app, query, requests, request, spans }
  if (spans.length === 0) return noSpanCause(search, route)
  const [missing] = missingHops(spans, route)
  if (missing) return missingHopCause(search, missing)
  return arrivedTrace(spans, request, route) ?? unknownCallsCause(search, route)
}

/** What was sent, and what was found of it. `spans`: those of the request; none if nothing was found of any. */
type Search = {
  deps: ProofDeps
  app: Application
  query: Query
  requests: readonly SentRequest[]
  request: SentRequest
  spans: readonly Span[]
}

async function noSpanCause(search: Search, route: Route): Promise<Finding> {
  const { deps, app, request, requests } = search
  const unseen = unseenRequest(request, app)
  if (unseen) return unseen
  // Past the sidecar, the calls are the first that can make a span: of the request's trace, or of traces of their own.
  const [call] = route.entry.sidecarSawRequest ? [] : missingHops([], route)
  if (call && (await tracesOfCall(search, call.from ?? request.pod, call.to)).length > 0)
    return missingHopCause(search, call)
  const cause = await collectorCause(deps, 'traces', requests[0]!.at)
  const text = `no span of the trace ${request.traceId} arrives`
  if (cause !== undefined) return { ok: false, text: `${text}: ${cause}` }
  return {
    ok: false,
    text:
      `${text}, although Telemetry, provider, Service and port are in order; read the log of the collector, and raise ` +
      '`proof.timeout` if it holds spans back',
  }
}

function unknownCallsCause({ request, spans }: Search, route: Route): Finding {
  return {
    text:
      `the trace ${request.traceId} has spans (${hopNames(spans).join(', ')}), but the counters of the sidecar of ` +
      `${podsWithoutCounters(spans, route).join(', ')} could not be read, so it is not known whether it called others; run the stage again`,
  }
}

const forwarding =
  'pass the headers traceparent and tracestate on, from each request that it gets to those that it sends'

async function missingHopCause(search: Search, { from, to, end, isCertain }: MissingHop): Promise<Finding> {
  const { app, deps, request, spans } = search
  const has =
    spans.length === 0
      ? `the trace ${request.traceId} has no span, and so none for `
      : `the trace ${request.traceId} has spans (${hopNames(spans).join(', ')}), but none for `
  if (from === undefined && to === app.entry.service) return { ok: false, text: `${has}${to}, the first service` }
  const caller = from ?? request.pod
  if (end === 'server' && from !== undefined)
    return {
      ok: false,
      text: `${has}${to}, which ${from} called: check that each pod of ${to} has a sidecar with the same Telemetry`,
    }
  const others = await tracesOfCall(search, caller, to)
  const doubt = isCertain ? undefined : await doubtOfCall(search, caller, to)
  const elsewhere =
    others.length === 0 ? '' : ` (calls of ${to} at that time have traces of their own, such as ${others[0]})`
  if (doubt === undefined)
    return {
      ok: false,
      text: `${has}the call of ${to}${elsewhere}: ${caller} does not forward the trace headers; let it ${forwarding}`,
    }
  return {
    text:
      `${has}a call of ${to}, ${doubt}${elsewhere}: either ` +
      `${app.entry.service} does not call ${to} for ${deps.config.observability!.proof.path}, or it does not forward the ` +
      `trace headers; name ${to} in \`observability.proof.through\` if it does call it, and let the application ${forwarding}`,
  }
}

/** How far around the request a call of it may lie: the clocks of the nodes differ. */
const aroundMs = 5_000

/** The ids of other traces of the caller, of the time of the request, that call the service. */
async function tracesOfCall(
  { app, deps: { config }, query, request: { at, traceId }, spans }: Search,
  caller: string,
  to: string,
): Promise<string[]> {
  const service = spans.find(({ pod }) => pod === caller)?.service ?? tracedName(app, caller, config.namespace)
  const others = await spansDuring(query, service, at - aroundMs, at + aroundMs).catch(() => [])
  const calls = others.filter((span) => span.traceId !== traceId && isCallOf(span, to, config.namespace))
  return [...new Set(calls.map((span) => span.traceId))]
}

/**
 * The name under which a sidecar sends its spans: its canonical service and namespace.
 * @see https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/ (ProxyConfig.TracingServiceName)
 */
function tracedName({ entry, pods }: Application, name: string, namespace: string): string {
  const labels = pods.find(({ metadata }) => metadata.name === name)?.metadata.labels ?? {}
  const canonical = labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels['app']
  return `${canonical ?? entry.service}.${namespace}`
}

const idleMs = 3_000

/** Why the request may not have caused a call that a sidecar counted; undefined if it has. */
async function doubtOfCall(
  { deps, app, requests, request }: Search,
  caller: string,
  to: string,
): Promise<string | undefined> {
  const { cluster, clock, config, signal } = deps
  const calls = requests.map((each) => callsDuring(each, caller === request.pod ? each.pod : caller, config.namespace))
  if (calls.some((services) => services !== undefined && !services.includes(to)))
    return `which ${caller} called during one request, and not during another`
  const own = app.pods.filter(({ metadata }) => metadata.name === caller)
  const before = await readRequests(cluster, own)
  await clock.sleep(idleMs, signal)
  const idle = grown(before, await readRequests(cluster, own), caller)
  if (!idle) return `and the counters of ${caller} could not be read without this request`
  return calledServices(idle, config.namespace).includes(to)
    ? `which ${caller} also calls without this request`
    : undefined
}
