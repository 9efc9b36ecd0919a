// An experiment from its Lease to its end, with failures of the cluster in between.
import { beforeEach, describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { pod, to, virtualService } from '../fixtures.ts'
import { FakeShop } from './fake-shop.ts'
import { experimentOf } from './fixtures.ts'

let shop: FakeShop
beforeEach(() => {
  shop = new FakeShop()
})

const tolerant = () => experimentOf('expect: { successRate: 30% }, stopBelow: 1%')
const restored = virtualService([{ route: [to('v1')] }])

/** The routes are as before, and nothing of the experiment is left. */
function expectClean(): void {
  expect(shop.virtualService.spec).toEqual(restored.spec)
  expect(shop.virtualService.metadata.annotations ?? {}).not.toHaveProperty(['mesh-canary.io/experiment'])
}

describe('an experiment', () => {
  test('that users do not notice is resilient, and leaves nothing behind', async () => {
    const { state } = await shop.run(tolerant())
    expect(state.outcome.verdict).toBe('resilient')
    expect(state.recovery.kind).toBe('confirmed')
    expect(state.signs.faulted).toBeGreaterThan(0)
    expectClean()
    expect(shop.leases.lease).toBeUndefined()
  })

  test('that users notice is fragile', async () => {
    const { state } = await shop.run(experimentOf('stopBelow: 1%'))
    expect(state.outcome.verdict).toBe('fragile')
    expectClean()
  })

  test('says what to remove before it writes anything, and nothing at its end', async () => {
    await shop.run(tolerant())
    expect(shop.intents[0]).toMatchObject({
      experiment: 'trial',
      services: { target: 'backend', others: [] },
      objects: [{ kind: 'VirtualService', name: 'backend', undo: { kind: 'routes' } }],
    })
    expect(shop.intents.at(-1)).toBeUndefined()
  })

  test('injects nothing while its guard does not watch', async () => {
    shop.hasGuard = false
    shop.everySecond = () => expect(shop.isFaulted).toBe(false)
    const { state } = await shop.run(tolerant())
    expect(state.outcome.reason).toContain('nothing was injected: its Job has no pod')
    expect(shop.leases.lease).toBeUndefined()
  })
})

describe('does not begin', () => {
  test('during a promotion', async () => {
    shop.leases.lease = leaseHeldBy('run 6 (deadbeef)', { annotations: { 'mesh-canary.io/state': '{}' } })
    await expect(shop.run(tolerant())).rejects.toThrow(
      'a promotion by run 6 of backend has not ended (Lease shop/mesh-canary-backend)',
    )
    expect(shop.leases.holder).toBe('run 6 (deadbeef)')
  })

  test('if its guard cannot be created, and names what helps', async () => {
    shop.leases.before = (verb, kind) =>
      verb === 'apply' && kind === 'Job' ? new ApiError(403, 'cannot patch resource "jobs"') : undefined
    await expect(shop.run(tolerant())).rejects.toThrow(/; give the run the rights of deploy\/rbac\/experiment.yaml$/)
  })

  test('during another experiment', async () => {
    shop.leases.lease = leaseHeldBy('run 6, experiment other (deadbeef)')
    shop.everySecond = () => shop.leases.lease && shop.leases.renew()
    await expect(shop.run(tolerant())).rejects.toThrow('another run experiments with backend: run 6, experiment other')
  })

  test('while Chaos Mesh has not ended what an earlier run left', async () => {
    const mark = { experiment: 'old', lease: 'mesh-canary-backend', identity: 'run 5', undo: { kind: 'delete' } }
    const annotations = { 'mesh-canary.io/experiment': JSON.stringify(mark) }
    const metadata = { name: 'x', namespace: 'shop', uid: 'u', deletionTimestamp: 'now', annotations }
    shop.leases.others['NetworkChaos'] = { apiVersion: 'chaos-mesh.org/v1alpha1', kind: 'NetworkChaos', metadata }
    await expect(shop.run(tolerant())).rejects.toThrow(
      'an earlier experiment is not over: NetworkChaos shop/x is deleted, but still there',
    )
    expect(shop.leases.lease).toBeUndefined()
  })

  test.each([['mesh-canary-backend'], ['mesh-canary-experiment-backend']])(
    'before it has removed what an earlier run with the Lease %s left',
    async (lease) => {
      const mark = { experiment: 'old', lease, identity: 'run 5', undo: { kind: 'routes' } }
      shop.leases.others['VirtualService'] = virtualService(
        [{ name: 'mesh-canary-fault', route: [to('v1')] }, { route: [to('v1')] }],
        { annotations: { 'mesh-canary.io/experiment': JSON.stringify(mark) } },
      )
      await shop.run(tolerant())
      expect(shop.notes).toContain('removed what an earlier experiment had left in VirtualService shop/backend')
      expectClean()
    },
  )
})

describe('while the fault acts,', () => {
  /** Once, in the tenth second of the fault. */
  function later(work: () => void): void {
    let seconds = 0
    shop.everySecond = () => {
      if (shop.isFaulted && ++seconds === 10) work()
    }
  }

  test('a cancellation removes it', async () => {
    later(() => shop.controller.abort(new Error('cancelled')))
    const { state } = await shop.run(tolerant())
    expect(state.outcome).toEqual({ verdict: 'inconclusive', reason: 'the run was cancelled' })
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: true })
    expectClean()
    expect(shop.intents.at(-1)).toBeUndefined()
  })

  test('a lost Lease removes it, and leaves the Lease to its holder', async () => {
    later(() => shop.leases.heldBy('guard of run 7'))
    const { state } = await shop.run(tolerant())
    expect(state.outcome.reason).toBe('this run lost its Lease: the guard is removing the fault')
    expectClean()
    expect(shop.leases.holder).toBe('guard of run 7')
  })

  test('a change of it by somebody else ends the experiment', async () => {
    later(() => {
      shop.leases.others['VirtualService'] = { ...restored }
    })
    const { state } = await shop.run(tolerant())
    expect(state.outcome.reason).toContain('somebody else changed what the fault had written')
    expectClean()
  })

  test('an API server that refuses writes for a while delays the removal', async () => {
    let refusals = 0
    shop.leases.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && shop.isFaulted && refusals++ < 4
        ? new ApiError(503, 'the server is away')
        : undefined
    const { state } = await shop.run(tolerant())
    expect(state.recovery.kind).toBe('confirmed')
    expect(shop.notes.join('\n')).toContain('the fault: the server is away')
    expectClean()
  })

  test('an API server that never takes the removal leaves the Lease to the guard, and the run says so', async () => {
    shop.leases.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' && shop.isFaulted ? new ApiError(503, 'away') : undefined
    const { state } = await shop.run(tolerant())
    expect(state.outcome.verdict).toBe('inconclusive')
    expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
    expect(shop.leases.holder).toContain('run 7, experiment trial')
    expect(shop.intents.at(-1)).toBeDefined()
  })
})

test('a fault that the sidecars still apply keeps the Lease, and the post step is told', async () => {
  shop.everySecond = () => {
    if (shop.isFaulted) shop.hasControlPlane = false
  }
  const { state } = await shop.run(tolerant())
  expect(state.outcome.verdict).toBe('inconclusive')
  expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
  expectClean()
  expect(shop.leases.holder).toContain('run 7, experiment trial')
  expect(shop.intents.at(-1)?.unseen).toContain('the sidecars still apply it')
})

test('an object that Chaos Mesh is still ending is awaited before it is written again', async () => {
  let writes = 0
  const create = shop.api.create.bind(shop.api)
  shop.api.serves = () => Promise.resolve(true)
  shop.leases.pods = ['web-1', 'web-2'].map((name) => pod({ metadata: { name, uid: name, labels: { app: 'web' } } }))
  shop.api.create = <T extends KubeObject>(object: T) => {
    if (object.kind !== 'NetworkChaos') return create<T>(object)
    if (shop.leases.others['NetworkChaos']) return Promise.reject(new ApiError(409, 'it already exists'))
    writes++
    return Promise.resolve((shop.leases.others['NetworkChaos'] = object))
  }
  // The Lease cannot be renewed once, just after the write, and the object that this removes goes a few seconds later.
  let refusals = 0
  let secondsOfEnd = 0
  shop.leases.before = (verb, kind) =>
    verb === 'patch' && kind === 'Lease' && writes === 1 && refusals++ === 0 ? new ApiError(503, 'away') : undefined
  shop.everySecond = () => {
    if (shop.leases.calls.includes('remove NetworkChaos') && ++secondsOfEnd === 3)
      delete shop.leases.others['NetworkChaos']
  }
  const settings = '{ action: loss, mode: one, selector: { labelSelectors: { app: web } } }'
  const { state } = await shop.run(experimentOf('', `{ chaosMesh: { kind: NetworkChaos, spec: ${settings} } }`))
  expect(writes).toBe(2)
  expect(state.outcome.reason).not.toContain('already exists')
})

test('a cancellation leaves a fault that Chaos Mesh has not ended to the guard, and says so', async () => {
  const settings = '{ action: loss, mode: one, selector: { labelSelectors: { app: web } } }'
  const create = shop.api.create.bind(shop.api)
  const status = {
    conditions: ['Selected', 'AllInjected'].map((type) => ({ type, status: 'True' })),
    experiment: { desiredPhase: 'Run', containerRecords: [{ id: 'shop/web-1', phase: 'Injected' }] },
  }
  shop.api.serves = () => Promise.resolve(true)
  shop.leases.pods = ['web-1', 'web-2'].map((name) => pod({ metadata: { name, uid: name, labels: { app: 'web' } } }))
  // Chaos Mesh injects at once. Its finalizer keeps the object for ever.
  shop.api.create = <T extends KubeObject>(object: T) => {
    if (object.kind !== 'NetworkChaos') return create<T>(object)
    return Promise.resolve((shop.leases.others['NetworkChaos'] = { ...object, status }) as unknown as T)
  }
  shop.everySecond = () => {
    if (shop.notes.includes('trial: the fault acts; observing')) shop.controller.abort(new Error('cancelled'))
  }
  const { state } = await shop.run(experimentOf('', `{ chaosMesh: { kind: NetworkChaos, spec: ${settings} } }`))
  expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: false })
  expect((state.recovery as { problem: string }).problem).toContain('Chaos Mesh has not ended it yet')
  expect(shop.leases.holder).toContain('run 7')
  expect(shop.intents.at(-1)).toBeDefined()
})

test('a cancellation during the write removes what it wrote', async () => {
  shop.leases.before = (verb, kind) => {
    if (verb === 'patch' && kind === 'VirtualService' && !shop.isFaulted) shop.controller.abort(new Error('cancelled'))
    return undefined
  }
  const { state } = await shop.run(tolerant())
  expect(state.outcome.reason).toBe('the run was cancelled')
  expect(state.recovery).toMatchObject({ kind: 'unconfirmed', isRemoved: true })
  expectClean()
})

test('a write that somebody else was faster than is repeated with what is there then', async () => {
  let conflicts = 0
  shop.leases.before = (verb, kind) =>
    verb === 'patch' && kind === 'VirtualService' && conflicts++ === 0 ? new ApiError(422, 'too late') : undefined
  const { state } = await shop.run(tolerant())
  expect(state.outcome.verdict).toBe('resilient')
  expect(shop.notes.join('\n')).toContain('somebody else wrote at the same time')
  expectClean()
})

test('a fault that the account may not write is not tried again and again', async () => {
  shop.leases.before = (verb, kind) =>
    verb === 'patch' && kind === 'VirtualService' && !shop.isFaulted ? new ApiError(403, 'no') : undefined
  const { state } = await shop.run(tolerant())
  expect(state.outcome.verdict).toBe('inconclusive')
  expect(state.outcome.reason).toContain('the fault could not be written: no')
})

test('a poll that a cancellation interrupts does not write the fault afterwards', async () => {
  let refusals = 0
  shop.leases.before = (verb, kind) =>
    verb === 'patch' && kind === 'VirtualService' && !shop.isFaulted && refusals++ === 0
      ? new ApiError(503, 'away')
      : undefined
  const read = shop.api.pod.bind(shop.api)
  shop.api.pod = (...where) => {
    // The first attempt to write failed, and the next poll reads the counters.
    if (refusals === 1) shop.controller.abort(new Error('cancelled'))
    return read(...where)
  }
  await shop.run(tolerant())
  // What the interrupted poll may still do needs no time of the clock.
  await new Promise((resolve) => setImmediate(resolve))
  expectClean()
  expect(shop.leases.lease).toBeUndefined()
  expect(shop.intents.at(-1)).toBeUndefined()
})

test('nothing is injected if it is no longer allowed when the time has come', async () => {
  shop.everySecond = () => {
    expect(shop.isFaulted).toBe(false)
    delete shop.leases.others['Namespace']!.metadata.labels
  }
  const { state } = await shop.run(experimentOf('', '{ abort: { status: 503, percent: 1% } }'))
  expect(state.outcome.verdict).toBe('inconclusive')
  expect(state.outcome.reason).toContain('the namespace shop does not allow them')
  expectClean()
  // The five hundred calls that would show such a fault take ten seconds.
  expect(state.since - state.timeline.at(-2)!.at).toBeLessThan(6_000)
})

test.each([
  [422, 'NetworkChaos is invalid: spec.loss: Required value'],
  [409, 'networkchaos "mesh-canary-experiment-backend" already exists'],
])('an object that the API server refuses (%i) ends the experiment with its reason', async (status, message) => {
  const settings = '{ action: loss, mode: one, selector: { labelSelectors: { app: web } } }'
  shop.leases.before = (verb, kind) =>
    verb === 'create' && kind === 'NetworkChaos' ? new ApiError(status, message) : undefined
  shop.api.serves = () => Promise.resolve(true)
  shop.leases.pods = ['web-1', 'web-2'].map((name) => pod({ metadata: { name, uid: name, labels: { app: 'web' } } }))
  const { state } = await shop.run(experimentOf('', `{ chaosMesh: { kind: NetworkChaos, spec: ${settings} } }`))
  expect(state.outcome.reason).toContain(`NetworkChaos shop/mesh-canary-experiment-backend is refused: ${message}`)
  expect(state.timeline.map(({ phase }) => phase)).not.toContain('observing')
})

test('with `load`, the pods of all gateways are watched, as users may come through any of them', async () => {
  const watched: unknown[] = []
  const list = shop.api.list.bind(shop.api)
  const snapshot = shop.api.snapshot.bind(shop.api)
  shop.api.list = (kind, namespace) => (namespace === 'istio-system' ? Promise.resolve([]) : list(kind, namespace))
  shop.api.snapshot = (kind, namespace, query) => {
    watched.push([namespace, query])
    return snapshot(kind, namespace, query)
  }
  await shop.run({ ...tolerant(), load: { path: '/' } })
  expect(watched).toEqual([
    ['shop', {}],
    ['istio-system', {}],
  ])
})
