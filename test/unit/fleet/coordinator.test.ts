// The promotions of a fleet: which clusters begin when, and what a failure in one of them means for the others. Each
// cluster is a fake that serves a canary; the end-to-end test has two real ones.
import { describe, expect, test, vi } from 'vitest'
import type { Promotion } from '../../../src/canary/controller/context.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { createCoordinator, type Member } from '../../../src/fleet/coordinator.ts'
import { FakeCluster } from '../canary/fake-cluster.ts'
import { configOf } from '../fixtures.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const config = (more = '') =>
  configOf(
    `{ namespace: shop, ${more} canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off } }`,
  )

/** Two clusters, `eu` in wave 1. */
function fleet(usWave: number) {
  const controller = new AbortController()
  const clusters = [
    { name: 'eu', wave: 1 },
    { name: 'us', wave: usWave },
  ]
  const members = createCoordinator(clusters, controller.signal)
  return { eu: new FakeCluster(), us: new FakeCluster(), of: (name: string) => members.get(name)!, controller }
}

let names = 0

/** As the run of a cluster does it. */
async function promoteIn(cluster: FakeCluster, member: Member, settings = config()): Promise<Promotion> {
  await member.turn({ server: `https://${names++}.example` })
  const promotion = await cluster.promote(settings, { others: member })
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

  test('a bad canary in the second wave puts the first one back', async () => {
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
      'the canary of backend was not promoted in the cluster eu, so this run changed nothing in us',
    )
    expect(us.weights).toEqual([])
  })

  test('a bad canary in the same wave puts the other one back, however far it is', async () => {
    const { eu, us, of } = fleet(1)
    us.failureShare = 1
    const [first, second] = await Promise.all([promoteIn(eu, of('eu')), promoteIn(us, of('us'))])
    expect([first.verdict, second.verdict]).toEqual(['rolled-back', 'rolled-back'])
    expect(eu.weights.at(-1)).toBe(0)
  })

  test('with `together: false` share no fate', async () => {
    const { eu, us, of } = fleet(1)
    us.failureShare = 1
    const settings = config('together: false,')
    const [first, second] = await Promise.all([promoteIn(eu, of('eu'), settings), promoteIn(us, of('us'), settings)])
    expect([first.verdict, second.verdict]).toEqual(['promoted', 'rolled-back'])
    expect(eu.weight).toBe(100)
  })

  test('a run that fails elsewhere in the second wave puts the first one back', async () => {
    const { eu, of } = fleet(2)
    const first = promoteIn(eu, of('eu'))
    await of('us').turn({ server: 'https://us.example' })
    of('us').ended({ failure: 'the run failed (no istiod)', putsBack: true })
    expect(await first).toMatchObject({ verdict: 'rolled-back', rolledBackWith: 'us' })
    expect(eu.weight).toBe(0)
  })

  test('a canary that is held stops the waves, and puts nothing back', async () => {
    const { eu, us, of } = fleet(2)
    const held = { failure: 'the canary of backend was not promoted', putsBack: false }
    const second = promoteIn(us, of('us'))
    await of('eu').turn({ server: 'https://eu.example' })
    const settled = of('eu').settle(held)
    await expect(second).rejects.toThrow('was not promoted in the cluster eu')
    of('us').ended({})
    await settled
    expect(of('us').failure()).toBeUndefined()
    expect(eu.weights).toEqual([])
  })

  test('nothing begins where the checks of another cluster fail', async () => {
    const { of } = fleet(1)
    const turn = of('eu').turn({ server: 'https://eu.example' })
    of('us').ended({ failure: 'the run failed (no such namespace)', putsBack: true })
    await expect(turn).rejects.toThrow(
      'the run failed (no such namespace) in the cluster us, so this run changed nothing in eu',
    )
  })

  test('that are one are refused', async () => {
    const { of } = fleet(1)
    const turns = await Promise.allSettled(
      ['eu', 'us'].map((name) => of(name).turn({ server: 'https://same.example' })),
    )
    expect(String((turns[0] as PromiseRejectedResult).reason)).toContain(
      'clusters: us and eu have the same API server (https://same.example)',
    )
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

  test('a canary that waits goes back to stable when the run is cancelled', async () => {
    const { eu, of, controller } = fleet(2)
    const first = promoteIn(eu, of('eu'))
    await of('us').turn({ server: 'https://us.example' })
    controller.abort(new Error('the run was cancelled'))
    eu.controller.abort(new Error('the run was cancelled'))
    expect(await first).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(eu.weight).toBe(0)
  })

  test('a held one does not end the wait of the others: a failure after it still puts the others back', async () => {
    const controller = new AbortController()
    const members = createCoordinator(
      ['eu', 'us', 'asia'].map((name) => ({ name, wave: 1 })),
      controller.signal,
    )
    const [eu, us, asia] = ['eu', 'us', 'asia'].map((name) => members.get(name)!)
    void eu!.settle({ failure: 'the canary of backend was not promoted', putsBack: false })
    let isOver = false
    const settled = us!.settle({}).then(() => (isOver = true))
    await new Promise(setImmediate)
    expect(isOver).toBe(false)
    void asia!.settle({ failure: 'the canary of backend was not promoted', putsBack: true })
    await settled
    expect(us!.failure()?.cluster).toBe('asia')
  })

  test('that wait for each other end when the run is cancelled', async () => {
    const { of, controller } = fleet(2)
    const turns = [of('eu').turn({ server: 'https://eu.example' }), of('us').turn({ server: 'https://us.example' })]
    await turns[0]
    controller.abort(new Error('the run was cancelled'))
    await expect(turns[1]).rejects.toThrow('the run was cancelled')
    await expect(of('eu').settle({})).rejects.toThrow('the run was cancelled')
  })
})
