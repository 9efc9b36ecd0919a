import { expect, test } from 'vitest'
import { podRow, podRows } from '../../../src/verify/pods.ts'
import type { Pod } from '../../../src/cluster/objects.ts'
import { container, pod } from '../fixtures.ts'

const unready = [{ type: 'Ready', status: 'False' }]

test.each<[string, Pod, object]>([
  [
    'that is ready with its sidecar',
    pod(),
    { name: 'backend-1', ready: '2/2', sidecar: 'native', ok: true, restarts: 0 },
  ],
  [
    'that is ready without a sidecar',
    pod({ spec: { initContainers: [] }, status: { initContainerStatuses: [] } }),
    { ready: '1/1', sidecar: 'none', ok: false },
  ],
  [
    'whose application is not ready',
    pod({ status: { conditions: unready, containerStatuses: [container('app', { ready: false, restartCount: 3 })] } }),
    { ready: '1/2', ok: false, restarts: 3 },
  ],
  [
    'whose native sidecar restarted',
    pod({ status: { initContainerStatuses: [container('istio-proxy', { restartCount: 2 })] } }),
    { ready: '2/2', ok: true, restarts: 2 },
  ],
  [
    'whose containers are ready but whose readiness gate is not met',
    pod({ status: { conditions: unready } }),
    { ready: '2/2', ok: false },
  ],
  [
    'that says ready although its sidecar no longer is',
    pod({ status: { initContainerStatuses: [container('istio-proxy', { ready: false })] } }),
    { ready: '1/2', ok: false },
  ],
])('a pod %s', (_, each, row) => {
  expect(podRow(each)).toMatchObject(row)
})

test('the table has one row for each pod that belongs to the mesh, sorted by name', () => {
  const named = (name: string, more: Partial<Pod['metadata']> = {}) => pod({ metadata: { name, ...more } })
  const pods = [
    named('b'),
    named('c', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    named('a'),
    named('d', { ownerReferences: [{ kind: 'Job', name: 'j', uid: 'u' }] }),
  ]
  expect(podRows(pods).map(({ name }) => name)).toEqual(['a', 'b'])
})
