import { describe, expect, test } from 'vitest'
import { verifyProxies } from '../../../src/verify/proxies.ts'
import { proxyStatusOf } from '../../../src/verify/proxy-status.ts'
import { outOfSync, syncOf, type ProxySync } from '../../../src/verify/proxy-sync.ts'
import { clusterWith, pod } from '../fixtures.ts'

/** As a sidecar of Istio 1.31 publishes them by default. */
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
  const well: ProxySync = { connected: true, missing: [], rejected: [] }
  const rejectedAt = (acceptedAt: number): ProxySync => ({ ...well, rejected: [{ discovery: 'cds', acceptedAt }] })
  test.each<[string, ProxySync, string, RegExp | undefined]>([
    ['is in sync when nothing was refused and its stream is open', well, '', undefined],
    [
      'is not when it refused what came after the last that it took',
      rejectedAt(1_000),
      at(2_000, rejection),
      /^Envoy rejected its clusters and keeps its previous ones: gRPC config .* rejected: bad cluster; correct the object/,
    ],
    ['is again when it took something newer', rejectedAt(3_000), at(2_000, rejection), undefined],
    [
      'is when the refusal was of another kind',
      rejectedAt(1_000),
      at(2_000, rejection.replace('Cluster', 'Listener')),
      undefined,
    ],
    [
      'is not when it never took any, though its log is gone',
      rejectedAt(0),
      '',
      /rejected its clusters .*the reason is no longer in its log/,
    ],
    [
      'is not before it was sent anything',
      { ...well, missing: ['cds', 'lds'] },
      '',
      /not received any clusters and listeners yet/,
    ],
    ['is not without a stream', { ...well, connected: false }, '', /no open stream to istiod/],
    ['is where the stream cannot be seen', { ...well, connected: undefined }, '', undefined],
  ])('%s', (_, sync, log, cause) => {
    if (cause) expect(outOfSync(sync, log)).toMatch(cause)
    else expect(outOfSync(sync, log)).toBeUndefined()
  })
})

describe('the counters', () => {
  test.each<[string, string, ProxySync | undefined]>([
    ['of a proxy that is well', stats(), { connected: true, missing: [], rejected: [] }],
    [
      'of one that refused clusters',
      stats({ 'envoy_cluster_manager_cds_update_rejected{}': 2 }),
      { connected: true, missing: [], rejected: [{ discovery: 'cds', acceptedAt: 1_000 }] },
    ],
    [
      'of one that got no listeners',
      stats({ 'envoy_listener_manager_lds_update_success{}': 0 }),
      { connected: true, missing: ['lds'], rejected: [] },
    ],
    [
      'of one without a stream',
      stats({ 'envoy_cluster_upstream_rq_active{cluster_name="xds-grpc"}': 0 }),
      { connected: false, missing: [], rejected: [] },
    ],
    ['are not there', 'nothing 1', undefined],
  ])('%s', (_, text, sync) => {
    expect(syncOf(text)).toEqual(sync)
  })
})

test('istioctl may print one document for each istiod', () => {
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

test('a proxy that cannot be read is not taken for one in sync', async () => {
  const cluster = clusterWith({
    list: () => Promise.resolve([pod(), pod({ metadata: { name: 'a' } })]),
    pod: (_: string, name: string) =>
      name === 'a' ? Promise.resolve(stats()) : Promise.reject(new Error('forbidden')),
  })
  expect(await verifyProxies(cluster, 'shop', undefined, 0)).toEqual([
    { pod: 'a', ok: true },
    { pod: 'backend-1', ok: false, cause: expect.stringContaining('pods/proxy') as string },
  ])
})
