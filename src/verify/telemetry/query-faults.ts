// Asks the stores of telemetry that a config names, before the run changes anything: the proof will need their answers.
import type { Cluster } from '../../cluster/client.ts'
import { installedTraceQuery, logQuery, type QueryServer, traceQuery } from '../../config/observability.ts'
import type { ObservabilityConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { jaegerCheck, parseData } from './jaeger.ts'
import { failureOf, queryOf } from './query.ts'
import { storedLines, victoriaLogsCheck } from './victoria-logs.ts'

/** `parse` throws an error for the answer of another program. */
type Store = { part: 'traces' | 'logs'; program: string; path: string; parse: (answer: string) => unknown }

const jaeger: Store = { part: 'traces', program: 'Jaeger', path: jaegerCheck, parse: parseData }
const victoriaLogs: Store = { part: 'logs', program: 'VictoriaLogs', path: victoriaLogsCheck, parse: storedLines }

/** One sentence for each store that does not answer. Those that the run installs may not be there yet. */
export async function queryFaults(cluster: Cluster, observability: ObservabilityConfig | undefined): Promise<string[]> {
  if (!observability?.proof.enabled) return []
  const { traces, logs } = observability
  const faults = await Promise.all([
    traces?.query === undefined || traces.query === installedTraceQuery(observability)
      ? []
      : faultOf(cluster, jaeger, traceQuery(observability)!),
    logs?.query === undefined ? [] : faultOf(cluster, victoriaLogs, logQuery(observability)!),
  ])
  return faults.flat()
}

async function faultOf(cluster: Cluster, store: Store, server: QueryServer): Promise<string[]> {
  const { part, program, path } = store
  const sentence = (error: unknown) =>
    `observability.${part}.query: ${messageOf(error)}; correct it, start ${program}, or set \`proof: off\` to prove nothing`
  let answer: string
  try {
    answer = await queryOf(cluster, program, server)(path)
  } catch (error) {
    return [sentence(error)]
  }
  try {
    store.parse(answer)
    return []
  } catch (error) {
    return [sentence(failureOf(program, server, error))]
  }
}
