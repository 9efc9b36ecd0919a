import { describe, expect, test } from 'vitest'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { stringify } from '../../../../src/yaml/stringify.ts'
import { configOf, fileWith } from '../../fixtures.ts'
import { policy, subsets, type Policy } from '../recording-cluster.ts'

/** The objects of the kind that the config and the manifests give together. */
function written(kind: string, yaml: string, ...manifests: Policy[]): Policy[] {
  const file = fileWith(manifests.map((each) => stringify(each)).join('---\n'), 'policies.yaml')
  const { objects } = desired(configOf(`namespace: shop\npolicies: ${JSON.stringify(file)}\n${yaml}`))
  return (objects as Policy[]).filter((each) => each.kind === kind)
}
const exportOf = (kind: string, yaml: string, ...manifests: Policy[]) =>
  written(kind, yaml, ...manifests).map(({ spec }) => spec['exportTo'])

const canary = 'canary: { service: backend }'
const rule = (more: object = {}) => policy('DestinationRule', 'backend', { host: 'backend', ...more })
const route = (more: object = {}) =>
  policy('VirtualService', 'backend', {
    hosts: ['backend'],
    http: [{ route: [{ destination: { host: 'backend' } }] }],
    ...more,
  })
const own = { exportTo: ['.'] }

describe('routes and rules for one host', () => {
  test.each<[string, () => unknown[], unknown[]]>([
    ["take the user's exportTo of the rule", () => exportOf('VirtualService', canary, rule(own)), [['.']]],
    ["take the user's exportTo of the route", () => exportOf('DestinationRule', canary, route(own)), [['.']]],
    [
      'take it also if another object of the user has none',
      () => exportOf('VirtualService', canary, rule({ exportTo: ['.', 'web'] }), route()),
      [['.', 'web']],
    ],
    [
      "leave a user's rule for all callers as it is",
      () => exportOf('DestinationRule', canary, rule(), route(own)),
      [undefined],
    ],
    ['have none if nobody states it', () => exportOf('VirtualService', canary, rule()), [undefined]],
    [
      'do not take it from another host',
      () => exportOf('VirtualService', canary, policy('DestinationRule', 'web', { host: 'web', ...own })),
      [undefined],
    ],
    [
      'do not take it from a rule for some callers only',
      () =>
        exportOf(
          'VirtualService',
          canary,
          policy('DestinationRule', 'web', {
            host: 'backend',
            ...own,
            workloadSelector: { matchLabels: { app: 'web' } },
          }),
        ),
      [undefined],
    ],
  ])('%s', (_, found, expected) => {
    expect(found()).toEqual(expected)
  })

  test('are an error when more callers see the route than the subsets that it names', () => {
    expect(() => written('VirtualService', canary, rule(own), route({ exportTo: ['*'] }))).toThrow(
      'policies: the VirtualService shop/backend is visible to all namespaces and names the subset v1, but the DestinationRule shop/backend, which defines it, only to shop: all other callers would get a 503; give both the same `exportTo`',
    )
  })

  test("take the exportTo of a user's rule in the cluster", () => {
    const live = { virtualServices: [], destinationRules: [rule(own) as never] }
    const objects = desired(configOf(`namespace: shop\n${canary}`), live).objects as (KubeObject & Policy)[]
    expect(objects.map(({ spec }) => spec['exportTo'])).toEqual([['.'], ['.']])
  })
})

test('a namespace of clients that does not see the split is an error', () => {
  const clients = (...names: string[]) => `canary: { service: backend, clients: [${names.join(', ')}] }`
  expect(() => written('VirtualService', clients('web', 'batch'), rule({ exportTo: ['.', 'web'] }))).toThrow(
    'canary.clients: the pods of batch do not see the VirtualService shop/backend, which is visible to shop, web only',
  )
  expect(exportOf('VirtualService', clients('web'), rule({ exportTo: ['.', 'web'] }))).toEqual([['.', 'web']])
  expect(exportOf('VirtualService', clients('web'), rule())).toEqual([undefined])
})

test('subsets of a manifest keep their labels, and the canary needs no others', () => {
  const labels = { app: 'backend', slot: 'blue' }
  const stated = rule({
    subsets: [
      { name: 'v1', labels },
      { name: 'v2', labels: { slot: 'green' } },
    ],
  })
  expect(written('DestinationRule', canary, stated).map(({ spec }) => spec['subsets'])).toEqual([
    [
      { name: 'v1', labels },
      { name: 'v2', labels: { slot: 'green' } },
    ],
  ])
  expect(written('DestinationRule', canary, rule()).map(({ spec }) => spec['subsets'])).toEqual([subsets('v1', 'v2')])
})
