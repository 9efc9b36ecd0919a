// The Prometheus Operator of the cluster: whether its CRDs fit, which Prometheus is meant, and where it looks for monitors
// and rules. Only reads.
import { isNotFound } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import { apiVersionOf, systemNamespace, titleOf, type KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import { listNames } from '../../runtime/errors.ts'
import { labelsFor, placeFor, type LabelSelector, type LabelledNamespace, type Placement } from './selectors.ts'

type PrometheusObject = KubeObject & {
  spec?: {
    podMonitorSelector?: LabelSelector
    podMonitorNamespaceSelector?: LabelSelector
    serviceMonitorSelector?: LabelSelector
    serviceMonitorNamespaceSelector?: LabelSelector
    ruleSelector?: LabelSelector
    ruleNamespaceSelector?: LabelSelector
  }
}
type CustomResource = KubeObject & { spec?: { versions?: { name: string; served?: boolean }[] } }

type Kind = 'PodMonitor' | 'ServiceMonitor' | 'PrometheusRule'
/** The Prometheus that takes the objects, and where each kind goes. Rules have no place if the config asks for no alerts. */
export type Operator = {
  prometheus: { namespace: string; name: string }
  placements: Record<Exclude<Kind, 'PrometheusRule'>, Placement> & { PrometheusRule?: Placement }
}

const selectorKeys = {
  PodMonitor: ['podMonitorSelector', 'podMonitorNamespaceSelector'],
  ServiceMonitor: ['serviceMonitorSelector', 'serviceMonitorNamespaceSelector'],
  PrometheusRule: ['ruleSelector', 'ruleNamespaceSelector'],
} as const

const plurals = {
  PodMonitor: 'podmonitors',
  ServiceMonitor: 'servicemonitors',
  PrometheusRule: 'prometheusrules',
  Prometheus: 'prometheuses',
} as const

const key = 'observability.metrics.prometheus'

/** `faults`: why the operator's objects cannot be placed, as sentences. */
export type FoundOperator = { operator: Operator; faults?: never } | { operator?: never; faults: string[] }

/** `own`: the labels that each object has already. */
export async function findOperator(
  cluster: Cluster,
  config: Config,
  own: Readonly<Record<string, string>>,
): Promise<FoundOperator> {
  const kinds = kindsFor(config)
  const lacking = await crdFaults(cluster, kinds)
  if (lacking.length > 0) return { faults: lacking }
  const chosen = await choosePrometheus(cluster, config)
  if (typeof chosen === 'string') return { faults: [chosen] }
  const { namespace = '', name } = chosen.metadata
  const candidates = await candidateNamespaces(cluster, config, namespace)
  const places = kinds.map((kind) => placementOf(chosen, kind, candidates, own))
  const faults = places.filter((place) => typeof place === 'string')
  if (faults.length > 0) return { faults }
  const placements = Object.fromEntries(kinds.map((kind, i) => [kind, places[i]])) as Operator['placements']
  return { operator: { prometheus: { namespace, name }, placements } }
}

function kindsFor({ observability }: Config): Kind[] {
  return ['PodMonitor', 'ServiceMonitor', ...(observability?.alerts?.enabled ? ['PrometheusRule' as const] : [])]
}

async function crdFaults(cluster: Cluster, kinds: readonly Kind[]): Promise<string[]> {
  const names = [...kinds, 'Prometheus' as const].map((kind) => `${plurals[kind]}.monitoring.coreos.com`)
  const found = await Promise.all(
    names.map((name) => cluster.get<CustomResource>('CustomResourceDefinition', undefined, name)),
  )
  const missing = names.filter((_, i) => found[i] === undefined)
  if (missing.length > 0)
    return [
      `${key}: the cluster lacks the CRDs of the Prometheus Operator (${listNames(missing)}); install the operator ` +
        'first, or write `install`, or the `address` of a Prometheus',
    ]
  const version = apiVersionOf('PodMonitor').split('/')[1]!
  const old = found.filter((crd) => !crd?.spec?.versions?.some(({ name, served }) => name === version && served))
  if (old.length === 0) return []
  return [
    `${key}: the CRDs of the Prometheus Operator are too old: ${listNames(old.map((crd) => crd!.metadata.name))} ` +
      `do not serve the version ${version}; update the operator and its CRDs`,
  ]
}

export async function choosePrometheus(
  cluster: Cluster,
  { observability }: Config,
): Promise<PrometheusObject | string> {
  const { operator } = observability!.metrics!.prometheus
  const all = await cluster.list<PrometheusObject>('Prometheus').catch((error: unknown): PrometheusObject[] => {
    if (isNotFound(error)) return []
    throw error
  })
  const nameOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`
  const names = listNames(all.map(nameOf))
  if (typeof operator === 'string') {
    const named = all.find((each) => nameOf(each) === operator)
    return named ?? `${key}.operator: the Prometheus ${operator} does not exist; the cluster has ${names || 'none'}`
  }
  if (all.length === 1) return all[0]!
  if (all.length === 0)
    return `${key}: the cluster has the Prometheus Operator, but no Prometheus object; create one, or write \`install\``
  return `${key}: the cluster has several Prometheus objects (${names}); write one of them as \`{ operator: namespace/name }\``
}

/** In order of preference. That of Prometheus comes first, because several configs share the monitors. */
async function candidateNamespaces(cluster: Cluster, config: Config, home: string): Promise<LabelledNamespace[]> {
  const names = [...new Set([home, config.namespace, config.observability!.namespace, systemNamespace])]
  const found = await Promise.all(names.map((name) => cluster.get<KubeObject>('Namespace', undefined, name)))
  return found.flatMap((object) =>
    object ? [{ name: object.metadata.name, labels: object.metadata.labels ?? {} }] : [],
  )
}

function placementOf(
  prometheus: PrometheusObject,
  kind: Kind,
  candidates: readonly LabelledNamespace[],
  own: Readonly<Record<string, string>>,
): Placement | string {
  const [selectorKey, namespaceKey] = selectorKeys[kind]
  const { [selectorKey]: selector, [namespaceKey]: namespaceSelector } = prometheus.spec ?? {}
  const title = titleOf({ ...prometheus, kind: 'Prometheus' })
  if (selector === undefined)
    return (
      `${key}: the ${title} has no ${selectorKey}, so it takes no ${kind} at all; set it there (\`{}\` takes all of ` +
      'them), or name another Prometheus'
    )
  const namespace = placeFor(namespaceSelector, prometheus.metadata.namespace ?? '', candidates)
  if (namespace === undefined)
    return (
      `${key}: the ${namespaceKey} of the ${title} selects none of ${candidates.map(({ name }) => name).join(', ')}; ` +
      'label one of them for it, or change the selector'
    )
  const labels = labelsFor(selector, own)
  if (labels !== undefined) return { namespace, labels }
  return (
    `${key}: no labels make the ${selectorKey} of the ${title} select a ${kind} of this run: ` +
    `${JSON.stringify(selector)}; change that selector, or name another Prometheus`
  )
}
