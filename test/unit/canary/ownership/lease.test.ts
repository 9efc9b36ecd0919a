import { beforeEach, describe, expect, test, vi } from 'vitest'
import {
  claimLease,
  isLeftUnfinished,
  LeaseLost,
  seizeLease,
  waitForFreeLease,
  type ClaimOptions,
} from '../../../../src/canary/ownership/lease.ts'
import {
  endedAnnotation,
  guardIdentity,
  leaseName,
  leasePaths,
  savedPromotion,
  type SavedPromotion,
} from '../../../../src/canary/ownership/lease-object.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import { FakeClock } from '../../fake-clock.ts'
import { planOf } from '../../fixtures.ts'
import { FakeLeaseCluster, leaseHeldBy } from './fake-leases.ts'

let clock: FakeClock
beforeEach(() => {
  clock = new FakeClock()
})

const saved: SavedPromotion = {
  version: 5,
  plan: 'p',
  template: 't',
  run: 'run 6',
  savedAt: '2026-11-24T20:00:00Z',
  state: initialState(planOf(), 0, 0),
}
const stateOf = (run: string) => ({ 'mesh-canary.io/state': JSON.stringify({ ...saved, run }) })

/** A run that wants the Lease; `notes` are its log lines. */
function runFor(more: Partial<ClaimOptions> = {}): ClaimOptions & { notes: string[] } {
  const notes: string[] = []
  return {
    namespace: 'shop',
    service: 'backend',
    run: 'run 7',
    leaseMs: 30_000,
    waitMs: 0,
    signal: new AbortController().signal,
    clock,
    note: (line) => void notes.push(line),
    notes,
    ...more,
  }
}

describe('a run that wants the Lease', () => {
  test('waits for a lost run only once', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6'))
    const run = runFor()
    const observed = await waitForFreeLease(cluster.api, run)
    const waitedMs = clock.time
    await claimLease(cluster.api, { ...run, observed })
    expect([waitedMs, clock.time]).toEqual([30_000, 30_000])
    expect(run.notes.at(-1)).toBe('run 6 stopped renewing the Lease of backend: this run takes over')
  })

  test('creates it when there is none', async () => {
    const cluster = new FakeLeaseCluster()
    const claim = await claimLease(cluster.api, runFor({ leaseMs: 45_500 }))
    expect(claim.identity).toMatch(/^run 7 \([0-9a-f]{8}\)$/)
    expect(cluster.lease).toMatchObject({
      metadata: {
        name: leaseName('backend'),
        namespace: 'shop',
        labels: { 'app.kubernetes.io/managed-by': 'mesh-canary' },
      },
      spec: { holderIdentity: claim.identity, leaseDurationSeconds: 46, leaseTransitions: 0 },
    })
    expect([claim.before, clock.time]).toEqual([undefined, 0])
  })

  test('takes a released Lease at once, with the saved state and without the ending', async () => {
    const cluster = new FakeLeaseCluster(
      leaseHeldBy('', {
        annotations: {
          ...stateOf('run 6'),
          [endedAnnotation]: 'the guard rolled back',
          'mesh-canary.io/guard': 'run 6 (deadbeef)',
        },
        spec: { leaseTransitions: 4 },
      }),
    )
    const claim = await claimLease(cluster.api, runFor())
    expect(claim.before).toEqual(saved)
    expect(cluster.annotations).toEqual({ ...stateOf('run 6'), 'mesh-canary.io/run': 'run 7' })
    expect(cluster.lease?.spec).toMatchObject({ holderIdentity: claim.identity, leaseTransitions: 5 })
    expect(clock.time).toBe(0)
  })

  test.each([
    ['not JSON', '{'],
    ['of another version of this program', JSON.stringify({ ...saved, version: 1 })],
  ])('does not resume from a state that is %s', async (_, text) => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('', { annotations: { 'mesh-canary.io/state': text } }))
    expect((await claimLease(cluster.api, runFor())).before).toBeUndefined()
    expect(savedPromotion(cluster.lease)).toBeUndefined()
    // Nobody can tell how far it came, so it must not count as finished.
    expect(await isLeftUnfinished(cluster.api, 'shop', 'backend')).toBe(true)
  })

  test('fails at the next renewal of another run, and names that run, since when it holds the Lease, and what to do', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('https://ci/run/6 (deadbeef)'))
    clock.afterSleep = () => clock.time % 5_000 === 0 && cluster.renew()
    const run = runFor()
    await expect(claimLease(cluster.api, run)).rejects.toThrow(
      'another run promotes backend: https://ci/run/6, since 2026-11-24T20:00:00Z (it renews the Lease shop/mesh-canary-backend); cancel it, or set `leaseWaitTimeout` to wait for its end',
    )
    expect(clock.time).toBe(5_000)
    expect(run.notes).toEqual([
      'backend: https://ci/run/6 holds the Lease shop/mesh-canary-backend since 2026-11-24T20:00:00Z; waiting to see whether that run is alive',
    ])
    expect(cluster.holder).toBe('https://ci/run/6 (deadbeef)')
  })

  test.each(['2000-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z'])(
    'takes a Lease that is not renewed, by the clock of this machine, even if its renewTime is %s',
    async (renewTime) => {
      const cluster = new FakeLeaseCluster(
        leaseHeldBy('run 6 (deadbeef)', {
          annotations: stateOf('run 6'),
          spec: { renewTime, leaseDurationSeconds: 20 },
        }),
      )
      const run = runFor()
      const claim = await claimLease(cluster.api, run)
      expect([clock.time, cluster.holder]).toEqual([20_000, claim.identity])
      expect(claim.before).toEqual(saved)
      expect(run.notes.at(-1)).toBe('run 6 stopped renewing the Lease of backend: this run takes over')
    },
  )

  test('counts the time from the last renewal', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    clock.afterSleep = () => clock.time === 25_000 && cluster.renew()
    await claimLease(cluster.api, runFor({ waitMs: 60_000 }))
    expect(clock.time).toBe(25_000 + 30_000)
  })

  test('gets it alone when two runs want it at the same time', async () => {
    const cluster = new FakeLeaseCluster()
    const [first, second] = await Promise.allSettled([
      claimLease(cluster.api, runFor({ run: 'run 7' })),
      claimLease(cluster.api, runFor({ run: 'run 8', signal: AbortSignal.abort() })),
    ])
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected'])
    expect(cluster.calls.filter((each) => each === 'create Lease')).toHaveLength(2)
    expect(cluster.holder).toMatch(/^run 7/)
  })

  test('waits for a run that takes it at the same time', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy(''))
    cluster.before = (verb) => (
      verb === 'patch' && cluster.holder === '' && cluster.heldBy('run 8 (deadbeef)'), undefined
    )
    clock.afterSleep = () => cluster.renew()
    await expect(claimLease(cluster.api, runFor())).rejects.toThrow('another run promotes backend: run 8,')
  })

  test.each([404, 409, 422])('fails after five attempts when the server refuses every write (%i)', async (status) => {
    const cluster = new FakeLeaseCluster(leaseHeldBy(''))
    cluster.before = (verb) => (verb === 'patch' ? new ApiError(status, 'not here') : undefined)
    await expect(claimLease(cluster.api, runFor())).rejects.toThrow('not here')
    expect(cluster.calls.filter((each) => each === 'patch Lease')).toHaveLength(5)
  })

  test('fails at once when it lacks the rights', async () => {
    const cluster = new FakeLeaseCluster()
    cluster.before = (verb) => (verb === 'create' ? new ApiError(403, 'forbidden') : undefined)
    await expect(claimLease(cluster.api, runFor())).rejects.toThrow('forbidden')
    expect(cluster.calls).toEqual(['get Lease', 'create Lease'])
  })

  test('waits up to leaseWaitTimeout for another run, and takes the Lease when that run has ended', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    clock.afterSleep = () => (clock.time === 90_000 ? cluster.heldBy('') : cluster.renew())
    const claim = await claimLease(cluster.api, runFor({ waitMs: 120_000 }))
    expect([clock.time, cluster.holder]).toEqual([90_000, claim.identity])
  })

  test('fails when leaseWaitTimeout is over', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    clock.afterSleep = () => cluster.renew()
    await expect(claimLease(cluster.api, runFor({ waitMs: 120_000 }))).rejects.toThrow(
      'it did not end within 120 s (`leaseWaitTimeout`): cancel it, or wait longer',
    )
    expect(clock.time).toBe(120_000)
  })

  test('waits for a guard that is rolling back, also without leaseWaitTimeout', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy(guardIdentity('run 6 (deadbeef)')))
    clock.afterSleep = () => (clock.time === 9_000 ? cluster.heldBy('') : clock.time === 3_000 && cluster.renew())
    const run = runFor()
    await claimLease(cluster.api, run)
    expect(clock.time).toBe(9_000)
    expect(run.notes[0]).toContain('the guard of run 6 holds the Lease')
  })

  test('stops waiting when it is cancelled', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    const controller = new AbortController()
    clock.afterSleep = () => clock.time === 3_000 && controller.abort()
    await expect(claimLease(cluster.api, runFor({ waitMs: 120_000, signal: controller.signal }))).rejects.toThrow(
      'aborted',
    )
    expect([clock.time, cluster.holder]).toEqual([3_000, 'run 6 (deadbeef)'])
  })
})

async function claim() {
  const cluster = new FakeLeaseCluster()
  return { cluster, mine: await claimLease(cluster.api, runFor()) }
}

describe('a run that holds the Lease', () => {
  test('writes the time and its state with every renewal', async () => {
    const { cluster, mine } = await claim()
    const { renewTime } = cluster.lease!.spec!
    await vi.waitFor(() => expect(Date.parse(renewTime!)).toBeLessThan(Date.now()))
    await mine.renew(saved)
    expect(cluster.lease?.spec?.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    expect(cluster.lease?.spec?.renewTime).not.toBe(renewTime)
    expect(savedPromotion(cluster.lease)).toEqual(saved)
  })

  test('is guarded once its own guard has announced itself, and not by the guard of an earlier claim', async () => {
    const { cluster, mine } = await claim()
    const guard = async (identity: string) => {
      cluster.patch([{ op: 'add', path: leasePaths.guard, value: identity }])
      await mine.renew(saved)
      return mine.guarded()
    }
    expect(mine.guarded()).toBe(false)
    expect(await guard('run 7 (deadbeef)')).toBe(false)
    expect(await guard(mine.identity)).toBe(true)
  })

  test.each<[string, (cluster: FakeLeaseCluster) => void, string, boolean?]>([
    [
      'another run has taken it',
      (cluster) => cluster.heldBy('https://ci/run/8 (deadbeef)'),
      'https://ci/run/8 took over the promotion',
    ],
    [
      'another claim of the same run has taken it',
      (cluster) => cluster.heldBy('run 7 (deadbeef)'),
      'run 7 took over the promotion',
    ],
    [
      'the guard has taken it',
      (cluster) => cluster.heldBy(guardIdentity('run 7 (deadbeef)')),
      'the guard is rolling back to stable',
    ],
    [
      'the guard has rolled back',
      (cluster) =>
        cluster.patch([
          { op: 'add', path: leasePaths.ended, value: 'the run did not renew its Lease for 30 s' },
          { op: 'replace', path: '/spec/holderIdentity', value: '' },
        ]),
      'the run did not renew its Lease for 30 s',
    ],
    ['someone has removed the holder', (cluster) => cluster.heldBy(''), 'someone took over the promotion'],
    [
      'the Lease was deleted',
      (cluster) => (cluster.lease = undefined),
      'the Lease shop/mesh-canary-backend was deleted',
      true,
    ],
  ])('loses it when %s, and can neither renew, release nor end it', async (_, happens, why, isDeleted = false) => {
    const { cluster, mine } = await claim()
    happens(cluster)
    const after = structuredClone(cluster.lease)
    for (const attempt of [() => mine.renew(saved), () => mine.release(saved), () => mine.end()])
      await expect(attempt()).rejects.toThrow(new LeaseLost(why, isDeleted))
    expect(cluster.lease).toEqual(after)
  })

  test.each([0, 401, 403, 409, 422, 429, 500, 503])(
    'keeps it while the server refuses its writes (%i)',
    async (status) => {
      const { cluster, mine } = await claim()
      cluster.before = (verb) => (verb === 'patch' ? new ApiError(status, 'not now') : undefined)
      await expect(mine.renew(saved)).rejects.toThrow(new ApiError(status, 'not now'))
    },
  )

  test('keeps it while the holder cannot be read', async () => {
    const { cluster, mine } = await claim()
    cluster.before = (verb) => new ApiError(verb === 'patch' ? 409 : 0, `no ${verb}`)
    await expect(mine.renew(saved)).rejects.toThrow(new ApiError(409, 'no patch'))
  })

  test('leaves its state to a later run when it releases it', async () => {
    const { cluster, mine } = await claim()
    await mine.release(saved)
    expect(cluster.holder).toBe('')
    expect((await claimLease(cluster.api, runFor({ run: 'run 8' }))).before).toEqual(saved)
    expect(clock.time).toBe(0)
  })

  test('deletes it at its end', async () => {
    const { cluster, mine } = await claim()
    await mine.end()
    expect(cluster.lease).toBeUndefined()
  })

  test('does not delete another Lease of the same name', async () => {
    const { cluster, mine } = await claim()
    cluster.before = (verb) => (verb === 'remove' && (cluster.lease!.metadata.uid = 'lease-9'), undefined)
    await expect(mine.end()).rejects.toThrow('the UID in the precondition does not match')
    expect(cluster.lease).toBeDefined()
  })
})

describe('seizing the Lease', () => {
  const seize = (cluster: FakeLeaseCluster) =>
    seizeLease(cluster.api, 'shop', 'backend', 'run 8 (rollback)', 'run 8 returned all traffic to stable')

  test('takes it from the run that holds it, and writes the reason for that run', async () => {
    const { cluster, mine } = await claim()
    await mine.renew(saved)
    expect((await seize(cluster))?.spec?.holderIdentity).toBe(mine.identity)
    expect(cluster.holder).toBe('run 8 (rollback)')
    await expect(mine.renew(saved)).rejects.toThrow(new LeaseLost('run 8 returned all traffic to stable'))
    expect(savedPromotion(cluster.lease)).toEqual(saved)
  })

  test('does nothing when there is none', async () => {
    const cluster = new FakeLeaseCluster()
    expect(await seize(cluster)).toBeUndefined()
    expect(cluster.calls).toEqual(['get Lease'])
  })

  test('tries again when the run renews it meanwhile', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    let writes = 0
    cluster.before = (verb) => (verb === 'patch' && ++writes < 3 && cluster.renew(), undefined)
    await seize(cluster)
    expect([writes, cluster.holder]).toEqual([3, 'run 8 (rollback)'])
  })

  test('gives up after five attempts, with the reason', async () => {
    const cluster = new FakeLeaseCluster(leaseHeldBy('run 6 (deadbeef)'))
    cluster.before = (verb) => (verb === 'patch' ? new ApiError(422, 'refused') : undefined)
    await expect(seize(cluster)).rejects.toThrow('refused')
    expect(cluster.calls.filter((each) => each === 'patch Lease')).toHaveLength(5)
  })
})
