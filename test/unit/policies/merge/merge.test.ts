import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readManifests, type Sourced } from '../../../../src/policies/manifests/manifests.ts'
import { merge } from '../../../../src/policies/merge/merge.ts'
import { policy, subsets, type Policy } from '../recording-cluster.ts'

const from = (source: string, object: Policy): Sourced => ({ object, source })
const to = (subset?: string, weight?: number, host = 'backend') => ({
  destination: { host, ...(subset ? { subset } : {}) },
  ...(weight === undefined ? {} : { weight }),
})
const routes = (...http: object[]) => policy('VirtualService', 'backend', { hosts: ['backend'], http })
const specOf = (...objects: Policy[]) =>
  (merge(objects.map((object, i) => from(`${'abc'[i]!}.yaml:1`, object))).objects as Policy[]).map(({ spec }) => spec)
const httpOf = (...objects: Policy[]) => specOf(...objects)[0]!['http']
const faultOf = (...objects: Policy[]) => expect(() => specOf(...objects))

const retries = { attempts: 3, perTryTimeout: '2s' }
const split = [to('v1', 80), to('v2', 20)]
const plain = [to()]

test('merging keeps both the retries and the split of the example documents and reports the merge', () => {
  const { objects, notes } = merge(readManifests(['seed.yaml'], 'shop', join(import.meta.dirname, '../../../fixtures')))
  expect(objects.map(({ kind }) => kind)).toEqual(['PeerAuthentication', 'VirtualService', 'DestinationRule'])
  expect((objects[1] as Policy).spec).toEqual({ hosts: ['backend'], http: [{ route: split, retries }] })
  expect((objects[0] as Policy).spec).toEqual({ mtls: { mode: 'STRICT' } })
  expect((objects[2] as Policy).spec).toEqual({ host: 'backend', subsets: subsets('v1', 'v2') })
  expect(notes).toEqual([
    'VirtualService shop/backend (seed.yaml:25) was merged into VirtualService shop/backend (seed.yaml:10): the host backend can have only one VirtualService',
  ])
})

test('merging leaves a single object unchanged', () => {
  const objects = [
    routes({ match: [{ uri: { prefix: '/a' } }], route: plain }, { route: split }),
    policy('DestinationRule', 'backend', { host: 'backend' }),
    policy('VirtualService', 'other', { hosts: ['other'] }),
  ]
  expect(merge(objects.map((object) => from('a', object)))).toEqual({ objects, notes: [], warnings: [] })
})

describe('merging routes', () => {
  const matched = (header: string, ...more: object[]) =>
    Object.assign({ match: [{ headers: { [header]: { exact: '1' } } }] }, ...more) as object

  test('joins default routes into one, whichever comes first', () => {
    expect(httpOf(routes({ route: split }), routes({ route: plain, retries }))).toEqual([{ route: split, retries }])
    expect(httpOf(routes({ route: plain, retries }), routes({ route: split, timeout: '5s' }))).toEqual([
      { route: split, retries, timeout: '5s' },
    ])
  })

  test('gives each destination of a split the headers of the whole host', () => {
    const headers = { response: { add: { 'x-by': 'mesh' } } }
    const whole = [{ ...to(), headers }]
    expect(httpOf(routes({ route: split }), routes({ route: whole }))).toEqual([
      { route: split.map((share) => ({ ...share, headers })) },
    ])
  })

  test('names the field of a destination that both set', () => {
    const withHeader = (value: string) =>
      routes({ route: split.map((share) => ({ ...share, headers: { request: { set: { 'x-a': value } } } })) })
    expect(() => httpOf(withHeader('1'), withHeader('2'))).toThrow(
      /the default route, the destination backend\/v1\.headers\.request\.set\.x-a: .* set different values \("1" and "2"\)/,
    )
  })

  test('joins the parts of one field', () => {
    expect(
      httpOf(routes({ route: plain, retries }), routes({ route: plain, retries: { retryOn: '5xx', attempts: 3 } })),
    ).toEqual([{ route: plain, retries: { ...retries, retryOn: '5xx' } }])
  })

  test('keeps the order of routes with a match and puts the default route last', () => {
    const http = httpOf(
      routes(matched('a', { route: [to('v1')] }), { route: plain }),
      routes(matched('b', { route: [to('v2')] }), matched('c', { route: [to('v1')] }), { route: plain, retries }),
    )
    expect(http).toEqual([
      matched('a', { route: [to('v1')] }),
      matched('b', { route: [to('v2')] }),
      matched('c', { route: [to('v1')] }),
      { route: plain, retries },
    ])
  })

  test('joins routes with the same match', () => {
    expect(
      httpOf(routes(matched('a', { route: [to('v1')] })), routes(matched('a', { route: [to('v1')], timeout: '1s' }))),
    ).toEqual([matched('a', { route: [to('v1')], timeout: '1s' })])
  })

  test('treats a route with an empty list of matches as a default route', () => {
    expect(httpOf(routes({ match: [], route: split }), routes({ route: plain, retries }))).toEqual([
      { match: [], route: split, retries },
    ])
  })

  test('treats a short host and a full host as the same destination', () => {
    expect(
      httpOf(
        routes({ route: [to('v1', 100)], retries }),
        routes({ route: [to('v1', 100, 'backend.shop.svc.cluster.local')] }),
      ),
    ).toEqual([{ route: [to('v1', 100)], retries }])
  })

  test('copies the port of the plain route to every destination of the split', () => {
    const withPort = [{ destination: { host: 'backend.shop.svc.cluster.local', port: { number: 3001 } } }]
    expect(httpOf(routes({ route: withPort, retries }), routes({ route: split }))).toEqual([
      {
        retries,
        route: split.map((each) => ({ ...each, destination: { ...each.destination, port: { number: 3001 } } })),
      },
    ])
  })
})

test('merging compares hosts, not names, whether short, full or with the mesh gateway written out', () => {
  const long = policy('VirtualService', 'backend-split', {
    hosts: ['backend.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [{ route: split }],
  })
  expect(merge([from('a', routes({ route: plain, retries })), from('b', long)])).toEqual({
    objects: [policy('VirtualService', 'backend', { hosts: ['backend'], http: [{ route: split, retries }] })],
    notes: [
      'VirtualService shop/backend-split (b) was merged into VirtualService shop/backend (a): the host backend.shop.svc.cluster.local can have only one VirtualService',
    ],
    warnings: [],
  })
})

test('merging keeps a VirtualService for a gateway apart from one for the sidecars', () => {
  const exposed = policy('VirtualService', 'backend-gateway', {
    hosts: ['backend'],
    gateways: ['g'],
    http: [{ route: plain }],
  })
  expect(merge([from('a', routes({ route: split })), from('b', exposed)]).objects).toHaveLength(2)
})

test('merging keeps delegate VirtualServices without hosts apart', () => {
  const delegate = (name: string) => policy('VirtualService', name, { http: [{ route: plain }] })
  expect(specOf(delegate('a'), delegate('b'))).toHaveLength(2)
})

test('merging joins a VirtualService with one in istio-system for the same sidecars', () => {
  const theirs = policy(
    'VirtualService',
    'other',
    { hosts: ['backend.shop.svc.cluster.local'], http: [{ route: plain }] },
    { namespace: 'istio-system' },
  )
  faultOf(routes({ route: plain }), theirs).toThrow(
    'VirtualService shop/backend (a.yaml:1) and VirtualService istio-system/other (b.yaml:1) are both for the host backend.shop.svc.cluster.local at the sidecars',
  )
})

test('merging treats a gateway with and without its namespace as the same', () => {
  const exposed = (gateway: string, more: object) =>
    policy('VirtualService', 'front', { hosts: ['*'], gateways: [gateway], http: [{ route: plain, ...more }] })
  expect(specOf(exposed('g', { retries }), exposed('shop/g', { timeout: '1s' }))).toEqual([
    { hosts: ['*'], gateways: ['g'], http: [{ route: plain, retries, timeout: '1s' }] },
  ])
  expect(
    specOf(exposed('g', {}), { ...exposed('other/g', {}), metadata: { name: 'other', namespace: 'shop' } }),
  ).toHaveLength(2)
})

test('merging DestinationRules joins subsets by name and joins traffic policies', () => {
  const rule = (spec: object) => policy('DestinationRule', 'backend', { host: 'backend', ...spec })
  const [spec] = specOf(
    rule({ subsets: subsets('v1'), trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 } } } }),
    rule({ subsets: [...subsets('v2'), { name: 'v1', trafficPolicy: {} }], trafficPolicy: { outlierDetection: {} } }),
  )
  expect(spec).toEqual({
    host: 'backend',
    trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 } }, outlierDetection: {} },
    subsets: [{ ...subsets('v1')[0], trafficPolicy: {} }, ...subsets('v2')],
  })
})

test('merging keeps DestinationRules for different workloads apart', () => {
  const rule = (app: string) =>
    policy('DestinationRule', app, { host: 'backend', workloadSelector: { matchLabels: { app } } })
  expect(specOf(rule('a'), rule('b'))).toHaveLength(2)
})

test('merging keeps the labels of both objects', () => {
  const labelled = (labels: Record<string, string>) => policy('Telemetry', 'a', {}, { labels })
  expect(merge([from('a', labelled({ x: '1' })), from('b', labelled({ y: '2' }))]).objects[0]!.metadata.labels).toEqual(
    { x: '1', y: '2' },
  )
})

test('merging does not change its input', () => {
  const given = [from('a', routes({ route: plain, retries })), from('b', routes({ route: split }))]
  const before = structuredClone(given)
  merge(given)
  expect(given).toEqual(before)
})

describe('a contradiction', () => {
  test.each<[string, Policy[], string]>([
    [
      'values of the default route',
      [routes({ route: plain, timeout: '1s' }), routes({ route: plain, timeout: '2s' })],
      'VirtualService shop/backend: spec.http, the default route.timeout: a.yaml:1 and b.yaml:1 set different values ("1s" and "2s"); set it in one of them only',
    ],
    [
      'values inside a field',
      [routes({ route: plain, retries }), routes({ route: plain, retries: { attempts: 5 } })],
      'the default route.retries.attempts: a.yaml:1 and b.yaml:1 set different values (3 and 5)',
    ],
    [
      'splits',
      [routes({ route: split }), routes({ route: [to('v1', 50), to('v2', 50)] })],
      'the default route: route: a.yaml:1 and b.yaml:1 set different values (backend/v1 80 + backend/v2 20 and backend/v1 50 + backend/v2 50)',
    ],
    [
      'destinations, a split and another host,',
      [routes({ route: split }), routes({ route: [to(undefined, undefined, 'elsewhere')] })],
      'a.yaml:1 and b.yaml:1 set different values (backend/v1 80 + backend/v2 20 and elsewhere)',
    ],
    [
      'actions, a route and a redirect,',
      [routes({ route: plain }), routes({ redirect: { uri: '/' } })],
      'a.yaml:1 and b.yaml:1 set different values (`route` and `redirect`)',
    ],
    [
      'modes',
      [
        policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }),
        policy('PeerAuthentication', 'default', { mtls: { mode: 'PERMISSIVE' } }),
      ],
      'PeerAuthentication shop/default: spec.mtls.mode: a.yaml:1 and b.yaml:1 set different values ("STRICT" and "PERMISSIVE")',
    ],
    [
      'labels of a subset',
      [
        policy('DestinationRule', 'a', { host: 'b', subsets: subsets('v1') }),
        policy('DestinationRule', 'a', { host: 'b', subsets: [{ name: 'v1', labels: { version: 'x' } }] }),
      ],
      'spec.subsets[v1].labels.version: a.yaml:1 and b.yaml:1',
    ],
    [
      'hosts that overlap only in part',
      [routes({ route: plain }), policy('VirtualService', 'both', { hosts: ['backend', 'other'], http: [] })],
      'VirtualService shop/backend (a.yaml:1) and VirtualService shop/both (b.yaml:1) are both for the host backend.shop.svc.cluster.local at the sidecars, but differ in their hosts or gateways',
    ],
    [
      'one name for two hosts',
      [routes({ route: plain }), policy('VirtualService', 'backend', { hosts: ['other'] })],
      'policies: a.yaml:1 and b.yaml:1 both give a VirtualService shop/backend, for different hosts or workloads; rename the one in b.yaml:1',
    ],
  ])('in %s names both places', (_, objects, fault) => {
    faultOf(...objects).toThrow(fault)
  })

  test('does not hide others: one error reports all of them', () => {
    faultOf(
      routes({ route: plain, timeout: '1s', retries }),
      routes({ route: plain, timeout: '2s', retries: { attempts: 1 } }),
    ).toThrow(/timeout: .*\n.*retries\.attempts: /)
  })
})
