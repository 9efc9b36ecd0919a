// All objects that the section `observability` asks for, besides the Telemetry, which is a policy, and the providers in
// the mesh config. Pure.
import type { KubeObject } from '../cluster/objects.ts'
import { installsAnything } from '../config/observability.ts'
import type { Config } from '../config/schema.ts'
import { injectionLabel } from '../mesh/labels.ts'
import { alertsOf, prometheusRule, rulesFile } from './alerts/index.ts'
import { dashboardConfigMaps, dashboardLabel } from './dashboards/index.ts'
import { installedJaeger } from './jaeger.ts'
import { monitors } from './metrics/monitors.ts'
import type { Operator } from './metrics/operator.ts'
import { installedPrometheus } from './metrics/prometheus.ts'
import { observabilityObject } from './objects.ts'

/** `operator`: what was found of it, if the config asks for its objects. */
export function observabilityObjects(config: Config, operator: Operator | undefined): KubeObject[] {
  const { observability } = config
  if (!observability) return []
  const { namespace, alerts, dashboards } = observability
  const { groups } = alerts?.enabled ? alertsOf(config, alerts.labels) : { groups: [] }
  const rules = groups.length > 0 ? rulesFile(groups) : undefined
  const rulePlace = operator?.placements.PrometheusRule
  const { configMaps } = dashboards ?? {}
  return [
    ...(installsAnything(observability) ? [ownNamespace(namespace)] : []),
    ...installedPrometheus(config, rules),
    ...installedJaeger(config),
    ...(operator ? monitors(config, operator) : []),
    ...(rulePlace && groups.length > 0 ? [prometheusRule(`mesh-canary-${config.namespace}`, groups, rulePlace)] : []),
    ...(configMaps?.enabled ? dashboardConfigMaps(configMaps.namespace ?? namespace) : []),
  ]
}

function ownNamespace(name: string): KubeObject {
  return observabilityObject('Namespace', { name, labels: { [injectionLabel]: 'disabled' } }, {}, 'observability')
}

/** What several configs may ask for: the first one owns it, and the others use it. */
export function isShared({ kind, metadata: { labels = {} } }: KubeObject): boolean {
  const isDashboard = kind === 'ConfigMap' && labels[dashboardLabel] !== undefined
  return isDashboard || kind === 'Namespace' || kind === 'PodMonitor' || kind === 'ServiceMonitor'
}
