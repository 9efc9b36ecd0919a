// A small Prometheus for previews: scrapes istiod, sidecars and gateways, and evaluates the alert rules. It may read only
// the pods of the namespaces that it scrapes. Pure.
import { systemNamespace, type KubeObject } from '../../cluster/objects.ts'
import { installed, observedNamespaces, parseServicePort } from '../../config/observability.ts'
import type { Config, ObservabilityConfig } from '../../config/schema.ts'
import { stringify } from '../../yaml/stringify.ts'
import { observabilityObject } from '../objects.ts'
import { programObjects } from '../workload.ts'
import {
  agentAddress,
  agentPath,
  istiodPort,
  istioPrefix,
  proxyJob,
  proxyPort,
  scrapeIntervalSeconds,
} from './scrape.ts'

const prometheusImage = 'docker.io/prom/prometheus:v3.16.0'

const { name, port } = installed.prometheus
const rulesFile = 'rules.yaml'

/** `rules`: the alert rules as YAML, if the config asks for alerts. */
export function installedPrometheus(config: Config, rules: string | undefined): KubeObject[] {
  const { observability } = config
  if (!observability?.metrics?.prometheus.install) return []
  const { namespace } = observability
  const scraped = observedNamespaces(config, systemNamespace)
  return [
    observabilityObject('ServiceAccount', { name, namespace }, {}),
    ...scraped.flatMap((place) => rights(namespace, place)),
    ...programObjects({
      name,
      namespace,
      image: prometheusImage,
      user: 65534,
      args: [
        '--config.file=/etc/prometheus/prometheus.yaml',
        '--storage.tsdb.path=/prometheus',
        // A run sends the weight and the evidence of its promotions there.
        '--web.enable-otlp-receiver',
        // The alert MeshCertificateExpiring compares with the whole time of a certificate, which is a day.
        '--storage.tsdb.retention.time=25h',
        '--storage.tsdb.retention.size=512MB',
      ],
      ports: [{ name: 'http-web', port }],
      config: {
        'prometheus.yaml': stringify(settings(scraped, observability, rules !== undefined)),
        ...(rules === undefined ? {} : { [rulesFile]: rules }),
      },
      configFolder: '/etc/prometheus',
      dataFolder: '/prometheus',
      readiness: { path: '/-/ready', port },
      requests: { cpu: '50m', memory: '128Mi' },
      memoryLimit: '1Gi',
      serviceAccountName: name,
    }),
  ]
}

/** To find the pods of a namespace. A name of its own, because several configs may scrape a namespace. */
function rights(home: string, place: string): KubeObject[] {
  const meta = { name: `${home}-${name}`, namespace: place }
  return [
    observabilityObject(
      'Role',
      meta,
      { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }] },
      name,
    ),
    observabilityObject(
      'RoleBinding',
      meta,
      {
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: meta.name },
        subjects: [{ kind: 'ServiceAccount', name, namespace: home }],
      },
      name,
    ),
  ]
}

function settings(namespaces: string[], { alerts }: ObservabilityConfig, hasRules: boolean): object {
  return {
    global: { scrape_interval: `${scrapeIntervalSeconds}s`, evaluation_interval: `${scrapeIntervalSeconds}s` },
    ...(hasRules ? { rule_files: [rulesFile] } : {}),
    ...(alerts?.alertmanager === undefined ? {} : { alerting: alerting(alerts.alertmanager) }),
    scrape_configs: [proxies(namespaces), istiod()],
  }
}

function alerting(alertmanager: string): object {
  const { namespace, name: service, port: number } = parseServicePort(alertmanager)
  return { alertmanagers: [{ static_configs: [{ targets: [`${service}.${namespace}.svc:${number}`] }] }] }
}

const podRelabelings = [
  { source_labels: ['__meta_kubernetes_namespace'], target_label: 'namespace' },
  { source_labels: ['__meta_kubernetes_pod_name'], target_label: 'pod' },
]

function proxies(namespaces: string[]): object {
  return {
    job_name: proxyJob,
    metrics_path: agentPath,
    kubernetes_sd_configs: [{ role: 'pod', namespaces: { names: namespaces } }],
    relabel_configs: [
      { source_labels: ['__meta_kubernetes_pod_container_port_name'], regex: proxyPort.name, action: 'keep' },
      // Nothing answers in a pod that has ended.
      { source_labels: ['__meta_kubernetes_pod_phase'], regex: 'Succeeded|Failed', action: 'drop' },
      { source_labels: ['__address__'], ...agentAddress, target_label: '__address__' },
      ...podRelabelings,
    ],
    metric_relabel_configs: [{ source_labels: ['__name__'], ...istioPrefix, target_label: '__name__' }],
  }
}

function istiod(): object {
  return {
    job_name: 'istiod',
    kubernetes_sd_configs: [{ role: 'pod', namespaces: { names: [systemNamespace] } }],
    relabel_configs: [
      { source_labels: ['__meta_kubernetes_pod_label_app'], regex: 'istiod', action: 'keep' },
      {
        source_labels: ['__meta_kubernetes_pod_container_port_number'],
        regex: String(istiodPort.number),
        action: 'keep',
      },
      ...podRelabelings,
    ],
  }
}
