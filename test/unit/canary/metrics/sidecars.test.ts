// A fake API server records the requests. The end-to-end tests show that real sidecars answer like this.
import { expect, test } from 'vitest'
import { createObserver } from '../../../../src/canary/metrics/observer.ts'
import { sidecarReader } from '../../../../src/canary/metrics/sidecars.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import { clusterWith, live, planOf, pod } from '../../fixtures.ts'

const metrics = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
const pods = (count: number) =>
  Array.from({ length: count }, (_, index) =>
    pod({ metadata: { name: `p${index}`, uid: `u${index}`, labels: { version: index === 0 ? 'v2' : 'v1' } } }),
  )

test('the reader requests the wanted counters from each pod, and returns the readings by pod id', async () => {
  const calls: unknown[][] = []
  const cluster = clusterWith({
    pod: (...args: unknown[]) => (
      calls.push(args),
      args[1] === 'p0' ? Promise.resolve('istio_requests_total{a="b"} 3\n') : Promise.reject(new ApiError(503, 'no'))
    ),
  })
  expect(await sidecarReader(cluster, metrics)(pods(2))).toEqual(
    new Map([['u0', new Map([['istio_requests_total{a="b"}', 3]])]]),
  )
  expect(calls).toEqual(
    ['p0', 'p1'].map((name) => [
      'shop',
      name,
      15090,
      '/stats/prometheus?usedonly&filter=istio.request(s_total%7C_duration)',
      3_000,
    ]),
  )
})

test('the reader does not let the sidecar filter metrics of another name', async () => {
  const paths: string[] = []
  const cluster = clusterWith({
    pod: (...args: [string, string, number, string]) => (paths.push(args[3]), Promise.resolve('')),
  })
  await sidecarReader(cluster, { requests: 'my_requests', duration: 'my_ms' })(pods(1))
  expect(paths).toEqual(['/stats/prometheus?usedonly'])
})

test('the reader requests counters of at most 16 pods at a time', async () => {
  let [running, most] = [0, 0]
  const cluster = clusterWith({
    pod: async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return ''
    },
  })
  expect((await sidecarReader(cluster, metrics)(pods(40))).size).toBe(40)
  expect(most).toBe(16)
})

test('the reader returns what it has when other pods are silent, and asks no more pods after its limit', async () => {
  const asked: string[] = []
  const cluster = clusterWith({
    pod: (_: string, name: string) => (
      asked.push(name),
      name === 'p0' ? Promise.resolve('istio_requests_total{a="b"} 3\n') : new Promise(() => undefined)
    ),
  })
  expect([...(await sidecarReader(cluster, metrics, { limitMs: 50 })(pods(60))).keys()]).toEqual(['u0'])
  expect(asked).toHaveLength(17)
})

test('the reader says once that the rate of requests is too low for so many pods', async () => {
  const cluster = Object.assign(clusterWith({ pod: () => Promise.reject(new ApiError(0, 'late')) }), {
    requestsPerSecond: 5,
  })
  const notes: string[] = []
  const read = sidecarReader(cluster, metrics, { longestMs: 10_000, note: (line) => notes.push(line) })
  for (const count of [20, 60, 60]) await read(pods(count))
  expect(notes).toEqual([
    'not all counters of 60 sidecars can be read within 10 s, so the promotions take turns: raise `limits.requestsPerSecond` (5), or promote fewer services in one `wave`',
  ])
})

test.each([401, 403])('the reader names the missing right when the API server answers %d', async (status) => {
  const cluster = clusterWith({ pod: () => Promise.reject(new ApiError(status, 'pods "p0" is forbidden')) })
  await expect(sidecarReader(cluster, metrics)(pods(1))).rejects.toThrow(
    'the counters of the sidecars cannot be read: pods "p0" is forbidden; the promotion needs the verb get on pods/proxy, or Prometheus (canary.prometheus.counters)',
  )
})

test('the reader sends one request per pod and sample, and no other request', async () => {
  let calls = 0
  const cluster = clusterWith({
    pod: () => (calls++, Promise.resolve('istio_requests_total{reporter="destination",response_code="200"} 1\n')),
  })
  const observer = await createObserver(
    cluster,
    [live(() => pods(5))],
    {
      namespace: 'shop',
      host: 'backend.shop.svc.cluster.local',
      stable: { version: 'v1' },
      canary: { version: 'v2' },
      plan: planOf(),
    },
    () => undefined,
  )
  calls = 0
  for (let samples = 0; samples < 3; samples++) expect((await observer.sample()).observed.complete).toBe(true)
  expect(calls).toBe(15)
})

test('the reader asks for no durations of a pod that does not need them', async () => {
  const paths: string[] = []
  const cluster = clusterWith({
    pod: (...args: [string, string, number, string]) => (paths.push(args[3]), Promise.resolve('')),
  })
  await sidecarReader(cluster, metrics)(pods(2), ({ metadata }) => metadata.name === 'p0')
  expect(paths).toEqual(
    ['istio.request(s_total%7C_duration)', 'istio.requests_total'].map(
      (filter) => `/stats/prometheus?usedonly&filter=${filter}`,
    ),
  )
})
