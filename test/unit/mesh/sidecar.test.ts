import { describe, expect, test } from 'vitest'
import type { Pod } from '../../../src/cluster/objects.ts'
import { expectsSidecar, sidecarForm } from '../../../src/mesh/sidecar.ts'
import { classicPod, pod, podWithoutSidecar } from '../fixtures.ts'

describe('the type of a sidecar', () => {
  test.each<[string, Pod, string]>([
    ['is native for an init container that keeps running', pod(), 'native'],
    ['is classic for a container beside the application', classicPod, 'classic'],
    ['none', podWithoutSidecar, 'none'],
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
    ['if it runs', podWithoutSidecar, true],
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
