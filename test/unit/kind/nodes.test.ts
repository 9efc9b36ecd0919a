import { expect, test } from 'vitest'
import type { Node } from '../../../src/cluster/objects.ts'
import { differences, unreadyNodes, waitForNodes } from '../../../src/kind/nodes.ts'
import { clusterWith, configOf } from '../fixtures.ts'

type Conditions = NonNullable<NonNullable<Node['status']>['conditions']>
const node = (name: string, conditions: Conditions): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { conditions, nodeInfo: { kubeletVersion: 'v1.36.4' } },
})
const ready = { type: 'Ready', status: 'True' }

test('the check names each node that is not ready, with its missing condition', () => {
  const nodes = [
    node('a', [ready]),
    node('b', [
      { type: 'Ready', status: 'False', message: 'container runtime network not ready: cni plugin not initialized' },
    ]),
    node('c', [{ type: 'DiskPressure', status: 'True', message: 'kubelet has disk pressure' }, ready]),
    node('d', []),
  ]
  expect(unreadyNodes(nodes, 5)).toEqual([
    'b: container runtime network not ready: cni plugin not initialized',
    'c: DiskPressure: kubelet has disk pressure',
    'd: its kubelet has not reported yet',
    '1 of 5 nodes has not joined the cluster',
  ])
  expect(unreadyNodes([node('a', [ready])], 1)).toEqual([])
})

test('the check waits for the nodes, even while the API server does not answer yet', async () => {
  const answers = [
    () => Promise.reject(new Error('connection refused')),
    () => Promise.resolve([node('a', [])]),
    () => Promise.resolve([node('a', [ready])]),
  ]
  const cluster = clusterWith({ list: () => answers.shift()!() })
  expect(await waitForNodes(cluster, 1, 60_000, new AbortController().signal)).toHaveLength(1)
})

test('the check fails with the reasons after its timeout', async () => {
  const cluster = clusterWith({
    list: () =>
      Promise.resolve([
        node('a', [{ type: 'Ready', status: 'Unknown', message: 'Kubelet stopped posting node status.' }]),
      ]),
  })
  await expect(waitForNodes(cluster, 1, 1, new AbortController().signal)).rejects.toThrow(
    'cluster: the nodes are not ready after 0.001 s (`cluster.wait`): a: Kubelet stopped posting node status.',
  )
})

test.each([
  ['{ type: kind }', []],
  ['{ type: kind, nodes: 1, kubernetes: 1.36, ports: { http: 80, https: 443 } }', []],
  ['{ type: kind, image: "kindest/node:v1.36.4" }', []],
  ['{ type: kind, nodes: 2 }', ['it has 1 node, and 2 are asked for']],
  ['{ type: kind, kubernetes: 1.35.8 }', ['its nodes run Kubernetes 1.36.4, and 1.35.8 is asked for']],
  [
    '{ type: kind, image: "kindest/node:v1.37.0@sha256:00" }',
    ['its nodes run Kubernetes 1.36.4, and 1.37.0 is asked for'],
  ],
  ['{ type: kind, ports: { http: 8080, https: 443 } }', ['port 8080 of this machine is asked for HTTP, and it has 80']],
])('an existing cluster is compared with %s', (cluster, wanted) => {
  expect(
    differences(configOf(`cluster: ${cluster}`).cluster!, [node('a', [ready])], {
      http: '127.0.0.1:80',
      https: '127.0.0.1:443',
    }),
  ).toEqual(wanted)
})
