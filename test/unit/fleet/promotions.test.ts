// The promotions of a fleet: which clusters begin when, and what a failure in one of them means for the others. Each
// cluster is a fake that serves a canary; the end-to-end test has two real ones.
import { describe, expect, test, vi } from 'vitest'
import type { Promotion } from '../../../src/canary/controller/context.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { createCoordinator, type Member } from '../../../src/fleet/coordinator.ts'
import { FakeCluster } from '../canary/fake-cluster.ts'
import { FakeClock } from '../fake-clock.ts'
import { configOf, to, virtualService } from '../fixtures.ts'
import { twoClusters } from './two-clusters.ts'
import type { ActivePromotion, RecoveryIntent } from '../../../src/canary/active-promotion.ts'
import { tellOfFailure, watchWhileWaiting } from '../../../src/canary/other-clusters.ts'
import type { PromoteDeps } from '../../../src/canary/waves.ts'
import type { EndedState, State } from '../../../src/canary/state/types.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { splitOf } from '../../../src/policies/routes.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const config = (more = '') =>
  configOf(
    `{ namespace: shop, ${more} canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off } }`,
  )

/** With a clock of its own, so one that sleeps lets the others go on. */
function fakeCluster(weight = 0): FakeCluster {
  const clock = new FakeClock()
  const { sleep } = clock
  const takingTurns = async (ms: number, signal?: AbortSignal) => {
    await new Promise(setImmediate)
    return sleep(ms, signal)
  }
  return new FakeCluster(weight, Object.assign(clock, { sleep: takingTurns }))
}

/** Two clusters, `eu` in wave 1. */
function fleet(usWave: number) {
  return { eu: fakeCluster(), us: fakeCluster(), ...twoClusters(usWave) }
}

let names = 0

/** A promotion that has ended well, and waits. */
function fakeRun(service: string) {
  const { canaries } = configOf(`{ namespace: shop, canaries: [{ service: ${service} }] }`)
  const [plan] = canaries!
  const state = { phase: 'ended', verdict: 'promoted', reason: 'good', steps: [], weight: 100 } as unknown as EndedState
  return {
    plan: plan!,
    split: splitOf(config(), plan!),
    selectors: { stable: {}, canary: {} },
    state,
    intent: {} as RecoveryIntent,
    isBusy: false,
    isSteady: false,
    isLost: false as boolean,
    isSafe: true,
    needsDrainCheck: false,
    hasEnded: () => true,
    tick: () => Promise.resolve(),
    heartbeat: () => Promise.resolve(),
    rollBack: vi.fn(() => Promise.resolve()),
    cancel: () => Promise.resolve(),
    conclude: () => Promise.resolve({ ...state, plan: plan!, namespace: 'shop' }),
  } satisfies ActivePromotion
}

/** As the run of a cluster does it. */
async function promoteIn(
  cluster: FakeCluster,
  member: Member,
  settings = config(),
  more: Partial<PromoteDeps> = {},
): Promise<Promotion> {
  await member.turn({ server: `https://${names++}.example` })
  const promotion = await cluster.promote(settings, { others: member, ...more })
  member.ended({})
  return promotion
}

describe('two clusters', () => {
  test('are promoted one after the other in two waves', async () => {
    const { eu, us, of } = fleet(2)
    const order: string[] = []
    eu.before = (verb, what) => void (verb === 'patch' && what === 'VirtualService' && order.push('eu'))
    us.before = (verb, what) => void (verb === 'patch' && what === 'VirtualService' && order.push('us'))
    const ended = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(ended.map(({ verdict }) => verdict)).toEqual(['promoted', 'promoted'])
    expect(order).toEqual(['eu', 'eu', 'eu', 'eu', 'us', 'us', 'us', 'us'])
  })

  test('a bad canary in the second wave rolls the first one back', async () => {
    const { eu, us, of } = fleet(2)
    us.failureShare = 1
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(first).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'us' })
    expect(first.reason).toContain('because the canary of backend was not promoted in the cluster us')
    expect(eu.weights).toEqual([5, 25, 50, 100, 0])
  })

  test('a bad canary in the first wave keeps the second cluster as it is', async () => {
    const { eu, us, of } = fleet(2)
    eu.failureShare = 1
    const [first, second] = await Promise.allSettled([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(first).toMatchObject({ value: { verdict: 'rolled-back' } })
    expect(String((second as PromiseRejectedResult).reason)).toContain(
      'the canary of backend was not promoted in the cluster eu, so nothing was promoted in us',
    )
    expect(us.weights).toEqual([])
  })

  test('a bad canary in the same wave rolls the other one back, however far it is', async () => {
    const { eu, us, of } = fleet(1)
    us.failureShare = 1
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect([first.verdict, second.verdict]).toEqual(['rolled-back', 'rolled-back'])
    expect(eu.weights.at(-1)).toBe(0)
  })

  test('that were rolled back because of a third one are not named as the cause', async () => {
    const { us, of } = fleet(1)
    const member = of('us')
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    const reported: unknown[] = []
    const report: Member['report'] = (outcome) => {
      reported.push(outcome)
      return member.report(outcome)
    }
    of('eu').ended({ failure: 'the run failed (no istiod)', rollsBackOthers: true })
    us.virtualService = fakeCluster(50).virtualService
    await us.promote(config(), { others: { ...member, report } })
    expect(us.weight).toBe(0)
    expect(reported).toMatchObject([{ failure: 'the canary of backend was not promoted', rollsBackOthers: false }])
  })

  test('with `together: false` end independently of each other', async () => {
    const { eu, us, of } = fleet(1)
    us.failureShare = 1
    const settings = config('together: false,')
    const [first, second] = await Promise.all([promoteIn(eu, of('eu'), settings), promoteIn(us, of('us'), settings)])
    expect([first.verdict, second.verdict]).toEqual(['promoted', 'rolled-back'])
    expect(eu.weight).toBe(100)
  })

  test('a run that fails elsewhere in the second wave rolls the first one back', async () => {
    const { eu, of } = fleet(2)
    const first = promoteIn(eu, of('eu'))
    await of('us').turn({ server: 'https://us.example' })
    of('us').ended({ failure: 'the run failed (no istiod)', rollsBackOthers: true })
    expect(await first).toMatchObject({ verdict: 'rolled-back', rolledBackWith: 'us' })
    expect(eu.weight).toBe(0)
  })

  test('a canary that is held stops the waves, and rolls nothing back', async () => {
    const { eu, us, of } = fleet(2)
    const held = { failure: 'the canary of backend was not promoted', rollsBackOthers: false }
    const second = promoteIn(us, of('us'))
    await of('eu').turn({ server: 'https://eu.example' })
    const settled = of('eu').report(held)
    of('eu').confirm()
    await expect(second).rejects.toThrow('was not promoted in the cluster eu')
    of('us').ended({})
    await settled
    expect(of('us').failure()).toBeUndefined()
    expect(eu.weights).toEqual([])
  })

  test('a canary that fails after another one of its cluster was held rolls the other cluster back', async () => {
    const { of, controller } = twoClusters(1)
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    const ended = (run: ActivePromotion, verdict: string) => Object.assign(run.state, { verdict })
    const [backend, cart] = [fakeRun('backend'), fakeRun('cart')]
    const own = {
      runs: [backend, cart],
      isOutOfTime: false,
      deps: { signal: controller.signal, clock: new FakeClock() },
    }
    ended(backend, 'held')
    tellOfFailure(own, of('eu'))
    const us = of('us').report({})
    of('us').confirm()
    expect(of('us').isFinal()).toBe(false)
    ended(cart, 'rolled-back')
    tellOfFailure(own, of('eu'))
    await us
    expect(of('us').failure()).toEqual({ cluster: 'eu', reason: 'the canary of cart was not promoted' })
  })

  test('one that cannot write its rollback rolls the other one back at once', async () => {
    const { eu, us, of } = fleet(2)
    us.failureShare = 1
    let refused = 0
    const weightsOfEu: number[] = []
    us.before = (verb, what) => {
      if (verb !== 'patch' || what !== 'VirtualService' || us.weight === 0) return undefined
      weightsOfEu[refused++] = eu.weight
      return new ApiError(0, 'connect ECONNREFUSED')
    }
    await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(refused).toBeGreaterThan(10)
    expect(weightsOfEu.slice(5)).not.toContain(100)
  })

  test('one whose API server does not answer its rollback rolls the other one back meanwhile', async () => {
    const { eu, us, of } = fleet(2)
    us.failureShare = 1
    const patch = us.api.patch.bind(us.api)
    const answering = Promise.withResolvers<void>()
    const hanging: typeof patch = async (...call) => {
      if (call[0] === 'VirtualService' && us.weight > 0) await answering.promise
      return patch(...call)
    }
    Object.assign(us.api, { patch: hanging })
    const { sleep } = eu.clock
    const slowly = (ms: number, signal?: AbortSignal) =>
      new Promise((resolve) => setTimeout(resolve, 5)).then(() => sleep(ms, signal))
    Object.assign(eu.clock, { sleep: slowly })
    const ended = Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    await vi.waitFor(() => expect([us.weight, eu.weight]).toEqual([5, 0]), { timeout: 10_000, interval: 10 })
    answering.resolve()
    expect(await ended).toMatchObject([{ verdict: 'rolled-back' }, { verdict: 'rolled-back', weight: 0 }])
  })

  test('a cluster that is lost while it waits stops the others', async () => {
    const { eu, us, of } = fleet(2)
    us.before = (verb, what) => {
      // The guard of eu takes the Lease as soon as us has begun.
      if (verb === 'patch' && what === 'VirtualService' && eu.lease) eu.lease.spec!.holderIdentity = 'guard of run 7'
      return undefined
    }
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(first.verdict).toBe('inconclusive')
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'eu' })
  })

  test('a canary that waits is rolled back when the run is cancelled', async () => {
    const { eu, of, controller } = fleet(2)
    const first = promoteIn(eu, of('eu'))
    await of('us').turn({ server: 'https://us.example' })
    controller.abort(new Error('the run was cancelled'))
    eu.controller.abort(new Error('the run was cancelled'))
    expect(await first).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(eu.weight).toBe(0)
  })

  test('another canary of the same cluster is rolled back, too, when one is lost while it waits', async () => {
    const { of } = fleet(2)
    const runs = [fakeRun('a'), fakeRun('b')]
    const two = configOf(
      '{ namespace: shop, canaries: [{ service: a, engine: { type: argo-rollouts } }, { service: b, engine: { type: argo-rollouts } }] }',
    )
    const eu = fakeCluster()
    const turn = of('us').turn({ server: 'https://us.example' })
    // As soon as us has begun.
    const lost = turn.then(() => (runs[0]!.isLost = true))
    await of('eu').turn({ server: 'https://eu.example' })
    await eu.promote(two, {
      others: of('eu'),
      follow: (plan) => Promise.resolve(runs.find((run) => run.plan.service === plan.service)!),
    })
    await lost
    expect(runs[0]!.rollBack).not.toHaveBeenCalled()
    expect(runs[1]!.rollBack).toHaveBeenCalledWith('rolled back together with a', 'a')
    expect(of('us').failure()).toEqual({ cluster: 'eu', reason: 'the promotion of a was lost' })
  })

  test.each(['eu', 'us'])(
    'a canary that an earlier run left is rolled back when the run fails before in %s',
    async (failed) => {
      const { of } = fleet(1)
      const us = fakeCluster(50)
      const eu = of('eu').turn({ server: 'https://eu.example' })
      await of('us').turn({ server: 'https://us.example' })
      await eu
      const failure = 'the run failed (policies)'
      of(failed).ended({ failure, rollsBackOthers: true })
      const fleetFailure = failed === 'us' ? { fleetFailure: failure } : {}
      const ended = await us.promote(config(), { others: of('us'), ...fleetFailure })
      expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
      expect(ended.reason).toBe(`rolled back because ${failure}${failed === 'us' ? '' : ' in the cluster eu'}`)
      expect(us.weight).toBe(0)
    },
  )

  test('a canary that an earlier run left and that cannot be taken over is named', async () => {
    const { of } = fleet(1)
    const us = fakeCluster(50)
    us.before = (verb, what) => (verb === 'create' && what === 'Lease' ? new ApiError(403, 'forbidden') : undefined)
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    of('us').ended({ failure: 'the run failed (policies)', rollsBackOthers: true })
    const ended = await us.promote(config(), { others: of('us'), fleetFailure: 'the run failed (policies)' })
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 50 })
    expect(ended.error).toMatch(/the canary keeps its weight 50 from an earlier run: .*; run the stage rollback/)
  })

  test('with `together: false` a failure in a cluster of the same wave keeps no canary from its promotion', async () => {
    const { eu, of } = fleet(1)
    const turns = ['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` }))
    await Promise.all(turns)
    of('us').ended({ failure: 'the run failed (policies)', rollsBackOthers: true })
    const ended = await eu.promote(config('together: false,'), { others: of('eu') })
    expect(ended).toMatchObject({ verdict: 'promoted', weight: 100 })
  })

  test('all roll back when somebody moves the traffic of a promoted canary that waits', async () => {
    const { eu, us, of } = fleet(2)
    us.before = (verb, what) => {
      if (verb === 'patch' && what === 'VirtualService' && eu.weight === 100) {
        for (const [i, weight] of [70, 30].entries()) eu.virtualService.spec.http![0]!.route![i]!.weight = weight
        eu.touch()
      }
      return undefined
    }
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(first).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(first.reason).toContain('gives the canary 30% instead of 100%')
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'eu' })
  })

  test('a promoted canary that waits is unfinished: the next run continues it, and can roll it back', async () => {
    const { eu, of, controller } = fleet(2)
    const settings = configOf(
      '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, guard: off, onCancel: hold } }',
    )
    const first = promoteIn(eu, of('eu'), settings)
    const saved = () => JSON.parse(eu.lease!.metadata.annotations!['mesh-canary.io/state']!) as { state: State }
    await of('us').turn({ server: 'https://us.example' })
    while (saved().state.phase !== 'waiting') await new Promise(setImmediate)
    expect(saved().state).toMatchObject({ stagesStarted: 4, weight: 100 })
    controller.abort(new Error('the run was cancelled'))
    eu.controller.abort(new Error('the run was cancelled'))
    expect(await first).toMatchObject({ verdict: 'held', weight: 100 })
    expect(saved().state.phase).toBe('waiting')

    const next = new FakeCluster(100)
    Object.assign(next, { lease: eu.lease })
    expect(await next.promote(settings)).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect(next.weights).toEqual([])
  })

  test('one that was rolled back unseen, while its API server was away, is not promoted, and nor is the other', async () => {
    const { eu, us, of } = fleet(2)
    const settings = configOf(
      '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, guard: off } }',
    )
    let isAway = false
    eu.before = (verb, what) =>
      isAway && verb !== 'watch' && what === 'Lease' ? new ApiError(0, 'connect ECONNREFUSED') : undefined
    us.before = (verb, what) => {
      if (verb === 'patch' && what === 'VirtualService' && !isAway) {
        isAway = true
        // The watch shows the routes as they were, so this looks as if nothing had happened.
        eu.lease!.spec!.holderIdentity = 'guard of run 7'
      }
      return undefined
    }
    const [first, second] = await Promise.all([promoteIn(eu, of('eu'), settings), promoteIn(us, of('us'), settings)])
    expect(first.verdict).not.toBe('promoted')
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'eu' })
  })

  test('one whose routes were moved unseen is rolled back, because only the watch shows what was promoted', async () => {
    const { eu, us, of } = fleet(2)
    const { live } = eu.api as unknown as { live: (kind: string) => ObjectWatch<KubeObject> }
    let stale: KubeObject[] | undefined
    const behind = (kind: string) => {
      const current = live(kind)
      return kind === 'VirtualService' ? { ...current, current: () => stale ?? current.current() } : current
    }
    Object.assign(eu.api, { live: behind })
    us.before = (verb, what) => {
      if (verb === 'patch' && what === 'VirtualService' && !stale) {
        stale = [structuredClone(eu.virtualService)]
        for (const [i, weight] of [100, 0].entries()) eu.virtualService.spec.http![0]!.route![i]!.weight = weight
      }
      return undefined
    }
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(first).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(first.reason).toMatch(/this run could not confirm for \d+ s that it still has its traffic/)
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'eu' })
  })

  test('what the last look finds lost is not confirmed', async () => {
    const { eu, of } = fleet(1)
    const run = fakeRun('a')
    Object.assign(run, {
      tick: () => {
        if (of('eu').isLastLook()) run.isLost = true
        return Promise.resolve()
      },
    })
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    void of('us').report({})
    of('us').confirm()
    const one = configOf('{ namespace: shop, canary: { service: a, engine: { type: argo-rollouts } } }')
    await eu.promote(one, { others: of('eu'), follow: () => Promise.resolve(run) })
    expect(of('us').isFinal()).toBe(false)
    expect(of('us').failure()).toEqual({ cluster: 'eu', reason: 'the promotion of a was lost' })
  })

  test('a look that is under way when all are promoted ends before the promotion does', async () => {
    const { eu, of } = fleet(1)
    const order: string[] = []
    const looking = Promise.withResolvers<void>()
    const run = Object.assign(fakeRun('a'), {
      tick: async () => {
        order.push('look')
        looking.resolve()
        await new Promise((resolve) => setTimeout(resolve, 50))
        order.push('seen')
      },
    })
    const { conclude } = run
    Object.assign(run, { conclude: () => (order.push('end'), conclude()) })
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    const one = configOf('{ namespace: shop, canary: { service: a, engine: { type: argo-rollouts } } }')
    const ended = eu.promote(one, { others: of('eu'), follow: () => Promise.resolve(run) })
    await looking.promise
    of('us').ended({})
    await ended
    expect(order.slice(-2)).toEqual(['seen', 'end'])
  })

  test('with `onDrift: take-over` the weights of one that waits are written again', async () => {
    const { eu, us, of } = fleet(2)
    let isMoved = false
    us.before = (verb, what) => {
      if (verb === 'patch' && what === 'VirtualService' && !isMoved) {
        for (const [i, weight] of [70, 30].entries()) eu.virtualService.spec.http![0]!.route![i]!.weight = weight
        eu.touch()
        isMoved = true
      }
      return undefined
    }
    const settings = configOf(
      '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off, onDrift: take-over } }',
    )
    const ended = await Promise.all([promoteIn(eu, of('eu'), settings), promoteIn(us, of('us'), settings)])
    expect(ended.map(({ verdict }) => verdict)).toEqual(['promoted', 'promoted'])
    expect([eu.weight, us.weight]).toEqual([100, 100])
  })

  test('a promoted canary whose API server is away for longer than `progressDeadline` stops the others', async () => {
    const { eu, us, of } = fleet(2)
    let isAway = false
    eu.before = (verb, what) =>
      isAway && verb === 'patch' && what === 'Lease' ? new ApiError(0, 'connect ECONNREFUSED') : undefined
    us.before = (verb, what) => {
      if (verb === 'patch' && what === 'VirtualService') isAway = true
      return undefined
    }
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect(first.verdict).not.toBe('promoted')
    expect(first.reason).toMatch(/its Lease could not be renewed for \d+ s/)
    expect(second).toMatchObject({ verdict: 'rolled-back', weight: 0, rolledBackWith: 'eu' })
  })
})

describe('a fleet whose run ends before all are promoted (`runFor`)', () => {
  const until = (at: number) => ({ at, latestAt: 1_000_000, resumeWithinMs: 3_600_000, why: 'the run ends after 5 h' })
  /** eu is promoted and waits, us is at 5% when the time is over. */
  async function firstRun(settings = config()) {
    const { eu, us, of } = fleet(2)
    const ended = await Promise.all([
      promoteIn(eu, of('eu'), settings, { runsUntil: until(900_000) }),
      promoteIn(us, of('us'), settings, { runsUntil: until(6_000) }),
    ])
    return { eu, us, of, ended }
  }

  async function nextRun(eu: FakeCluster, us: FakeCluster): Promise<Promotion[]> {
    const { of } = fleet(2)
    return Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
  }

  test('holds all of them, also one that is promoted', async () => {
    const { eu, us, ended } = await firstRun()
    expect(ended).toMatchObject([
      { verdict: 'held', asPlanned: true, weight: 100 },
      { verdict: 'held', asPlanned: true, weight: 5 },
    ])
    expect(ended[0].reason).toContain('the run ends after 5 h before all were promoted')
    expect([eu.weight, us.weight]).toEqual([100, 5])
    expect([eu.lease!.spec!.holderIdentity, us.lease!.spec!.holderIdentity]).toEqual(['', ''])
  })

  test('lets the next run promote them', async () => {
    const { eu, us } = await firstRun()
    expect(await nextRun(eu, us)).toMatchObject([{ verdict: 'promoted' }, { verdict: 'promoted' }])
    // No step is taken twice.
    expect([eu.weights, us.weights]).toEqual([
      [5, 25, 50, 100],
      [5, 25, 50, 100],
    ])
  })

  test('lets the next run roll all back', async () => {
    const { eu, us } = await firstRun()
    us.failureShare = 1
    expect(await nextRun(eu, us)).toMatchObject([
      { verdict: 'rolled-back', weight: 0, rolledBackWith: 'us' },
      { verdict: 'rolled-back', weight: 0 },
    ])
    expect([eu.weight, us.weight]).toEqual([0, 0])
  })

  test('begins in no cluster of a later wave, and fails in none', async () => {
    const controller = new AbortController()
    const members = createCoordinator(
      ['eu', 'us'].map((name, i) => ({ name, wave: i + 1 })),
      controller.signal,
    )
    const later = members.get('us')!.turn({ server: 'https://us.example' })
    const eu = fakeCluster()
    const ended = promoteIn(eu, members.get('eu')!, config(), { runsUntil: until(6_000) })
    await expect(later).resolves.toEqual({ hasWaited: true, isOutOfTime: true })
    members.get('us')!.ended({})
    expect(await ended).toMatchObject({ verdict: 'held', weight: 5 })
    expect(members.get('us')!.isFinal()).toBe(false)
  })

  test('leaves one unfinished that is promoted after another cluster has handed its own over', async () => {
    const { eu, of } = fleet(1)
    await Promise.all(['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` })))
    void of('us').report({ handedOver: true })
    const ended = await eu.promote(config(), { others: of('eu'), runsUntil: until(900_000) })
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 100 })
    const saved = JSON.parse(eu.lease!.metadata.annotations!['mesh-canary.io/state']!) as { state: State }
    expect(saved.state).toMatchObject({ phase: 'waiting', weight: 100 })
  })

  test('does not wait longer than its own time for a cluster that says nothing', async () => {
    const { eu, of } = fleet(1)
    const turns = ['eu', 'us'].map((name) => of(name).turn({ server: `https://${name}.example` }))
    await Promise.all(turns)
    const ended = await eu.promote(config(), { others: of('eu'), runsUntil: { ...until(200_000), latestAt: 210_000 } })
    expect(ended).toMatchObject({ verdict: 'held', weight: 100 })
    of('us').ended({})
    expect(of('us').isFinal()).toBe(false)
  })
})

describe('the last look before a fleet is promoted', () => {
  /** `us` has reported and seen all of it; `eu` has one promotion, which waits. */
  async function lastLookOf(more: Partial<ActivePromotion>, clock: FakeClock) {
    const { of, controller } = fleet(1)
    for (const name of ['eu', 'us']) void of(name).turn({ server: `https://${name}.example` })
    await new Promise(setImmediate)
    // As for any cluster, the wait of `us` ends with an error once the run is cancelled.
    void of('us')
      .report({})
      .catch(() => undefined)
    of('us').confirm()
    const run = { ...fakeRun('backend'), ...more }
    const own = { runs: [run], isOutOfTime: false, deps: { signal: controller.signal, clock } }
    return { run, controller, watching: watchWhileWaiting(own, of('eu'), of('eu').report({})), of }
  }

  test('waits for an API server that is away for longer than a guard waits', async () => {
    const { clock } = fakeCluster()
    const isSeen = () => Promise.resolve(clock.time > 40_000)
    const { run, watching, of } = await lastLookOf({ confirmWeight: isSeen }, clock)
    await watching
    expect(run.rollBack).not.toHaveBeenCalled()
    expect(of('eu').isFinal()).toBe(true)
  })

  test('changes nothing once the run is cancelled', async () => {
    const { clock } = fakeCluster()
    const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<boolean>()]
    const confirmWeight = () => {
      asked.resolve()
      return answer.promise
    }
    const { run, controller, watching } = await lastLookOf({ confirmWeight }, clock)
    await asked.promise
    controller.abort(new Error('cancelled'))
    await watching
    clock.time += 600_000
    answer.resolve(false)
    await new Promise(setImmediate)
    expect(run.rollBack).not.toHaveBeenCalled()
  })

  test('sees the weight that was asked for beside another destination, where 25% reads as 26%', async () => {
    const { eu, of } = fleet(1)
    eu.virtualService = virtualService([{ route: [to('v1', 98), to('v2', 0), to('v3', 2)] }])
    const its = promoteIn(
      eu,
      of('eu'),
      configOf(
        `{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off, steps: [25, 100], until: 25 } }`,
      ),
    )
    await of('us').turn({ server: 'https://us.example' })
    void of('us').report({})
    of('us').confirm()
    expect(await its).toMatchObject({ verdict: 'held', asPlanned: true })
  })

  test('leaves a canary held that drifted while it waited', async () => {
    const { eu, of } = fleet(1)
    const its = promoteIn(
      eu,
      of('eu'),
      configOf(
        `{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off, onFail: hold } }`,
      ),
    )
    await of('us').turn({ server: 'https://us.example' })
    let looks = 0
    eu.clock.afterSleep = () => {
      if ((eu.weight === 100 || looks > 0) && ++looks === 30) {
        for (const [i, weight] of [70, 30].entries()) eu.virtualService.spec.http![0]!.route![i]!.weight = weight
        eu.touch()
      }
      if (looks !== 40) return
      void of('us')
        .report({})
        .catch(() => undefined)
      of('us').confirm()
    }
    expect(await its).toMatchObject({ verdict: 'held' })
    expect(of('us').failure()).toBeUndefined()
  })
})

test('a cluster in doubt still rolls back what waits elsewhere when it gives up at its last moment', async () => {
  const { eu, of } = fleet(1)
  const runsUntil = { at: 200_000, latestAt: 210_000, resumeWithinMs: 3_600_000, why: 'the run ends' }
  const its = promoteIn(eu, of('eu'), config(), { runsUntil })
  await of('us').turn({ server: 'https://us.example' })
  eu.clock.afterSleep = () => {
    if (eu.clock.time < 211_000) return
    void of('us')
      .report({ failure: 'the canary of backend was not promoted', rollsBackOthers: true })
      .catch(() => undefined)
  }
  expect(await its).toMatchObject({ verdict: 'rolled-back', weight: 0 })
})

test('a run that another one kept from its promotion does not take away what that one promotes', async () => {
  const us = fakeCluster(25)
  us.lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'mesh-canary-backend', namespace: 'shop', uid: 'other', resourceVersion: '1' },
    spec: { holderIdentity: 'run 8 (00000000)', leaseDurationSeconds: 30, renewTime: 'a' },
  }
  us.before = (verb, what) => {
    const isOther = us.lease?.spec?.holderIdentity?.startsWith('run 8') === true
    if (verb !== 'get' || what !== 'Lease' || !isOther) return undefined
    us.lease!.spec!.renewTime = String(us.clock.time)
    if (us.clock.time <= 90_000) return undefined
    us.setWeight(100)
    us.lease = undefined
    return undefined
  }
  const others = {
    failure: () => undefined,
    report: () => Promise.resolve(),
    isLastLook: () => false,
    confirm: () => undefined,
    isFinal: () => false,
  }
  const waiting = configOf(
    '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, guard: off, leaseWaitTimeout: 60s } }',
  )
  await expect(us.promote(waiting, { others })).rejects.toThrow('another run promotes backend')
  const ended = await us.promote(waiting, { others, fleetFailure: 'the run failed' })
  expect(ended.verdict).not.toBe('rolled-back')
  expect(us.weights).toEqual([])
})
