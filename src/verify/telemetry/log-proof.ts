// Proves that the request's access log line arrives: in the sidecar's own log, or in the store that takes the logs.
import { logCollector, logQuery } from '../../config/observability.ts'
import { messageOf } from '../../runtime/errors.ts'
import { collectorCause, withCollectorCause } from './collector-cause.ts'
import { queryOf } from './query.ts'
import { knownInAdvance } from './known-in-advance.ts'
import { unseenRequest, whyPastSidecar } from './unseen-request.ts'
import type { Application, Finding, Proof, ProofDeps, SentRequest } from './types.ts'
import { lineIn, type LogLine, logsqlPath, storedLines } from './victoria-logs.ts'

/** Resolves to a sidecar's access log lines with the id of the trace; without `traces`, Envoy knows only the request's. */
type Search = (request: SentRequest) => Promise<LogLine[]>

export function logProof(deps: ProofDeps, app: Application): Proof {
  const { onlyErrors, collector } = deps.config.observability!.logs!
  const search = collector === 'stdout' ? searchOfSidecarLog(deps) : searchOfStore(deps)
  if (!search) return knownInAdvance('logs', withoutQuery(deps))
  let failure: string | undefined
  const isKept = ({ status }: SentRequest) => !onlyErrors || status >= 400
  const find = async (request: SentRequest): Promise<Finding | undefined> => {
    const lines = await search(request)
    return lines.length === 0
      ? undefined
      : { ok: true, text: `the line of the request with the ${nameOfId(deps, request)} is there` }
  }
  const findArrival = async (requests: readonly SentRequest[]): Promise<Finding | undefined> => {
    const logged = requests.filter(isKept)
    if (logged.length === 0) return droppedByFilter(requests.at(-1)!)
    failure = undefined
    for (const request of logged.toReversed()) {
      const finding = await find(request).catch((error: unknown) => void (failure = messageOf(error)))
      if (finding) return finding
    }
    return undefined
  }
  const explainAbsence = async (requests: readonly SentRequest[]): Promise<Finding> => {
    if (failure !== undefined)
      return { ok: false, text: await withCollectorCause(deps, 'logs', failure, requests[0]!.at) }
    const request = requests.findLast(isKept) ?? requests.at(-1)!
    const unseen = unseenRequest(request, app)
    if (unseen) return unseen
    const cause = await collectorCause(deps, 'logs', requests[0]!.at)
    const where = collector === 'stdout' ? `the log of the sidecar of ${request.pod} has` : 'the store of the logs has'
    const text = `${where} no line of the request with the ${nameOfId(deps, request)}`
    if (cause === undefined && request.way === 'past-sidecar')
      return { text: `${text}, and it is not known whether it must: ${whyNoIds(deps, app, request)}` }
    return { ok: false, text: `${text}: ${cause ?? unexplained}` }
  }
  return { what: 'logs', findArrival, explainAbsence }
}

function nameOfId({ config }: ProofDeps, { traceId, requestId }: SentRequest): string {
  return config.observability?.traces ? `trace ${traceId}` : `x-request-id ${requestId}`
}

/** Past its sidecar, only the application's own calls are logged, with the ids that the application passes on. */
function whyNoIds({ config }: ProofDeps, app: Application, request: SentRequest): string {
  const { service } = app.entry
  const header = config.observability?.traces ? 'traceparent' : 'x-request-id'
  return (
    `${whyPastSidecar(request, app)}, which logs the calls that follow with new ids unless ${service} forwards the header ` +
    `${header}; let it pass ${header} on, from each request that it gets to those that it sends`
  )
}

const unexplained =
  'Telemetry, provider and collector are in order; read the log of the collector, and raise `proof.timeout` if it holds ' +
  'lines back'

function withoutQuery({ config }: ProofDeps): Finding {
  const { namespace, name, port } = logCollector(config.observability!)!
  return {
    text:
      `access logs go to ${namespace}/${name}:${port}, and nothing says where to read them back, so it is not proved that ` +
      'they arrive; set `observability.logs.query` to the query API of VictoriaLogs',
  }
}

function droppedByFilter({ status }: SentRequest): Finding {
  return {
    text:
      `the filter of \`onlyErrors\` keeps no line of the request, which was answered with ${status}, so it is not proved ` +
      'that lines arrive; set `observability.proof.path` to a path that is answered with an error',
  }
}

const tailLines = 5_000

function searchOfSidecarLog({ cluster, config: { namespace, observability } }: ProofDeps): Search {
  return async ({ pod, traceId, requestId }) => {
    const id = observability?.traces ? traceId : requestId
    const log = await cluster.log(namespace, pod, 'istio-proxy', tailLines)
    const lines = log.split('\n').filter((line) => line.includes(id))
    const objects = lines.map(lineIn).filter((line) => line !== undefined)
    return objects.filter(isAccessLog)
  }
}

/** The application may log the same trace to the same store, but only Envoy has flags of a response. */
function isAccessLog(line: LogLine): boolean {
  return line['k8s.pod.name'] !== undefined && line['envoy.response_flags'] !== undefined
}

/** Enough for what the application logs of one request. */
const storeLimit = 1_000

function searchOfStore({ cluster, config }: ProofDeps): Search | undefined {
  const server = logQuery(config.observability!)
  if (!server) return undefined
  const query = queryOf(cluster, 'VictoriaLogs', server)
  return async ({ traceId, requestId }) => {
    const logsql = config.observability?.traces
      ? `trace_id:${traceId}`
      : `"http.request.header.x-request-id":"${requestId}"`
    const id = config.observability?.traces ? traceId : requestId
    return storedLines(await query(logsqlPath(logsql, storeLimit))).filter(
      (line) => isAccessLog(line) && Object.values(line).includes(id),
    )
  }
}
