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
const bare = pod({
  spec: { containers: [{ name: 'app' }], initContainers: [] },
  status: { initContainerStatuses: [], containerStatuses: [container('app')] },
})

describe('the form of the sidecar', () => {
  test.each<[string, Pod, string]>([
    ['an init container that stays', pod(), 'native'],
    ['a container beside the application', classic, 'classic'],
    ['none', bare, 'none'],
    [
      'an init container of that name that ends is none',
      pod({ spec: { initContainers: [{ name: 'istio-proxy' }] } }),
      'none',
    ],
    ['istio-init alone is none', pod({ spec: { initContainers: [{ name: 'istio-init' }] } }), 'none'],
  ])('%s', (_, each, form) => {
    expect(sidecarForm(each)).toBe(form)
  })
})

describe('which pods need a sidecar', () => {
  const inject = 'sidecar.istio.io/inject'
  test.each<[string, Pod, boolean]>([
    ['one that runs', bare, true],
    ['one that is pending', pod({ status: { phase: 'Pending' } }), true],
    ['not one that is being deleted', pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }), false],
    ['not one that succeeded', pod({ status: { phase: 'Succeeded' } }), false],
    ['not one that failed, such as an evicted one', pod({ status: { phase: 'Failed' } }), false],
    ['not one of a Job', pod({ metadata: { ownerReferences: [{ kind: 'Job', name: 'migrate', uid: 'u' }] } }), false],
    [
      'one of a ReplicaSet',
      pod({ metadata: { ownerReferences: [{ kind: 'ReplicaSet', name: 'backend-1', uid: 'u' }] } }),
      true,
    ],
    ['not one on the network of the node', pod({ spec: { hostNetwork: true } }), false],
    ['not one that opted out by label', pod({ metadata: { labels: { [inject]: 'false' } } }), false],
    ['not one that opted out by annotation', pod({ metadata: { annotations: { [inject]: 'false' } } }), false],
    [
      'one whose label says yes, over an annotation that says no',
      pod({ metadata: { labels: { [inject]: 'true' }, annotations: { [inject]: 'false' } } }),
      true,
    ],
    [
      'not one whose label says no, over an annotation that says yes',
      pod({ metadata: { labels: { [inject]: 'false' }, annotations: { [inject]: 'true' } } }),
      false,
    ],
  ])('%s', (_, each, expected) => {
    expect(expectsSidecar(each)).toBe(expected)
  })
})

describe('N/N', () => {
  test.each<[string, Pod, number, number]>([
    ['a native sidecar counts, istio-init does not', pod(), 2, 2],
    ['a classic sidecar counts', classic, 2, 2],
    ['no sidecar', bare, 1, 1],
    [
      'the native sidecar is not ready',
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
      'the application is not ready',
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
      'two application containers',
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
    ['a pod that no node has taken yet', { ...pod(), status: { phase: 'Pending' } }, 0, 2],
  ])('%s', (_, each, ready, all) => {
    expect(readiness(each)).toEqual({ ready, all })
  })

  test('init containers that end are not among those that last', () => {
    expect(lastingStatuses(pod()).map(({ name }) => name)).toEqual(['istio-proxy', 'app'])
  })
})

test.each<[string, NonNullable<Pod['status']>['conditions'], boolean]>([
  [
    'Ready is True',
    [
      { type: 'PodScheduled', status: 'True' },
      { type: 'Ready', status: 'True' },
    ],
    true,
  ],
  ['Ready is False', [{ type: 'Ready', status: 'False' }], false],
  ['only its containers are ready', [{ type: 'ContainersReady', status: 'True' }], false],
  ['nothing is said yet', [], false],
])('a pod is ready or not: %s', (_, conditions, ready) => {
  expect(isReady(pod({ status: { conditions: conditions! } }))).toBe(ready)
})
