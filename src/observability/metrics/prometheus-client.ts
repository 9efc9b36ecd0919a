// Asks Prometheus, at an address or through the API server.
import type { Cluster } from '../../cluster/client.ts'
import { ApiError } from '../../cluster/api-error.ts'
import { parseServicePort, type PrometheusServer } from '../../config/observability.ts'
import type { SeriesLabels } from '../../envoy/counters.ts'
import { fetchFailure, messageOf } from '../../runtime/errors.ts'

export type PromSample = { labels: SeriesLabels; value: number }
/** Evaluates PromQL now. Rejects with a sentence that names the server and the cause. */
export type Prometheus = (promql: string) => Promise<PromSample[]>
type Answer = { status: string; error?: string; data?: { resultType: string; result: unknown } }
type Vector = { metric: Record<string, string>; value: [number, string] }[]

export function prometheusClient(cluster: Cluster, { address, service, token, timeout }: PrometheusServer): Prometheus {
  const server = address ?? `service ${service!}`
  return async (promql) => {
    try {
      const text =
        address === undefined
          ? await queryThroughCluster(cluster, service!, timeout, promql)
          : await queryAddress(address, token, timeout, promql)
      return samplesIn(text)
    } catch (error) {
      throw new Error(`Prometheus (${server}): ${messageOf(error)}`)
    }
  }
}

async function queryAddress(
  address: string,
  token: string | undefined,
  timeoutMs: number,
  promql: string,
): Promise<string> {
  const response = await fetch(`${address.replace(/\/$/, '')}/api/v1/query`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: new URLSearchParams({ query: promql }),
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Error(`no answer (${fetchFailure(error)})`)
  })
  const text = await response.text()
  if (response.status === 401 || response.status === 403)
    throw new Error(
      `access denied (HTTP ${response.status}); set \`prometheus.token\` to a bearer token that may run queries`,
    )
  // Prometheus reports an invalid query as JSON, with an error status.
  if (!response.ok && !text.startsWith('{')) throw new Error(`HTTP ${response.status} ${text.slice(0, 200).trim()}`)
  return text
}

/** `service` is `namespace/name:port`. */
async function queryThroughCluster(
  cluster: Cluster,
  service: string,
  timeoutMs: number,
  promql: string,
): Promise<string> {
  const { namespace, name, port } = parseServicePort(service)
  const path = `/api/v1/query?query=${encodeURIComponent(promql)}`
  try {
    return await cluster.service(namespace, name, port, path, timeoutMs)
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 403) throw error
    throw new Error(
      `${error.message}; to query it through the API server, ` +
        `grant this run the verb get on services/proxy in ${namespace}`,
    )
  }
}

function samplesIn(text: string): PromSample[] {
  const notPrometheus = 'the answer does not come from a Prometheus server; check the address'
  let answer: Answer
  try {
    answer = JSON.parse(text) as Answer
  } catch {
    throw new Error(notPrometheus)
  }
  if (answer.status !== 'success' || !answer.data) throw new Error(answer.error ?? notPrometheus)
  const { resultType, result } = answer.data
  if (resultType === 'scalar') return [{ labels: {}, value: parseNumber((result as [number, string])[1]) }]
  if (resultType !== 'vector') throw new Error(`the query returns a ${resultType}; it must return one number`)
  return (result as Vector).map(({ metric, value }) => ({ labels: metric, value: parseNumber(value[1]) }))
}

function parseNumber(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}
