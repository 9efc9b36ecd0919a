import { describe, expect, test } from 'vitest'
import type { Pod } from '../../../src/cluster/objects.ts'
import { expectsSidecar, isReady, lastingStatuses, readiness, sidecarForm } from '../../../src/mesh/sidecar.ts'
import { container, pod } from '../fixtures.ts'

const classic = pod({
  spec: { containers: [{ name: 'app' }, { name: 'istio-proxy' }], initContainers: [{ name: 'istio-init' }] },
  status: {
    initContainerStatuses: [container('istio-init')],
    containerStatuses: [container('app'), container('istio-proxy')],
  },
})
const withoutSidecar = pod({
  spec: { containers: [{ name: 'app' }], initContainers: [] },
  status: { initContainerStatuses: [], containerStatuses: [container('app')] },
})

describe('the type of a sidecar', () => {
  test.each<[string, Pod, string]>([
    ['is native for an init container that keeps running', pod(), 'native'],
    ['is classic for a container beside the application', classic, 'classic'],
    ['none', withoutSidecar, 'none'],
    [
      'is none for an init container of that name that ends',
      pod({ spec: { initContainers: [{ name: 'istio-proxy' }] } }),
      'none',
    ],
    ['is none for istio-init alone', pod({ spec: { initContainers: [{ name: 'istio-init' }] } }), 'none'],
  ])('%s', (_, each, form) => {
    expect(sidecarForm(each)).toBe(form)
  })
})

describe('a pod needs a sidecar', () => {
  const inject = 'sidecar.istio.io/inject'
  test.each<[string, Pod, boolean]>([
    ['if it runs', withoutSidecar, true],
    ['if it is pending', pod({ status: { phase: 'Pending' } }), true],
    ['unless it is being deleted', pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }), false],
    ['unless it succeeded', pod({ status: { phase: 'Succeeded' } }), false],
    ['unless it failed, like an evicted one', pod({ status: { phase: 'Failed' } }), false],
    [
      'unless a Job created it',
      pod({ metadata: { ownerReferences: [{ kind: 'Job', name: 'migrate', uid: 'u' }] } }),
      false,
    ],
    [
      'if a ReplicaSet created it',
      pod({ metadata: { ownerReferences: [{ kind: 'ReplicaSet', name: 'backend-1', uid: 'u' }] } }),
      true,
    ],
    ['unless it uses the network of the node', pod({ spec: { hostNetwork: true } }), false],
    ['unless a label opts it out', pod({ metadata: { labels: { [inject]: 'false' } } }), false],
    ['unless an annotation opts it out', pod({ metadata: { annotations: { [inject]: 'false' } } }), false],
    [
      'if a label opts it in and an annotation opts it out',
      pod({ metadata: { labels: { [inject]: 'true' }, annotations: { [inject]: 'false' } } }),
      true,
    ],
    [
      'unless a label opts it out and an annotation opts it in',
      pod({ metadata: { labels: { [inject]: 'false' }, annotations: { [inject]: 'true' } } }),
      false,
    ],
  ])('%s', (_, each, expected) => {
    expect(expectsSidecar(each)).toBe(expected)
  })
})

describe('the ready containers of a pod', () => {
  test.each<[string, Pod, number, number]>([
    ['include a native sidecar but not istio-init', pod(), 2, 2],
    ['include a classic sidecar', classic, 2, 2],
    ['are those of the application without a sidecar', withoutSidecar, 1, 1],
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
