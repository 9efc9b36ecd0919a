import { describe, expect, test } from 'vitest'
import type { KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { deploymentBehind } from '../../../src/release/workload.ts'
import { clusterOf, deployment, podOf, service } from './fixtures.ts'

const found = async (...objects: KubeObject[]) => {
  const { cluster } = clusterOf(objects)
  const { kind, metadata } = await deploymentBehind(cluster, service({ app: 'till' }))
  return `${kind} ${metadata.name}`
}
const without = ({ spec, ...rest }: Workload, replicas: number): Workload => ({ ...rest, spec: { ...spec, replicas } })
const stateful = (kind: string): Workload => ({ ...deployment(), kind })

describe('the Deployment behind a Service', () => {
  test.each<[string, KubeObject[]]>([
    ['is that of its pods', [deployment(), podOf('till')]],
    ['may have no pod that is ready yet', [deployment()]],
    [
      'may have pods with the labels of its old template',
      [deployment('till', { app: 'till', version: '2' }), podOf('till')],
    ],
    ['is not one for other labels', [deployment(), deployment('desk', { app: 'desk' }), podOf('till')]],
    ['is not an old one without pods', [deployment(), without(deployment('till-old'), 0), podOf('till')]],
    [
      'is not the canary of an earlier release',
      [
        deployment(),
        deployment('till-canary', { app: 'till', 'mesh-canary.io/canary': 'till' }),
        podOf('till-canary', 'ReplicaSet', { app: 'till', 'mesh-canary.io/canary': 'till' }),
      ],
    ],
  ])('%s', async (_, objects) => {
    expect(await found(...objects)).toBe('Deployment till')
  })
})

const owned: Workload = {
  ...deployment(),
  metadata: {
    ...deployment().metadata,
    ownerReferences: [{ kind: 'WebApp', name: 'till', uid: 'w', controller: true }],
  },
}
const rollout = podOf('till', 'ReplicaSet', { app: 'till', 'rollouts-pod-template-hash': '1' })

describe('a Service is refused with the cause', () => {
  test.each<[string, KubeObject[], string]>([
    ['no workload', [], 'no Deployment with pods is behind the Service shop/till (app=till); deploy the first version'],
    ['two workloads', [deployment(), deployment('till-v2')], 'Deployment till, Deployment till-v2'],
    [
      'a StatefulSet',
      [stateful('StatefulSet'), podOf('till', 'StatefulSet')],
      'start with empty volumes and other names',
    ],
    ['a DaemonSet', [stateful('DaemonSet'), podOf('till', 'DaemonSet')], 'the DaemonSet till is behind'],
    ['an Argo Rollout', [rollout], 'an Argo Rollout (ReplicaSet till-5d9c8b7f6) is behind the Service shop/till'],
    ['a pod of a Job', [deployment(), podOf('till-init', 'Job')], 'the pod till-init-x1 of the Job till-init'],
    ['an operator', [owned, podOf('till')], 'belongs to the WebApp till, whose operator would undo'],
  ])('%s', async (_, objects, message) => {
    await expect(found(...objects)).rejects.toThrow(message)
  })

  test('a Service without a selector', async () => {
    await expect(deploymentBehind(clusterOf([]).cluster, service())).rejects.toThrow('has no selector')
  })
})
