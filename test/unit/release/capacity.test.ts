import { describe, expect, test } from 'vitest'
import { RouteWriter } from '../../../src/canary/controller/writer.ts'
import { ReplicasNotReady } from '../../../src/canary/controller/context.ts'
import type { State } from '../../../src/canary/state/types.ts'
import { firstReplicas, proportionalCapacity, replicasFor } from '../../../src/release/capacity.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, planOf, split, to, virtualService } from '../fixtures.ts'
import { clusterOf, deployment } from './fixtures.ts'

test.each([
  [1, 10, 1],
  [5, 10, 1],
  [11, 10, 2],
  [50, 3, 2],
  [100, 7, 7],
])('at weight %i of %i pods, the canary has %i', (weight, full, pods) => {
  expect(replicasFor(weight, full)).toBe(pods)
})

test.each([
  ['replicas: same', 8],
  ['replicas: 3', 3],
  ['replicas: proportional', 1],
  ['replicas: proportional, steps: [30, 100]', 3],
  ['replicas: proportional, mirror: { percent: 50% }', 4],
  ['replicas: proportional, ab: { match: { headers: { x-tester: "1" } } }', 8],
])('a canary with { %s } starts with %i of 8 pods', (plan, pods) => {
  expect(firstReplicas(planOf(`image: "a:1", ${plan}`), 8)).toBe(pods)
})

describe('a canary that grows', () => {
  const plan = planOf('image: "a:1", steps: [10, 50, 100], replicas: proportional')
  const withPods = (replicas: number, available: number) => {
    const canary = deployment('till-canary')
    return { ...canary, spec: { ...canary.spec, replicas }, status: { availableReplicas: available } }
  }
  const begin = (replicas: number, available: number, ...others: Parameters<typeof clusterOf>[0]) => {
    const canary = withPods(replicas, available)
    const { cluster, writes } = clusterOf([canary, ...others])
    return { writes, capacity: proportionalCapacity(cluster, plan, 10, canary) }
  }

  test('is scaled before its weight rises, and the weight waits for its pods', async () => {
    const { writes, capacity } = begin(1, 1)
    await expect(capacity.ensureReplicas(50)).rejects.toThrow(
      new ReplicasNotReady('Deployment/till-canary has 1 of the 5 pods for weight 50'),
    )
    expect(writes).toEqual(['merge Deployment till-canary {"spec":{"replicas":5}}'])
  })

  test('starts the pods of the next step with the step before it', async () => {
    const { writes, capacity } = begin(1, 1)
    await capacity.scaleForNextStep(10)
    expect(writes).toEqual(['merge Deployment till-canary {"spec":{"replicas":5}}'])
    await begin(10, 10).capacity.scaleForNextStep(100)
  })

  test('never shrinks', async () => {
    const { writes, capacity } = begin(9, 9)
    await capacity.ensureReplicas(50)
    expect(writes).toEqual([])
  })

  test('takes the minimum of its autoscaler along', async () => {
    const scaler = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'for-the-canary', namespace: 'shop' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'till-canary' } },
    }
    const { writes, capacity } = begin(5, 5, scaler)
    await expect(capacity.ensureReplicas(100)).rejects.toThrow(ReplicasNotReady)
    expect(writes[0]).toBe('merge HorizontalPodAutoscaler for-the-canary {"spec":{"minReplicas":10}}')
  })

  test('gets its weight at the attempt that finds its pods ready', async () => {
    let route = virtualService([{ route: [to('v1', 90), to('v2', 10)] }])
    const weights: string[] = []
    const cluster = clusterWith({
      list: (kind: string) => Promise.resolve(kind === 'VirtualService' ? [route] : []),
      patch: () => Promise.resolve((route = { ...route, metadata: { ...route.metadata, resourceVersion: '8' } })),
    })
    let ready = 1
    const writer = new RouteWriter({
      cluster,
      split,
      plan: planOf(),
      session: { renew: () => Promise.resolve(), savedRoutes: [], coverRoutes: () => Promise.resolve() },
      state: () => ({}) as State,
      rollbackObstacle: () => undefined,
      capacity: {
        ensureReplicas: () => (ready < 5 ? Promise.reject(new ReplicasNotReady('too few')) : Promise.resolve()),
        scaleForNextStep: () => Promise.reject(new Error('not now')),
      },
      clock: new FakeClock(),
      note: (line) => weights.push(line),
    })
    expect(await writer.write([{ kind: 'weight', weight: 50 }])).toBe(false)
    ready = 5
    expect(await writer.settled()).toBe(true)
    expect(weights).toEqual([
      'not written yet (weight: v1 50, v2 50): too few',
      'weight: v1 50, v2 50',
      'the pods for the next step could not be started yet: not now',
    ])
  })
})
