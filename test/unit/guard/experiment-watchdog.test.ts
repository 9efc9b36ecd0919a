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
