import { beforeEach, describe, expect, test, vi } from 'vitest'
import { guardIdentity, leasePaths } from '../../../src/canary/ownership/lease.ts'
import { ApiError } from '../../../src/cluster/client.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import type { GuardSpec } from '../../../src/canary/ownership/guard-spec.ts'
import { watchLease } from '../../../src/guard/watchdog.ts'
import { LeaseKeeper, leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { to, virtualService } from '../fixtures.ts'

// Time passes only when somebody sleeps, or a test says so: a guard's hour takes none.
const { clock } = vi.hoisted(() => ({ clock: { now: 0, slept: (): void => undefined } }))
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number) => {
    clock.now += ms
    clock.slept()
    return clock.now > 3_600_000 ? Promise.reject(new Error('it never ends')) : Promise.resolve()
  },
}))
vi.mock('../../../src/runtime/clock.ts', async () => {
  const { setTimeout } = await import('node:timers/promises')
  const now = () => clock.now
  const sleep = (ms: number, signal?: AbortSignal) => setTimeout(ms, undefined, signal && { signal })
  return { monotonicNow: now, systemClock: { now, sleep } }
})

beforeEach(() => {
  clock.now = 0
  clock.slept = () => undefined
})

const identity = 'https://ci/run/6 (deadbeef)'
const orders: GuardSpec = {
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
  saved: [virtualService([{ route: [to('v1', 100), to('v2', 0)] }])],
}

/** A namespace with a Lease and a VirtualService at 25. It is a fake because what is tested is what the guard does when the API server fails it. */
class Shop extends LeaseKeeper {
  readonly lines: string[] = []

  constructor(holder = identity) {
    super(leaseHeldBy(holder))
    this.others['VirtualService'] = virtualService([{ route: [to('v1', 75), to('v2', 25)] }])
  }

  get weight(): number | undefined {
    return (this.others['VirtualService'] as VirtualService).spec.http![0]!.route![1]?.weight
  }

  /** The run renews its Lease with every second until then. */
  livesUntil(ms: number, then: () => void = () => undefined): void {
    clock.slept = () => (clock.now < ms ? this.renew() : clock.now === ms && then())
  }

  watch(): Promise<string> {
    return watchLease(this.cluster, orders, (line) => this.lines.push(line))
  }

  times(asked: string): number {
    return this.asked.filter((each) => each === asked).length
  }
}

const gone = new ApiError(0, 'no answer')

describe('a guard whose run lives', () => {
  test.each<[string, (shop: Shop) => void, string]>([
    ['the run has given its Lease up', (shop) => shop.heldBy(''), 'the run has ended'],
    ['the Lease is gone', (shop) => (shop.lease = undefined), 'the run has ended'],
    ['another run holds it', (shop) => shop.heldBy('run 7 (deadbeef)'), 'another run has taken over'],
    [
      'another claim of the same run does',
      (shop) => shop.heldBy('https://ci/run/6 (12345678)'),
      'another run has taken over',
    ],
    [
      'the guard of another claim does',
      (shop) => shop.heldBy(guardIdentity('https://ci/run/6 (12345678)')),
      'another run has taken over',
    ],
    ['nobody can be read out of it', (shop) => delete shop.lease!.spec, 'another run has taken over'],
  ])('ends when %s, and has moved nothing', async (_, happens, ending) => {
    const shop = new Shop()
    shop.livesUntil(600_000, () => happens(shop))
    expect(await shop.watch()).toBe(ending)
    expect([clock.now, shop.weight, shop.created, shop.lines]).toEqual([600_000, 25, [], []])
  })

  test('says once that it is on duty, beside what the run keeps there', async () => {
    const shop = new Shop()
    shop.livesUntil(60_000, () => shop.heldBy(''))
    await shop.watch()
    expect(shop.annotations).toEqual({ 'mesh-canary.io/run': 'run 6', 'mesh-canary.io/guard': identity })
    expect(shop.times('patch Lease')).toBe(1)
  })

  test('says so with a later look where the run was quicker to write', async () => {
    const shop = new Shop()
    shop.before = (verb) => (verb === 'patch' && clock.now < 3_000 && shop.renew(), undefined)
    shop.livesUntil(60_000, () => shop.heldBy(''))
    await shop.watch()
    expect(shop.times('patch Lease')).toBe(4)
    expect([shop.annotations['mesh-canary.io/guard'], shop.lines]).toEqual([identity, []])
  })

  test('tells why it cannot say so', async () => {
    const shop = new Shop()
    shop.before = (verb) => (verb === 'patch' ? new ApiError(403, 'forbidden') : undefined)
    shop.livesUntil(2_000, () => shop.heldBy(''))
    await shop.watch()
    expect(shop.lines[0]).toBe('the Lease mesh-canary-backend cannot be written: forbidden')
  })
})

describe('a guard whose run is not heard of', () => {
  test('for as long as it is told to, and no shorter, puts all traffic back', async () => {
    const shop = new Shop()
    let before: number | undefined
    shop.livesUntil(100_000)
    const renewing = clock.slept
    clock.slept = () => {
      renewing()
      if (clock.now === 128_000) before = shop.weight
    }
    expect(await shop.watch()).toBe('put back')
    // The last sign of life was at 99 s.
    expect([before, shop.weight, clock.now]).toEqual([25, 0, 129_000])
  })

  test('goes by its own clock, whatever that of the run said', async () => {
    const shop = new Shop()
    shop.lease!.spec!.renewTime = '2099-01-01T00:00:00.000000Z'
    await shop.watch()
    expect(clock.now).toBe(30_000)
  })

  test('fences it before it writes a route', async () => {
    const shop = new Shop()
    let holder: string | undefined
    shop.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') holder = shop.holder
      return undefined
    }
    await shop.watch()
    expect(holder).toBe(guardIdentity(identity))
  })

  test('says what it did where the run, a person and the next run will look', async () => {
    const shop = new Shop()
    await shop.watch()
    const said =
      'the run https://ci/run/6 was not heard of for 30 s, and the guard put all traffic of backend back to v1'
    expect(shop.lease).toMatchObject({
      metadata: { annotations: { [leasePaths.endedName]: said } },
      spec: { holderIdentity: '' },
    })
    expect(shop.created).toMatchObject([
      {
        kind: 'Event',
        metadata: { namespace: 'shop' },
        type: 'Warning',
        reason: 'CanaryPutBack',
        message: said,
        involvedObject: { kind: 'Service', namespace: 'shop', name: 'backend' },
        source: { component: 'mesh-canary-guard' },
        count: 1,
      },
    ])
    expect(shop.lines).toEqual([
      `${identity} has not been heard of for 30 s: all traffic of backend goes back`,
      `${said} (1 object written)`,
    ])
  })

  test('leaves alone what the run has saved for a later one', async () => {
    const shop = new Shop()
    shop.lease!.metadata.annotations!['mesh-canary.io/state'] = '{}'
    await shop.watch()
    expect(shop.annotations['mesh-canary.io/state']).toBe('{}')
  })

  test('writes nothing where the traffic is back already, and says so', async () => {
    const shop = new Shop()
    shop.others['VirtualService'] = orders.saved[0]!
    expect(await shop.watch()).toBe('put back')
    expect([shop.times('patch VirtualService'), shop.holder]).toEqual([0, ''])
  })

  test('gives routes that do not split any more their old ones back', async () => {
    const shop = new Shop()
    shop.others['VirtualService'] = virtualService([{ route: [to('v2', 100)] }])
    await shop.watch()
    expect(shop.others['VirtualService']).toMatchObject({ spec: orders.saved[0]!.spec })
  })

  test('reads objects by their names only: it may list none', async () => {
    const shop = new Shop()
    await shop.watch()
    expect(shop.asked.filter((each) => each.startsWith('list'))).toEqual([])
  })

  test('leaves it alone when that comes back to life in the last moment', async () => {
    const shop = new Shop()
    shop.before = (verb, kind) => (
      verb === 'patch' && kind === 'Lease' && clock.now === 30_000 && shop.renew(), undefined
    )
    clock.slept = () => clock.now === 50_000 && shop.heldBy('')
    expect(await shop.watch()).toBe('the run has ended')
    expect([shop.weight, clock.now]).toEqual([25, 50_000])
  })

  test('leaves it to a run that takes the Lease in the last moment', async () => {
    const shop = new Shop()
    shop.before = (verb, kind) => (
      verb === 'patch' && kind === 'Lease' && clock.now === 30_000 && shop.heldBy('run 7 (deadbeef)'), undefined
    )
    expect(await shop.watch()).toBe('another run has taken over')
    expect([shop.weight, shop.holder]).toEqual([25, 'run 7 (deadbeef)'])
  })

  test('leaves it to a run, or to who deletes the Lease, while it is still writing', async () => {
    for (const [taken, ending] of [
      [(shop: Shop) => shop.heldBy('run 7 (deadbeef)'), 'another run has taken over'],
      [(shop: Shop) => (shop.lease = undefined), 'put back'],
    ] as const) {
      clock.now = 0
      const shop = new Shop()
      shop.before = (verb) => (verb === 'create' && taken(shop), undefined)
      expect(await shop.watch()).toBe(ending)
      expect(shop.annotations).not.toHaveProperty(leasePaths.endedName)
    }
  })
})

describe('a guard that finds its own fence, because it was restarted', () => {
  test('carries on at once', async () => {
    const shop = new Shop(guardIdentity(identity))
    expect(await shop.watch()).toBe('put back')
    expect([shop.weight, shop.holder, clock.now]).toEqual([0, '', 0])
  })
})

describe('time in which the API server could not be read', () => {
  /** What is the moment of the put-back, when every read between those moments ends as `how` says? */
  async function putBackAt(from: number, until: number, how: () => Error | undefined): Promise<number> {
    const shop = new Shop()
    shop.before = (verb, kind) =>
      verb === 'get' && kind === 'Lease' && clock.now >= from && clock.now < until ? how() : undefined
    expect(await shop.watch()).toBe('put back')
    return clock.now
  }

  test.each([
    ['before it was ever read', 0, 50_000, 50_000 + 30_000],
    ['in the middle', 10_000, 50_000, 40_000 + 30_000],
    ['for longer than the run may be silent', 10_000, 1_000_000, 990_000 + 30_000],
  ])('does not count against the run: %s', async (_, from, until, at) => {
    expect(await putBackAt(from, until, () => gone)).toBe(at)
  })

  test('does not count when it shows by an answer that hangs and fails', async () => {
    expect(await putBackAt(10_000, 50_000, () => ((clock.now += 60_000), gone))).toBe(30_000 + 61_000)
  })

  test('does not count when it shows by an answer that comes late', async () => {
    expect(await putBackAt(10_000, 11_000, () => void (clock.now += 60_000))).toBe(30_000 + 60_000)
  })

  test('counts again after it', async () => {
    const shop = new Shop()
    let outages = 0
    shop.before = (verb, kind) =>
      verb === 'get' && kind === 'Lease' && clock.now % 10_000 === 5_000 ? (outages++, gone) : undefined
    await shop.watch()
    expect([outages, clock.now]).toEqual([3, 30_000 + 3 * 1_000])
    expect(
      shop.lines.filter((line) => line === 'the Lease mesh-canary-backend cannot be read: no answer'),
    ).toHaveLength(3)
  })
})

describe('a guard goes on until the traffic is back', () => {
  test.each([0, 403, 429, 500, 503])('where the routes cannot be written for a while (%i)', async (status) => {
    const shop = new Shop()
    shop.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && clock.now < 90_000
        ? new ApiError(status, 'failed calling webhook')
        : undefined
    expect(await shop.watch()).toBe('put back')
    expect([shop.weight, shop.holder, clock.now]).toEqual([0, '', 90_000])
    expect(shop.lines).toContain('not done yet: failed calling webhook')
    expect(shop.created).toHaveLength(1)
  })

  test('where the Lease cannot be written for a while', async () => {
    const shop = new Shop()
    shop.before = (verb, kind) =>
      verb === 'patch' && kind === 'Lease' && clock.now < 90_000 ? new ApiError(503, 'busy') : undefined
    expect(await shop.watch()).toBe('put back')
    // With the first write it says that it is on duty, and with the look after that it fences.
    expect([shop.weight, shop.holder, clock.now]).toEqual([0, '', 91_000])
    expect(shop.lines).toContain('the Lease mesh-canary-backend cannot be written: busy')
  })

  test('where the API server goes away in the middle', async () => {
    const shop = new Shop()
    shop.before = () => (clock.now >= 30_000 && clock.now < 90_000 && shop.holder !== identity ? gone : undefined)
    expect(await shop.watch()).toBe('put back')
    expect([shop.weight, shop.holder]).toEqual([0, ''])
  })

  test('and is not kept from it by an event that nobody takes', async () => {
    const shop = new Shop()
    shop.before = (verb) => (verb === 'create' ? new ApiError(403, 'events are forbidden') : undefined)
    expect(await shop.watch()).toBe('put back')
    expect([shop.weight, shop.holder, clock.now]).toEqual([0, '', 30_000])
    expect(shop.lines).toContain('the event cannot be recorded: events are forbidden')
  })

  test('which a route that nobody finds any more is not, until the next look', async () => {
    const shop = new Shop()
    let refusals = 0
    shop.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && refusals++ < 5 ? new ApiError(404, 'not found') : undefined
    expect(await shop.watch()).toBe('put back')
    expect([shop.weight, refusals]).toEqual([0, 6])
  })
})
