// Prometheus as a source: of the sidecars' counters instead of the sidecars, and of numbers that the user asks for.
import { ApiError, type Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { seriesOf, type MetricNames, type Reading, type SeriesLabels } from './counters.ts'
import type { Answer, PromotionStatus } from '../hooks/finding.ts'
import { idOf, type CounterReader } from './sidecars.ts'

export type Sample = { labels: SeriesLabels; value: number }
/** Evaluates PromQL now. Rejects with a sentence that names the server and the cause. */
export type Prometheus = (promql: string) => Promise<Sample[]>
type Settings = NonNullable<CanaryConfig['prometheus']>
type Result = { status: string; error?: string; data?: { resultType: string; result: unknown } }

export function prometheusClient(cluster: Cluster, { address, service, token, timeout }: Settings): Prometheus {
  const place = address ?? `service ${service!}`
  const ask =
    address === undefined
      ? (promql: string) => throughCluster(cluster, service!, timeout, promql)
      : (promql: string) => directly(address, token, timeout, promql)
  return async (promql) => {
    const text = await ask(promql).catch((error: unknown) => {
      throw new Error(`Prometheus (${place}): ${messageOf(error)}`)
    })
    return samplesOf(place, text)
  }
}

async function directly(
  address: string,
  token: string | undefined,
  timeoutMs: number,
  promql: string,
): Promise<string> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(`${address.replace(/\/$/, '')}/api/v1/query`, {
    method: 'POST',
    headers,
    body: new URLSearchParams({ query: promql }),
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw new Error(`no answer (${fetchFailure(error)})`)
  })
  const text = await response.text()
  if (response.status === 401 || response.status === 403)
    throw new Error(`refused (HTTP ${response.status}); give a bearer token that may query (\`prometheus.token\`)`)
  // What Prometheus has to say of a query comes as JSON with its status.
  if (!response.ok && !text.startsWith('{')) throw new Error(`HTTP ${response.status} ${text.slice(0, 200).trim()}`)
  return text
}

/** `service` is `namespace/name:port`. */
async function throughCluster(cluster: Cluster, service: string, timeoutMs: number, promql: string): Promise<string> {
  const [, namespace = '', name = '', port = ''] = /^(.+)\/(.+):(\d+)$/.exec(service)!
  try {
    return await cluster.service(
      namespace,
      name,
      Number(port),
      `/api/v1/query?query=${encodeURIComponent(promql)}`,
      timeoutMs,
    )
  } catch (error) {
    const forbidden = error instanceof ApiError && error.status === 403
    throw forbidden
      ? new Error(
          `${error.message}; asking it through the API server needs the verb get on services/proxy in ${namespace}`,
        )
      : error
  }
}

/** What `fetch` hides below its message. */
export function fetchFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, message } = (error.cause ?? error) as NodeJS.ErrnoException
  return error.name === 'TimeoutError' ? 'no answer in time' : typeof code === 'string' ? code : message
}

function samplesOf(place: string, text: string): Sample[] {
  let answer: Result
  try {
    answer = JSON.parse(text) as Result
  } catch {
    throw new Error(`Prometheus (${place}): the answer is not that of a Prometheus; check the address`)
  }
  if (answer.status !== 'success' || !answer.data)
    throw new Error(
      `Prometheus (${place}): ${answer.error ?? 'the answer is not that of a Prometheus; check the address'}`,
    )
  const { resultType, result } = answer.data
  if (resultType === 'scalar') return [{ labels: {}, value: numberOf((result as [number, string])[1]) }]
  if (resultType !== 'vector')
    throw new Error(`Prometheus (${place}): the query answers a ${resultType}; it must answer one number`)
  return (result as { metric: Record<string, string>; value: [number, string] }[]).map(({ metric, value }) => ({
    labels: metric,
    value: numberOf(value[1]),
  }))
}

function numberOf(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}

/** Labels under which scrapers keep a pod's name and its namespace. */
const podLabels = ['pod', 'kubernetes_pod_name', 'pod_name', 'k8s_pod_name']
const namespaceLabels = ['namespace', 'kubernetes_namespace', 'k8s_namespace_name']

/** The sidecars' counters as Prometheus holds them, in one query for all pods. A pod of which it holds nothing served nothing. */
export function prometheusReader(query: Prometheus, metrics: MetricNames, hosts: string[]): CounterReader {
  const kept = new Map<string, Reading>()
  return async (pods) => {
    const samples = await query(countersOf(metrics, hosts, pods))
    const readings = readingsOf(samples, pods)
    for (const pod of pods) kept.set(idOf(pod), continued(kept.get(idOf(pod)), readings.get(idOf(pod)) ?? new Map()))
    return new Map(pods.map((pod) => [idOf(pod), kept.get(idOf(pod))!]))
  }
}

export function countersOf({ requests, duration }: MetricNames, hosts: string[], pods: Pod[]): string {
  const names = oneOf(pods.map(({ metadata }) => metadata.name))
  const served = podLabels.map(
    (label) => `{__name__=~"${requests}|${duration}_bucket",reporter="destination",${label}=~${names}}`,
  )
  return [...served, `{__name__="${requests}",reporter="source",destination_service=~${oneOf(hosts)}}`].join(' or ')
}

/** A matcher's value; the names of pods and hosts hold no special character but the dot. */
function oneOf(names: string[]): string {
  return `"${names.map((name) => name.replaceAll('.', '\\\\.')).join('|')}"`
}

function readingsOf(samples: Sample[], pods: Pod[]): Map<string, Map<string, number>> {
  const byName = new Map(pods.map((pod) => [pod.metadata.name, pod]))
  const readings = new Map<string, Map<string, number>>()
  for (const {
    labels: { __name__: metric = '', ...labels },
    value,
  } of samples) {
    const label = podLabels.find((each) => labels[each] !== undefined)
    if (label === undefined)
      throw new Error(
        `Prometheus holds ${metric} without a label that names the pod; add one of ${podLabels.join(', ')} where the sidecars are scraped`,
      )
    const pod = byName.get(labels[label]!)
    const namespace = namespaceLabels.map((each) => labels[each]).find((each) => each !== undefined)
    if (!pod || (namespace !== undefined && namespace !== pod.metadata.namespace)) continue
    const reading = readings.get(idOf(pod)) ?? new Map<string, number>()
    readings.set(idOf(pod), reading.set(seriesOf(metric, labels), value))
  }
  return readings
}

/** A scrape that failed takes series away for a while: they stand where they stood, unless the pod has begun anew. */
function continued(before: Reading = new Map(), now: Reading): Reading {
  return [...now].some(([series, value]) => value < (before.get(series) ?? 0)) ? now : new Map([...before, ...now])
}

/** Asks one of the user's queries and holds the number against its bounds. No number is no evidence. */
export async function runQuery(
  query: Prometheus,
  { query: text, min = -Infinity, max = Infinity }: CanaryConfig['checks']['queries'][string],
  outside: PromotionStatus,
): Promise<Answer> {
  try {
    const samples = await query(fillTemplate(text, outside))
    if (samples.length > 1)
      return {
        state: 'undecided',
        text: `the query answers ${samples.length} series; it must answer one number, such as a sum()`,
      }
    const value = samples[0]?.value
    if (value === undefined || Number.isNaN(value)) return { state: 'undecided', text: 'the query answers no number' }
    const bounds = [
      ...(min === -Infinity ? [] : [`at least ${min}`]),
      ...(max === Infinity ? [] : [`at most ${max}`]),
    ].join(' and ')
    return {
      state: value >= min && value <= max ? 'pass' : 'fail',
      text: `${Number(value.toPrecision(6))}, ${bounds} is good`,
    }
  } catch (error) {
    return { state: 'undecided', text: messageOf(error) }
  }
}

/** Puts the step's values in place of `$namespace`, `$service`, `$stable`, `$canary`, `$weight` and `$interval`. */
export function fillTemplate(
  promql: string,
  { namespace, service, stable, canary, weight, intervalMs }: PromotionStatus,
): string {
  const values: Record<string, string> = {
    namespace,
    service,
    stable,
    canary,
    weight: String(weight),
    interval: `${Math.max(1, Math.round(intervalMs / 1000))}s`,
  }
  return promql.replace(/\$([a-z]+)\b/g, (written, name: string) => values[name] ?? written)
}
