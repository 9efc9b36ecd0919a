import { describe, expect, test } from 'vitest'
import type { Workload } from '../../../src/cluster/objects.ts'
import { isRolledOut, waitForRollout } from '../../../src/verify/rollout.ts'
import { clusterWith, pod, workload } from '../fixtures.ts'

const complete = (count: number) => ({ replicas: count, updatedReplicas: count, availableReplicas: count })
const everywhere = { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2 }

describe('a rollout', () => {
  test.each<[string, Workload, boolean]>([
    [
      'is complete when all pods are new and available',
      workload('Deployment', 'a', complete(3), { replicas: 3 }),
      true,
    ],
    ['is complete with one pod when no number of replicas is stated', workload('Deployment', 'a', complete(1)), true],
    ['is complete when scaled to zero', workload('Deployment', 'a', complete(0), { replicas: 0 }), true],
    [
      'is incomplete while the controller has not observed the change',
      workload('Deployment', 'a', { ...complete(3), observedGeneration: 1 }, { replicas: 3, generation: 2 }),
      false,
    ],
    [
      'is incomplete while an old pod exists',
      workload('Deployment', 'a', { ...complete(3), replicas: 4 }, { replicas: 3 }),
      false,
    ],
    [
      'is incomplete while a pod has the old template',
      workload('Deployment', 'a', { ...complete(3), updatedReplicas: 2 }, { replicas: 3 }),
      false,
    ],
    [
      'is incomplete while a pod is not available',
      workload('Deployment', 'a', { ...complete(3), availableReplicas: 2 }, { replicas: 3 }),
      false,
    ],
    ['is incomplete without a status', { ...workload('Deployment', 'a'), status: { observedGeneration: 1 } }, false],
    [
      'is complete for a StatefulSet with all pods new',
      workload('StatefulSet', 'a', complete(2), { replicas: 2 }),
      true,
    ],
    ['is complete for a DaemonSet with a pod on every node', workload('DaemonSet', 'a', everywhere), true],
    [
      'is incomplete for a DaemonSet with an old pod',
      workload('DaemonSet', 'a', { ...everywhere, updatedNumberScheduled: 1 }),
      false,
    ],
    [
      'is incomplete for a DaemonSet with an unavailable pod',
      workload('DaemonSet', 'a', { ...everywhere, numberAvailable: 1 }),
      false,
    ],
  ])('%s', (_, each, expected) => {
    expect(isRolledOut(each)).toBe(expected)
  })
})

describe('waiting for a rollout', () => {
  const slow = workload('Deployment', 'backend', { replicas: 1 })
  const waitForWorkload = (pods: object[], events: object[] = [], now: Workload | undefined = slow) => {
    const cluster = clusterWith({
      get: () => Promise.resolve(now),
      list: (kind: string) => Promise.resolve(kind === 'Pod' ? pods : events),
      log: () => Promise.resolve(''),
    })
    return waitForRollout(cluster, slow, 0, new AbortController().signal)
  }

  test('fails with the cause of the pod that is not ready', async () => {
    const broken = pod({
      status: { conditions: [{ type: 'PodScheduled', status: 'False', message: 'Insufficient cpu' }] },
    })
    await expect(
      waitForWorkload([pod({ metadata: { name: 'frontend-1', labels: { app: 'frontend' } } }), broken]),
    ).rejects.toThrow(
      'Deployment/backend was not ready within 0 s after its restart: backend-1: no node takes the pod: Insufficient cpu',
    )
  })

  test('fails with the cause of the newest pod, not of one that it replaces', async () => {
    const one = (name: string, creationTimestamp: string, message: string, more = {}) =>
      pod({
        metadata: { name, creationTimestamp, labels: { app: 'backend' }, ...more },
        status: { conditions: [{ type: 'PodScheduled', status: 'False', message }] },
      })
    const pods = [
      one('backend-1', '2026-01-01T00:00:00Z', 'old'),
      one('backend-2', '2026-01-01T00:01:00Z', 'new'),
      one('backend-3', '2026-01-01T00:02:00Z', 'going', { deletionTimestamp: '2026-01-01T00:03:00Z' }),
    ]
    await expect(waitForWorkload(pods)).rejects.toThrow('backend-2: no node takes the pod: new')
  })

  test('ignores pods of another workload when the selector has only expressions', async () => {
    const byExpression = {
      ...slow,
      spec: { selector: {}, template: { metadata: { labels: { app: 'backend' } }, spec: { containers: [] } } },
    }
    const other = pod({ metadata: { name: 'frontend-1', labels: { app: 'frontend' } }, status: { conditions: [] } })
    await expect(waitForWorkload([other], [], byExpression)).rejects.toThrow('its new pods do not exist yet')
  })

  test('fails with the reason why the controller replaces no pod', async () => {
    const paused = { ...slow, spec: { ...slow.spec, paused: true } }
    await expect(waitForWorkload([pod()], [], paused)).rejects.toThrow(/after its restart: it is paused; resume it/)
  })

  test('fails with the reason why no pod could be created', async () => {
    await expect(
      waitForWorkload(
        [],
        [{ involvedObject: { kind: 'ReplicaSet', name: 'backend-5d9f' }, message: 'exceeded quota' }],
      ),
    ).rejects.toThrow('no pod can be created: exceeded quota')
  })

  test('fails without a cause when none is known', async () => {
    await expect(waitForWorkload([])).rejects.toThrow('its new pods do not exist yet')
  })

  test('succeeds when the rollout completes at the last moment', async () => {
    await expect(waitForWorkload([], [], workload('Deployment', 'backend', complete(1)))).resolves.toBeUndefined()
  })
})
