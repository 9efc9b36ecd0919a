import { beforeEach, describe, expect, test } from 'vitest'
import { guardIdentity } from '../../../src/canary/ownership/lease-object.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import type { ExperimentGuardSpec } from '../../../src/experiments/guard-spec.ts'
import { watchExperiment } from '../../../src/guard/experiment-watchdog.ts'
import { FakeLeaseCluster, leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { FakeClock } from '../fake-clock.ts'
import { to, virtualService } from '../fixtures.ts'

const identity = 'https://ci/run/6, experiment trial (deadbeef)'
const spec: ExperimentGuardSpec = {
  experiment: 'trial',
  namespace: 'shop',
  service: 'backend',
  lease: 'mesh-canary-backend',
  otherLeases: [],
  identity,
  afterMs: 30_000,
  objects: [{ kind: 'VirtualService', namespace: 'shop', name: 'backend', undo: { kind: 'routes' } }],
}

let clock: FakeClock
let cluster: FakeLeaseCluster
let lines: string[]
beforeEach(() => {
  clock = new FakeClock()
  cluster = new FakeLeaseCluster(leaseHeldBy(identity))
  cluster.others['VirtualService'] = virtualService([
    { name: 'mesh-canary-fault', route: [to('v1')] },
    { route: [to('v1')] },
  ])
  lines = []
})

const watch = (more: Partial<ExperimentGuardSpec> = {}) =>
  watchExperiment(cluster.api, { ...spec, ...more }, { clock, log: (line) => lines.push(line) })
const routes = () => (cluster.others['VirtualService'] as VirtualService).spec.http!.map(({ name }) => name)

test('removes the fault when the run is silent, says so, and deletes the Lease', async () => {
  expect(await watch()).toBe('removed the fault')
  expect(clock.time).toBe(30_000)
  expect(routes()).toEqual([undefined])
  expect(cluster.lease).toBeUndefined()
  expect(cluster.created).toMatchObject([
    {
      kind: 'Event',
      reason: 'ExperimentRecovered',
      message: expect.stringContaining('did not renew its Lease for 30 s') as string,
    },
  ])
})

test('takes the Lease before it removes the fault, so that the run cannot inject it again', async () => {
  cluster.before = (verb, kind) => {
    if (verb === 'patch' && kind === 'VirtualService') expect(cluster.holder).toBe(guardIdentity(identity))
    return undefined
  }
  await watch()
})

test('waits as long as the run renews', async () => {
  clock.afterSleep = () => {
    if (clock.time < 100_000) cluster.renew()
  }
  await watch()
  expect(clock.time).toBeGreaterThanOrEqual(129_000)
})

test('tries again until the API server takes the removal', async () => {
  let failures = 0
  cluster.before = (verb, kind) =>
    verb === 'patch' && kind === 'VirtualService' && failures++ < 3 ? new ApiError(503, 'away') : undefined
  expect(await watch()).toBe('removed the fault')
  expect(routes()).toEqual([undefined])
  expect(lines.join('\n')).toContain('the fault is not removed yet: away')
})

describe('removes at once', () => {
  test('what is left when the Lease is gone', async () => {
    cluster.lease = undefined
    expect(await watch()).toBe('the run has ended')
    expect(routes()).toEqual([undefined])
  })

  test('what is left when another run has taken the Lease', async () => {
    cluster.heldBy('run 7 (00000000)')
    expect(await watch()).toBe('another run has taken over')
    expect(routes()).toEqual([undefined])
    expect(cluster.holder).toBe('run 7 (00000000)')
  })
})

describe('when another run has taken the Lease,', () => {
  const marked = (holder: string) => {
    const mark = { experiment: 'trial', lease: spec.lease, identity: holder, undo: { kind: 'routes' } }
    cluster.others['VirtualService']!.metadata.annotations = { 'mesh-canary.io/experiment': JSON.stringify(mark) }
  }
  beforeEach(() => cluster.heldBy('run 7 (00000000)'))

  test('also removes what its run has added since the guard began', async () => {
    const latest = { data: { 'guard-spec.json': JSON.stringify(spec) } }
    cluster.others['ConfigMap'] = Object.assign(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } },
      latest,
    )
    await watch({ objects: [] })
    expect(routes()).toEqual([undefined])
  })

  test('tries again until the API server takes the removal', async () => {
    let failures = 0
    cluster.before = (_, kind) => (kind === 'VirtualService' && failures++ < 3 ? new ApiError(503, 'away') : undefined)
    expect(await watch()).toBe('another run has taken over')
    expect(routes()).toEqual([undefined])
    expect(lines).toEqual(['the fault is not removed yet: away', 'removed the fault from VirtualService shop/backend'])
  })

  test('removes what its own run has marked, and nothing of the other one', async () => {
    marked('run 7, experiment trial (00000000)')
    await watch()
    expect(routes()).toEqual(['mesh-canary-fault', undefined])
    marked(identity)
    await watch()
    expect(routes()).toEqual([undefined])
  })
})

test('writes nothing when the run has ended and left nothing', async () => {
  cluster.lease = undefined
  cluster.others['VirtualService'] = virtualService([{ route: [to('v1')] }])
  await watch()
  expect(cluster.calls.filter((call) => call.startsWith('patch'))).toEqual([])
})

test('removes what the run has added since the guard began', async () => {
  const latest = { data: { 'guard-spec.json': JSON.stringify(spec) } }
  cluster.others['ConfigMap'] = Object.assign({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }, latest)
  expect(await watch({ objects: [] })).toBe('removed the fault')
  expect(routes()).toEqual([undefined])
})

test('waits until Chaos Mesh has ended the fault, and holds the Lease until then', async () => {
  const metadata = { name: 'x', namespace: 'shop', uid: 'u', annotations: { 'mesh-canary.io/experiment': '{}' } }
  cluster.others['NetworkChaos'] = { apiVersion: 'chaos-mesh.org/v1alpha1', kind: 'NetworkChaos', metadata }
  clock.afterSleep = () => {
    if (clock.time <= 40_000) return
    expect(cluster.holder).toBe(guardIdentity(identity))
    delete cluster.others['NetworkChaos']
  }
  const objects = [{ kind: 'NetworkChaos', namespace: 'shop', name: 'x', undo: { kind: 'delete' } } as const]
  expect(await watch({ objects })).toBe('removed the fault')
  expect(clock.time).toBeGreaterThan(40_000)
  expect(lines.join('\n')).toContain('the fault is not removed yet: NetworkChaos shop/x is deleted, but still there')
})
