// A run is frozen (a paused VM, SIGSTOP, a call that hangs) around a write, and wakes up after others have acted.
import { beforeEach, describe, expect, test } from 'vitest'
import { RouteWriter } from '../../../../src/canary/controller/writer.ts'
import { claimLease, LeaseLost } from '../../../../src/canary/ownership/lease.ts'
import type { SavedPromotion } from '../../../../src/canary/ownership/lease-object.ts'
import { forceRollback } from '../../../../src/canary/recovery.ts'
import type { State } from '../../../../src/canary/state/types.ts'
import type { Cluster } from '../../../../src/cluster/client.ts'
import { watchLease } from '../../../../src/guard/watchdog.ts'
import { FakeClock } from '../../fake-clock.ts'
import { planOf, to, virtualService, split } from '../../fixtures.ts'
import { FakeNamespace } from '../ownership/fake-leases.ts'

const saved = { version: 5, plan: '', template: '', run: 'run 6', savedAt: '', state: {} as State } as SavedPromotion

let clock: FakeClock
beforeEach(() => void (clock = new FakeClock()))

/** The others act while the run waits for the answer to its first `verb` on a route. */
async function frozenAt(
  verb: 'list' | 'patch',
  weight: number,
  others: (namespace: FakeNamespace, identity: string) => Promise<unknown>,
) {
  const namespace = new FakeNamespace()
  const before = virtualService([{ route: [to('v1', 100 - weight), to('v2', weight)] }])
  namespace.others['VirtualService'] = before
  const options = { namespace: 'shop', service: 'backend', run: 'run 6', leaseMs: 30_000, waitMs: 0 }
  const { signal } = new AbortController()
  const claim = await claimLease(namespace.api, { ...options, signal, clock, note: () => undefined })
  let isFrozen = false
  const calls = namespace.api as unknown as Record<string, (kind: string, ...rest: unknown[]) => Promise<unknown>>
  const call = (kind: string, ...rest: unknown[]) => calls[verb]!(kind, ...rest)
  const freezing = Object.assign({}, namespace.api, {
    [verb]: async (kind: string, ...rest: unknown[]) => {
      // A list has been answered, and a patch is on its way, when the others act.
      const answer = verb === 'list' ? await call(kind, ...rest) : undefined
      if (kind === 'VirtualService' && !isFrozen) {
        isFrozen = true
        await others(namespace, claim.identity)
      }
      return verb === 'list' ? answer : call(kind, ...rest)
    },
  }) as Cluster
  const writer = new RouteWriter({
    cluster: freezing,
    split,
    plan: planOf(),
    session: { renew: () => claim.renew(saved), savedRoutes: [before], coverRoutes: () => Promise.resolve() },
    state: () => ({}) as State,
    clock,
    note: () => undefined,
    rollbackObstacle: () => undefined,
  })
  const written = await writer.write([{ kind: 'weight', weight: 50 }]).catch((error: unknown) => error)
  return { namespace, written }
}

const guard = (namespace: FakeNamespace, identity: string) =>
  watchLease(
    namespace.api,
    {
      namespace: 'shop',
      service: 'backend',
      lease: 'mesh-canary-backend',
      identity,
      afterMs: 30_000,
      split,
      selectors: { stable: { version: 'v1' }, canary: { version: 'v2' } },
      saved: [virtualService([{ route: [to('v1', 100), to('v2', 0)] }])],
    },
    { clock, log: () => undefined },
  )

describe('a run that wakes up writes nothing after', () => {
  test.each<[string, 'list' | 'patch', number, (namespace: FakeNamespace, identity: string) => Promise<unknown>]>([
    ['its guard has rolled back, when it had read the routes', 'list', 25, guard],
    ['its guard has rolled back, when its write was under way', 'patch', 25, guard],
    ['its guard found the weight at 0, when its first write was under way', 'patch', 0, guard],
    [
      'a stage rollback, when its write was under way',
      'patch',
      25,
      (namespace) => forceRollback(namespace.api, split, { run: 'run 9', timeoutMs: 0, clock }),
    ],
    [
      'a stage rollback found the weight at 0, when its first write was under way',
      'patch',
      0,
      (namespace) => forceRollback(namespace.api, split, { run: 'run 9', timeoutMs: 0, clock }),
    ],
  ])('%s', async (_, verb, weight, others) => {
    const { namespace, written } = await frozenAt(verb, weight, others)
    expect(written).toBeInstanceOf(LeaseLost)
    expect(namespace.weight).toBe(0)
  })
})
