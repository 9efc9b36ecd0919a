// What a sample of an experiment says of pods that are not read, or not there.
import { expect, test } from 'vitest'
import { noRequests } from '../../../src/canary/analysis/request-counts.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Pod } from '../../../src/cluster/objects.ts'
import { createSampler } from '../../../src/experiments/metrics/sampler.ts'
import { clusterWith, live, pod, workload } from '../fixtures.ts'
import { experimentOf } from './fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const counter = (requests: number, to = host) =>
  `istio_requests_total{reporter="source",destination_service="${to}",response_code="200",response_flags="-"} ${requests}`
const named = (name: string, labels = { app: 'web' }) => pod({ metadata: { name, uid: name, labels } })

test('a caller that cannot be read is missing, until its next reading has all that it counted', async () => {
  let seconds = 0
  let isAway = false
  const cluster = clusterWith({
    pod: (_: string, name: string) => {
      if (isAway && name !== 'a') return Promise.reject(new ApiError(503, 'no route to host'))
      return Promise.resolve(counter(100 + 50 * seconds, name === 'idle' ? 'other' : host))
    },
  })
  const pods = ['a', 'b', 'idle'].map((name) => named(name))
  const settings = { namespace: 'shop', experiment: experimentOf(), services: ['backend'], workload: undefined }
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  ;[seconds, isAway] = [1, true]
  expect(await sample(false)).toMatchObject({ users: { requests: 50 }, callersNotRead: 2, late: { users: noRequests } })
  ;[seconds, isAway] = [2, false]
  expect(await sample(false)).toMatchObject({
    users: { requests: 150 },
    callersNotRead: 0,
    late: { users: { requests: 100 } },
  })
})

test('a workload that is scaled down has no missing pods, and one that lost a pod has', async () => {
  let pods: Pod[] = ['a', 'b', 'c'].map((name) => named(name, { app: 'backend' }))
  let replicas = 2
  const backend = (count: number) => workload('Deployment', 'backend', {}, { replicas: count })
  const cluster = clusterWith({ pod: () => Promise.resolve(counter(1)), get: () => Promise.resolve(backend(replicas)) })
  const experiment = experimentOf('', '{ podKill: { workload: deploy/backend } }')
  const settings = { namespace: 'shop', experiment, services: ['backend'], workload: backend(3) }
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  pods = pods.slice(1)
  expect((await sample(false)).podsNotReady).toBe(0)
  replicas = 3
  pods = pods.slice(1)
  expect((await sample(false)).podsNotReady).toBe(2)
})

test('a workload that is scaled up has all of its pods only when the new ones are ready', async () => {
  let replicas = 2
  const backend = (count: number) => workload('Deployment', 'backend', {}, { replicas: count })
  const cluster = clusterWith({ pod: () => Promise.resolve(counter(1)), get: () => Promise.resolve(backend(replicas)) })
  const experiment = experimentOf('', '{ podKill: { workload: deploy/backend } }')
  const settings = { namespace: 'shop', experiment, services: ['backend'], workload: backend(2) }
  const pods = ['a', 'b'].map((name) => named(name, { app: 'backend' }))
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  replicas = 4
  expect((await sample(false)).podsNotReady).toBe(2)
})

test('a caller that never called is read less often, is missing meanwhile, and is read at the end', async () => {
  let failing = 0
  const cluster = clusterWith({
    pod: (_: string, name: string) =>
      Promise.resolve(name === 'a' ? counter(1) : failing > 0 ? counter(failing) : counter(1, 'other')),
  })
  const settings = { namespace: 'shop', experiment: experimentOf(), services: ['backend'], workload: undefined }
  const pods = [named('a'), named('idle')]
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  for (let i = 0; i < 20; i++) await sample(false)
  failing = 100
  const last = await sample(true)
  expect(last).toMatchObject({ users: { requests: 100 }, callersNotRead: 0 })
})

test('pods of no workload may be scaled down, and are missing only if they are there and not ready', async () => {
  let pods = ['a', 'b', 'c'].map((name) => named(name, { app: 'backend' }))
  const stress =
    '{ chaosMesh: { kind: StressChaos, spec: { mode: one, selector: { labelSelectors: { app: backend } }, stressors: {} } } }'
  const experiment = experimentOf('', stress)
  const settings = { namespace: 'shop', experiment, services: ['backend'], workload: undefined }
  const cluster = clusterWith({ pod: () => Promise.resolve(counter(1)) })
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  pods = pods.slice(1)
  expect((await sample(false)).podsNotReady).toBe(0)
  const status = { conditions: [{ type: 'Ready', status: 'False' }] }
  pods = [...pods, pod({ metadata: { name: 'd', uid: 'd', labels: { app: 'backend' } }, status })]
  expect((await sample(false)).podsNotReady).toBe(1)
})

test('ztunnel beside the gateways is no caller whose counters are missing', async () => {
  const of = (name: string, args: string[]) =>
    pod({
      metadata: { name, uid: name, namespace: 'istio-system' },
      spec: { containers: [{ name: 'istio-proxy', args }] },
    })
  const pods = [of('gateway', ['proxy', 'router']), of('ztunnel', ['proxy', 'ztunnel'])]
  const cluster = clusterWith({
    pod: (_: string, name: string) =>
      name === 'gateway' ? Promise.resolve(counter(1)) : Promise.reject(new ApiError(503, 'connection refused')),
  })
  const experiment = { ...experimentOf(), load: { path: '/' } }
  const settings = { namespace: 'shop', experiment, services: ['backend'], workload: undefined }
  const { sample } = await createSampler(cluster, [live(() => pods)], settings, () => undefined)
  expect(await sample(true)).toMatchObject({ callersNotRead: 0 })
})
