// Why Prometheus lacks the series of a pod: its targets, the rules that relabel them, and the monitors of the operator.
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { titleOf, type KubeObject, type Pod } from '../../cluster/objects.ts'
import type { PrometheusServer } from '../../config/observability.ts'
import { prometheusClient } from '../../observability/metrics/prometheus-client.ts'
import { agentPath, agentPort, proxyPort } from '../../observability/metrics/scrape.ts'
import { selects, type LabelSelector } from '../../observability/metrics/selectors.ts'
import { listNames } from '../../runtime/errors.ts'
import { istioMetricNames } from '../proxy-counters.ts'
import { parseJson, queryOf } from './query.ts'
import type { ProofDeps } from './types.ts'

type Labels = Record<string, string>
type Target = {
  discoveredLabels: Labels
  labels: Labels
  scrapePool: string
  scrapeUrl: string
  health: 'up' | 'down' | 'unknown'
  lastError: string
}
export type Targets = { activeTargets: Target[]; droppedTargets: Pick<Target, 'discoveredLabels' | 'scrapePool'>[] }

/** One sentence. `series`: what is missing, as the sidecar writes it. */
export async function metricsCause(
  deps: ProofDeps,
  server: PrometheusServer,
  pod: Pod,
  series: string,
): Promise<string> {
  const { address, service = '', token } = server
  const query = queryOf(deps.cluster, 'Prometheus', address === undefined ? { service } : { address }, token)
  const { data } = parseJson(await query('/api/v1/targets?state=any'), 'a Prometheus server') as { data: Targets }
  const prometheus = prometheusClient(deps.cluster, server)
  const target = sidecarTarget(data, pod)
  // The jobs of the operator's other monitors discover the pod too, and drop it as they should.
  const isMonitored = deps.config.observability!.metrics!.prometheus.operator !== undefined
  const cause = (!target && isMonitored ? await monitorCause(deps) : undefined) ?? targetCause(data, pod)
  if (cause !== undefined) return cause
  if (!target) return (await monitorCause(deps)) ?? undiscovered(data, pod)
  const [kept, scraped, prefixed] = await Promise.all(
    [
      `scrape_samples_post_metric_relabeling{instance="${target.labels['instance']}"}`,
      `scrape_samples_scraped{instance="${target.labels['instance']}"}`,
      `{__name__="envoy_${istioMetricNames.requests}",instance="${target.labels['instance']}"}`,
    ].map(async (promql) => (await prometheus(promql))[0]?.value),
  )
  return seriesCause(target, { kept, scraped, prefixed, series })
}

function isOf({ metadata: { name, namespace }, status }: Pod, labels: Labels, url = ''): boolean {
  if (labels['__meta_kubernetes_pod_name'] !== undefined)
    return labels['__meta_kubernetes_pod_name'] === name && labels['__meta_kubernetes_namespace'] === namespace
  return status?.podIP !== undefined && `${labels['__address__'] ?? ''} ${url}`.includes(`${status.podIP}:`)
}

/** One that is down explains more than one that is up. The application's own targets do not count. */
function sidecarTarget({ activeTargets }: Targets, pod: Pod): Target | undefined {
  const own = activeTargets.filter(
    (target) => isOfSidecar(target) && isOf(pod, target.discoveredLabels, target.scrapeUrl),
  )
  return own.find(({ health }) => health === 'down') ?? own[0]
}

/** By the port or the path that Istio's metrics have. */
function isOfSidecar({ scrapeUrl }: Target): boolean {
  return new RegExp(`:(${proxyPort.number}|${agentPort})/|${agentPath}$`).test(scrapeUrl)
}

/** A job that scrapes other things drops sidecars as it should; one without any target may be the one for sidecars. */
function mayScrapeSidecars({ activeTargets }: Targets, job: string): boolean {
  const targets = activeTargets.filter(({ scrapePool }) => scrapePool === job)
  return targets.length === 0 || targets.some(isOfSidecar)
}

/** Undefined if the pod is scraped, or nothing of it is known. */
export function targetCause(targets: Targets, pod: Pod): string | undefined {
  const name = `${pod.metadata.namespace}/${pod.metadata.name}`
  const active = sidecarTarget(targets, pod)
  if (active?.health === 'down')
    return (
      `Prometheus cannot scrape ${name}: its target ${active.scrapeUrl} (job ${active.scrapePool}) is down: ` +
      `${active.lastError}; correct the port and path of the job, or what keeps Prometheus from the pod`
    )
  if (active?.health === 'unknown')
    return `Prometheus has not scraped its target ${active.scrapeUrl} (job ${active.scrapePool}) yet; raise \`proof.timeout\``
  const dropped = targets.droppedTargets.filter(
    ({ discoveredLabels, scrapePool }) => isOf(pod, discoveredLabels) && mayScrapeSidecars(targets, scrapePool),
  )
  if (active || dropped.length === 0) return undefined
  const jobs = [...new Set(dropped.map(({ scrapePool }) => scrapePool))]
  return (
    `Prometheus has discovered ${name}, but the relabelling rules of the job ${listNames(jobs)} drop it; correct its ` +
    '`relabel_configs` (`keep` and `drop`), so that they keep the pod'
  )
}

/** For a target that is up. Each number is undefined if Prometheus does not have it. */
export function seriesCause(
  { scrapePool, scrapeUrl }: Pick<Target, 'scrapePool' | 'scrapeUrl'>,
  {
    kept,
    scraped,
    prefixed,
    series,
  }: { kept?: number | undefined; scraped?: number | undefined; prefixed?: number | undefined; series: string },
): string {
  const name = istioMetricNames.requests
  const target = `the target ${scrapeUrl} (job ${scrapePool}) is up`
  if (prefixed !== undefined)
    return (
      `${target}, but its series are called envoy_${name}: its Envoy lacks Istio's extensions; rename them to ${name} by ` +
      '`metric_relabel_configs` of the job'
    )
  if (kept !== undefined && scraped !== undefined && kept < scraped)
    return (
      `${target}, but the \`metric_relabel_configs\` of the job keep ${kept} of its ${scraped} samples, and drop ${name}; ` +
      'keep the series whose names begin with istio_'
    )
  return `${target}, but Prometheus lacks ${series} with the request; check the job's path, and what rewrites its labels`
}

function undiscovered({ activeTargets, droppedTargets }: Targets, { metadata }: Pod): string {
  const jobs = [...new Set([...activeTargets, ...droppedTargets].map(({ scrapePool }) => scrapePool))]
  return (
    `no job of Prometheus scrapes the sidecar of the pod ${metadata.namespace}/${metadata.name} (jobs with targets: ` +
    `${listNames(jobs) || 'none'}); add a job for its namespace, and check that the account of Prometheus may list pods there`
  )
}

type Monitor = KubeObject & { spec?: { namespaceSelector?: { any?: boolean; matchNames?: string[] } } }
type PrometheusObject = KubeObject & { spec?: { podMonitorSelector?: LabelSelector } }

async function monitorCause({ cluster, config }: ProofDeps): Promise<string | undefined> {
  const [monitors, servers] = await Promise.all([
    cluster.list<Monitor>('PodMonitor').catch(emptyWhenUnread),
    cluster.list<PrometheusObject>('Prometheus').catch(emptyWhenUnread),
  ])
  const { operator } = config.observability!.metrics!.prometheus
  const named = servers.filter(
    ({ metadata }) => typeof operator !== 'string' || operator === `${metadata.namespace}/${metadata.name}`,
  )
  return unselectedCause(monitors, named, config.namespace) ?? missingMonitor(monitors, config.namespace, operator)
}

/** Undefined if a Prometheus of the operator selects one of the namespace's monitors, or there are none of either. */
export function unselectedCause(
  monitors: readonly Monitor[],
  servers: readonly PrometheusObject[],
  namespace: string,
): string | undefined {
  const own = monitors.filter((each) => covers(each, namespace))
  const isSelected = ({ metadata }: Monitor) =>
    servers.some(({ spec }) => spec?.podMonitorSelector && selects(spec.podMonitorSelector, metadata.labels ?? {}))
  const [first] = own
  const [server] = servers
  if (!first || !server || own.some(isSelected)) return undefined
  return (
    `the labels of the ${titleOf({ ...first, kind: 'PodMonitor' })} (${JSON.stringify(first.metadata.labels ?? {})}) do not ` +
    `match the podMonitorSelector of the ${titleOf({ ...server, kind: 'Prometheus' })} ` +
    `(${JSON.stringify(server.spec?.podMonitorSelector ?? null)}), so it does not scrape the pods; ` +
    'correct the labels (the stage observe sets its own), or the selector'
  )
}

function covers({ metadata, spec }: Monitor, namespace: string): boolean {
  const { any, matchNames = [metadata.namespace ?? ''] } = spec?.namespaceSelector ?? {}
  return any === true || matchNames.includes(namespace)
}

function missingMonitor(
  monitors: readonly Monitor[],
  namespace: string,
  operator: string | true | undefined,
): string | undefined {
  if (operator === undefined || monitors.some((each) => covers(each, namespace))) return undefined
  return `no PodMonitor covers the namespace ${namespace}; run the stage observe, which writes one`
}
