// The policies of a service next to the user's own manifests: which parts they reach, and what the run says about others.
import { describe, expect, test } from 'vitest'
import type { DestinationRule, KubeObject, VirtualService } from '../../../../src/cluster/objects.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { configOf, fileWith, virtualService } from '../../fixtures.ts'
import { policy } from '../recording-cluster.ts'

const networking = (kind: string, name: string, spec: string) =>
  `apiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`
const routes = (http: string, more = '') =>
  networking('VirtualService', 'theirs', `{ hosts: [backend], http: [${http}]${more} }`)
const rule = (spec: string, name = 'theirs') => networking('DestinationRule', name, spec)

function merged(services: string, files: string[], live: KubeObject[] = []) {
  const yaml = `namespace: shop\nservices: { backend: { ${services} } }\npolicies: ${fileWith(files.join('---\n'), 'mesh.yaml')}`
  const found = desired(configOf(yaml), {
    virtualServices: live.filter(({ kind }) => kind === 'VirtualService') as VirtualService[],
    destinationRules: live.filter(({ kind }) => kind === 'DestinationRule') as DestinationRule[],
  })
  const text = (lines: string[]) => lines.map((line) => line.replaceAll(/\/\S*mesh\.yaml/g, 'mesh.yaml'))
  const specOf = (kind: string, name = 'backend') =>
    (found.objects.find((each) => each.kind === kind && each.metadata.name === name) as VirtualService | undefined)
      ?.spec
  return { ...found, notes: text(found.notes), warnings: text(found.warnings), specOf }
}

const tester =
  '{ match: [{ headers: { end-user: { exact: qa } } }], route: [{ destination: { host: backend, subset: v2 } }] }'
const toV1 = '{ name: primary, route: [{ destination: { host: backend, subset: v1 } }] }'

describe('the policies of a service', () => {
  test('reach every route of the host; the routes keep their order and their names', () => {
    const { specOf, warnings } = merged('timeout: 2s', [routes(`${tester}, ${toV1}`)])
    expect(specOf('VirtualService')!.http).toEqual([
      {
        match: [{ headers: { 'end-user': { exact: 'qa' } } }],
        route: [{ destination: { host: 'backend', subset: 'v2' } }],
        timeout: '2s',
      },
      { name: 'primary', timeout: '2s', route: [{ destination: { host: 'backend', subset: 'v1' } }] },
    ])
    expect(warnings).toEqual([])
  })

  test('leave a route with a match what it states itself, and say so', () => {
    const own = tester.replace('route:', 'timeout: 9s, route:')
    const { specOf, warnings } = merged('timeout: 2s', [routes(`${own}, ${toV1}`)])
    expect(specOf('VirtualService')!.http!.map(({ timeout }) => timeout)).toEqual(['9s', '2s'])
    expect(warnings).toEqual([
      'policies: VirtualService shop/theirs (mesh.yaml:1): `timeout` does not reach http route 1, which states its own',
    ])
  })

  test('contradict a default route that states another value', () => {
    expect(() => merged('timeout: 2s', [routes(toV1.replace('route:', 'timeout: 9s, route:'))])).toThrow(
      /spec\.http, the default route\.timeout: services\.backend in .*mesh\.yaml:\d+ and /,
    )
  })

  test('do not contradict conditions for retries that only the route states', () => {
    const retrying = toV1.replace('route:', 'retries: { retryOn: 5xx }, route:')
    expect(merged('retries: { attempts: 3 }', [routes(retrying)]).specOf('VirtualService')!.http).toMatchObject([
      { name: 'primary', retries: { attempts: 3, retryOn: '5xx' } },
    ])
    expect(() => merged('retries: { attempts: 3, retryOn: reset }', [routes(retrying)])).toThrow('retries.retryOn')
  })

  test('do not add a default route that the user does not have', () => {
    expect(merged('timeout: 2s', [routes(tester)]).specOf('VirtualService')!.http).toHaveLength(1)
  })

  test('say that a delegate does not get them', () => {
    const delegating = '{ match: [{ uri: { prefix: /api } }], delegate: { name: api } }'
    expect(merged('timeout: 2s', [routes(`${delegating}, ${toV1}`)]).warnings).toEqual([
      'policies: VirtualService shop/theirs (mesh.yaml:1): the policies of the service (`timeout`) do not reach http route 1, which delegates to another VirtualService',
    ])
  })

  test('for one port say that routes without a port get them at every port', () => {
    const { specOf, warnings } = merged('port: 3001, timeout: 2s', [routes(toV1)])
    expect(specOf('VirtualService')!.http).toEqual([
      { name: 'primary', timeout: '2s', route: [{ destination: { host: 'backend', subset: 'v1' } }] },
    ])
    expect(warnings).toEqual([
      'policies: VirtualService shop/theirs (mesh.yaml:1): the policies of the service (`timeout`) apply to every port, not only to 3001, as its routes do',
    ])
  })

  test('for one port pass by a route for another port', () => {
    const other = '{ match: [{ port: 3002 }], route: [{ destination: { host: backend } }] }'
    const { specOf } = merged('port: 3001, timeout: 2s', [routes(`${other}, ${toV1}`)])
    expect(specOf('VirtualService')!.http!.map(({ timeout }) => timeout)).toEqual([undefined, '2s'])
  })

  test('name routes for other hosts that lead to the service and do not get them, in files and in the cluster', () => {
    const spec = '{ hosts: [shop.test], gateways: [edge], http: [{ route: [{ destination: { host: backend } }] }] }'
    const inCluster = policy('VirtualService', 'old', {
      hosts: ['old.test'],
      gateways: ['edge'],
      http: [{ route: [{ destination: { host: 'backend.shop.svc.cluster.local' } }] }],
    })
    const { warnings } = merged('timeout: 2s', [networking('VirtualService', 'public', spec)], [inCluster])
    expect(warnings).toEqual([
      'services.backend: the policies of the service (`timeout`) do not reach the routes of the VirtualService shop/public (mesh.yaml:1), which lead to the service but are for other hosts; set them there as well',
      'services.backend: the policies of the service (`timeout`) do not reach the routes of the VirtualService shop/old (in the cluster), which lead to the service but are for other hosts; set them there as well',
    ])
  })
})

describe('a route for the prefix / is a default route:', () => {
  const all = '{ match: [{ uri: { prefix: / } }], route: [{ destination: { host: backend } }] }'

  test('the split of the config goes there, and not behind it', () => {
    const split = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }, traffic: { v1: 80, v2: 20 }'
    expect(merged(split, [routes(all)]).specOf('VirtualService')!.http).toMatchObject([
      { match: [{ uri: { prefix: '/' } }], route: [{ weight: 80 }, { weight: 20 }] },
    ])
  })

  test('routes of another file come before it', () => {
    const { specOf } = merged('timeout: 2s', [routes(all), routes(tester)])
    expect(specOf('VirtualService')!.http!.map(({ match }) => Object.keys((match as object[])[0]!))).toEqual([
      ['headers'],
      ['uri'],
    ])
  })
})

describe('the circuit breaker of a service', () => {
  const breaker = 'circuitBreaker: { maxConnections: 100, consecutive5xxErrors: 5 }'

  test('reaches ports with settings of their own, and what they state stays', () => {
    const { specOf, warnings } = merged(breaker, [
      rule(
        '{ host: backend, trafficPolicy: { portLevelSettings: [{ port: { number: 3001 }, connectionPool: { tcp: { maxConnections: 5 } } }] } }',
      ),
    ])
    expect(specOf('DestinationRule')!['trafficPolicy']).toMatchObject({
      connectionPool: { tcp: { maxConnections: 100 } },
      portLevelSettings: [
        {
          port: { number: 3001 },
          connectionPool: { tcp: { maxConnections: 5 } },
          outlierDetection: { consecutive5xxErrors: 5 },
        },
      ],
    })
    expect(warnings).toContain(
      'policies: DestinationRule shop/theirs (mesh.yaml:1): `maxConnections` (100) does not reach port 3001, which states its own (5)',
    )
  })

  test('reaches a subset with a connection pool of its own, which would replace it', () => {
    const subset =
      '{ name: v2, labels: { version: v2 }, trafficPolicy: { connectionPool: { http: { maxRetries: 1 } } } }'
    const { specOf } = merged(breaker, [rule(`{ host: backend, subsets: [${subset}] }`)])
    expect(specOf('DestinationRule')!.subsets).toEqual([
      {
        name: 'v2',
        labels: { version: 'v2' },
        trafficPolicy: { connectionPool: { http: { maxRetries: 1 }, tcp: { maxConnections: 100 } } },
      },
    ])
  })

  test('does not mix two load balancers', () => {
    const subset = '{ name: v2, trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true } } } }'
    const { specOf, warnings } = merged('loadBalancer: random', [rule(`{ host: backend, subsets: [${subset}] }`)])
    expect(specOf('DestinationRule')!.subsets).toMatchObject([
      { trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true } } } },
    ])
    expect(warnings).toEqual([expect.stringContaining('does not reach the subset v2, which states its own')])
  })

  test('and the subsets reach callers that have a rule of their own', () => {
    const { specOf, notes } = merged(`${breaker}, subsets: { v1: { version: v1 } }`, [
      rule(
        '{ host: backend, workloadSelector: { matchLabels: { app: web } }, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } } }',
      ),
    ])
    expect(specOf('DestinationRule', 'theirs')).toMatchObject({
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
      trafficPolicy: {
        loadBalancer: { simple: 'ROUND_ROBIN' },
        connectionPool: { tcp: { maxConnections: 100 } },
        outlierDetection: { consecutive5xxErrors: 5 },
      },
    })
    expect(notes).toEqual([
      expect.stringContaining('it gets the policies and subsets of the DestinationRule shop/backend'),
    ])
  })
})

describe('a rule for all hosts of the namespace', () => {
  const ejection = { outlierDetection: { consecutive5xxErrors: 3 }, tls: { mode: 'DISABLE' } }
  const wide = (namespace = 'shop', host = '*.shop.svc.cluster.local', more = {}) =>
    policy('DestinationRule', 'default', { host, trafficPolicy: ejection, ...more }, { namespace })
  const breaker = 'circuitBreaker: { maxConnections: 100 }'

  test.each<[string, KubeObject]>([
    ['in the namespace', wide()],
    ['in the namespace of the mesh', wide('istio-system', '*.local')],
  ])('is inherited, because ours would hide it: %s', (_, live) => {
    const { specOf, notes } = merged(breaker, [routes(toV1)], [live])
    expect(specOf('DestinationRule')!['trafficPolicy']).toEqual({
      connectionPool: { tcp: { maxConnections: 100 } },
      ...ejection,
    })
    expect(notes).toContain(
      `DestinationRule ${live.metadata.namespace}/default (in the cluster): the DestinationRule shop/backend takes over its rules, because the mesh follows only the more specific of the two`,
    )
  })

  test.each<[string, KubeObject]>([
    ['does not match the host', wide('shop', '*.other.svc.cluster.local')],
    ['is not exported from the namespace of the mesh', wide('istio-system', '*.local', { exportTo: ['.'] })],
    ['is for some callers only', wide('shop', '*.local', { workloadSelector: { matchLabels: { app: 'web' } } })],
  ])('is not inherited if it %s', (_, live) => {
    expect(merged(breaker, [routes(toV1)], [live]).specOf('DestinationRule')!['trafficPolicy']).toEqual({
      connectionPool: { tcp: { maxConnections: 100 } },
    })
  })

  test('is not inherited where the user has a specific rule, which hid it before', () => {
    const { specOf } = merged(breaker, [rule('{ host: backend }')], [wide()])
    expect(specOf('DestinationRule')!['trafficPolicy']).toEqual({ connectionPool: { tcp: { maxConnections: 100 } } })
  })

  test('keeps its routes: those with a match, and the settings of the default route', () => {
    const all = virtualService(
      [
        { match: [{ uri: { prefix: '/old' } }], redirect: { uri: '/new' } },
        { retries: { attempts: 0 }, timeout: '60s', route: [{ destination: { host: 'fallback' } }] },
      ],
      { name: 'all' },
    )
    const live = { ...all, spec: { ...all.spec, hosts: ['*.shop.svc.cluster.local'] } }
    expect(merged('timeout: 2s', [rule('{ host: backend }')], [live]).specOf('VirtualService')!.http).toEqual([
      { match: [{ uri: { prefix: '/old' } }], redirect: { uri: '/new' } },
      {
        name: 'mesh-canary',
        timeout: '2s',
        retries: { attempts: 0 },
        route: [{ destination: { host: 'backend.shop.svc.cluster.local' } }],
      },
    ])
  })
})

describe('two VirtualServices that share a host at a gateway', () => {
  const at = (name: string, prefix: string) =>
    networking(
      'VirtualService',
      name,
      `{ hosts: [${name}.test, www.test], gateways: [mesh-ns/public], http: [{ match: [{ uri: { prefix: ${prefix} } }], route: [{ destination: { host: ${name} } }] }] }`,
    )

  test('stay two, because the gateway merges them', () => {
    expect(
      merged('timeout: 2s', [at('cart', '/cart'), at('blog', '/blog')]).specOf('VirtualService', 'blog'),
    ).toBeDefined()
  })

  test('are refused when one hides a route of the other', () => {
    expect(() => merged('timeout: 2s', [at('cart', '/shop/cart'), at('blog', '/shop')])).toThrow(
      /http route 1 of the VirtualService shop\/cart \(.*mesh\.yaml:1\) never gets a request, because http route 1 of the VirtualService shop\/blog \(.*mesh\.yaml:6\) takes all that it matches/,
    )
  })
})
