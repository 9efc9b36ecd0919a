// The alerts that a config asks for, as Prometheus' rule groups, as a rules file, and as a PrometheusRule. Pure.
import { canariesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { stringify } from '../../yaml/stringify.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import type { Placement } from '../metrics/selectors.ts'
import { observabilityObject } from '../objects.ts'
import { canaryAlerts } from './canary.ts'
import { meshAlerts } from './mesh.ts'
import type { RuleGroup } from './rule.ts'

type Watched = Pick<Config, 'namespace' | 'mtls' | 'services' | 'canary' | 'canaries'>

/**
 * `labels`: more labels for each alert. `unwatched`: warnings, one for each alert that Istio's metrics do not allow for
 * this config.
 */
export function alertsOf(
  config: Watched,
  labels: Record<string, string> = {},
): { groups: RuleGroup[]; unwatched: string[] } {
  const mesh = meshAlerts(config)
  const canaries = canariesOf(config).map((plan) => canaryAlerts(config, plan))
  const group = (name: string, rules: RuleGroup['rules']): RuleGroup[] =>
    rules.length === 0
      ? []
      : [
          {
            name: `mesh-canary-${config.namespace}-${name}`,
            rules: rules.map((rule) => ({ ...rule, labels: { ...labels, ...rule.labels } })),
          },
        ]
  return {
    groups: [
      ...group('mesh', mesh.rules),
      ...group(
        'canaries',
        canaries.flatMap(({ rules }) => rules),
      ),
    ],
    unwatched: [mesh, ...canaries].flatMap(({ unwatched }) => unwatched),
  }
}

/** For `rule_files` of Prometheus. */
export function rulesFile(groups: RuleGroup[]): string {
  return stringify({ groups })
}

/** For the Prometheus Operator. `placement`: where its Prometheus looks for rules, and by which labels. */
export function prometheusRule(name: string, groups: RuleGroup[], { namespace, labels }: Placement): KubeObject {
  return observabilityObject('PrometheusRule', { name, namespace, labels }, { spec: { groups } }, 'mesh-canary-alerts')
}
