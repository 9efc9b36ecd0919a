import { describe, expect, test } from 'vitest'
import { alertsOf, prometheusRule, rulesFile } from '../../../src/observability/alerts/index.ts'
import { parse } from '../../../src/yaml/parse.ts'
import { syntaxFaults } from '../../promql.ts'
import { configOf } from '../fixtures.ts'

const shop = `
namespace: shop
mtls: strict
services: { backend: { port: 3001 } }
`
const withCanary = (more = '') => `${shop}canary: { service: backend, ${more} }`
const rulesOf = (yaml: string) => alertsOf(configOf(yaml)).groups.flatMap(({ rules }) => rules)
const rule = (yaml: string, alert: string) => rulesOf(yaml).find((each) => each.alert === alert)

test('a config gets the alerts of its mesh, and those of its canary', () => {
  expect(rulesOf(withCanary()).map(({ alert }) => alert)).toEqual([
    'MeshSidecarDown',
    'MeshSidecarMissing',
    'IstiodPushErrors',
    'MeshCertificateExpiring',
    'MeshAuthorityExpiring',
    'MeshPlaintextUnderStrict',
    'MeshCanaryFailing',
    'MeshCanaryUnserved',
    'MeshCanaryStuck',
  ])
})

test('every alert has an expression that Prometheus can read, and says what happened and what to do', () => {
  for (const { alert, expr, annotations, labels, ...each } of rulesOf(withCanary())) {
    expect(syntaxFaults(expr), expr).toEqual([])
    expect(each.for, alert).toMatch(/^\d+[smh]$/)
    expect(labels.severity, alert).toMatch(/^(critical|warning)$/)
    expect(Object.keys(annotations), alert).toEqual(['summary', 'description', 'action'])
    for (const text of Object.values(annotations)) expect(text, alert).not.toBe('')
  }
})

test('two configs for one cluster have groups of different names', () => {
  const names = (namespace: string) => alertsOf(configOf(`namespace: ${namespace}`)).groups.map(({ name }) => name)
  expect(names('shop')).toEqual(['mesh-canary-shop-mesh'])
  expect(names('office')).toEqual(['mesh-canary-office-mesh'])
})

test('every alert gets the labels that route it', () => {
  const { groups } = alertsOf(configOf(shop), { team: 'payments' })
  for (const { alert, labels } of groups.flatMap(({ rules }) => rules))
    expect(labels, alert).toMatchObject({ team: 'payments' })
})

describe('the alert for plaintext', () => {
  const expr = (yaml: string) => rule(yaml, 'MeshPlaintextUnderStrict')?.expr
  const unwatched = (yaml: string) => alertsOf(configOf(yaml)).unwatched

  test('is only for namespaces that must be strict', () => {
    expect(expr('namespace: shop\nmtls: permissive')).toBeUndefined()
    expect(expr('namespace: shop')).toBeUndefined()
    expect(expr('namespace: shop\nmtls: strict')).toContain('destination_service_namespace="shop"')
  })

  test('leaves out pods that may get plaintext', () => {
    const yaml =
      'namespace: shop\nmtls: { mode: strict, workloads: { db: { selector: { app: my.sql }, ports: { 3306: disable } } } }'
    expect(expr(yaml)).toContain('destination_app!~"my[.]sql"')
  })

  test('does not leave out pods whose exception is strict too', () => {
    const yaml =
      'namespace: shop\nmtls: { mode: strict, workloads: { db: { selector: { app: mysql }, mode: strict } } }'
    expect(expr(yaml)).not.toContain('mysql')
  })

  test('is not written if the metrics cannot tell those pods apart, and that is said', () => {
    const yaml =
      'namespace: shop\nmtls: { mode: strict, workloads: { db: { selector: { tier: data }, mode: permissive } } }'
    expect(expr(yaml)).toBeUndefined()
    expect(unwatched(yaml)).toEqual([
      expect.stringContaining('the exception db of `mtls` selects pods by other labels'),
    ])
  })
})

describe('the alert for a failing canary', () => {
  const expr = (yaml: string) => rule(yaml, 'MeshCanaryFailing')?.expr

  test('has the limit at which a canary must not be promoted', () => {
    expect(expr(withCanary('checks: { successRate: 99.5%, tolerance: 3 }'))).toContain('> 0.015 ')
  })

  test('needs as many requests as a step', () => {
    expect(expr(withCanary('checks: { minRequests: 40 }'))).toContain('>= 40 ')
    // Without any request there is no rate.
    expect(expr(withCanary('checks: { minRequests: 0 }'))).toContain('>= 1 ')
  })

  test.each([
    ['', 'destination_version="v2"'],
    ['canary: next', 'destination_version="next"'],
    ['image: registry.example/backend:2', 'destination_workload="backend-canary"'],
    [
      'stable: { service: backend }, canary: { service: backend-next }',
      'reporter="source",destination_service=~"(backend-next)[.]shop[.].+"',
    ],
  ])('with { %s } is about the requests with %s', (more, matcher) => {
    expect(expr(withCanary(more))).toContain(matcher)
  })

  test('is about the label version of a subset', () => {
    const yaml = `namespace: shop
services: { backend: { port: 80, subsets: { old: { version: "1.9" }, new: { version: "1.10" } } } }
canary: { service: backend, stable: old, canary: new }`
    expect(expr(yaml)).toContain('destination_version="1.10"')
  })

  test('is not written for subsets that the metrics cannot tell apart, and that is said', () => {
    const yaml = `namespace: shop
services: { backend: { port: 80, subsets: { old: { track: a }, new: { track: b } } } }
canary: { service: backend, stable: old, canary: new }`
    expect(expr(yaml)).toBeUndefined()
    expect(alertsOf(configOf(yaml)).unwatched).toEqual([expect.stringContaining('the canary of backend')])
  })
})

describe('the alert for calls that reach no pod', () => {
  const expr = (more: string) => rule(withCanary(more), 'MeshCanaryUnserved')?.expr

  test.each([
    ['', 'destination_service=~"(backend)[.]shop[.].+"'],
    ['stable: { service: backend }, canary: { service: backend-next }', '"(backend-next)[.]shop[.].+"'],
    ['image: registry.example/backend:2', '"(backend)[.]shop[.].+"'],
  ])('with { %s } is about the calls of %s', (more, matcher) => {
    expect(expr(more)).toContain(matcher)
  })

  test('is there for subsets that the metrics cannot tell apart', () => {
    const yaml = `namespace: shop
services: { backend: { port: 80, subsets: { old: { track: a }, new: { track: b } } } }
canary: { service: backend, stable: old, canary: new }`
    expect(rule(yaml, 'MeshCanaryUnserved')?.expr).toContain('(backend)')
  })
})

describe('the alert for a stuck canary', () => {
  const stuck = (more: string) => rule(withCanary(more), 'MeshCanaryStuck')

  test('waits longer than a promotion with these limits can take', () => {
    // Two steps of 1 minute, a deadline of 2 minutes for the start, each step and the end, and 10 minutes to see requests.
    expect(stuck('steps: [50, 100], interval: 1m, progressDeadline: 2m')?.for).toBe('20m')
    expect(stuck('steps: [50, 100], interval: 1m, progressDeadline: 2m, mirror: { percent: 10% }')?.for).toBe('23m')
    expect(
      stuck(
        'steps: [50, 100], interval: 1m, progressDeadline: 2m, confirmTimeout: 1h, webhooks: { ask: { type: confirm-promotion, url: "http://ask.example" } }',
      )?.for,
    ).toBe('80m')
  })

  test('is not for a promotion that stops at a weight on purpose', () => {
    expect(stuck('until: 50')).toBeUndefined()
    expect(stuck('steps: [5, 50]')).toBeUndefined()
  })
})

test('the rules file and the PrometheusRule contain the same groups', () => {
  const { groups } = alertsOf(configOf(withCanary()))
  expect(parse(rulesFile(groups)).value).toEqual({ groups })
  expect(prometheusRule('mesh-canary-shop', groups, { namespace: 'shop', labels: { role: 'alerts' } })).toMatchObject({
    kind: 'PrometheusRule',
    metadata: { labels: { role: 'alerts' } },
    spec: { groups },
  })
})
