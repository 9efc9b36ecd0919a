import { expect, test } from 'vitest'
import { neededFields } from '../../../src/cluster/needed-fields.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', namespace: 'shop', uid: '1', labels: { app: 'a' }, managedFields: [{ manager: 'kubelet' }] },
  spec: {
    nodeName: 'node',
    volumes: [{ name: 'data' }],
    containers: [
      {
        name: 'istio-proxy',
        image: 'proxyv2',
        volumeMounts: [{ name: 'data' }],
        env: [
          { name: 'ISTIO_META_MESH_ID', value: 'cluster.local' },
          { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        ],
      },
    ],
  },
  status: {
    phase: 'Running',
    podIP: '192.0.2.1',
    hostIP: '192.0.2.9',
    containerStatuses: [{ name: 'istio-proxy', ready: true, restartCount: 2, containerID: 'containerd://1' }],
  },
}

test('of a pod, only the fields that the code reads stay', () => {
  expect(neededFields('Pod', pod)).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'shop', uid: '1', labels: { app: 'a' } },
    spec: {
      nodeName: 'node',
      containers: [
        { name: 'istio-proxy', image: 'proxyv2', env: [{ name: 'ISTIO_META_MESH_ID', value: 'cluster.local' }] },
      ],
    },
    status: {
      phase: 'Running',
      podIP: '192.0.2.1',
      containerStatuses: [{ name: 'istio-proxy', ready: true, restartCount: 2 }],
    },
  })
})

test('an object of another kind, and a bookmark of a watch of pods, stay as they are', () => {
  const service = { ...pod, kind: 'Service' }
  expect(neededFields('Service', service)).toBe(service)
  const bookmark: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: '', resourceVersion: '20' } }
  expect(neededFields('Pod', bookmark)).toBe(bookmark)
})

test('replicas share what they have in common, also with the next version of each', () => {
  const replica = (name: string, more: object = {}) =>
    neededFields('Pod', { ...structuredClone(pod), metadata: { name, labels: { app: 'a' } }, ...more })
  const specOf = (object: KubeObject) => (object as KubeObject & { spec: { containers: object[] } }).spec
  const [one, two] = [replica('one'), replica('two')]
  expect(two.metadata.labels).toBe(one.metadata.labels)
  expect(specOf(two).containers[0]).toBe(specOf(one).containers[0])
  expect(two.metadata.name).toBe('two')
  const changed = replica('one', { spec: { containers: [{ name: 'istio-proxy', image: 'proxyv2:next' }] } })
  expect(specOf(changed).containers).toEqual([{ name: 'istio-proxy', image: 'proxyv2:next' }])
})
