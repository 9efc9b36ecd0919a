import { beforeEach, describe, expect, test } from 'vitest'
import { openSession, type LeaseSession } from '../../../../src/canary/ownership/session.ts'
import type { GuardSpec } from '../../../../src/canary/ownership/guard-spec.ts'
import { handedOverBy, handOverIdentity, leasePaths } from '../../../../src/canary/ownership/lease-object.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { planHash } from '../../../../src/canary/workload/fingerprint.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { ConfigMap, KubeObject, VirtualService } from '../../../../src/cluster/objects.ts'
import { watchLease } from '../../../../src/guard/watchdog.ts'
import { FakeClock } from '../../fake-clock.ts'
import { planOf, to, virtualService } from '../../fixtures.ts'
import { FakeNamespace, leaseHeldBy } from './fake-leases.ts'

const split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
} as const
const selectors = { stable: { version: 'v1' }, canary: { version: 'v2' } }
const plan = planOf()
const state = initialState(plan, 25, 0)
const lost = 'run 6 (deadbeef)'

let clock: FakeClock
const notes: string[] = []
beforeEach(() => {
  clock = new FakeClock()
  notes.length = 0
})

const open = (namespace: FakeNamespace, template = 'template', of = plan): Promise<LeaseSession> =>
  openSession(namespace.api, split, of, template, selectors, {
    run: 'run 7',
    readGuardProgram: () => '',
    redact: (value) => value,
    signal: new AbortController().signal,
    clock,
    note: (line) => notes.push(line),
  })

const guardSpecIn = ({ others }: FakeNamespace) =>
  JSON.parse((others['ConfigMap'] as ConfigMap).data!['guard-spec.json']!) as GuardSpec

/** Run 6 promoted this template by this plan, and its process is gone. */
function afterLostRun(savedRoutes: KubeObject[] = []): FakeNamespace {
  const saved = { version: 5, plan: planHash(plan), template: 'template', run: 'run 6', savedAt: '', state }
  const annotations = {
    'mesh-canary.io/run': 'run 6',
    'mesh-canary.io/state': JSON.stringify(saved),
    'mesh-canary.io/guard': lost,
  }
  const namespace = new FakeNamespace(leaseHeldBy(lost, { annotations }))
  namespace.others['ConfigMap'] = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'mesh-canary-backend', namespace: 'shop' },
    data: { 'routes.json': JSON.stringify(savedRoutes) },
  } as ConfigMap
  return namespace
}

test('a promotion does not begin while a route has the fault of an experiment that was lost', async () => {
  const namespace = new FakeNamespace()
  namespace.others['VirtualService'] = virtualService([
    { name: 'mesh-canary-fault', route: [to('v1', 100), to('v2', 0)] },
    { route: [to('v1', 100), to('v2', 0)] },
  ])
  await expect(open(namespace)).rejects.toThrow('the VirtualService shop/backend still has the fault of an experiment')
  expect(namespace.lease).toBeUndefined()
})

describe('a run that takes over from a lost one', () => {
  test('writes to every route first, so that the lost run cannot write what it prepared', async () => {
    const namespace = afterLostRun()
    const prepared = namespace.others['VirtualService']!.metadata.resourceVersion
    await open(namespace)
    expect(namespace.others['VirtualService']!.metadata.resourceVersion).not.toBe(prepared)
    expect(namespace.weight).toBe(25)
  })

  test('gives its guard the routes that the lost run saved, and those that came later', async () => {
    const inMesh = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
    const namespace = afterLostRun([{ ...inMesh, metadata: { ...inMesh.metadata, name: 'before' } }])
    await open(namespace)
    expect(guardSpecIn(namespace).saved.map(({ metadata }) => metadata.name)).toEqual(['before', 'backend'])
    const names = (namespace.others['Role'] as { rules?: { resourceNames?: string[] }[] }).rules!.flatMap(
      ({ resourceNames = [] }) => resourceNames,
    )
    expect(names).toEqual(expect.arrayContaining(['before', 'backend']))
  })

  const noGuard = (verb: string, kind: string) =>
    verb === 'apply' && kind === 'Job' ? new ApiError(403, 'jobs are forbidden') : undefined

  test('and cannot start returns the traffic to stable, because the guard of the lost run ends with the Lease', async () => {
    const namespace = afterLostRun()
    namespace.before = noGuard
    await expect(open(namespace)).rejects.toThrow('jobs are forbidden')
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('is lost itself before its guard watches, which a third one that cannot start remembers', async () => {
    const namespace = afterLostRun()
    const second = await open(namespace)
    namespace.before = noGuard
    await expect(open(namespace)).rejects.toThrow('jobs are forbidden')
    expect(namespace.weight).toBe(0)
    await expect(second.renew(state)).rejects.toThrow('took over the promotion')
  })

  test('and can neither start nor write leaves the traffic to the guard of the lost run', async () => {
    const namespace = afterLostRun()
    const before = namespace.others['VirtualService'] as VirtualService
    namespace.before = (verb, kind) =>
      noGuard(verb, kind) ??
      (verb === 'patch' && kind === 'VirtualService' ? new ApiError(500, 'failed calling webhook') : undefined)
    await expect(open(namespace)).rejects.toThrow('failed calling webhook')
    namespace.before = () => undefined
    const spec = {
      namespace: 'shop',
      service: 'backend',
      lease: 'mesh-canary-backend',
      identity: lost,
      afterMs: 30_000,
    }
    const outcome = await watchLease(
      namespace.api,
      { ...spec, split, selectors, saved: [before] },
      { clock, log: () => undefined },
    )
    expect([outcome, namespace.weight]).toEqual(['rolled back to stable', 0])
  })
})

describe('a run that continues what another has handed over', () => {
  /** Half an hour ago, for an hour. */
  function afterHandOver(more: { template?: string } = {}): FakeNamespace {
    const namespace = afterLostRun()
    const text = namespace.annotations['mesh-canary.io/state']!
    const saved = { ...(JSON.parse(text) as object), ...more }
    namespace.patch([
      { op: 'add', path: '/metadata/annotations/mesh-canary.io~1state', value: JSON.stringify(saved) },
      { op: 'add', path: '/spec/holderIdentity', value: handOverIdentity(lost) },
      { op: 'add', path: '/spec/leaseDurationSeconds', value: 3_600 },
      { op: 'add', path: '/spec/renewTime', value: new Date(Date.now() - 1_800_000).toISOString() },
    ])
    return namespace
  }
  const noGuard = (verb: string, kind: string) =>
    verb === 'apply' && kind === 'Job' ? new ApiError(403, 'jobs are forbidden') : undefined

  test('takes the Lease at once and resumes', async () => {
    const session = await open(afterHandOver())
    expect(session.resumedFrom).toMatchObject({ phase: 'waiting', weight: 25 })
    expect(clock.time).toBe(0)
  })

  test('and cannot start leaves it to the next one, for no longer than was left', async () => {
    const namespace = afterHandOver()
    namespace.before = noGuard
    await expect(open(namespace)).rejects.toThrow('jobs are forbidden')
    expect([namespace.weight, handedOverBy(namespace.holder!)]).toEqual([25, expect.stringMatching(/^run 7 /)])
    expect(namespace.lease!.spec!.leaseDurationSeconds).toBeLessThanOrEqual(1_801)
    expect(namespace.lease!.spec!.leaseDurationSeconds).toBeGreaterThan(1_700)
  })

  test('of another version and cannot start returns the traffic to stable', async () => {
    const namespace = afterHandOver({ template: 'another' })
    namespace.before = noGuard
    await expect(open(namespace)).rejects.toThrow('jobs are forbidden')
    expect([namespace.weight, namespace.lease]).toEqual([0, undefined])
  })

  test('and cannot start leaves a weight that the next one of another version returns, which cannot start either', async () => {
    const namespace = afterHandOver()
    namespace.before = noGuard
    await expect(open(namespace)).rejects.toThrow('jobs are forbidden')
    await expect(open(namespace, 'another')).rejects.toThrow('jobs are forbidden')
    expect([namespace.weight, namespace.lease]).toEqual([0, undefined])
  })

  test('without a guard and cannot start returns the traffic, because no guard waits any more', async () => {
    const namespace = afterHandOver()
    namespace.before = (verb, kind) => (verb === 'apply' && kind === 'ConfigMap' ? new ApiError(403, 'no') : undefined)
    await expect(open(namespace, 'template', planOf('guard: off'))).rejects.toThrow('no')
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('hands over again; the request repeats a write whose answer was lost, which is no error', async () => {
    const namespace = afterHandOver()
    const session = await open(namespace)
    const write = namespace.api.patch.bind(namespace.api)
    namespace.api.patch = async (...args) => {
      if (args[0] === 'Lease') await write(...args)
      return write(...args)
    }
    await session.handOver(state, 60_000)
    expect(handedOverBy(namespace.holder!)).toBe(session.identity)
  })

  test('hands over again; a repeated write whose first answer was lost is no error', async () => {
    const namespace = afterHandOver()
    const session = await open(namespace)
    const write = namespace.api.patch.bind(namespace.api)
    let writes = 0
    namespace.api.patch = async (...args) => {
      const written = await write(...args)
      if (args[0] === 'Lease' && writes++ === 0) throw new ApiError(0, 'no answer')
      return written as never
    }
    await expect(session.handOver(state, 60_000)).rejects.toThrow('no answer')
    await session.handOver(state, 60_000)
    expect(handedOverBy(namespace.holder!)).toBe(session.identity)
    await expect(session.renew(state)).rejects.toThrow('took over the promotion')
  })
})

describe('a route that appears during the promotion', () => {
  const late = virtualService([{ route: [to('v1', 75), to('v2', 25)] }], { name: 'late' })
  const watched = async (namespace: FakeNamespace) => {
    const session = await open(namespace)
    namespace.patch([{ op: 'add', path: leasePaths.guard, value: session.identity }])
    await session.renew(state)
    return session
  }

  test('is given to the guard, with its rights first, and once', async () => {
    const namespace = new FakeNamespace()
    const session = await watched(namespace)
    const known = namespace.others['VirtualService'] as VirtualService
    namespace.calls.length = 0
    await session.coverRoutes([known, late])
    await session.coverRoutes([known, late])
    expect(namespace.calls).toEqual(['apply Role', 'apply ConfigMap'])
    expect(guardSpecIn(namespace).saved.map(({ metadata }) => metadata.name)).toEqual(['backend', 'late'])
    expect(namespace.others['Role']).toMatchObject({
      rules: expect.arrayContaining([expect.objectContaining({ resourceNames: ['backend', 'late'] })]) as object,
    })
    expect(notes.at(-1)).toContain('the guard also restores VirtualService shop/late')
  })

  test('counts as unguarded until the guard knows it', async () => {
    const namespace = new FakeNamespace()
    const session = await watched(namespace)
    namespace.before = (verb, kind) => (verb === 'apply' && kind === 'Role' ? new ApiError(500, 'busy') : undefined)
    await expect(session.coverRoutes([late])).rejects.toThrow('busy')
    expect(session.isGuarded()).toBe(false)
    expect(await session.guardStatus()).toBe('uncovered')
    expect(await session.explainMissingGuard()).toMatch(
      /^the guard runs, but would not restore VirtualService shop\/late, which appeared during the promotion: .*busy/,
    )
    namespace.before = () => undefined
    await session.coverRoutes([late])
    expect(session.isGuarded()).toBe(true)
    expect(await session.guardStatus()).toBe('watching')
  })
})

describe('a guard Job that', () => {
  async function guarded(job: object | undefined) {
    const namespace = new FakeNamespace()
    const session = await open(namespace)
    const announce = () => namespace.patch([{ op: 'add', path: leasePaths.guard, value: session.identity }])
    announce()
    await session.renew(state)
    expect(session.isGuarded()).toBe(true)
    if (job) Object.assign(namespace.others['Job']!, job)
    else delete namespace.others['Job']
    clock.time += 10_000
    namespace.calls.length = 0
    await session.checkGuard()
    return { namespace, session, announce }
  }

  test('runs is looked at, and nothing is written', async () => {
    const { namespace, session } = await guarded({ status: { ready: 1 } })
    expect([session.isGuarded(), namespace.calls]).toEqual([true, ['get Job']])
  })

  test.each<[string, object | undefined]>([
    ['was deleted', undefined],
    ['has failed', { status: { ready: 0, conditions: [{ type: 'Failed', status: 'True' }] } }],
  ])('%s is created again, and watches once it says so', async (_, job) => {
    const { namespace, session, announce } = await guarded(job)
    expect(namespace.calls.slice(-5)).toEqual(
      ['ServiceAccount', 'Role', 'RoleBinding', 'ConfigMap', 'Job'].map((kind) => `apply ${kind}`),
    )
    expect(session.isGuarded()).toBe(false)
    expect(notes.at(-1)).toMatch(/^the guard Job mesh-canary-backend-guard-\w+ is gone: creating it again$/)
    announce()
    await session.renew(state)
    expect(session.isGuarded()).toBe(true)
  })

  test('has lost its pod does not watch, and Kubernetes creates another pod', async () => {
    const { namespace, session } = await guarded({ status: { ready: 0, active: 1 } })
    expect([session.isGuarded(), namespace.calls]).toEqual([false, ['get Job', 'patch Lease']])
  })
})
