import { describe, expect, test } from 'vitest'
import { healthOf, restartsOf } from '../../../../src/canary/metrics/pod-health.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { container, pod } from '../../fixtures.ts'

const notReady = [{ type: 'Ready', status: 'False' }]
/** An evicted pod, say: its containers were restarted once. */
const over = (phase: string) =>
  pod({
    status: { phase, conditions: notReady, containerStatuses: [container('app', { ready: false, restartCount: 1 })] },
  })
const withRestarts = (restartCount: number, metadata: Partial<Pod['metadata']> = {}) =>
  pod({ metadata, status: { containerStatuses: [container('app', { restartCount })] } })

describe('ready', () => {
  test.each<[string, Pod[], boolean]>([
    ['one ready pod', [pod()], true],
    ['no pod at all', [], false],
    ['one of two is not', [pod(), pod({ status: { conditions: notReady } })], false],
    [
      'a pod that is being deleted does not count',
      [pod(), pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { conditions: notReady } })],
      true,
    ],
    ['a pod that failed does not count', [pod(), over('Failed')], true],
    ['a pod that is done does not count', [pod(), over('Succeeded')], true],
    ['only pods that failed', [over('Failed')], false],
    ['only pods that are being deleted', [pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })], false],
  ])('%s', (_, pods, ready) => {
    expect(healthOf(pods, new Map())).toEqual({ ready })
  })
})

describe('a fault', () => {
  test('is a container that crashes in a loop, with the pod to look at', () => {
    const broken = pod({
      metadata: { name: 'backend-9' },
      status: {
        containerStatuses: [
          container('app', { ready: false, restartCount: 4, state: { waiting: { reason: 'CrashLoopBackOff' } } }),
        ],
      },
    })
    expect(healthOf([pod(), broken], restartsOf([broken]))).toEqual({
      ready: false,
      fault: { pod: broken, text: 'container app of backend-9 crashes in a loop' },
    })
  })

  test('is a container that restarted since the beginning', () => {
    const now = withRestarts(3)
    expect(healthOf([now], restartsOf([withRestarts(2)]))).toEqual({
      ready: false,
      fault: { pod: now, text: 'container app of backend-1 was restarted during the promotion' },
    })
  })

  test('is a restart of a pod that came later', () => {
    expect(healthOf([withRestarts(1, { uid: 'uid-2' })], restartsOf([withRestarts(5)])).fault?.text).toContain(
      'was restarted',
    )
  })

  test('is not a restart from before', () => {
    expect(healthOf([withRestarts(2)], restartsOf([withRestarts(2)]))).toEqual({ ready: true })
  })

  test('is not a container that is still starting', () => {
    const starting = pod({
      status: {
        conditions: notReady,
        containerStatuses: [container('app', { ready: false, state: { waiting: { reason: 'ContainerCreating' } } })],
      },
    })
    expect(healthOf([starting], new Map())).toEqual({ ready: false })
  })

  test('is not looked for in a pod that is being deleted', () => {
    expect(healthOf([pod(), withRestarts(9, { deletionTimestamp: '2026-01-01T00:00:00Z' })], new Map())).toEqual({
      ready: true,
    })
  })
})

test('restarts are told apart by pod and container, a replaced pod of the same name among them', () => {
  const pods = [withRestarts(1, { uid: 'a' }), withRestarts(2, { uid: 'b' })]
  expect(restartsOf(pods)).toEqual(
    new Map([
      ['a/app', 1],
      ['b/app', 2],
    ]),
  )
})
