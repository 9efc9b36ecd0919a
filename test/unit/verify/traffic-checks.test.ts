import { describe, expect, test } from 'vitest'
import type { Pod, Service } from '../../../src/cluster/objects.ts'
import { parseClusters, type PodCounts } from '../../../src/verify/proxy-counters.ts'
import {
  trafficCheckRows,
  checkTraffic,
  type TrafficCheckRow,
  type TrafficCheckScope,
} from '../../../src/verify/traffic-checks.ts'
import { clusterWith, pod, to, virtualService } from '../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const of = (version: string) =>
  pod({ metadata: { name: `backend-${version}`, uid: version, labels: { app: 'backend', version } } })
const user = pod({ metadata: { name: 'user', uid: 'user', labels: { app: 'user' } } })
const subsets = { v1: { version: 'v1' }, v2: { version: 'v2' } }
const served = (more = '') =>
  `istio_requests_total{reporter="destination",destination_service="${host}",destination_service_name="backend"${more}}`
const reported = (flags: string) =>
  `istio_requests_total{reporter="source",destination_service="${host}",destination_service_name="backend",response_flags="${flags}"}`
const outbound = (counter: string, subset = '', to = host) =>
  `envoy_cluster_${counter}{cluster_name="outbound|3001|${subset}|${to}"}`
const counted = (pod: Pod, delta: Record<string, number> = {}): PodCounts => ({
  pod,
  delta: new Map(Object.entries(delta)),
})
const route = virtualService([{ route: [to('v1', 80), to('v2', 20)] }])
const mysql: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'mysql', namespace: 'shop' },
  spec: { selector: { app: 'mysql' }, ports: [{ name: 'tcp-mysql', port: 3306 }] },
}

function rows(
  policy: TrafficCheckScope['services'][string],
  all: PodCounts[],
  services: Service[] = [],
): Record<string, Omit<TrafficCheckRow, 'service' | 'what'>> {
  const found = trafficCheckRows({ namespace: 'shop', services: { backend: policy } }, all, services, [route], 5_000)
  return Object.fromEntries(found.map(({ service, what, ...row }) => [`${service} ${what}`, row]))
}

describe('the split check', () => {
  const split = (v1: Record<string, number>, v2: Record<string, number>) =>
    rows({ subsets }, [counted(of('v1'), v1), counted(of('v2'), v2)])['backend split']

  test('passes when the requests fit the weights, and reports the numbers', () => {
    expect(split({ [served()]: 82 }, { [served()]: 18 })).toEqual({
      ok: true,
      text: 'v1 82 of 100 (82%, 99% interval 70.2% to 90.7%; weight 80%), v2 18 of 100 (18%, 99% interval 9.3% to 29.8%; weight 20%)',
    })
  })

  test.each<[string, Record<string, number>, Record<string, number>, boolean | undefined]>([
    ["fails when the versions get each other's share", { [served()]: 50 }, { [served()]: 50 }, false],
    ['fails when one version gets none of many requests', { [served()]: 100 }, {}, false],
    [
      'is inconclusive when the shares are a little outside the interval, which may be chance',
      { [served()]: 69 },
      { [served()]: 31 + 2 },
      undefined,
    ],
    ['passes when one version gets none of a few requests, which may be chance', { [served()]: 5 }, {}, true],
    ['is inconclusive without requests', {}, {}, undefined],
    [
      'ignores requests to another service',
      { [served()]: 80, [served().replaceAll('backend', 'other')]: 500 },
      { [served()]: 20 },
      true,
    ],
    ['ignores requests that a pod sends to itself', { [served()]: 80, [reported('-')]: 500 }, { [served()]: 20 }, true],
  ])('%s', (_, v1, v2, ok) => {
    expect(split(v1, v2)?.ok).toBe(ok)
  })
})

test.each([
  [
    'a route with a match',
    [
      { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2')] },
      { route: [to('v1', 80), to('v2', 20)] },
    ],
  ],
  ['a mirror', [{ route: [to('v1', 80), to('v2', 20)], mirror: { host: 'backend', subset: 'v2' } }]],
])('the split check is inconclusive beside %s, because the weights alone do not decide', (_, http) => {
  const all = [counted(of('v1'), { [served()]: 50 }), counted(of('v2'), { [served()]: 50 })]
  const [row] = trafficCheckRows(
    { namespace: 'shop', services: { backend: { subsets } } },
    all,
    [],
    [virtualService(http)],
    5_000,
  )
  expect(row).toMatchObject({
    what: 'split',
    text: expect.stringContaining('other routes or mirrors of VirtualService backend') as string,
  })
  expect(row?.ok).toBeUndefined()
})

describe('the check of retries, timeouts and ejections', () => {
  const policy = {
    retries: { attempts: 2, retryOn: [] },
    timeout: 1_000,
    circuitBreaker: { consecutive5xxErrors: 5 },
  } as unknown as TrafficCheckScope['services'][string]

  test('counts what the proxies publish by default and names what they do not publish', () => {
    expect(
      rows(policy, [
        counted(user, { [reported('URX')]: 1, [reported('UT')]: 2, [reported('UO')]: 3, [reported('UH')]: 4 }),
      ]),
    ).toEqual({
      'backend retries': {
        text: expect.stringMatching(
          /^1 requests failed after their last retry; the number of retries is unknown: .*proxyStatsMatcher/,
        ) as string,
      },
      'backend timeouts': {
        ok: true,
        text: expect.stringMatching(
          /^2 requests ended at their timeout; the number of tries that ended at theirs is unknown/,
        ) as string,
      },
      'backend ejections': {
        text: expect.stringMatching(
          /^3 requests exceeded the connection limit, 4 found no pod; the number of ejections is unknown/,
        ) as string,
      },
    })
  })

  test('adds up the published counters of all subsets, and ignores other services', () => {
    const published = {
      [outbound('upstream_rq_retry', 'v1')]: 3,
      [outbound('upstream_rq_retry', 'v2')]: 4,
      [outbound('upstream_rq_retry_success', 'v1')]: 2,
      [outbound('upstream_rq_per_try_timeout')]: 1,
      [outbound('outlier_detection_ejections_enforced_total', 'v1')]: 1,
    }
    expect(
      rows(policy, [
        counted(user, { ...published, [outbound('upstream_rq_retry', '', 'other.shop.svc.cluster.local')]: 50 }),
      ]),
    ).toEqual({
      'backend retries': {
        ok: true,
        text: '7 retries, 2 of them successful; 0 requests failed after their last retry',
      },
      'backend timeouts': { ok: true, text: '0 requests ended at their timeout; 1 tries ended at theirs' },
      'backend ejections': {
        ok: true,
        text: '1 ejections; 0 requests exceeded the connection limit, 0 found no pod',
      },
    })
  })

  test('is inconclusive when there was nothing to retry, time out or eject', () => {
    const published = {
      [outbound('upstream_rq_retry')]: 0,
      [outbound('upstream_rq_per_try_timeout')]: 0,
      [outbound('outlier_detection_ejections_enforced_total')]: 0,
    }
    expect(Object.values(rows(policy, [counted(user, published)])).map(({ ok }) => ok)).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('the check of a service whose server speaks first', () => {
  const server = pod({ metadata: { name: 'mysql-1', labels: { app: 'mysql' } } })
  const toMysql = (counter: string) => outbound(counter, '', 'mysql.shop.svc.cluster.local').replace('3001', '3306')
  const tcp = (end: string, flags = '-') =>
    `istio_tcp_connections_${end}_total{reporter="source",destination_service="mysql.shop.svc.cluster.local",response_flags="${flags}"}`
  test.each<[string, PodCounts[], boolean | undefined, RegExp]>([
    [
      'passes when connections were opened and none failed',
      [counted(server), counted(user, { [toMysql('upstream_cx_total')]: 3, [toMysql('upstream_cx_connect_fail')]: 0 })],
      true,
      /3 connections were made, 0 failed/,
    ],
    [
      'passes with the TCP counters of Istio too',
      [counted(server), counted(user, { [tcp('opened')]: 3, [tcp('closed')]: 3 })],
      true,
      /3 connections were made, 0 failed/,
    ],
    [
      'fails when connections failed',
      [counted(server), counted(user, { [toMysql('upstream_cx_total')]: 3, [toMysql('upstream_cx_connect_fail')]: 1 })],
      false,
      /1 failed/,
    ],
    [
      'fails when connections were closed with a failure flag',
      [counted(server), counted(user, { [tcp('opened')]: 3, [tcp('closed', 'UF,URX')]: 2 })],
      false,
      /2 failed/,
    ],
    [
      'is inconclusive when nobody connected',
      [counted(server), counted(user, { [toMysql('upstream_cx_total')]: 0 })],
      undefined,
      /0 connections were made/,
    ],
    [
      'is inconclusive when the proxies publish no counters',
      [counted(server)],
      undefined,
      /unknown whether clients reach it/,
    ],
    [
      'fails when no pod is ready',
      [counted({ ...server, status: { conditions: [] } })],
      false,
      /no ready pod with a sidecar/,
    ],
  ])('%s', (_, all, ok, text) => {
    const headless = { ...mysql, spec: { selector: { app: 'mysql' } } } as unknown as Service
    const row = rows({}, all, [headless, mysql])['mysql reachable']
    expect(row?.text).toMatch(text)
    expect(row?.ok).toBe(ok)
  })
})

test('the reader of cluster counters keeps only those that the report shows', () => {
  const text = `# TYPE x counter\n${outbound('upstream_rq_retry')} 3\n${outbound('upstream_rq_active')} 9\nenvoy_istio_tcp_connections_opened_total{a="b"} 2\nno braces 1\n`
  expect([...parseClusters(text)]).toEqual([
    [outbound('upstream_rq_retry'), 3],
    ['envoy_istio_tcp_connections_opened_total{a="b"}', 2],
  ])
})

// A fake, so that the test chooses the counters; test/e2e/verify.test.ts reads real ones.
test('the traffic checks count only requests during the interval, under both names of the counters', async () => {
  let reads = 0
  const cluster = clusterWith({
    list: (kind: string) =>
      Promise.resolve(kind === 'Pod' ? [of('v1'), of('v2')] : kind === 'VirtualService' ? [route] : []),
    pod: (_: string, name: string) => {
      const after = reads++ >= 2
      return Promise.resolve(`envoy_${served()} ${name === 'backend-v1' ? (after ? 1080 : 1000) : after ? 20 : 0}\n`)
    },
  })
  const [split] = await checkTraffic(
    cluster,
    { namespace: 'shop', services: { backend: { subsets } } },
    0,
    new AbortController().signal,
  )
  expect(split).toMatchObject({ ok: true, text: expect.stringMatching(/^v1 80 of 100 .*v2 20 of 100/) as string })
})
