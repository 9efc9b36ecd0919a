import { beforeEach, describe, expect, test, vi } from 'vitest'
import { guardIdentity, leasePaths } from '../../../src/canary/ownership/lease.ts'
import { forceRollback, recoverPromotion } from '../../../src/canary/recovery.ts'
import { ApiError } from '../../../src/cluster/client.ts'
import type { ConfigMap, VirtualService } from '../../../src/cluster/objects.ts'
import type { Split } from '../../../src/policies/routes.ts'
import { pod, to, virtualService } from '../fixtures.ts'
import { leaseHeldBy, LeaseKeeper } from './ownership/fake-leases.ts'

// Time passes only when somebody sleeps.
const { clock } = vi.hoisted(() => ({ clock: { now: 0 } }))
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => ((clock.now += ms), Promise.resolve()) }))
vi.mock('../../../src/runtime/clock.ts', async () => {
  const { setTimeout } = await import('node:timers/promises')
  const now = () => clock.now
  const sleep = (ms: number, signal?: AbortSignal) => setTimeout(ms, undefined, signal && { signal })
  return { monotonicNow: now, systemClock: { now, sleep } }
})

const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const identity = 'run 6 (deadbeef)'
const drainTarget = {
  labels: { version: 'v2' },
  metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
  timeoutMs: 30_000,
}
const before = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
const guard = ['Job', 'RoleBinding', 'Role', 'ServiceAccount', 'ConfigMap'].map((kind) => `remove ${kind}`)

/** A namespace with the Lease of a run, the routes as that saved them, and a VirtualService at 25. A fake, to take the Lease at any moment. */
class Shop extends LeaseKeeper {
  constructor(holder = identity, annotations: Record<string, string> = {}) {
    super(
      leaseHeldBy(holder, {
        annotations: { 'mesh-canary.io/run': 'run 6', 'mesh-canary.io/state': '{}', ...annotations },
      }),
    )
    const saved: ConfigMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'mesh-canary-backend', namespace: 'shop' },
      data: { 'routes.json': JSON.stringify([before]) },
    }
    this.others = { VirtualService: virtualService([{ route: [to('v1', 75), to('v2', 25)] }]), ConfigMap: saved }
  }

  unseen = false
  readonly notes: string[] = []

  get weight(): number | undefined {
    return (this.others['VirtualService'] as VirtualService).spec.http![0]!.route![1]?.weight
  }

  undo(held = false): Promise<string | undefined> {
    return recoverPromotion(
      this.cluster,
      { split, identity, drainTarget, needsDrainCheck: this.unseen },
      held,
      (line) => this.notes.push(line),
    )
  }

  get removed(): string[] {
    return this.asked.filter((each) => each.startsWith('remove'))
  }
}

let shop: Shop
beforeEach(() => {
  shop = new Shop()
})

/** The canary's only pod has a sidecar that counts what it serves: 10 requests a second, until it hears of weight 0. */
function serving(until: number): void {
  const from = clock.now
  const count = () =>
    `istio_requests_total{reporter="destination",response_code="200"} ${Math.min(clock.now - from, until) / 100}`
  shop.others['Pod'] = pod({ metadata: { labels: { version: 'v2' } } })
  Object.assign(shop.cluster, { pod: () => Promise.resolve(count()), log: () => Promise.resolve('') })
}
const stillThere =
  /^weight 0 is in VirtualService shop\/backend, and 30 s later the proxies still send 9.8 requests\/s to v2 of backend: istiod has not told them/

describe('the post step of a run that died with its Lease', () => {
  test('puts all traffic back, says so, gives the Lease up with what was saved, and takes the guard away', async () => {
    expect(await shop.undo()).toBe('all traffic of backend was put back to v1')
    expect([shop.weight, shop.holder]).toEqual([0, ''])
    expect(shop.annotations).toMatchObject({
      'mesh-canary.io/state': '{}',
      [leasePaths.endedName]:
        'the run ended in the middle of the promotion, and all traffic of backend was put back to v1',
    })
    expect(shop.removed).toEqual(guard)
  })

  test('leaves the traffic where a cancel is to hold it, and gives the Lease up all the same', async () => {
    expect(await shop.undo(true)).toBe('the traffic of backend stays as it is (`onCancel: hold`)')
    expect([shop.weight, shop.holder]).toEqual([25, ''])
    expect(shop.annotations[leasePaths.endedName]).toBe(
      'the run ended in the middle of the promotion, and the traffic of backend stays as it is (`onCancel: hold`)',
    )
    expect(shop.removed).toEqual(guard)
  })

  test('gives routes that do not split any more their old ones back', async () => {
    shop.others['VirtualService'] = virtualService([{ route: [to('v2', 100)] }])
    await shop.undo()
    expect(shop.others['VirtualService']).toMatchObject({ spec: before.spec })
  })

  test('moves the weights where no routes were saved', async () => {
    delete shop.others['ConfigMap']
    await shop.undo()
    expect(shop.weight).toBe(0)
  })

  test('keeps the Lease, and with it the guard on duty, when the traffic cannot be put back', async () => {
    shop.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' ? new ApiError(503, 'failed calling webhook') : undefined
    await expect(shop.undo()).rejects.toThrow('failed calling webhook')
    expect([shop.holder, shop.removed]).toEqual([identity, []])
  })

  test.each<[string, (shop: Shop) => void]>([
    ['another run', (shop) => shop.heldBy('run 7 (deadbeef)')],
    ['the guard', (shop) => shop.heldBy(guardIdentity(identity))],
    ['who deletes it', (shop) => (shop.lease = undefined)],
  ])('does not write over a Lease that went to %s meanwhile', async (_, happens) => {
    let after: unknown
    shop.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'Lease') {
        happens(shop)
        after = structuredClone(shop.lease)
      }
      return undefined
    }
    await shop.undo()
    expect(shop.lease).toEqual(after)
    expect(shop.removed).toEqual(guard)
  })

  test('fails when the Lease cannot be given up for another reason', async () => {
    shop.before = (verb, kind) => (verb === 'patch' && kind === 'Lease' ? new ApiError(403, 'forbidden') : undefined)
    await expect(shop.undo()).rejects.toThrow('forbidden')
    expect(shop.weight).toBe(0)
  })
})

describe('the post step looks whether the proxies follow, and', () => {
  test('waits for them', async () => {
    serving(20_000)
    expect(await shop.undo()).toBe('all traffic of backend was put back to v1')
    expect(shop.notes.at(-1)).toBe('the canary serves nothing any more, 20.0 s after the weight was put back')
  })

  test('fails when they do not within the progressDeadline, though the Lease is given up', async () => {
    serving(Infinity)
    await expect(shop.undo()).rejects.toThrow(stillThere)
    expect([shop.weight, shop.holder]).toEqual([0, ''])
  })

  test('does nothing else where the run had written it and was cancelled before it saw', async () => {
    shop = Object.assign(new Shop(), { lease: undefined, unseen: true })
    serving(Infinity)
    await expect(shop.undo()).rejects.toThrow('the proxies still send')
    expect(shop.asked.filter((each) => !each.startsWith('list'))).toEqual([])
    serving(0)
    expect(await shop.undo()).toBeUndefined()
  })

  test('not where the traffic is to be held', async () => {
    serving(Infinity)
    await shop.undo(true)
    expect(shop.notes).toEqual([])
  })
})

describe('the post step of a run whose guard has fenced it', () => {
  test('puts the traffic back with it, and leaves the Lease and the guard to the guard', async () => {
    shop = new Shop(guardIdentity(identity))
    expect(await shop.undo()).toBe('all traffic of backend was put back to v1')
    expect([shop.weight, shop.holder, shop.removed]).toEqual([0, guardIdentity(identity), []])
  })

  test('does not say that the traffic stays where it was to be held: it does not', async () => {
    shop = new Shop(guardIdentity(identity))
    expect(await shop.undo(true)).toBe('the guard is putting all traffic of backend back to v1')
    expect([shop.holder, shop.removed]).toEqual([guardIdentity(identity), []])
  })
})

describe('the post step has nothing to do', () => {
  test.each<[string, () => Shop, string | undefined]>([
    ['where the promotion was ended', () => Object.assign(new Shop(), { lease: undefined }), undefined],
    ['where the Lease was given up', () => new Shop(''), undefined],
    [
      'where the guard has done it, whose words it repeats',
      () => new Shop('', { [leasePaths.endedName]: 'the guard put all traffic of backend back to v1' }),
      'the guard put all traffic of backend back to v1',
    ],
    ['where another run has the promotion', () => new Shop('run 7 (deadbeef)'), undefined],
    ['where another claim of the same run has', () => new Shop('run 6 (12345678)'), undefined],
    ["where another claim's guard has", () => new Shop(guardIdentity('run 6 (12345678)')), undefined],
  ])('%s', async (_, made, said) => {
    for (const held of [false, true]) {
      shop = made()
      expect(await shop.undo(held)).toBe(said)
      expect([shop.weight, shop.asked]).toEqual([25, ['get Lease']])
    }
  })

  test('but fails where it cannot be known', async () => {
    shop.before = () => new ApiError(0, 'no answer')
    await expect(shop.undo()).rejects.toThrow('no answer')
  })
})

describe('the stage rollback', () => {
  const back = () => forceRollback(shop.cluster, split, 'run 9')

  test('takes the promotion from a run that lives before it writes, and leaves nothing of it', async () => {
    let holder: string | undefined
    shop.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') holder = shop.holder
      return undefined
    }
    expect(await back()).toBe(true)
    expect([holder, shop.weight, shop.lease]).toEqual(['run 9 (rollback)', 0, undefined])
  })

  test('tells that run why', async () => {
    let told: string | undefined
    shop.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') told = shop.annotations[leasePaths.endedName]
      return undefined
    }
    await back()
    expect(told).toBe('run 9 put all traffic back (stage rollback)')
  })

  test('moves the weights where no promotion is under way', async () => {
    shop.lease = undefined
    expect(await back()).toBe(true)
    expect([shop.weight, shop.removed]).toEqual([0, []])
  })

  test('answers that nothing was written where stable has it all', async () => {
    shop.others['VirtualService'] = before
    expect(await back()).toBe(false)
    expect(shop.lease).toBeUndefined()
  })

  test('keeps the Lease it took when the traffic cannot be put back: no run goes on over it', async () => {
    shop.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' ? new ApiError(503, 'failed calling webhook') : undefined
    await expect(back()).rejects.toThrow('failed calling webhook')
    expect(shop.holder).toBe('run 9 (rollback)')
  })
})
