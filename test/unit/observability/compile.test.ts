// The alert rules and the dashboards among the objects of the section `observability`.
import { expect, test } from 'vitest'
import type { ConfigMap, KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { isShared, observabilityObjects } from '../../../src/observability/compile.ts'
import { dashboards } from '../../../src/observability/dashboards/index.ts'
import type { Operator } from '../../../src/observability/metrics/operator.ts'
import { parse } from '../../../src/yaml/parse.ts'
import { configOf } from '../fixtures.ts'

const place = { namespace: 'monitoring', labels: { release: 'main' } }
const operator: Operator = {
  prometheus: { namespace: 'monitoring', name: 'main' },
  placements: { PodMonitor: place, ServiceMonitor: place, PrometheusRule: { ...place, labels: { role: 'alerts' } } },
}
const objects = (section: string, found?: Operator) =>
  observabilityObjects(configOf(`namespace: shop\nobservability: ${section}`), found)
const named = (all: KubeObject[], kind: string, name: string) =>
  all.find((object) => object.kind === kind && object.metadata.name === name)

test('an installed Prometheus evaluates the alerts, with the labels that route them', () => {
  const all = objects('{ metrics: { prometheus: install }, alerts: { labels: { team: payments } } }')
  const { data = {} } = named(all, 'ConfigMap', 'prometheus') as ConfigMap
  expect(parse(data['prometheus.yaml']!).value).toMatchObject({ rule_files: ['rules.yaml'] })
  const { groups } = parse(data['rules.yaml']!).value as { groups: { rules: { labels: object }[] }[] }
  for (const { labels } of groups.flatMap(({ rules }) => rules)) expect(labels).toMatchObject({ team: 'payments' })
})

test('an installed Prometheus keeps what the alert about certificates compares with: a whole day', () => {
  const all = objects('{ metrics: { prometheus: install }, alerts: true }')
  const { spec } = named(all, 'Deployment', 'prometheus') as Workload
  const args = spec.template.spec.containers.flatMap((each) => each.args ?? [])
  const kept = Number(/retention\.time=(\d+)h/.exec(args.join(' '))?.[1])
  const { data = {} } = named(all, 'ConfigMap', 'prometheus') as ConfigMap
  const ranges = [...data['rules.yaml']!.matchAll(/\[(\d+)([dhm])\]/g)].map(
    ([, count, unit]) => Number(count) * { d: 24, h: 1, m: 1 / 60 }[unit as 'd' | 'h' | 'm'],
  )
  expect(Math.max(...ranges)).toBe(24)
  expect(kept).toBeGreaterThan(24)
})

test('without alerts it has no rules', () => {
  const { data = {} } = named(objects('{ metrics: { prometheus: install } }'), 'ConfigMap', 'prometheus') as ConfigMap
  expect(Object.keys(data)).toEqual(['prometheus.yaml'])
})

test('the operator gets the alerts where its Prometheus looks for rules', () => {
  const all = objects('{ metrics: { prometheus: operator }, alerts: true }', operator)
  expect(named(all, 'PrometheusRule', 'mesh-canary-shop')?.metadata).toMatchObject({
    namespace: 'monitoring',
    labels: { role: 'alerts' },
  })
  expect(named(objects('{ metrics: { prometheus: operator } }', operator), 'PrometheusRule', 'mesh-canary-shop')).toBe(
    undefined,
  )
})

test('ConfigMaps with the dashboards have the label of Grafana’s sidecar, and several configs share them', () => {
  const all = objects('{ dashboards: { configMaps: { namespace: monitoring } } }') as ConfigMap[]
  expect(all.map(({ metadata: { name, namespace } }) => `${namespace}/${name}`)).toEqual([
    'monitoring/mesh-canary-dashboard-services',
    'monitoring/mesh-canary-dashboard-canary',
  ])
  for (const [i, { metadata, data = {} }] of all.entries()) {
    expect(metadata.labels).toMatchObject({ grafana_dashboard: '1' })
    expect(Object.values(data).map((text) => JSON.parse(text) as unknown)).toEqual([dashboards[i]!.content])
    expect(isShared(all[i]!)).toBe(true)
  }
})
