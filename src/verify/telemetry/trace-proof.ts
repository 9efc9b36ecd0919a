// Proves that the request's trace arrives, with a span of each hop.
import { podsBehind } from '../../cluster/labels.ts'
import { traceCollector, traceQuery, samplingOf } from '../../config/observability.ts'
import { messageOf } from '../../runtime/errors.ts'
import { collectorCause, withCollectorCause } from './collector-cause.ts'
import { hopNames, missingHops, type MissingHop, type Route } from './hops.ts'
import { spansDuring, spansOf, type Span } from './jaeger.ts'
import { queryOf, type Query } from './query.ts'
import { settled } from './settled.ts'
import { calledServices, grown, readRequests } from './sidecar-requests.ts'
import type { Application, Finding, Proof, ProofDeps, SentRequest } from './types.ts'

export function traceProof(deps: ProofDeps, app: Application): Proof {
  const { config, cluster } = deps
  const unsampled = samplingFault(deps)
  if (unsampled) return settled('traces', unsampled)
  const server = traceQuery(config.observability!)
  if (!server) return settled('traces', unseen(deps))
  const query = queryOf(cluster, 'Jaeger', server)
  const look = async (requests: readonly SentRequest[]): Promise<Finding | undefined> => {
    const found = await spansOf(
      query,
      requests.map(({ traceId }) => traceId),
    ).catch(() => [])
    const complete = requests.map((request) => arrived(found, request, routeOf(deps, app, request)))
    return complete.find((finding) => finding !== undefined)
  }
  return { what: 'traces', look, explain: (requests) => explain(deps, app, query, requests) }
}

function unseen({ config }: ProofDeps): Finding {
  const { namespace, name, port } = traceCollector(config.observability!)!
  return {
    text:
      `spans go to ${namespace}/${name}:${port}, and nothing says where to read them back, so it is not proved that they ` +
      'arrive; set `observability.traces.query` to the query API of Jaeger',
  }
}

/** The proof's own request is traced at any share, so it would hide this. */
function samplingFault({ config }: ProofDeps): Finding | undefined {
  if (samplingOf(config.observability!) !== 0) return undefined
  return {
    ok: false,
    text:
      'observability.traces.sampling is 0%, so no request of a user gets a trace unless its caller asks for one in ' +
      '`traceparent`; raise it (if callers decide, 0.01% is enough)',
  }
}

function routeOf({ config }: ProofDeps, { entry, services, pods }: Application, request: SentRequest): Route {
  const names = new Set(services.map(({ metadata }) => metadata.name))
  const called = (pod: string) =>
    calledServices(grown(request.before, request.after, pod)).filter((each) => names.has(each))
  return {
    entry: { service: entry.service, pod: request.pod, seen: request.way !== 'past-sidecar' },
    calls: new Map(pods.map(({ metadata: { name } }) => [name, called(name)])),
    through: config.observability!.proof.through ?? [],
    pods: new Map(
      services.map((each) => [each.metadata.name, podsBehind(each, pods).map(({ metadata }) => metadata.name)]),
    ),
  }
}

/** Undefined as long as a hop lacks its span. */
function arrived(all: readonly Span[], { traceId, way }: SentRequest, route: Route): Finding | undefined {
  const spans = all.filter((span) => span.traceId === traceId)
  if (spans.length === 0 || missingHops(spans, route).length > 0) return undefined
  const gateway = way === 'gateway' && !spans.some(({ service }) => service.includes('gateway'))
  const note = gateway
    ? '; the gateway in front of it sends no span, because no Telemetry of its namespace asks for one'
    : ''
  return { ok: true, text: `the trace ${traceId} has a span of each hop: ${hopNames(spans).join(', ')}${note}` }
}

async function explain(
  deps: ProofDeps,
  app: Application,
  query: Query,
  requests: readonly SentRequest[],
): Promise<Finding> {
  const found = await spansOf(
    query,
    requests.map(({ traceId }) => traceId),
  ).catch((error: unknown) => messageOf(error))
  if (typeof found === 'string') return { ok: false, text: await withCollectorCause(deps, 'traces', found) }
  const request = requests.findLast(({ traceId }) => found.some((span) => span.traceId === traceId)) ?? requests.at(-1)!
  const spans = found.filter(({ traceId }) => traceId === request.traceId)
  const route = routeOf(deps, app, request)
  if (spans.length === 0) return { ok: false, text: await noSpanCause(deps, request, route) }
  const [missing] = missingHops(spans, route)
  return missing ? missingHopCause(deps, app, query, request, { missing, spans }) : arrived(spans, request, route)!
}

async function noSpanCause(deps: ProofDeps, request: SentRequest, route: Route): Promise<string> {
  const cause = await collectorCause(deps, 'traces')
  if (cause !== undefined) return `no span of the trace ${request.traceId} arrives: ${cause}`
  const isEmpty = !route.entry.seen && (route.calls.get(request.pod) ?? []).length === 0
  return isEmpty
    ? `the request had to go past the sidecar of ${route.entry.service}, which refuses plaintext, and called no other ` +
        'service, so no sidecar saw it; set `observability.proof.service` or `path` to what calls another one'
    : `no span of the trace ${request.traceId} arrives, although Telemetry, provider, Service and port are in order; read ` +
        'the log of the collector, and raise `proof.timeout` if it holds spans back'
}

type Missing = { missing: MissingHop; spans: readonly Span[] }

async function missingHopCause(
  deps: ProofDeps,
  app: Application,
  query: Query,
  request: SentRequest,
  { missing: { from, to, end, certain }, spans }: Missing,
): Promise<Finding> {
  const has = `the trace ${request.traceId} has spans (${hopNames(spans).join(', ')}), but none for `
  if (from === undefined && to === app.entry.service) return { ok: false, text: `${has}${to}, the first service` }
  const caller = from ?? request.pod
  if (end === 'server' && from !== undefined)
    return {
      ok: false,
      text: `${has}${to}, which ${from} called: check that each pod of ${to} has a sidecar with the same Telemetry`,
    }
  const others = await tracesOfCall(query, spans, request, caller, to)
  const isCertain = certain || !(await isCalledAnyway(deps, app, caller, to))
  const elsewhere =
    others.length === 0 ? '' : ` (calls of ${to} at that time have traces of their own, such as ${others[0]})`
  const forwards =
    'pass the headers traceparent and tracestate on, from each request that it gets to those that it sends'
  if (isCertain)
    return {
      ok: false,
      text: `${has}the call of ${to}${elsewhere}: ${caller} does not forward the trace headers; let it ${forwards}`,
    }
  return {
    text:
      `${has}a call of ${to}, which ${caller} also calls without this request${elsewhere}: either ` +
      `${app.entry.service} does not call ${to} for ${deps.config.observability!.proof.path}, or it does not forward the ` +
      `trace headers; name ${to} in \`observability.proof.through\` if it does call it, and let the application ${forwards}`,
  }
}

/** How far around the request a call of it may lie: the clocks of the nodes differ. */
const aroundMs = 5_000

/** The ids of other traces of the caller, of the time of the request, that call the service. */
async function tracesOfCall(
  query: Query,
  spans: readonly Span[],
  { at, traceId }: SentRequest,
  caller: string,
  to: string,
): Promise<string[]> {
  const service = spans.find(({ pod }) => pod === caller)?.service
  if (service === undefined) return []
  const others = await spansDuring(query, service, at - aroundMs, at + aroundMs).catch(() => [])
  const calls = others.filter(
    (span) => span.traceId !== traceId && span.kind === 'client' && span.host?.startsWith(`${to}.`),
  )
  return [...new Set(calls.map((span) => span.traceId))]
}

const idleMs = 3_000

/** True if the pod calls the service without a request of the proof. */
async function isCalledAnyway(
  { cluster, clock, signal }: ProofDeps,
  { pods }: Application,
  caller: string,
  to: string,
): Promise<boolean> {
  const own = pods.filter(({ metadata }) => metadata.name === caller)
  const before = await readRequests(cluster, own)
  await clock.sleep(idleMs, signal)
  return calledServices(grown(before, await readRequests(cluster, own), caller)).includes(to)
}
