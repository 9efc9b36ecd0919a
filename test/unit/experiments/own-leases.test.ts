// Which Leases a run that is gone may have deleted for it.
import { expect, test } from 'vitest'
import { guardIdentity } from '../../../src/canary/ownership/lease-object.ts'
import { deleteOwnLeases } from '../../../src/experiments/own-leases.ts'
import { clusterWith } from '../fixtures.ts'

const identity = 'run 6, experiment trial (deadbeef)'

test('only those that the experiment or its guard holds are deleted, not those of another job of the same run', async () => {
  const holders: Record<string, string> = {
    own: identity,
    parallel: 'run 6, experiment trial (00000000)',
    guarded: guardIdentity(identity),
    other: 'run 7, experiment trial (deadbeef)',
    promotion: 'run 6 (deadbeef)',
    free: '',
  }
  const deleted: string[] = []
  const cluster = clusterWith({
    get: (_: string, __: string, name: string) =>
      Promise.resolve(
        name in holders ? { metadata: { name, uid: name }, spec: { holderIdentity: holders[name] } } : undefined,
      ),
    remove: (_: string, __: string, name: string, uid: string) => Promise.resolve(deleted.push(`${name} ${uid}`)),
  })
  await deleteOwnLeases(cluster, 'shop', [...Object.keys(holders), 'absent'], identity)
  expect(deleted).toEqual(['own own', 'guarded guarded'])
})
