import { describe, expect, test } from 'vitest'
import type { Pod } from '../../../src/cluster/objects.ts'
import { isReady, lastingStatuses, readiness } from '../../../src/cluster/pods.ts'
import { classicPod, container, pod, podWithoutSidecar } from '../fixtures.ts'

describe('the ready containers of a pod', () => {
  test.each<[string, Pod, number, number]>([
    ['include a native sidecar but not istio-init', pod(), 2, 2],
    ['include a classic sidecar', classicPod, 2, 2],
    ['are those of the application without a sidecar', podWithoutSidecar, 1, 1],
    [
      'exclude a native sidecar that is not ready',
      pod({
        status: {
          initContainerStatuses: [container('istio-init'), container('istio-proxy', { ready: false })],
          containerStatuses: [container('app')],
        },
      }),
      1,
      2,
    ],
    [
      'exclude an application that is not ready',
      pod({
        status: {
          containerStatuses: [container('app', { ready: false })],
          initContainerStatuses: [container('istio-proxy')],
        },
      }),
      1,
      2,
    ],
    [
      'include both containers of an application',
      pod({
        spec: { containers: [{ name: 'app' }, { name: 'agent' }] },
        status: {
          containerStatuses: [container('app'), container('agent')],
          initContainerStatuses: [container('istio-proxy')],
        },
      }),
      3,
      3,
    ],
    ['are none before a node takes the pod', { ...pod(), status: { phase: 'Pending' } }, 0, 2],
  ])('%s', (_, each, ready, all) => {
    expect(readiness(each)).toEqual({ ready, all })
  })

  test('exclude init containers that end', () => {
    expect(lastingStatuses(pod()).map(({ name }) => name)).toEqual(['istio-proxy', 'app'])
  })
})

test.each<[string, NonNullable<Pod['status']>['conditions'], boolean]>([
  [
    'when Ready is True',
    [
      { type: 'PodScheduled', status: 'True' },
      { type: 'Ready', status: 'True' },
    ],
    true,
  ],
  ['when Ready is False', [{ type: 'Ready', status: 'False' }], false],
  ['when only its containers are ready', [{ type: 'ContainersReady', status: 'True' }], false],
  ['when it has no conditions', [], false],
])('the readiness of a pod is known %s', (_, conditions, ready) => {
  expect(isReady(pod({ status: { conditions: conditions! } }))).toBe(ready)
})
