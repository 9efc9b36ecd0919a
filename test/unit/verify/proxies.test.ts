import { describe, expect, test } from 'vitest'
import { verifyProxies } from '../../../src/verify/proxies.ts'
import { proxyStatusOf } from '../../../src/verify/proxy-status.ts'
import { outOfSync, syncOf, type ProxySync } from '../../../src/verify/proxy-sync.ts'
import { clusterWith, pod } from '../fixtures.ts'

/** The statistics that a sidecar of Istio 1.31 publishes by default. */
const stats = (more: Record<string, number> = {}) =>
  Object.entries({
    'envoy_cluster_manager_cds_update_rejected{}': 0,
    'envoy_cluster_manager_cds_update_success{}': 3,
    'envoy_cluster_manager_cds_update_time{}': 1_000,
    'envoy_listener_manager_lds_update_rejected{}': 0,
    'envoy_listener_manager_lds_update_success{}': 3,
    'envoy_listener_manager_lds_update_time{}': 1_000,
    'envoy_cluster_upstream_rq_active{cluster_name="xds-grpc"}': 1,
    ...more,
  })
    .map(([series, value]) => `${series} ${value}`)
    .join('\n')

const at = (ms: number, message: string) =>
  `${new Date(ms).toISOString()}\twarning\tenvoy config external/envoy/x.cc:138\t${message}\tthread=15`
const rejection = 'gRPC config for type.googleapis.com/envoy.config.cluster.v3.Cluster rejected: bad cluster'

describe('a proxy', () => {
  const inSync: ProxySync = { connected: true, missing: [], rejected: [] }
  const rejectedAt = (acceptedAt: number): ProxySync => ({ ...inSync, rejected: [{ discovery: 'cds', acceptedAt }] })
  test.each<[string, ProxySync, string, RegExp | undefined]>([
    ['is in sync when it rejected nothing and its stream is open', inSync, '', undefined],
    [
      'is out of sync when it rejected an update after the last accepted one',
      rejectedAt(1_000),
      at(2_000, rejection),
      /^Envoy rejected its clusters and keeps its previous ones: gRPC config .* rejected: bad cluster; correct the object/,
    ],
    ['is in sync again when it accepted a newer update', rejectedAt(3_000), at(2_000, rejection), undefined],
    [
      'is in sync when it rejected another type of resource',
      rejectedAt(1_000),
      at(2_000, rejection.replace('Cluster', 'Listener')),
      undefined,
    ],
    [
      'is out of sync when it never accepted an update, even if its log is gone',
      rejectedAt(0),
      '',
      /rejected its clusters .*the reason is no longer in its log/,
    ],
    [
      'is out of sync before it receives an update',
      { ...inSync, missing: ['cds', 'lds'] },
      '',
      /not received any clusters and listeners yet/,
    ],
    ['is out of sync without a stream', { ...inSync, connected: false }, '', /no open stream to istiod/],
    ['is in sync when its stream is not visible', { ...inSync, connected: undefined }, '', undefined],
  ])('%s', (_, sync, log, cause) => {
    if (cause) expect(outOfSync(sync, log)).toMatch(cause)
    else expect(outOfSync(sync, log)).toBeUndefined()
  })
})

describe('the counters of a proxy', () => {
  test.each<[string, string, ProxySync | undefined]>([
    ['show that it is in sync', stats(), { connected: true, missing: [], rejected: [] }],
    [
      'show that it rejected clusters',
      stats({ 'envoy_cluster_manager_cds_update_rejected{}': 2 }),
      { connected: true, missing: [], rejected: [{ discovery: 'cds', acceptedAt: 1_000 }] },
    ],
    [
      'show that it received no listeners',
      stats({ 'envoy_listener_manager_lds_update_success{}': 0 }),
      { connected: true, missing: ['lds'], rejected: [] },
    ],
    [
      'show that it has no stream',
      stats({ 'envoy_cluster_upstream_rq_active{cluster_name="xds-grpc"}': 0 }),
      { connected: false, missing: [], rejected: [] },
    ],
    ['give no sync status when they are missing', 'nothing 1', undefined],
  ])('%s', (_, text, sync) => {
    expect(syncOf(text)).toEqual(sync)
  })
})

test('proxyStatusOf reads output of istioctl with one document per istiod', () => {
  const config = (id: string, configStatus: string, details?: string) => ({
    node: { id },
    genericXdsConfigs: [
      {
        typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
        configStatus,
        ...(details ? { errorState: { details } } : {}),
      },
    ],
  })
  const text = [
    { resources: [config('a.shop', 'SYNCED'), config('b.shop', 'ERROR', 'bad cluster')] },
    { resources: [config('c.shop', 'STALE')] },
  ]
    .map((each) => JSON.stringify(each, undefined, 4))
    .join('\n')
  expect([...proxyStatusOf(text)]).toEqual([
    ['a.shop', undefined],
    ['b.shop', 'Envoy rejected its Cluster: bad cluster'],
    ['c.shop', 'its Cluster is older than what istiod sent'],
  ])
  expect([...proxyStatusOf('not json')]).toEqual([])
})

test('a proxy that cannot be read does not count as in sync', async () => {
  const cluster = clusterWith({
    list: () => Promise.resolve([pod(), pod({ metadata: { name: 'a' } })]),
    pod: (_: string, name: string) =>
      name === 'a' ? Promise.resolve(stats()) : Promise.reject(new Error('forbidden')),
  })
  expect(await verifyProxies(cluster, 'shop', undefined, 0)).toEqual([
    { pod: 'a', ok: true },
    { pod: 'backend-1', ok: false, cause: expect.stringContaining('pods/proxy') as string, isUnread: true },
  ])
})
