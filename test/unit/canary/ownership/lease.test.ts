import { beforeEach, describe, expect, test, vi } from 'vitest'
import {
  claimLease,
  guardIdentity,
  leaseName,
  readLeftPromotion,
  LeaseLost,
  leasePaths,
  seizeLease,
  type ClaimOptions,
  type SavedPromotion,
} from '../../../../src/canary/ownership/lease.ts'
import { initialState } from '../../../../src/canary/state/machine.ts'
import { ApiError } from '../../../../src/cluster/client.ts'
import { planOf } from '../../fixtures.ts'
import { leaseHeldBy, LeaseKeeper } from './fake-leases.ts'

// Time passes only when somebody sleeps: a wait of minutes takes none.
const { clock } = vi.hoisted(() => ({ clock: { now: 0, slept: (): void => undefined } }))
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, _?: unknown, { signal }: { signal?: AbortSignal } = {}) => {
    if (signal?.aborted) return Promise.reject(new Error('aborted'))
    clock.now += ms
    clock.slept()
    return clock.now > 3_600_000 ? Promise.reject(new Error('it never ends')) : Promise.resolve()
  },
}))
vi.mock('../../../../src/runtime/clock.ts', () => ({ monotonicNow: () => clock.now }))

beforeEach(() => {
  clock.now = 0
  clock.slept = () => undefined
})

const saved: SavedPromotion = {
  version: 2,
  plan: 'p',
  template: 't',
  run: 'run 6',
  savedAt: '2026-11-24T20:00:00Z',
  state: initialState(planOf(), 0, 0),
}
const stateOf = (run: string) => ({ 'mesh-canary.io/state': JSON.stringify({ ...saved, run }) })

/** What a run says when it comes; `notes` is what it tells the log. */
function coming(more: Partial<ClaimOptions> = {}): ClaimOptions & { notes: string[] } {
  const notes: string[] = []
  return {
    namespace: 'shop',
    service: 'backend',
    run: 'run 7',
    leaseMs: 30_000,
    waitMs: 0,
    signal: new AbortController().signal,
    note: (line) => void notes.push(line),
    notes,
    ...more,
  }
}

describe('claiming a promotion', () => {
  test('of which there is no Lease makes one, of which nothing was left', async () => {
    const keeper = new LeaseKeeper()
    const claimed = await claimLease(keeper.cluster, coming({ leaseMs: 45_500 }))
    expect(claimed.identity).toMatch(/^run 7 \([0-9a-f]{8}\)$/)
    expect(keeper.lease).toMatchObject({
      metadata: {
        name: leaseName('backend'),
        namespace: 'shop',
        labels: { 'app.kubernetes.io/managed-by': 'mesh-canary' },
      },
      spec: { holderIdentity: claimed.identity, leaseDurationSeconds: 46, leaseTransitions: 0 },
    })
    expect([claimed.before, clock.now]).toEqual([undefined, 0])
  })

  test('whose Lease was given up takes it at once, with what was left, and not with how it ended', async () => {
    const keeper = new LeaseKeeper(
      leaseHeldBy('', {
        annotations: {
          ...stateOf('run 6'),
          [leasePaths.endedName]: 'the guard put it back',
          'mesh-canary.io/guard': 'run 6 (deadbeef)',
        },
        spec: { leaseTransitions: 4 },
      }),
    )
    const claimed = await claimLease(keeper.cluster, coming())
    expect(claimed.before).toEqual(saved)
    expect(keeper.annotations).toEqual({ ...stateOf('run 6'), 'mesh-canary.io/run': 'run 7' })
    expect(keeper.lease?.spec).toMatchObject({ holderIdentity: claimed.identity, leaseTransitions: 5 })
    expect(clock.now).toBe(0)
  })

  test.each([
    ['not JSON', '{'],
    ['of another version of this program', JSON.stringify({ ...saved, version: 1 })],
  ])('does not go on from a state that is %s', async (_, text) => {
    const keeper = new LeaseKeeper(leaseHeldBy('', { annotations: { 'mesh-canary.io/state': text } }))
    expect((await claimLease(keeper.cluster, coming())).before).toBeUndefined()
    expect(await readLeftPromotion(keeper.cluster, 'shop', 'backend')).toBeUndefined()
  })

  test('that a living run holds fails with its next sign of life, and says whose it is, since when, and what to do', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('https://ci/run/6 (deadbeef)'))
    clock.slept = () => clock.now % 5_000 === 0 && keeper.renew()
    const run = coming()
    await expect(claimLease(keeper.cluster, run)).rejects.toThrow(
      'another run promotes backend: https://ci/run/6, since 2026-11-24T20:00:00Z (it renews the Lease shop/mesh-canary-backend); cancel it, or give `leaseWaitTimeout` to wait for its end',
    )
    expect(clock.now).toBe(5_000)
    expect(run.notes).toEqual([
      'backend: https://ci/run/6 holds the Lease shop/mesh-canary-backend since 2026-11-24T20:00:00Z; waiting to see whether it lives',
    ])
    expect(keeper.holder).toBe('https://ci/run/6 (deadbeef)')
  })

  test.each(['2000-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z'])(
    'that no run renews any more takes it after its time by this machine, though its clock said %s',
    async (renewTime) => {
      const keeper = new LeaseKeeper(
        leaseHeldBy('run 6 (deadbeef)', {
          annotations: stateOf('run 6'),
          spec: { renewTime, leaseDurationSeconds: 20 },
        }),
      )
      const run = coming()
      const claimed = await claimLease(keeper.cluster, run)
      expect([clock.now, keeper.holder]).toEqual([20_000, claimed.identity])
      expect(claimed.before).toEqual(saved)
      expect(run.notes.at(-1)).toBe(
        "run 6 held the promotion of backend and was not heard of any more: it is this run's now",
      )
    },
  )

  test('counts that time anew from every sign of life', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    clock.slept = () => clock.now === 25_000 && keeper.renew()
    await claimLease(keeper.cluster, coming({ waitMs: 60_000 }))
    expect(clock.now).toBe(25_000 + 30_000)
  })

  test("that two runs want at once is one run's", async () => {
    const keeper = new LeaseKeeper()
    const [first, second] = await Promise.allSettled([
      claimLease(keeper.cluster, coming({ run: 'run 7' })),
      claimLease(keeper.cluster, coming({ run: 'run 8', signal: AbortSignal.abort() })),
    ])
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected'])
    expect(keeper.asked.filter((each) => each === 'create Lease')).toHaveLength(2)
    expect(keeper.holder).toMatch(/^run 7/)
  })

  test('that another run takes in the same moment waits for that one', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy(''))
    keeper.before = (verb) => (verb === 'patch' && keeper.holder === '' && keeper.heldBy('run 8 (deadbeef)'), undefined)
    clock.slept = () => keeper.renew()
    await expect(claimLease(keeper.cluster, coming())).rejects.toThrow('another run promotes backend: run 8,')
  })

  test.each([404, 409, 422])(
    'that the server never lets anybody write fails with what it says (%i), after a few attempts',
    async (status) => {
      const keeper = new LeaseKeeper(leaseHeldBy(''))
      keeper.before = (verb) => (verb === 'patch' ? new ApiError(status, 'not here') : undefined)
      await expect(claimLease(keeper.cluster, coming())).rejects.toThrow('not here')
      expect(keeper.asked.filter((each) => each === 'patch Lease')).toHaveLength(5)
    },
  )

  test('that may not be read or written fails at once', async () => {
    const keeper = new LeaseKeeper()
    keeper.before = (verb) => (verb === 'create' ? new ApiError(403, 'forbidden') : undefined)
    await expect(claimLease(keeper.cluster, coming())).rejects.toThrow('forbidden')
    expect(keeper.asked).toEqual(['get Lease', 'create Lease'])
  })

  test('with leaseWaitTimeout waits so long for a living run, and takes it when that is done', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    clock.slept = () => (clock.now === 90_000 ? keeper.heldBy('') : keeper.renew())
    const claimed = await claimLease(keeper.cluster, coming({ waitMs: 120_000 }))
    expect([clock.now, keeper.holder]).toEqual([90_000, claimed.identity])
  })

  test('with leaseWaitTimeout waits no longer', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    clock.slept = () => keeper.renew()
    await expect(claimLease(keeper.cluster, coming({ waitMs: 120_000 }))).rejects.toThrow(
      'cancel it, or waited for 120 s (`leaseWaitTimeout`)',
    )
    expect(clock.now).toBe(120_000)
  })

  test('waits for a guard that is putting traffic back, asked to or not', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy(guardIdentity('run 6 (deadbeef)')))
    clock.slept = () => (clock.now === 9_000 ? keeper.heldBy('') : clock.now === 3_000 && keeper.renew())
    const run = coming()
    await claimLease(keeper.cluster, run)
    expect(clock.now).toBe(9_000)
    expect(run.notes[0]).toContain('the guard of run 6 holds the Lease')
  })

  test('is given up when this run is cancelled', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    const controller = new AbortController()
    clock.slept = () => clock.now === 3_000 && controller.abort()
    await expect(claimLease(keeper.cluster, coming({ waitMs: 120_000, signal: controller.signal }))).rejects.toThrow(
      'aborted',
    )
    expect([clock.now, keeper.holder]).toEqual([3_000, 'run 6 (deadbeef)'])
  })
})

async function claimed() {
  const keeper = new LeaseKeeper()
  return { keeper, mine: await claimLease(keeper.cluster, coming()) }
}

describe('a run that holds it', () => {
  test('says with every renewal that it lives, and how far it is', async () => {
    const { keeper, mine } = await claimed()
    const { renewTime } = keeper.lease!.spec!
    await vi.waitFor(() => expect(Date.parse(renewTime!)).toBeLessThan(Date.now()))
    await mine.renew(saved)
    expect(keeper.lease?.spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    expect(keeper.lease?.spec?.renewTime).not.toBe(renewTime)
    expect(await readLeftPromotion(keeper.cluster, 'shop', 'backend')).toEqual(saved)
  })

  test('is guarded once its own guard says so, and not by what the guard of an earlier claim said', async () => {
    const { keeper, mine } = await claimed()
    const guard = async (identity: string) => {
      keeper.patch([{ op: 'add', path: leasePaths.guard, value: identity }])
      await mine.renew(saved)
      return mine.guarded()
    }
    expect(mine.guarded()).toBe(false)
    expect(await guard('run 7 (deadbeef)')).toBe(false)
    expect(await guard(mine.identity)).toBe(true)
  })

  test.each<[string, (keeper: LeaseKeeper) => void, string]>([
    [
      'another run has taken it',
      (keeper) => keeper.heldBy('https://ci/run/8 (deadbeef)'),
      'https://ci/run/8 has taken the promotion over',
    ],
    [
      'another claim of the same run has',
      (keeper) => keeper.heldBy('run 7 (deadbeef)'),
      'run 7 has taken the promotion over',
    ],
    [
      'the guard has fenced it',
      (keeper) => keeper.heldBy(guardIdentity('run 7 (deadbeef)')),
      'the guard is putting the traffic back',
    ],
    [
      'the guard has ended it',
      (keeper) =>
        keeper.patch([
          { op: 'add', path: leasePaths.ended, value: 'the run was not heard of for 30 s' },
          { op: 'replace', path: '/spec/holderIdentity', value: '' },
        ]),
      'the run was not heard of for 30 s',
    ],
    ['somebody has emptied it', (keeper) => keeper.heldBy(''), 'somebody has taken the promotion over'],
    [
      'the Lease was deleted',
      (keeper) => (keeper.lease = undefined),
      'the Lease shop/mesh-canary-backend is gone: somebody else has ended this promotion',
    ],
  ])('has lost it when %s, and can neither renew, release nor end it', async (_, happens, why) => {
    const { keeper, mine } = await claimed()
    happens(keeper)
    const after = structuredClone(keeper.lease)
    for (const attempt of [() => mine.renew(saved), () => mine.release(saved), () => mine.end()])
      await expect(attempt()).rejects.toThrow(new LeaseLost(why))
    expect(keeper.lease).toEqual(after)
  })

  test.each([0, 401, 403, 409, 422, 429, 500, 503])(
    'has not lost it while the server refuses a write that is its own (%i)',
    async (status) => {
      const { keeper, mine } = await claimed()
      keeper.before = (verb) => (verb === 'patch' ? new ApiError(status, 'not now') : undefined)
      await expect(mine.renew(saved)).rejects.toThrow(new ApiError(status, 'not now'))
    },
  )

  test('has not lost it while nobody can say whose it is', async () => {
    const { keeper, mine } = await claimed()
    keeper.before = (verb) => new ApiError(verb === 'patch' ? 409 : 0, `no ${verb}`)
    await expect(mine.renew(saved)).rejects.toThrow(new ApiError(409, 'no patch'))
  })

  test('leaves its state to a later one when it releases it', async () => {
    const { keeper, mine } = await claimed()
    await mine.release(saved)
    expect(keeper.holder).toBe('')
    expect((await claimLease(keeper.cluster, coming({ run: 'run 8' }))).before).toEqual(saved)
    expect(clock.now).toBe(0)
  })

  test('takes all of it away when it ends it', async () => {
    const { keeper, mine } = await claimed()
    await mine.end()
    expect(keeper.lease).toBeUndefined()
  })

  test('does not end another one of the same name', async () => {
    const { keeper, mine } = await claimed()
    keeper.before = (verb) => (verb === 'remove' && (keeper.lease!.metadata.uid = 'lease-9'), undefined)
    await expect(mine.end()).rejects.toThrow('the UID in the precondition does not match')
    expect(keeper.lease).toBeDefined()
  })
})

describe('seizing a promotion', () => {
  const take = (keeper: LeaseKeeper) =>
    seizeLease(keeper.cluster, 'shop', 'backend', 'run 8 (rollback)', 'run 8 put all traffic back')

  test('takes it from the run that holds it, which learns why', async () => {
    const { keeper, mine } = await claimed()
    await mine.renew(saved)
    expect((await take(keeper))?.spec?.holderIdentity).toBe('run 8 (rollback)')
    await expect(mine.renew(saved)).rejects.toThrow(new LeaseLost('run 8 put all traffic back'))
    expect(await readLeftPromotion(keeper.cluster, 'shop', 'backend')).toEqual(saved)
  })

  test('is nothing where none is under way', async () => {
    const keeper = new LeaseKeeper()
    expect(await take(keeper)).toBeUndefined()
    expect(keeper.asked).toEqual(['get Lease'])
  })

  test('goes on until the run that renews it meanwhile is a moment too late', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    let writes = 0
    keeper.before = (verb) => (verb === 'patch' && ++writes < 3 && keeper.renew(), undefined)
    await take(keeper)
    expect([writes, keeper.holder]).toEqual([3, 'run 8 (rollback)'])
  })

  test('gives up after five, with the reason', async () => {
    const keeper = new LeaseKeeper(leaseHeldBy('run 6 (deadbeef)'))
    keeper.before = (verb) => (verb === 'patch' ? new ApiError(422, 'refused') : undefined)
    await expect(take(keeper)).rejects.toThrow('refused')
    expect(keeper.asked.filter((each) => each === 'patch Lease')).toHaveLength(5)
  })
})
