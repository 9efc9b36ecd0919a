import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { KubeObject, Pod, Workload } from '../../../src/cluster/objects.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { verifyPods } from '../../../src/verify/verify-pods.ts'
import { clusterWith, pod, workload } from '../fixtures.ts'

type Objects = { pods?: Pod[]; workloads?: Workload[]; events?: object[] }
const failedCreate = {
  kind: 'Event',
  involvedObject: { kind: 'ReplicaSet', name: 'backend-5d9f' },
  message: 'failed calling webhook',
}

/**
 * The rows of the pod table, with the events that a controller writes about pods it could not create. The end-to-end
 * tests provoke real ones.
 */
function rowsOf({ pods = [], workloads = [], events = [] }: Objects, isJudged: (pod: Pod) => boolean = () => true) {
  const cluster = clusterWith({
    list: (kind: string) =>
      Promise.resolve(
        (kind === 'Pod'
          ? pods
          : kind === 'Event'
            ? events
            : workloads.filter((each) => each.kind === kind)) as KubeObject[],
      ),
    log: () => Promise.resolve(''),
  })
  return verifyPods(cluster, 'shop', 0, isJudged, new AbortController().signal)
}

/** A pod that runs now, and whose container ended with exit code 1 this long ago. */
function restartedPod(secondsAgo: number): Pod {
  const finishedAt = new Date(Date.now() - secondsAgo * 1_000).toISOString()
  const lastState = { terminated: { exitCode: 1, reason: 'Error', finishedAt } }
  return pod({
    status: {
      containerStatuses: [{ name: 'app', ready: true, restartCount: 3, state: { running: {} }, lastState }],
    },
  })
}

describe('a pod that runs again after a crash', () => {
  test('is not ok at the first look, because it may crash in a loop', async () => {
    const [row] = await rowsOf({ pods: [restartedPod(2)] })
    expect(row).toMatchObject({ ready: '2/2', ok: false })
    expect(row?.cause).toMatch(/^container app ended with exit code 1 \(Error\), 3 restarts/)
  })

  test('is ok when the crash was long ago', async () => {
    expect(await rowsOf({ pods: [restartedPod(3_600)] })).toMatchObject([{ ready: '2/2', ok: true }])
  })

  test('is ok once it has stayed ready for five seconds', async () => {
    let now = 0
    vi.spyOn(systemClock, 'now').mockImplementation(() => now)
    vi.spyOn(systemClock, 'sleep').mockImplementation((ms) => Promise.resolve(void (now += ms)))
    onTestFinished(() => void vi.restoreAllMocks())
    const cluster = clusterWith({
      list: (kind: string) => Promise.resolve((kind === 'Pod' ? [restartedPod(2)] : []) as KubeObject[]),
    })
    const rows = await verifyPods(cluster, 'shop', 30_000, () => true, new AbortController().signal)
    expect([rows, now]).toMatchObject([[{ ok: true }], 5_000])
  })
})

describe('the pod table', () => {
  test('shows a workload without pods in a row of its own, with the event of its controller', async () => {
    expect(await rowsOf({ workloads: [workload('Deployment', 'backend')], events: [failedCreate] })).toEqual([
      {
        name: 'Deployment/backend',
        ready: '0/1',
        sidecar: 'none',
        ok: false,
        restarts: 0,
        cause:
          'no pod can be created: failed calling webhook; the sidecar injector does not answer, so check that istiod runs',
      },
    ])
  })

  const refusedOne = { updatedReplicas: 1, replicas: 1, conditions: [{ type: 'ReplicaFailure', status: 'True' }] }
  test.each<[string, Workload, string[]]>([
    ['with only an old pod left', workload('Deployment', 'backend', { replicas: 1 }), ['Deployment/backend']],
    ['with some pods refused', workload('Deployment', 'backend', refusedOne, { replicas: 3 }), ['Deployment/backend']],
    [
      'that still creates its pods',
      workload('Deployment', 'backend', { updatedReplicas: 1, replicas: 1 }, { replicas: 3 }),
      [],
    ],
    ['with its pods', workload('Deployment', 'backend', { updatedReplicas: 1, replicas: 1 }), []],
    ['scaled to zero', workload('Deployment', 'backend', {}, { replicas: 0 }), []],
    ['of type DaemonSet that no node selects', workload('DaemonSet', 'backend'), []],
    [
      'of type DaemonSet without its pods',
      workload('DaemonSet', 'backend', { desiredNumberScheduled: 2 }),
      ['DaemonSet/backend'],
    ],
    ['of type StatefulSet without its pods', workload('StatefulSet', 'backend'), ['StatefulSet/backend']],
    [
      'that opted out of the mesh',
      {
        ...workload('Deployment', 'backend'),
        spec: {
          selector: {},
          template: { metadata: { labels: { 'sidecar.istio.io/inject': 'false' } }, spec: { containers: [] } },
        },
      },
      [],
    ],
  ])('shows the expected rows for a workload %s', async (_, each, names) => {
    expect((await rowsOf({ workloads: [each] })).map(({ name }) => name)).toEqual(names)
  })

  const partial = { replicas: 1, updatedReplicas: 1 }
  test.each<[string, Workload]>([
    ['StatefulSet', workload('StatefulSet', 'backend', partial, { replicas: 3 })],
    [
      'DaemonSet',
      workload('DaemonSet', 'backend', {
        desiredNumberScheduled: 3,
        currentNumberScheduled: 1,
        updatedNumberScheduled: 1,
      }),
    ],
  ])('shows a %s that could not create all of its pods, which has no condition for that', async (kind, each) => {
    expect(await rowsOf({ pods: [pod()], workloads: [each] })).toMatchObject([
      { name: 'backend-1', ok: true },
      { name: `${kind}/backend`, ready: '1/3', ok: false },
    ])
  })

  test('shows only the pod for which a StatefulSet waits before it creates the next one', async () => {
    const unready = pod({
      metadata: {
        name: 'backend-0',
        labels: { app: 'backend' },
        ownerReferences: [{ kind: 'StatefulSet', name: 'backend', uid: 'u', controller: true }],
      },
      status: { conditions: [{ type: 'PodScheduled', status: 'False', message: 'Insufficient cpu' }] },
    })
    const workloads = [workload('StatefulSet', 'backend', partial, { replicas: 3 })]
    expect((await rowsOf({ pods: [unready], workloads })).map(({ name }) => name)).toEqual(['backend-0'])
  })

  const paused = workload('Deployment', 'backend', { replicas: 1, availableReplicas: 1 })
  const onDelete = workload('DaemonSet', 'backend', { desiredNumberScheduled: 1, currentNumberScheduled: 1 })
  test.each<[string, Workload]>([
    ['paused Deployment', { ...paused, spec: { ...paused.spec, paused: true } }],
    ['DaemonSet OnDelete', { ...onDelete, spec: { ...onDelete.spec, updateStrategy: { type: 'OnDelete' } } }],
  ])('accepts the old pods of a %s', async (_, each) => {
    expect(await rowsOf({ pods: [pod()], workloads: [each] })).toMatchObject([{ name: 'backend-1', ok: true }])
  })

  test('omits the canary, which the promotion checks itself', async () => {
    expect(await rowsOf({ workloads: [workload('Deployment', 'backend')] }, () => false)).toEqual([])
  })
})

test('shows a cause only for pods with a problem', async () => {
  const bad = pod({
    metadata: { name: 'backend-2' },
    status: { conditions: [{ type: 'PodScheduled', status: 'False', message: 'Insufficient cpu' }] },
  })
  expect((await rowsOf({ pods: [pod(), bad] })).map(({ name, cause }) => [name, cause])).toEqual([
    ['backend-1', undefined],
    ['backend-2', expect.stringContaining('Insufficient cpu')],
  ])
})
