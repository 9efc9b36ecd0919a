// Proves that the request's trace arrives, with a span of each hop.
import { samplingOf, traceCollector, traceQuery } from '../../config/observability.ts'
import { spansOf } from './jaeger.ts'
import { queryOf } from './query.ts'
import { knownInAdvance } from './known-in-advance.ts'
import { arrivedTrace } from './trace-arrival.ts'
import { traceCause } from './trace-cause.ts'
import { routeOf } from './trace-route.ts'
import type { Application, Finding, Proof, ProofDeps, SentRequest } from './types.ts'

export function traceProof(deps: ProofDeps, app: Application): Proof {
  const { config, cluster } = deps
  const unsampled = samplingFault(deps)
  if (unsampled) return knownInAdvance('traces', unsampled)
  const server = traceQuery(config.observability!)
  if (!server) return knownInAdvance('traces', withoutQuery(deps))
  const query = queryOf(cluster, 'Jaeger', server)
  const findArrival = async (requests: readonly SentRequest[]): Promise<Finding | undefined> => {
    const found = await spansOf(
      query,
      requests.map(({ traceId }) => traceId),
    ).catch(() => [])
    const complete = requests.map((request, i) =>
      arrivedTrace(found, request, routeOf(deps, app, requests.slice(0, i + 1))),
    )
    return complete.find((finding) => finding !== undefined)
  }
  return { what: 'traces', findArrival, explainAbsence: (requests) => traceCause(deps, app, query, requests) }
}

function withoutQuery({ config }: ProofDeps): Finding {
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
