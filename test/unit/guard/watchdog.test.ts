import { beforeEach, describe, expect, test } from 'vitest'
import type { GuardSpec } from '../../../src/canary/ownership/guard-spec.ts'
import {
  endedAnnotation,
  guardIdentity,
  handOverIdentity,
  leasePaths,
  rollbackIdentity,
} from '../../../src/canary/ownership/lease-object.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { watchLease } from '../../../src/guard/watchdog.ts'
import { FakeNamespace, leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { FakeClock } from '../fake-clock.ts'
import { pod, to, virtualService } from '../fixtures.ts'

let clock: FakeClock
beforeEach(() => {
  clock = new FakeClock()
})

const identity = 'https://ci/run/6 (deadbeef)'
const spec: GuardSpec = {
  namespace: 'shop',
  service: 'backend',
  lease: 'mesh-canary-backend',
  identity,
  afterMs: 30_000,
  split: {
    namespace: 'shop',
    service: 'backend',
    stable: { by: 'subset', name: 'v1' },
    canary: { by: 'subset', name: 'v2' },
  },
  selectors: { stable: { version: 'v1' }, canary: { version: 'v2' } },
  saved: [virtualService([{ route: [to('v1', 100), to('v2', 0)] }])],
}

class GuardedNamespace extends FakeNamespace {
  readonly lines: string[] = []

  constructor(holder = identity) {
    super(leaseHeldBy(holder))
  }

  /** Until this time the run renews its Lease every second. */
  livesUntil(ms: number, then: () => void = () => undefined): void {
    clock.afterSleep = () => (clock.time < ms ? this.renew() : clock.time === ms && then())
  }

  watch(): Promise<string> {
    return watchLease(this.api, spec, { clock, log: (line) => this.lines.push(line) })
  }

  /** Another run takes the Lease, and its own guard has started. */
  takenBy(holder: string): void {
    this.patch([
      { op: 'add', path: leasePaths.guard, value: holder },
      { op: 'add', path: '/spec/holderIdentity', value: holder },
    ])
  }

  times(call: string): number {
    return this.calls.filter((each) => each === call).length
  }
}

const noAnswer = new ApiError(0, 'no answer')

describe('a guard whose run is alive', () => {
  test.each<[string, (namespace: GuardedNamespace) => void, string]>([
    ['the run has released its Lease', (namespace) => namespace.heldBy(''), 'the run has ended'],
    ['the Lease is deleted', (namespace) => (namespace.lease = undefined), 'the run has ended'],
    [
      'another run with a guard of its own holds it',
      (namespace) => namespace.takenBy('run 7 (deadbeef)'),
      'another run has taken over',
    ],
    [
      'another claim of the same run, with a guard of its own, holds it',
      (namespace) => namespace.takenBy('https://ci/run/6 (12345678)'),
      'another run has taken over',
    ],
    [
      'the guard of another claim holds it',
      (namespace) => namespace.heldBy(guardIdentity('https://ci/run/6 (12345678)')),
      'another run has taken over',
    ],
    ['the Lease names no holder', (namespace) => delete namespace.lease!.spec, 'the run has ended'],
  ])('ends when %s, and writes no route', async (_, happens, ending) => {
    const namespace = new GuardedNamespace()
    namespace.livesUntil(600_000, () => happens(namespace))
    expect(await namespace.watch()).toBe(ending)
    expect([clock.time, namespace.weight, namespace.created, namespace.lines]).toEqual([600_000, 25, [], []])
  })

  test('announces itself once in the Lease, and keeps the annotations of the run', async () => {
    const namespace = new GuardedNamespace()
    namespace.livesUntil(60_000, () => namespace.heldBy(''))
    await namespace.watch()
    expect(namespace.annotations).toEqual({ 'mesh-canary.io/run': 'run 6', 'mesh-canary.io/guard': identity })
    expect(namespace.times('patch Lease')).toBe(1)
  })

  test('announces itself at a later poll when the run was faster to write', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb) => (verb === 'patch' && clock.time < 3_000 && namespace.renew(), undefined)
    namespace.livesUntil(60_000, () => namespace.heldBy(''))
    await namespace.watch()
    expect(namespace.times('patch Lease')).toBe(4)
    expect([namespace.annotations['mesh-canary.io/guard'], namespace.lines]).toEqual([identity, []])
  })

  test('logs why it cannot announce itself', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb) => (verb === 'patch' ? new ApiError(403, 'forbidden') : undefined)
    namespace.livesUntil(2_000, () => namespace.heldBy(''))
    await namespace.watch()
    expect(namespace.lines[0]).toBe('the Lease mesh-canary-backend cannot be written: forbidden')
  })
})

describe('a guard whose run stops renewing', () => {
  test('rolls back after the time in its spec, and not before', async () => {
    const namespace = new GuardedNamespace()
    let before: number | undefined
    namespace.livesUntil(100_000)
    const renewing = clock.afterSleep
    clock.afterSleep = () => {
      renewing()
      if (clock.time === 128_000) before = namespace.weight
    }
    expect(await namespace.watch()).toBe('rolled back to stable')
    // The last renewal was at 99 s.
    expect([before, namespace.weight, clock.time]).toEqual([25, 0, 129_000])
  })

  test('uses its own clock, not that of the run', async () => {
    const namespace = new GuardedNamespace()
    namespace.lease!.spec!.renewTime = '2099-01-01T00:00:00.000000Z'
    await namespace.watch()
    expect(clock.time).toBe(30_000)
  })

  test('takes the Lease from the run before it writes a route', async () => {
    const namespace = new GuardedNamespace()
    let holder: string | undefined
    namespace.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') holder = namespace.holder
      return undefined
    }
    await namespace.watch()
    expect(holder).toBe(guardIdentity(identity))
  })

  test('reports the rollback in the Lease, in an event and in its log', async () => {
    const namespace = new GuardedNamespace()
    await namespace.watch()
    const events =
      'the run https://ci/run/6 did not renew its Lease for 30 s, and the guard set the weight of v2 of backend to 0'
    expect(namespace.lease).toMatchObject({
      metadata: { annotations: { [endedAnnotation]: events } },
      spec: { holderIdentity: '' },
    })
    expect(namespace.created).toMatchObject([
      {
        kind: 'Event',
        metadata: { namespace: 'shop' },
        type: 'Warning',
        reason: 'CanaryRolledBack',
        message: events,
        involvedObject: { kind: 'Service', namespace: 'shop', name: 'backend' },
        source: { component: 'mesh-canary-guard' },
        count: 1,
      },
    ])
    expect(namespace.lines).toEqual([
      'the run https://ci/run/6 did not renew its Lease for 30 s: rolling all traffic of backend back to stable',
      `${events} (1 object written)`,
    ])
  })

  test('keeps the state that the run saved for a later run', async () => {
    const namespace = new GuardedNamespace()
    namespace.lease!.metadata.annotations!['mesh-canary.io/state'] = '{}'
    await namespace.watch()
    expect(namespace.annotations['mesh-canary.io/state']).toBe('{}')
  })

  test('also writes to a route that sends all traffic to stable, so that the run cannot write what it prepared', async () => {
    const namespace = new GuardedNamespace()
    const prepared = spec.saved[0]!.metadata.resourceVersion
    namespace.others['VirtualService'] = spec.saved[0]!
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
    expect(namespace.others['VirtualService'].metadata.resourceVersion).not.toBe(prepared)
  })

  test('restores the saved routes when they do not split any more', async () => {
    const namespace = new GuardedNamespace()
    namespace.others['VirtualService'] = virtualService([{ route: [to('v2', 100)] }])
    await namespace.watch()
    expect(namespace.others['VirtualService']).toMatchObject({ spec: spec.saved[0]!.spec })
  })

  test('restores the routes that the run has ordered since the guard started', async () => {
    const namespace = new GuardedNamespace()
    const orders = { metadata: { name: 'orders' }, data: { 'guard-spec.json': JSON.stringify(spec) } }
    namespace.others['ConfigMap'] = { apiVersion: 'v1', kind: 'ConfigMap', ...orders }
    const atStart = { ...spec, saved: [] }
    await watchLease(namespace.api, atStart, { clock, log: (line) => namespace.lines.push(line) })
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('restores the routes of its start if it may not read its orders', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (_, kind) =>
      kind === 'ConfigMap' ? new ApiError(403, 'the guard cannot get resource "configmaps"') : undefined
    await namespace.watch()
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('lists only pods, because it may list nothing else', async () => {
    const namespace = new GuardedNamespace()
    await namespace.watch()
    expect(new Set(namespace.calls.filter((each) => each.startsWith('list')))).toEqual(new Set(['list Pod']))
  })

  test('waits until a pod of stable is ready, if the canary serves meanwhile', async () => {
    const namespace = new GuardedNamespace()
    const podOf = (version: string) => pod({ metadata: { name: version, labels: { version } } })
    namespace.pods = [podOf('v2')]
    clock.afterSleep = () => {
      expect(namespace.weight).toBe(25)
      if (clock.time >= 100_000) namespace.pods = [podOf('v1'), podOf('v2')]
    }
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, clock.time]).toEqual([0, 100_000])
    expect(namespace.lines).toContainEqual(
      expect.stringContaining(
        'the rollback is not complete yet: no ready pod of v1 is behind the Service shop/backend',
      ),
    )
  })

  test('does not roll back when the run renews at the last moment', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb, kind) => (
      verb === 'patch' && kind === 'Lease' && clock.time === 30_000 && namespace.renew(), undefined
    )
    clock.afterSleep = () => clock.time === 50_000 && namespace.heldBy('')
    expect(await namespace.watch()).toBe('the run has ended')
    expect([namespace.weight, clock.time]).toEqual([25, 50_000])
  })

  test('does not roll back when another run takes the Lease at the last moment', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb, kind) => (
      verb === 'patch' && kind === 'Lease' && clock.time === 30_000 && namespace.takenBy('run 7 (deadbeef)'), undefined
    )
    expect(await namespace.watch()).toBe('another run has taken over')
    expect([namespace.weight, namespace.holder]).toEqual([25, 'run 7 (deadbeef)'])
  })

  test('writes no ending to a Lease that was taken over or deleted during the rollback', async () => {
    for (const [taken, ending] of [
      [(namespace: GuardedNamespace) => namespace.takenBy('run 7 (deadbeef)'), 'another run has taken over'],
      [(namespace: GuardedNamespace) => (namespace.lease = undefined), 'rolled back to stable'],
    ] as const) {
      clock = new FakeClock()
      const namespace = new GuardedNamespace()
      namespace.before = (verb) => (verb === 'create' && taken(namespace), undefined)
      expect(await namespace.watch()).toBe(ending)
      expect(namespace.annotations).not.toHaveProperty(endedAnnotation)
    }
  })
})

describe('a guard whose run was replaced by', () => {
  test.each([
    ['a run that is lost before its own guard watches', 'run 7 (deadbeef)', 'run 7'],
    ['a stage rollback that is lost before it has written', rollbackIdentity('run 8'), 'run 8 (rollback)'],
  ])('%s goes on, and rolls back', async (_, holder, name) => {
    const namespace = new GuardedNamespace()
    clock.afterSleep = () => void (clock.time === 10_000 && namespace.patch(takenWithoutGuard(holder)))
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, clock.time]).toEqual([0, 40_000])
    expect(namespace.lines[0]).toContain(`${name} did not renew its Lease for 30 s`)
  })

  test('a run that declines to be watched ends', async () => {
    const namespace = new GuardedNamespace()
    clock.afterSleep = () => void (clock.time === 10_000 && namespace.takenBy('run 7 (deadbeef)'))
    expect(await namespace.watch()).toBe('another run has taken over')
  })
})

const takenWithoutGuard = (holder: string) =>
  [
    { op: 'add', path: '/spec/holderIdentity', value: holder },
    { op: 'add', path: '/spec/renewTime', value: 'when it took the Lease' },
  ] as const

describe('a guard that was restarted after it took the Lease', () => {
  test('rolls back at once', async () => {
    const namespace = new GuardedNamespace(guardIdentity(identity))
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, namespace.holder, clock.time]).toEqual([0, '', 0])
  })
})

describe('the time without an answer from the API server', () => {
  /** The time of the rollback if every read between these times ends as `how` says. */
  async function rolledBackAt(from: number, until: number, how: () => Error | undefined): Promise<number> {
    const namespace = new GuardedNamespace()
    namespace.before = (verb, kind) =>
      verb === 'get' && kind === 'Lease' && clock.time >= from && clock.time < until ? how() : undefined
    expect(await namespace.watch()).toBe('rolled back to stable')
    return clock.time
  }

  test.each([
    ['before the first answer', 0, 50_000, 50_000 + 30_000],
    ['in the middle', 10_000, 50_000, 40_000 + 30_000],
    ['for longer than the time in the spec', 10_000, 1_000_000, 990_000 + 30_000],
  ])('does not count against the run: %s', async (_, from, until, at) => {
    expect(await rolledBackAt(from, until, () => noAnswer)).toBe(at)
  })

  test('does not count when an answer hangs and fails', async () => {
    expect(await rolledBackAt(10_000, 50_000, () => ((clock.time += 60_000), noAnswer))).toBe(30_000 + 61_000)
  })

  test('does not count when an answer comes late', async () => {
    expect(await rolledBackAt(10_000, 11_000, () => void (clock.time += 60_000))).toBe(30_000 + 60_000)
  })

  test('does not stop the count permanently', async () => {
    const namespace = new GuardedNamespace()
    let outages = 0
    namespace.before = (verb, kind) =>
      verb === 'get' && kind === 'Lease' && clock.time % 10_000 === 5_000 ? (outages++, noAnswer) : undefined
    await namespace.watch()
    expect([outages, clock.time]).toEqual([3, 30_000 + 3 * 1_000])
    expect(
      namespace.lines.filter((line) => line === 'the Lease mesh-canary-backend cannot be read: no answer'),
    ).toHaveLength(3)
  })
})

describe('a guard retries until it has written the rollback', () => {
  test.each([0, 403, 429, 500, 503])('when the API server refuses the routes for a while (%i)', async (status) => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && clock.time < 90_000
        ? new ApiError(status, 'failed calling webhook')
        : undefined
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, namespace.holder, clock.time]).toEqual([0, '', 90_000])
    expect(namespace.lines).toContain('the rollback is not complete yet: failed calling webhook')
    expect(namespace.created).toHaveLength(1)
  })

  test('when the API server refuses the Lease for a while', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb, kind) =>
      verb === 'patch' && kind === 'Lease' && clock.time < 90_000 ? new ApiError(503, 'busy') : undefined
    expect(await namespace.watch()).toBe('rolled back to stable')
    // Its first write is the announcement; the next poll takes the Lease.
    expect([namespace.weight, namespace.holder, clock.time]).toEqual([0, '', 91_000])
    expect(namespace.lines).toContain('the Lease mesh-canary-backend cannot be written: busy')
  })

  test('when the API server stops answering in the middle', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = () =>
      clock.time >= 30_000 && clock.time < 90_000 && namespace.holder !== identity ? noAnswer : undefined
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('when the API server also refuses its event', async () => {
    const namespace = new GuardedNamespace()
    namespace.before = (verb) => (verb === 'create' ? new ApiError(403, 'events are forbidden') : undefined)
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, namespace.holder, clock.time]).toEqual([0, '', 30_000])
    expect(namespace.lines).toContain('the event cannot be recorded: events are forbidden')
  })

  test('when a route is not found in some attempts', async () => {
    const namespace = new GuardedNamespace()
    let refusals = 0
    namespace.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && refusals++ < 5 ? new ApiError(404, 'not found') : undefined
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([namespace.weight, refusals]).toEqual([0, 6])
  })
})

describe('a guard whose run has handed the promotion over', () => {
  /** `minutesAgo`: by the clock of the run. */
  function handedOver(by = identity, minutesAgo = 0): GuardedNamespace {
    const namespace = new GuardedNamespace()
    const renewTime = new Date(Date.now() - minutesAgo * 60_000 + 500).toISOString()
    namespace.patch([
      { op: 'add', path: leasePaths.guard, value: identity },
      { op: 'add', path: '/spec/holderIdentity', value: handOverIdentity(by) },
      { op: 'add', path: '/spec/leaseDurationSeconds', value: 3_600 },
      { op: 'add', path: '/spec/renewTime', value: renewTime },
    ])
    return namespace
  }

  test('waits for the next run as long as the Lease says, and then rolls back', async () => {
    const namespace = handedOver()
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([clock.time, namespace.weight, namespace.holder]).toEqual([3_600_000, 0, ''])
    expect(namespace.annotations[endedAnnotation]).toContain(
      'the run https://ci/run/6 handed its promotion over, and no run resumed it within 3600 s, and the guard set the weight of v2',
    )
  })

  test.each([
    [50, 10],
    [90, 0],
    // The clock of the run is ahead.
    [-20, 60],
  ])('and whose pod is replaced %i minutes later waits for the rest of the time only', async (minutes, restMinutes) => {
    const namespace = handedOver(identity, minutes)
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect(Math.round(clock.time / 60_000)).toBe(restMinutes)
  })

  test('ends when the guard of the next run watches', async () => {
    const namespace = handedOver()
    clock.afterSleep = () => clock.time === 600_000 && namespace.takenBy('run 7 (deadbeef)')
    expect(await namespace.watch()).toBe('another run has taken over')
    expect([clock.time, namespace.weight]).toEqual([600_000, 25])
  })

  test('rolls back soon if the next run takes the Lease and dies before its own guard watches', async () => {
    const namespace = handedOver()
    clock.afterSleep = () =>
      clock.time === 600_000 && namespace.heldBy('run 7 (deadbeef)') === undefined && namespace.renew()
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect([clock.time, namespace.weight]).toEqual([630_000, 0])
  })

  test('waits on if the next run cannot start and hands it back', async () => {
    const namespace = handedOver('run 7 (deadbeef)')
    expect(await namespace.watch()).toBe('rolled back to stable')
    expect(clock.time).toBe(3_600_000)
  })
})
