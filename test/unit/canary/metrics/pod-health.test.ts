import { describe, expect, test } from 'vitest'
import { healthOf, restartsOf } from '../../../../src/canary/metrics/pod-health.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { container, pod } from '../../fixtures.ts'

const notReady = [{ type: 'Ready', status: 'False' }]
/** A pod that has ended, such as an evicted one; its container restarted once. */
const ended = (phase: string) =>
  pod({
    status: { phase, conditions: notReady, containerStatuses: [container('app', { ready: false, restartCount: 1 })] },
  })
const withRestarts = (restartCount: number, metadata: Partial<Pod['metadata']> = {}) =>
  pod({ metadata, status: { containerStatuses: [container('app', { restartCount })] } })

describe('the readiness of the canary', () => {
  test.each<[string, Pod[], boolean]>([
    ['one ready pod', [pod()], true],
    ['no pod at all', [], false],
    ['one of two pods is not ready', [pod(), pod({ status: { conditions: notReady } })], false],
    [
      'a pod that is being deleted does not count',
      [pod(), pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { conditions: notReady } })],
      true,
    ],
    ['a pod that failed does not count', [pod(), ended('Failed')], true],
    ['a pod that has completed does not count', [pod(), ended('Succeeded')], true],
    ['only pods that failed', [ended('Failed')], false],
    ['only pods that are being deleted', [pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })], false],
  ])('%s', (_, pods, ready) => {
    expect(healthOf(pods, new Map())).toEqual({ ready })
  })
})

describe('a fault of the canary', () => {
  test('is a container that crashes in a loop, and names its pod', () => {
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
      podFailure: { pod: broken, text: 'container app of backend-9 crashes in a loop' },
    })
  })

  test('is a container that restarted since the promotion began', () => {
    const now = withRestarts(3)
    expect(healthOf([now], restartsOf([withRestarts(2)]))).toEqual({
      ready: false,
      podFailure: { pod: now, text: 'container app of backend-1 was restarted during the promotion' },
    })
  })

  test('is a native sidecar that restarted since, but no other init container', () => {
    const withInit = (restartCount: number, restartPolicy?: 'Always') =>
      pod({
        spec: {
          containers: [{ name: 'app' }],
          initContainers: [{ name: 'agent', ...(restartPolicy && { restartPolicy }) }],
        },
        status: { initContainerStatuses: [container('agent', { restartCount })] },
      })
    const faultOf = (...kind: 'Always'[]) =>
      healthOf([withInit(1, ...kind)], restartsOf([withInit(0, ...kind)])).podFailure?.text
    expect(faultOf('Always')).toBe('container agent of backend-1 was restarted during the promotion')
    expect(faultOf()).toBeUndefined()
  })

  test('is a restart in a pod that was created later', () => {
    expect(healthOf([withRestarts(1, { uid: 'uid-2' })], restartsOf([withRestarts(5)])).podFailure?.text).toContain(
      'was restarted',
    )
  })

  test('is not a restart from before the promotion', () => {
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

  test('is not a restart in a pod that is being deleted', () => {
    expect(healthOf([pod(), withRestarts(9, { deletionTimestamp: '2026-01-01T00:00:00Z' })], new Map())).toEqual({
      ready: true,
    })
  })
})

test('restart counts distinguish pod and container, even for a replacement with the same name', () => {
  const pods = [withRestarts(1, { uid: 'a' }), withRestarts(2, { uid: 'b' })]
  expect(restartsOf(pods)).toEqual(
    new Map([
      ['a/istio-proxy', 0],
      ['a/app', 1],
      ['b/istio-proxy', 0],
      ['b/app', 2],
    ]),
  )
})
