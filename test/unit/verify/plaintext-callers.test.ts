// The callers that STRICT would cut off. A fake, because the tests choose the counters and the clock;
// test/e2e/strict-callers.test.ts has real callers.
import { describe, expect, test } from 'vitest'
import type { Pod, Service } from '../../../src/cluster/objects.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { MtlsFacts } from '../../../src/verify/mtls-facts.ts'
import type { Mode, PeerAuthentication } from '../../../src/verify/mtls-modes.ts'
import { cutOffCallers, podsOutsideMesh, watchPlaintext } from '../../../src/verify/plaintext-callers.ts'
import { newlyStrict, quietTime } from '../../../src/verify/plaintext-counts.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, pod } from '../fixtures.ts'

const policy = (mode: Mode, more: object = {}): PeerAuthentication => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: mode, namespace: 'shop', creationTimestamp: '2026-01-01' },
  spec: { mtls: { mode }, ...more },
})
const cart = { app: 'cart' }
const service = (name: string, port: number): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: cart, ports: [{ port }] },
})
const running = { phase: 'Running', startTime: '1970-01-01T00:00:00Z' }
const server = pod({
  metadata: { name: 'cart-1', labels: cart },
  spec: { containers: [{ name: 'app', ports: [{ containerPort: 8080 }, { containerPort: 9090 }] }] },
  status: running,
})
const facts = (more: Partial<MtlsFacts> = {}): MtlsFacts => ({
  namespace: 'shop',
  asked: [],
  after: [policy('STRICT')],
  before: [],
  destinationRules: [],
  pods: [server],
  workloads: [],
  services: [service('cart', 8080), service('cart-metrics', 9090)],
  ...more,
})
const outside = (name: string, namespace: string, url = '', more: Partial<Pod['metadata']> = {}): Pod =>
  pod({
    metadata: { name, namespace, labels: {}, ...more },
    spec: { containers: [{ name: 'app', env: [{ name: 'CART_URL', value: url }] }], initContainers: [] },
    status: running,
  })

const requests = (count: number, to = 'cart', security = 'none', prefix = '') =>
  `${prefix}istio_requests_total{reporter="destination",source_workload="unknown",destination_service_name="${to}",connection_security_policy="${security}"} ${count}\n`
const connections = (opened: number, closed: number) =>
  ['opened', 'closed']
    .map(
      (end, i) =>
        `istio_tcp_connections_${end}_total{reporter="destination",destination_service_name="cart",connection_security_policy="none"} ${[opened, closed][i]}\n`,
    )
    .join('')

/** Watches a server whose counters are `text` at each second. */
async function watch(text: (second: number) => string, { pods = [] as Pod[], startedAt = 0, more = {} } = {}) {
  const clock = new FakeClock()
  clock.time = startedAt
  const second = () => (clock.time - startedAt) / 1000
  const cluster = clusterWith({
    pod: () => Promise.resolve(text(second())),
    list: () => Promise.resolve(pods.filter(({ metadata }) => !metadata.deletionTimestamp || second() < 20)),
  })
  const signal = new AbortController().signal
  const found = await watchPlaintext(cluster, 'shop', newlyStrict(facts(more)), 'requests', signal, clock)
  return { ...found, seconds: second(), fault: cutOffCallers(found, pods, 'shop') }
}
const longAgo = 1_800_000

describe('before STRICT,', () => {
  test('a caller that sends plaintext is an error that names the service, the count and the remedies', async () => {
    const { fault, seconds } = await watch((second) => requests(100 + 2 * second), { startedAt: longAgo })
    expect(seconds).toBe(3)
    expect(fault).toMatch(/^mtls: STRICT would cut off callers .*within 3 s: 6 requests to cart\)/)
    expect(fault).toMatch(/except the port or the workload in `mtls.workloads`.*plaintextCallers: cut-off/)
  })

  test('the pods that know the address are named, also those of other namespaces', async () => {
    const pods = [
      outside('poller', 'jobs', 'http://cart.shop:8080/'),
      outside('report', 'jobs', 'http://cart:8080'),
      outside('admin', 'shop', 'http://cart:8080'),
      outside('mailer', 'shop', 'http://smtp'),
    ]
    const { fault } = await watch((second) => requests(second), { pods })
    expect(fault).toContain('pods without a sidecar that know the address: jobs/poller, shop/admin;')
  })

  test('a path with the name of the service is no address', async () => {
    const files = outside('files', 'shop', '/cart/cart.js')
    expect((await watch(() => requests(50), { pods: [files], startedAt: longAgo })).fault).toBeUndefined()
  })

  test('Envoy’s own names of the counters, and one of the config, count as well', async () => {
    const named = (second: number) => requests(second, 'cart', 'none', 'envoy_')
    expect((await watch(named)).fault).toContain('requests to cart')
    const renamed = (second: number) => requests(second).replace('istio_requests_total', 'requests')
    expect((await watch(renamed)).fault).toContain('requests to cart')
  })

  test('a caller that the sidecar knows is named by its workload', async () => {
    const text = (second: number) =>
      requests(second).replace('source_workload="unknown"', 'source_workload="web",source_workload_namespace="jobs"')
    expect((await watch(text)).fault).toContain('requests to cart from jobs/web')
  })

  test('a slow caller is seen, because the watch lasts longer than the time between two requests', async () => {
    const everyTwentySeconds = (second: number) => requests(180 + Math.floor(second / 20))
    expect((await watch(everyTwentySeconds, { startedAt: longAgo })).fault).toContain('requests to cart')
  })

  test('an open TCP connection in plaintext counts, even if nothing is new', async () => {
    expect((await watch(() => connections(3, 2))).fault).toContain('3 connections to cart')
    expect((await watch(() => connections(3, 3))).fault).toBeUndefined()
  })

  test.each<[string, (second: number) => string, number]>([
    ['nobody ever sent plaintext', (second) => requests(second, 'cart', 'mutual_tls'), 0],
    ['the last plaintext is long ago', () => requests(50), 30],
  ])('the run continues if %s', async (_, text, longest) => {
    const { fault, seconds } = await watch(text, { startedAt: longAgo })
    expect(fault).toBeUndefined()
    expect(seconds).toBeLessThanOrEqual(longest)
  })

  test('earlier plaintext is an error if a pod without a sidecar knows the address', async () => {
    const pods = [outside('nightly', 'shop', 'http://cart:8080')]
    const { fault } = await watch(() => requests(50), { pods, startedAt: longAgo })
    expect(fault).toContain('since their sidecars began: 50 requests to cart')
    expect(fault).toContain('shop/nightly')
  })

  test('callers that are being replaced may finish', async () => {
    const pods = [outside('web-old', 'shop', 'http://cart:8080', { deletionTimestamp: '1970-01-01T00:00:01Z' })]
    const { recent, seconds } = await watch((second) => requests(10 * Math.min(second, 15)), { pods })
    expect(recent.size).toBe(0)
    expect(seconds).toBeLessThan(30)
  })

  test('plaintext to a port that stays open is no concern', async () => {
    const open = policy('STRICT', {
      selector: { matchLabels: cart },
      portLevelMtls: { 9090: { mode: 'PERMISSIVE' } },
    })
    const more = { after: [open] }
    expect((await watch((second) => requests(second, 'cart-metrics'), { more })).fault).toBeUndefined()
    expect((await watch((second) => requests(second, 'cart'), { more })).fault).toContain('requests to cart')
  })

  test('a server whose counters cannot be read is listed', async () => {
    const cluster = clusterWith({ pod: () => Promise.reject(new ApiError(403, 'no')) })
    const servers = newlyStrict(facts())
    const { unread } = await watchPlaintext(
      cluster,
      'shop',
      servers,
      'x',
      new AbortController().signal,
      new FakeClock(),
    )
    expect(unread).toEqual([server])
  })
})

describe('the servers to watch', () => {
  test.each<[string, Partial<MtlsFacts>, number]>([
    ['are those that become STRICT', {}, 1],
    ['exclude those that are STRICT already', { before: [policy('STRICT')] }, 0],
    ['exclude those that stay permissive', { after: [policy('PERMISSIVE')] }, 0],
    ['exclude pods without a sidecar', { pods: [outside('cart-0', 'shop')] }, 0],
  ])('%s', (_, more, count) => {
    expect(newlyStrict(facts(more))).toHaveLength(count)
  })
})

test.each([
  [0, 10_000, 5_000],
  [0, 120_000, 0],
  [1_000, 60_000, 5_000],
  [6, 60_000, 30_000],
  [12, 60_000, 15_000],
])('%d plaintext requests in %d ms need %d ms without any', (total, ageMs, quietMs) => {
  expect(quietTime(total, ageMs)).toBe(quietMs)
})

test('without the right to list pods elsewhere, the pods of the namespace are searched', async () => {
  const cluster = clusterWith({
    list: (_: string, namespace?: string) =>
      namespace === 'shop'
        ? Promise.resolve([outside('admin', 'shop'), server])
        : Promise.reject(new ApiError(403, 'no')),
  })
  expect((await podsOutsideMesh(cluster, 'shop')).map(({ metadata }) => metadata.name)).toEqual(['admin'])
})
