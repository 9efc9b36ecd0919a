import { expect, test } from 'vitest'
import type { DestinationRule, KubeObject } from '../../../../src/cluster/objects.ts'
import { withoutRepeatedRules } from '../../../../src/policies/merge/redundant-rules.ts'

const rule = (name: string, spec: DestinationRule['spec']): DestinationRule => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name, namespace: 'shop' },
  spec,
})
const v1 = { name: 'v1', labels: { version: 'v1' } }
const v2 = { name: 'v2', labels: { version: 'v2' } }
const compiled = rule('cart', { host: 'cart.shop.svc.cluster.local', subsets: [v1, v2] })
const kept = (object: KubeObject, ...users: DestinationRule[]) => withoutRepeatedRules([object], users).length === 1

test('a rule of the user that has the subsets is enough, under any name and with a policy and more subsets', () => {
  const chart = rule('cart-chart', { host: 'cart', subsets: [v2, v1, { name: 'v0' }], trafficPolicy: { tls: {} } })
  expect(kept(compiled, chart)).toBe(false)
})

test.each<[string, DestinationRule]>([
  ['lacks a subset', rule('cart', { host: 'cart', subsets: [v1] })],
  ['has no subsets', rule('cart', { host: 'cart' })],
  ['has other labels', rule('cart', { host: 'cart', subsets: [v1, { name: 'v2', labels: { version: 'v3' } }] })],
  ['is for another host', rule('cart', { host: 'card', subsets: [v1, v2] })],
  [
    'is for some callers only',
    rule('cart', { host: 'cart', subsets: [v1, v2], workloadSelector: { matchLabels: { app: 'web' } } }),
  ],
])('a rule of the user is not enough when it %s', (_, user) => {
  expect(kept(compiled, user)).toBe(true)
})

test('policies of the config need a rule, whatever the user has', () => {
  const policy = rule('cart', { ...compiled.spec, trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } })
  expect(kept(policy, rule('chart', { host: 'cart', subsets: [v1, v2] }))).toBe(true)
})
