import { beforeEach, describe, expect, test } from 'vitest'
import { endedAnnotation, guardIdentity } from '../../../src/canary/ownership/lease-object.ts'
import { forceRollback, recoverPromotion } from '../../../src/canary/recovery.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { ConfigMap } from '../../../src/cluster/objects.ts'
import { watchLease } from '../../../src/guard/watchdog.ts'
import { FakeClock } from '../fake-clock.ts'
import { pod, to, virtualService, split } from '../fixtures.ts'
import { FakeNamespace, leaseHeldBy } from './ownership/fake-leases.ts'

const identity = 'run 6 (deadbeef)'
const selectors = { stable: { version: 'v1' }, canary: { version: 'v2' } }
const drainTarget = {
  selectors: { stable: { version: 'v1' }, canary: { version: 'v2' } },
  metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
  timeoutMs: 30_000,
}
const before = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
const guard = ['Job', 'RoleBinding', 'Role', 'ServiceAccount', 'ConfigMap'].map((kind) => `remove ${kind}`)

/** A namespace with the Lease of a run that died, and the routes as that run saved them. */
class AbandonedNamespace extends FakeNamespace {
  needsDrainCheck = false
  readonly notes: string[] = []

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
    this.others['ConfigMap'] = saved
  }

  recover(isHeld = false): Promise<string | undefined> {
    const { needsDrainCheck } = this
    const intent = { split, identity, selectors, drainTarget, needsDrainCheck }
    return recoverPromotion(this.api, intent, isHeld, (line) => this.notes.push(line), clock)
  }

  get removed(): string[] {
    return this.calls.filter((each) => each.startsWith('remove'))
  }
}

let clock: FakeClock
let namespace: AbandonedNamespace
beforeEach(() => {
  clock = new FakeClock()
  namespace = new AbandonedNamespace()
})

const podOf = (version: string) => pod({ metadata: { name: version, uid: version, labels: { version } } })

/** The only pod of the canary has a sidecar that counts 10 requests a second until it receives weight 0. */
function serving(until: number): void {
  const from = clock.time
  const count = () =>
    `istio_requests_total{reporter="destination",response_code="200"} ${Math.min(clock.time - from, until) / 100}`
  namespace.pods = [podOf('v1'), podOf('v2')]
  Object.assign(namespace.api, { pod: () => Promise.resolve(count()), log: () => Promise.resolve('') })
}
const undrainedError =
  /^weight 0 is in VirtualService shop\/backend, and 30 s later the proxies still send 9.8 requests\/s to v2 of backend: this run found no route past the split/

describe('the post step of a run that died while it held the Lease', () => {
  test('returns all traffic to stable, releases the Lease with its saved state, and deletes the guard', async () => {
    expect(await namespace.recover()).toBe('all traffic of backend was returned to v1')
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
    expect(namespace.annotations).toMatchObject({
      'mesh-canary.io/state': '{}',
      [endedAnnotation]: 'the run ended during the promotion, and all traffic of backend was returned to v1',
    })
    expect(namespace.removed).toEqual(guard)
  })

  test('leaves the traffic where `onCancel` holds it, and also releases the Lease', async () => {
    expect(await namespace.recover(true)).toBe('the traffic of backend stays as it is (`onCancel: hold`)')
    expect([namespace.weight, namespace.holder]).toEqual([25, ''])
    expect(namespace.annotations[endedAnnotation]).toBe(
      'the run ended during the promotion, and the traffic of backend stays as it is (`onCancel: hold`)',
    )
    expect(namespace.removed).toEqual(guard)
  })

  test('restores the saved routes when they do not split any more', async () => {
    namespace.others['VirtualService'] = virtualService([{ route: [to('v2', 100)] }])
    await namespace.recover()
    expect(namespace.others['VirtualService']).toMatchObject({ spec: before.spec })
  })

  test('moves the weights when no routes were saved', async () => {
    delete namespace.others['ConfigMap']
    await namespace.recover()
    expect(namespace.weight).toBe(0)
  })

  test('keeps the Lease, and with it the guard, when the routes cannot be written', async () => {
    namespace.before = (verb, kind) =>
      verb === 'patch' && kind === 'VirtualService' ? new ApiError(503, 'failed calling webhook') : undefined
    await expect(namespace.recover()).rejects.toThrow('failed calling webhook')
    expect([namespace.holder, namespace.removed]).toEqual([identity, []])
  })

  test.each<[string, (namespace: AbandonedNamespace) => void]>([
    ['another run', (namespace) => namespace.heldBy('run 7 (deadbeef)')],
    ['the guard', (namespace) => namespace.heldBy(guardIdentity(identity))],
    ['someone who deletes it', (namespace) => (namespace.lease = undefined)],
  ])('does not overwrite a Lease that went to %s meanwhile', async (_, happens) => {
    let after: unknown
    namespace.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'Lease') {
        happens(namespace)
        after = structuredClone(namespace.lease)
      }
      return undefined
    }
    await namespace.recover()
    expect(namespace.lease).toEqual(after)
    expect(namespace.removed).toEqual(guard)
  })

  test('writes no route when another run takes the Lease while the routes are read', async () => {
    namespace.before = (verb, kind) => (verb === 'list' && kind === 'VirtualService' && takeOnce(), undefined)
    const takeOnce = () => namespace.heldBy('run 7 (deadbeef)')
    await namespace.recover()
    expect([namespace.weight, namespace.holder]).toEqual([25, 'run 7 (deadbeef)'])
  })

  test('fails when the Lease cannot be released for another reason', async () => {
    namespace.before = (verb, kind) =>
      verb === 'patch' && kind === 'Lease' ? new ApiError(403, 'forbidden') : undefined
    await expect(namespace.recover()).rejects.toThrow('forbidden')
    expect(namespace.weight).toBe(0)
  })
})

describe('the post step of a run whose stable version has no ready pod', () => {
  test('leaves the traffic on the canary and the Lease to the guard, and says what to do', async () => {
    namespace.pods = [podOf('v2')]
    await expect(namespace.recover()).rejects.toThrow(
      'no ready pod of v1 is behind the Service shop/backend, so every request there would get a 503: scale v1 up, or repair its pods',
    )
    expect([namespace.weight, namespace.holder, namespace.removed]).toEqual([25, identity, []])
  })

  test('returns the traffic if the canary has none either, or the pods cannot be read', async () => {
    await namespace.recover()
    expect(namespace.weight).toBe(0)
    namespace = new AbandonedNamespace()
    namespace.pods = [podOf('v2')]
    namespace.before = (verb, kind) => (verb === 'list' && kind === 'Pod' ? new ApiError(403, 'forbidden') : undefined)
    await namespace.recover().catch(() => undefined)
    expect(namespace.weight).toBe(0)
  })
})

describe('the post step checks that the canary drains, and', () => {
  test('waits for the proxies', async () => {
    serving(20_000)
    expect(await namespace.recover()).toBe('all traffic of backend was returned to v1')
    expect(namespace.notes.at(-1)).toBe(
      'the canary is drained: no request to it ended later than 20.0 s after its weight was set to 0',
    )
  })

  test('fails when it does not drain within the progressDeadline, after it has released the Lease', async () => {
    serving(Infinity)
    await expect(namespace.recover()).rejects.toThrow(undrainedError)
    expect([namespace.weight, namespace.holder]).toEqual([0, ''])
  })

  test('does nothing else when the run itself had rolled back and was cancelled before its check', async () => {
    namespace = Object.assign(new AbandonedNamespace(), { lease: undefined, needsDrainCheck: true })
    serving(Infinity)
    await expect(namespace.recover()).rejects.toThrow('the proxies still send')
    expect(namespace.calls.filter((each) => !each.startsWith('list'))).toEqual([])
    serving(0)
    expect(await namespace.recover()).toBeUndefined()
  })

  test('skips the check when the traffic is held', async () => {
    serving(Infinity)
    await namespace.recover(true)
    expect(namespace.notes).toEqual([])
  })
})

describe('the post step of a run whose guard has taken the Lease', () => {
  test('rolls back as well, and leaves the Lease and the guard to the guard', async () => {
    namespace = new AbandonedNamespace(guardIdentity(identity))
    expect(await namespace.recover()).toBe('all traffic of backend was returned to v1')
    expect([namespace.weight, namespace.holder, namespace.removed]).toEqual([0, guardIdentity(identity), []])
  })

  test('reports the rollback of the guard although the plan holds the traffic', async () => {
    namespace = new AbandonedNamespace(guardIdentity(identity))
    expect(await namespace.recover(true)).toBe('the guard is returning all traffic of backend to v1')
    expect([namespace.holder, namespace.removed]).toEqual([guardIdentity(identity), []])
  })
})

describe('the post step has nothing to do', () => {
  test.each<[string, () => AbandonedNamespace, string | undefined]>([
    ['when the promotion was ended', () => Object.assign(new AbandonedNamespace(), { lease: undefined }), undefined],
    ['when the Lease was released', () => new AbandonedNamespace(''), undefined],
    [
      'when the guard has rolled back, and repeats what the guard reported',
      () => new AbandonedNamespace('', { [endedAnnotation]: 'the guard returned all traffic of backend to v1' }),
      'the guard returned all traffic of backend to v1',
    ],
    ['when another run holds the Lease', () => new AbandonedNamespace('run 7 (deadbeef)'), undefined],
    ['when another claim of the same run holds it', () => new AbandonedNamespace('run 6 (12345678)'), undefined],
    ["when another claim's guard holds it", () => new AbandonedNamespace(guardIdentity('run 6 (12345678)')), undefined],
  ])('%s', async (_, made, said) => {
    for (const held of [false, true]) {
      namespace = made()
      expect(await namespace.recover(held)).toBe(said)
      expect([namespace.weight, namespace.calls.filter((each) => !each.startsWith('list'))]).toEqual([
        25,
        ['get Lease'],
      ])
    }
  })

  test('unless the Lease cannot be read, which is an error', async () => {
    namespace.before = () => new ApiError(0, 'no answer')
    await expect(namespace.recover()).rejects.toThrow('no answer')
  })
})

describe('the stage rollback', () => {
  const rollback = () => forceRollback(namespace.api, split, { run: 'run 9', timeoutMs: 60_000, clock })

  test('takes the Lease from a running promotion before it writes, and deletes it afterwards', async () => {
    let holder: string | undefined
    namespace.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') holder = namespace.holder
      return undefined
    }
    expect(await rollback()).toBe(true)
    expect([holder, namespace.weight, namespace.lease]).toEqual(['run 9 (rollback)', 0, undefined])
  })

  test('writes for that run why it lost the Lease', async () => {
    let reason: string | undefined
    namespace.before = (verb, kind) => {
      if (verb === 'patch' && kind === 'VirtualService') reason = namespace.annotations[endedAnnotation]
      return undefined
    }
    await rollback()
    expect(reason).toBe('run 9 returned all traffic to stable (stage rollback)')
  })

  test('records who ended the promotion, and does not depend on that', async () => {
    await rollback()
    expect(namespace.others['ConfigMap']).toMatchObject({
      metadata: { name: 'mesh-canary-backend-outcome' },
      data: { 'outcome.json': expect.stringContaining('run 9 returned all traffic to stable') as string },
    })
    namespace = new AbandonedNamespace()
    namespace.before = (verb) => (verb === 'apply' ? new ApiError(403, 'forbidden') : undefined)
    expect(await rollback()).toBe(true)
    expect([namespace.weight, namespace.lease]).toEqual([0, undefined])
  })

  test('leaves another record each time, by which the run that it ends can tell them apart', async () => {
    const recordOf = () => (namespace.others['ConfigMap'] as ConfigMap).data!['outcome.json']
    await rollback()
    const first = recordOf()
    namespace = new AbandonedNamespace()
    await rollback()
    expect(recordOf()).not.toBe(first)
  })

  test('moves the weights when no promotion is under way', async () => {
    namespace.lease = undefined
    expect(await rollback()).toBe(true)
    expect([namespace.weight, namespace.removed]).toEqual([0, []])
  })

  test('reports that nothing was written when stable has all traffic', async () => {
    namespace.others['VirtualService'] = before
    expect(await rollback()).toBe(false)
    expect(namespace.lease).toBeUndefined()
  })

  const webhookIsAway = (untilMs: number) => (verb: string, kind: string) =>
    verb === 'patch' && kind === 'VirtualService' && clock.time < untilMs
      ? new ApiError(503, 'failed calling webhook')
      : undefined

  test('repeats its write while the webhook of istiod is away', async () => {
    namespace.before = webhookIsAway(20_000)
    expect(await rollback()).toBe(true)
    expect([namespace.weight, namespace.lease]).toEqual([0, undefined])
  })

  test('hands the Lease back when the routes cannot be written, so that the guard of the run does it', async () => {
    namespace.before = webhookIsAway(Infinity)
    await expect(rollback()).rejects.toThrow('failed calling webhook')
    expect(namespace.holder).toBe(identity)
    expect(namespace.annotations).not.toHaveProperty(endedAnnotation)
    namespace.before = webhookIsAway(0)
    const spec = { namespace: 'shop', service: 'backend', lease: 'mesh-canary-backend', identity, afterMs: 30_000 }
    const guarding = { ...spec, split, selectors, saved: [before] }
    expect(await watchLease(namespace.api, guarding, { clock, log: () => undefined })).toBe('rolled back to stable')
    expect(namespace.weight).toBe(0)
  })

  test('states why the routes cannot be written when the guard has the Lease already', async () => {
    namespace.before = (verb, kind) => {
      if (verb !== 'patch' || kind !== 'VirtualService') return undefined
      namespace.heldBy(guardIdentity(identity))
      return new ApiError(503, 'failed calling webhook')
    }
    await expect(rollback()).rejects.toThrow('failed calling webhook')
    expect(namespace.holder).toBe(guardIdentity(identity))
  })
})
