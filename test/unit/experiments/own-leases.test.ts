// The Leases of an experiment: how a run keeps them while it takes them, and which are deleted for a run that is gone.
import { describe, expect, test } from 'vitest'
import { guardIdentity } from '../../../src/canary/ownership/lease-object.ts'
import { claimNames, deleteOwnLeases } from '../../../src/experiments/own-leases.ts'
import { openSession } from '../../../src/experiments/session.ts'
import type { Lease, VirtualService } from '../../../src/cluster/objects.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, to, virtualService } from '../fixtures.ts'
import { FakeObjects } from './fake-objects.ts'
import { experimentOf } from './fixtures.ts'

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

describe('a run that waits for its second Lease', () => {
  const holds = (service: string, holder: string, renewTime: string): Lease => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: `mesh-canary-${service}`, namespace: 'shop', uid: service, resourceVersion: '1' },
    spec: { holderIdentity: holder, leaseDurationSeconds: 30, renewTime },
  })

  /** Somebody promotes the frontend for 100 seconds. `everySecond` gets the first Lease of the run. */
  function open(cluster: FakeObjects, everySecond: (own: Lease, seconds: number) => void) {
    const clock = new FakeClock()
    const promoting = () => {
      const lease = holds('frontend', 'run 5 (cccccccc)', String(clock.time))
      lease.metadata.annotations = { 'mesh-canary.io/state': '{}' }
      return lease
    }
    cluster.put(promoting())
    clock.afterSleep = () => {
      if (clock.time < 100_000) cluster.put(promoting())
      else if (cluster.find('Lease', 'mesh-canary-frontend')?.metadata.uid === 'frontend')
        cluster.put(holds('frontend', '', ''))
      everySecond(cluster.find('Lease', 'mesh-canary-backend') as Lease, clock.time / 1000)
    }
    const settings = { namespace: 'shop', name: 'ours', services: { target: 'backend', others: ['frontend'] } }
    const experiment = experimentOf('leaseWaitTimeout: 5m')
    return openSession(cluster.api, { ...settings, experiment }, [], {
      run: 'run 1',
      readGuardProgram: () => '',
      signal: new AbortController().signal,
      clock,
      note: () => undefined,
    })
  }

  test('renews the first one, so that nobody takes it over', async () => {
    let renewals = 0
    const session = await open(new FakeObjects(), ({ spec }) => {
      if (spec!.renewTime !== 'read') renewals++
      spec!.renewTime = 'read'
    })
    expect(session.identity).toContain('run 1, experiment ours')
    expect(renewals).toBeGreaterThanOrEqual(100)
  })

  test('leaves the fault of a run that has taken the first one', async () => {
    const theirs = 'run 2, experiment theirs (dddddddd)'
    const mark = { experiment: 'theirs', lease: 'mesh-canary-backend', identity: theirs, undo: { kind: 'routes' } }
    const cluster = new FakeObjects()
    const opened = open(cluster, ({ spec }, seconds) => {
      if (seconds !== 40) return
      spec!.holderIdentity = theirs
      const annotations = { 'mesh-canary.io/experiment': JSON.stringify(mark) }
      cluster.put(virtualService([{ name: 'mesh-canary-fault', route: [to('v1')] }], { annotations }))
    })
    await expect(opened).rejects.toThrow('run 2, experiment theirs took over the Lease')
    expect((cluster.find('VirtualService', 'backend') as VirtualService).spec.http).toHaveLength(1)
  })
})

describe('an experiment during a promotion', () => {
  const held = (service: string, holder: string): Lease => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: `mesh-canary-${service}`, namespace: 'shop', uid: service, resourceVersion: '1' },
    spec: { holderIdentity: holder, leaseDurationSeconds: 30, renewTime: '2026-11-30T00:00:00Z' },
  })
  const promotion = 'run 5 (cccccccc)'
  const services = { target: 'backend', others: [] }

  async function open(settings: string, ...leases: Lease[]) {
    const cluster = new FakeObjects()
    leases.forEach((each) => cluster.put(each))
    const clock = new FakeClock()
    // Its holder is alive.
    clock.afterSleep = () =>
      leases.forEach(({ metadata, spec }) => {
        const lease = held('', spec!.holderIdentity!)
        lease.metadata = metadata
        lease.spec!.renewTime = String(clock.time)
        cluster.put(lease)
      })
    const experiment = experimentOf(settings, '{ podKill: { workload: deploy/backend } }')
    const claims = claimNames(services, experiment)
    const deps = {
      run: 'run 1',
      readGuardProgram: () => '',
      signal: new AbortController().signal,
      clock,
      note: () => undefined,
    }
    const session = await openSession(
      cluster.api,
      { namespace: 'shop', name: 'ours', experiment, services: claims },
      [],
      deps,
    )
    return session.lease.metadata.name
  }

  test('has a Lease of its own', async () => {
    expect(await open('during: promotion', held('backend', promotion))).toBe('mesh-canary-experiment-backend')
  })

  test('is refused without `during`', async () => {
    await expect(open('', held('backend', promotion))).rejects.toThrow('another run promotes backend: run 5')
  })

  test.each([
    ['during: promotion', 'backend'],
    ['', 'experiment-backend'],
  ])('never runs together with another experiment (%s)', async (settings, service) => {
    const theirs = held(service, 'run 5, experiment theirs (dddddddd)')
    await expect(open(settings, theirs)).rejects.toThrow(
      'another run experiments with backend: run 5, experiment theirs',
    )
  })
})
