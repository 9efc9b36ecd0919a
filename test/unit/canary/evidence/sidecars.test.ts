// A fake of the API server shows which pods are asked; that real sidecars answer so is for the end-to-end tests.
import { expect, test } from 'vitest'
import { observer, type Look } from '../../../../src/canary/evidence/sidecars.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { clusterWith, container, pod } from '../../fixtures.ts'

const watched = {
  namespace: 'shop',
  service: 'backend',
  host: 'backend.shop.svc.cluster.local',
  stable: { version: 'v1' },
  canary: { version: 'v2' },
  metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
  slowAboveMs: undefined,
}
const of = (version: string, name: string, more: Partial<Pod['metadata']> = {}, status?: Pod['status']) => pod({ metadata: { name, uid: name, labels: { version }, ...more }, status })

/** What the first look saw of these pods: each counts 10 requests more each time it is asked; those in `silent` answered only before it. */
async function looked(pods: Pod[], silent: string[] = []): Promise<Look & { asked: string[] }> {
  const asked: string[] = []
  const counts = new Map<string, number>()
  const cluster = clusterWith({
    list: () => Promise.resolve(pods),
    pod: (_: string, name: string) => {
      asked.push(name)
      const count = (counts.get(name) ?? 0) + 10
      counts.set(name, count)
      return silent.includes(name) && count > 10 ? Promise.reject(new Error('no answer')) : Promise.resolve(`istio_requests_total{reporter="destination",response_code="200"} ${count}\n`)
    },
  })
  const look = await observer(cluster, watched)
  asked.length = 0
  return { ...(await look()), asked }
}

test('what each version served since the last look is added up over its pods', async () => {
  const { observation } = await looked([of('v1', 'a'), of('v1', 'b'), of('v2', 'c'), of('v3', 'd')])
  expect([observation.stable.requests, observation.canary.requests]).toEqual([20, 10])
  expect(observation).toMatchObject({ ready: true, complete: true })
})

test.each<[string, Pod]>([
  ['is ending', of('v2', 'b', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
  ['is pending', of('v2', 'b', {}, { phase: 'Pending', conditions: [] })],
  ['failed', of('v2', 'b', {}, { phase: 'Failed', conditions: [] })],
  ['is done', of('v2', 'b', {}, { phase: 'Succeeded', conditions: [] })],
  ['has no sidecar', { ...of('v2', 'b'), spec: { containers: [{ name: 'app' }] } }],
])('a pod that %s is not asked', async (_, other) => {
  const { asked, observation } = await looked([of('v2', 'a'), other])
  expect(asked).toEqual(['a'])
  expect(observation.canary.requests).toBe(10)
})

test('a canary pod that does not answer leaves the look incomplete, another pod does not', async () => {
  const pods = [of('v1', 'a'), of('v2', 'b')]
  expect((await looked(pods, ['b'])).observation).toMatchObject({ complete: false, stable: { requests: 10 }, canary: { requests: 0 } })
  expect((await looked(pods, ['a'])).observation).toMatchObject({ complete: true, stable: { requests: 0 }, canary: { requests: 10 } })
})

test("a canary's pod that crashes is a fault, one of stable is not", async () => {
  const crashing = { phase: 'Running', containerStatuses: [container('app', { ready: false, state: { waiting: { reason: 'CrashLoopBackOff' } } })] }
  expect((await looked([of('v2', 'a', {}, crashing)])).observation.fault).toBe('container app of a crashes in a loop')
  expect((await looked([of('v1', 'a', {}, crashing), of('v2', 'b')])).observation).not.toHaveProperty('fault')
})
