// The post step of a run that died in the middle of an experiment.
import { beforeEach, expect, test } from 'vitest'
import { guardIdentity } from '../../../src/canary/ownership/lease-object.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import type { FaultIntent } from '../../../src/experiments/experiment.ts'
import { restoreAfterRun } from '../../../src/experiments/recovery.ts'
import { FakeClock } from '../fake-clock.ts'
import { FakeLeaseCluster, leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { to, virtualService } from '../fixtures.ts'

const identity = 'run 6, experiment trial (deadbeef)'
const intent: FaultIntent = {
  experiment: 'trial',
  namespace: 'shop',
  services: { target: 'backend', others: [] },
  identity,
  objects: [{ kind: 'VirtualService', namespace: 'shop', name: 'backend', undo: { kind: 'routes' } }],
}

let cluster: FakeLeaseCluster
beforeEach(() => {
  cluster = new FakeLeaseCluster(leaseHeldBy(identity))
  cluster.others['VirtualService'] = virtualService([
    { name: 'mesh-canary-fault', route: [to('v1')] },
    { route: [to('v1')] },
  ])
})

test.each([
  ['the run', identity],
  ['the guard of the run', guardIdentity(identity)],
])('removes the fault and the Lease that %s holds', async (_, holder) => {
  cluster.heldBy(holder)
  expect(await restoreAfterRun(cluster.api, intent)).toBe(
    'the fault of the experiment trial was removed (VirtualService shop/backend)',
  )
  expect((cluster.others['VirtualService'] as VirtualService).spec.http).toHaveLength(1)
  expect(cluster.lease).toBeUndefined()
})

test('leaves the Lease of another run', async () => {
  cluster.heldBy('run 7 (00000000)')
  await restoreAfterRun(cluster.api, intent)
  expect(cluster.holder).toBe('run 7 (00000000)')
})

test('says nothing if the guard was faster', async () => {
  cluster.lease = undefined
  cluster.others['VirtualService'] = virtualService([{ route: [to('v1')] }])
  expect(await restoreAfterRun(cluster.api, intent)).toBeUndefined()
})

test('keeps the Lease while Chaos Mesh has not ended the fault, and says so', async () => {
  const metadata = { name: 'x', namespace: 'shop', uid: 'u', annotations: { 'mesh-canary.io/experiment': '{}' } }
  cluster.others['NetworkChaos'] = { apiVersion: 'chaos-mesh.org/v1alpha1', kind: 'NetworkChaos', metadata }
  const objects = [{ kind: 'NetworkChaos', namespace: 'shop', name: 'x', undo: { kind: 'delete' } } as const]
  await expect(restoreAfterRun(cluster.api, { ...intent, objects }, new FakeClock())).rejects.toThrow(
    'NetworkChaos shop/x is deleted, but still there',
  )
  expect(cluster.holder).toBe(identity)
})

test('keeps the Lease if the run could not see that the sidecars follow, and says so', async () => {
  const unseen = 'the sidecars still apply it'
  await expect(restoreAfterRun(cluster.api, { ...intent, unseen })).rejects.toThrow(
    'its objects are restored, but the sidecars still apply it',
  )
  expect(cluster.holder).toBe(identity)
})
