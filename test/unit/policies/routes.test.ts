import { describe, expect, test } from 'vitest'
import type { PatchOperation } from '../../../src/cluster/client.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import { abRouteName } from '../../../src/config/names.ts'
import {
  fullHost,
  splitsIn,
  routesTo,
  canaryWeightOf,
  weightPatch,
  weightsOf,
  type Routed,
  type Split,
} from '../../../src/policies/routes.ts'
import { to, virtualService } from '../fixtures.ts'

const split = virtualService([{ route: [to('v1', 95), to('v2', 5)] }])
const between = (stable: string, canary: string, by: 'subset' | 'service' = 'subset'): Split => ({
  namespace: 'shop',
  service: 'backend',
  stable: { by, name: stable },
  canary: { by, name: canary },
})
const move = (object: Routed, weight: number, more: Partial<Split> = {}) =>
  weightPatch(object, { ...between('v1', 'v2'), ...more }, weight)
const weight = (path: string, value: number): PatchOperation => ({ op: 'add', path: `/spec/${path}/weight`, value })

test.each([
  ['backend', 'backend.shop.svc.cluster.local'],
  ['backend.other', 'backend.other.svc.cluster.local'],
  ['backend.other.svc', 'backend.other.svc.cluster.local'],
  ['backend.other.svc.cluster.local', 'backend.other.svc.cluster.local'],
  ['api.example.com', 'api.example.com'],
])('the host %s in the namespace shop has the full name %s', (host, full) => {
  expect(fullHost(host, 'shop')).toBe(full)
})

describe('a VirtualService', () => {
  test.each<[string, VirtualService, boolean]>([
    ['routes to the service under its short host', split, true],
    [
      'routes to the service under its full host among others',
      { ...split, spec: { hosts: ['a.example.com', 'backend.shop.svc.cluster.local'] } },
      true,
    ],
    [
      'does not route to the service in another namespace, where the short host is another service',
      { ...split, metadata: { name: 'backend', namespace: 'other' } },
      false,
    ],
    ['does not route to the service without hosts, like a delegate', { ...split, spec: { http: [] } }, false],
    ['does not route to the service under another host', { ...split, spec: { hosts: ['frontend'] } }, false],
  ])('%s', (_, object, expected) => {
    expect(routesTo(object, 'backend', 'shop')).toBe(expected)
  })
})

describe('the weights in force', () => {
  test.each<[string, VirtualService, Record<string, number> | undefined]>([
    ['are the two weights of a split', split, { v1: 95, v2: 5 }],
    [
      'are 100 for a single destination, with or without a written weight',
      virtualService([{ route: [to('v1')] }]),
      { v1: 100 },
    ],
    [
      'are 0 where a weight is missing beside others',
      virtualService([{ route: [to('v1', 100), to('v2')] }]),
      { v1: 100, v2: 0 },
    ],
    [
      'include those under the full host',
      virtualService([{ route: [to('v1', 60, 'backend.shop.svc.cluster.local'), to('v2', 40, 'backend.shop')] }]),
      { v1: 60, v2: 40 },
    ],
    [
      'ignore a preceding route to another service',
      virtualService([{ route: [to('v9', 100, 'frontend')] }, { route: [to('v1', 70), to('v2', 30)] }]),
      { v1: 70, v2: 30 },
    ],
    ['are undefined without a subset', virtualService([{ route: [{ destination: { host: 'backend' } }] }]), undefined],
    ['are undefined for a redirect', virtualService([{ redirect: { uri: '/' } }]), undefined],
    ['are undefined without http routes', { ...split, spec: { hosts: ['backend'] } }, undefined],
  ])('%s', (_, object, weights) => {
    expect(weightsOf(object, 'backend', 'shop')).toEqual(weights)
  })
})

describe('the weights in force of two subsets', () => {
  const inForce = (object: VirtualService) => weightsOf(object, 'backend', 'shop', ['v1', 'v2'])
  const forOneHeader = { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2', 100)] }

  test('ignore a route with a match that names only one of them', () => {
    const object = virtualService([forOneHeader, { route: [to('v1', 95), to('v2', 5)] }])
    expect(inForce(object)).toEqual({ v1: 95, v2: 5 })
    expect(weightsOf(object, 'backend', 'shop')).toEqual({ v1: 95, v2: 5 })
  })

  test('ignore the route of an A/B stage, even when the route that splits has a match', () => {
    const object = virtualService([
      { name: abRouteName, ...forOneHeader },
      { match: [{ uri: {} }], route: [to('v1', 95), to('v2', 5)] },
    ])
    expect(weightsOf(object, 'backend', 'shop')).toEqual({ v1: 95, v2: 5 })
  })

  test('are those of a route with a match when no other route exists', () => {
    expect(weightsOf(virtualService([forOneHeader]), 'backend', 'shop')).toEqual({ v2: 100 })
  })

  test('are undefined when no route names both', () => {
    expect(inForce(virtualService([forOneHeader, { route: [to('v1')] }]))).toBeUndefined()
  })
})

describe('a patch of the weight', () => {
  test('writes the two weights and nothing else', () => {
    expect(move(split, 25)).toEqual([weight('http/0/route/0', 75), weight('http/0/route/1', 25)])
  })

  test('is empty when the route has the weight already', () => {
    expect(move(split, 5)).toEqual([])
  })

  test('finds the destinations at any position, in each route that names both', () => {
    const object = virtualService([
      { route: [to('v9', 100, 'frontend')] },
      { match: [{ headers: {} }], route: [to('v2', 100)] },
      { route: [to('v2', 0), to('v1', 100)] },
      { route: [to('v1', 100), to('other', 0, 'frontend'), to('v2', 0)] },
    ])
    expect(move(object, 10)).toEqual([
      weight('http/2/route/1', 90),
      weight('http/2/route/0', 10),
      weight('http/3/route/0', 90),
      weight('http/3/route/2', 10),
    ])
  })

  test('changes only the named routes if the split has names', () => {
    const object = virtualService([
      { name: 'api', route: [to('v1', 95), to('v2', 5)] },
      { name: 'rest', route: [to('v1', 95), to('v2', 5)] },
    ])
    expect(move(object, 25, { routes: ['rest'] })).toEqual([weight('http/1/route/0', 75), weight('http/1/route/1', 25)])
  })

  test.each<[number, number, number]>([
    [50, 40, 40],
    [100, 0, 80],
    [0, 80, 0],
    // Neither 1 % nor 99 % of 80 is a whole weight.
    [1, 79, 1],
    [99, 1, 79],
  ])('to %i %% redistributes the weight of both and leaves that of a third subset', (percent, stable, canary) => {
    const object = virtualService([{ route: [to('v0', 20), to('v1', 75), to('v2', 5)] }])
    expect(move(object, percent)).toEqual([weight('http/0/route/1', stable), weight('http/0/route/2', canary)])
  })

  test('makes the two weights add up to 100', () => {
    expect(move(virtualService([{ route: [to('v1', 9), to('v2', 1)] }]), 50)).toEqual([
      weight('http/0/route/0', 50),
      weight('http/0/route/1', 50),
    ])
  })

  test('leaves no weight at the second destination of a version', () => {
    expect(move(virtualService([{ route: [to('v1', 60), to('v2', 0), to('v1', 40)] }]), 100)).toEqual([
      weight('http/0/route/0', 0),
      weight('http/0/route/2', 0),
      weight('http/0/route/1', 100),
    ])
  })

  test('also changes TCP and TLS routes', () => {
    const route = [to('v1', 100), to('v2', 0)]
    const object: VirtualService = {
      ...split,
      spec: {
        hosts: ['backend'],
        tcp: [{ match: [{ port: 3306 }], route }],
        tls: [{ match: [{ sniHosts: ['a.example.com'] }], route }],
      },
    }
    expect(move(object, 20)).toEqual(
      ['tcp', 'tls'].flatMap((section) => [weight(`${section}/0/route/0`, 80), weight(`${section}/0/route/1`, 20)]),
    )
  })

  test('finds Services by their hosts, short or full', () => {
    const service = (host: string, weight: number) => ({ destination: { host }, weight })
    const object = virtualService([
      { route: [service('backend-v1', 100), service('backend-v2.shop.svc.cluster.local', 0)] },
    ])
    expect(weightPatch(object, between('backend-v1', 'backend-v2', 'service'), 20)).toEqual([
      weight('http/0/route/0', 80),
      weight('http/0/route/1', 20),
    ])
  })

  test('changes the backends of an HTTPRoute, where the default weight is 1', () => {
    const object: Routed = {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'backend', namespace: 'shop' },
      spec: {
        rules: [
          { backendRefs: [{ name: 'backend-v1' }] },
          { backendRefs: [{ name: 'backend-v1' }, { name: 'backend-v2', weight: 0 }] },
          { backendRefs: [{ name: 'backend-v1', kind: 'Bucket' }, { name: 'backend-v2' }] },
        ],
      },
    }
    expect(weightPatch(object, between('backend-v1', 'backend-v2', 'service'), 20)).toEqual([
      weight('rules/1/backendRefs/0', 80),
      weight('rules/1/backendRefs/1', 20),
    ])
  })

  test.each<[string, VirtualService]>([
    ['only one of the two subsets', virtualService([{ route: [to('v1', 100)] }])],
    ['the two subsets in different routes', virtualService([{ route: [to('v1')] }, { route: [to('v2')] }])],
    [
      'the same subsets of another service',
      virtualService([{ route: [to('v1', 95, 'frontend'), to('v2', 5, 'frontend')] }]),
    ],
    [
      'both subsets in the route of an A/B stage',
      virtualService([{ name: abRouteName, route: [to('v1', 95), to('v2', 5)] }]),
    ],
  ])('is empty for a VirtualService that names %s', (_, object) => {
    expect(move(object, 50)).toEqual([])
    expect(splitsIn(object, between('v1', 'v2'))).toEqual([])
  })
})

describe("the canary's weight", () => {
  const canaryWeight = (...route: ReturnType<typeof to>[]) =>
    splitsIn(virtualService([{ route }]), between('v1', 'v2')).map(canaryWeightOf)

  test.each<[string, ReturnType<typeof to>[], number | undefined]>([
    ['is its share of 100', [to('v1', 95), to('v2', 5)], 5],
    ['is its percentage of another sum', [to('v1', 3), to('v2', 1)], 25],
    ['does not depend on a third subset', [to('v0', 20), to('v1', 60), to('v2', 20)], 25],
    ['is undefined when both have weight 0', [to('v0', 100), to('v1', 0), to('v2', 0)], undefined],
  ])('%s', (_, route, expected) => {
    expect(canaryWeight(...route)).toEqual([expected])
  })
})
