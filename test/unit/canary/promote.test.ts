import { beforeEach, describe, expect, test, vi } from 'vitest'
import { promote, type RecoveryIntent } from '../../../src/canary/promote.ts'
import type { Promotion } from '../../../src/canary/controller/promotion.ts'
import { setWeight, readWeight, type Split } from '../../../src/canary/traffic/router.ts'
import { ApiError, type Cluster, type PatchOperation } from '../../../src/cluster/client.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import type { KubeObject, Lease, Pod, VirtualService, Workload } from '../../../src/cluster/objects.ts'
import { patched } from '../patched.ts'
import { clusterWith, configOf, container, pod, to, virtualService, workload } from '../fixtures.ts'

// Time passes only when somebody sleeps, so that a promotion of minutes takes none.
const { clock } = vi.hoisted(() => ({ clock: { now: 0 } }))
vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, _?: unknown, { signal }: { signal?: AbortSignal } = {}) => {
    if (signal?.aborted) return Promise.reject(new Error('aborted'))
    clock.now += ms
    return Promise.resolve()
  },
}))

// The watch has tests of its own; here it is what the shop says at any moment.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))
vi.mock('../../../src/runtime/clock.ts', async () => {
  const { setTimeout } = await import('node:timers/promises')
  const now = () => clock.now
  const sleep = (ms: number, signal?: AbortSignal) => setTimeout(ms, undefined, signal && { signal })
  return { monotonicNow: now, systemClock: { now, sleep } }
})

beforeEach(() => {
  clock.now = 0
})

const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const config = configOf(
  '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off } }',
)

/**
 * A shop that serves 100 requests a second, split as its VirtualService says. It is a fake because what is tested is what
 * the loop does when the cluster fails it; the promotions of the end-to-end tests run on a real one.
 */
class Shop {
  object: VirtualService
  /** Share of the canary's requests that fail. */
  failing = 0
  /** How much later than it is written the proxies hear of a weight. */
  lagMs = 0
  /** Rejects a call with what it answers. */
  trouble: (verb: string, what: string) => Error | undefined = () => undefined
  canary: Pod['status'] = pod().status
  readonly history: number[] = []
  readonly notes: string[] = []
  readonly intents: RecoveryIntent[][] = []
  lease: Lease | undefined
  workloads: Workload[] = []
  readonly controller = new AbortController()
  private served = { v1: 0, v2: 0, failed: 0 }
  private servedUntil = 0
  private readonly heard: { at: number; weight: number }[]

  constructor(weight = 0) {
    this.heard = [{ at: -1, weight }]
    this.object = virtualService([{ route: [to('v1', 100 - weight), to('v2', weight)] }])
  }

  get weight(): number {
    return this.object.spec.http![0]!.route![1]!.weight!
  }

  async promote(by = config): Promise<Promotion> {
    const [promotion] = await promote(this.cluster, by, {
      signal: this.controller.signal,
      note: (line) => this.notes.push(line),
      intent: (each) => this.intents.push(each),
      run: 'run 7',
      program: () => '',
      redact: (value) => value,
      forward: () => Promise.reject(new Error('the test did not expect a port-forward')),
    })
    return promotion!
  }

  private readonly live = (kind: string): ObjectWatch<KubeObject> => ({
    current: () =>
      kind === 'Pod'
        ? [this.podOf('v1'), this.podOf('v2')]
        : kind === 'VirtualService'
          ? [structuredClone(this.object)]
          : kind === 'Deployment'
            ? this.workloads
            : [],
    get: () => undefined,
    fresh: () => this.trouble('watch', kind) === undefined,
    close: () => undefined,
  })

  readonly cluster: Cluster = Object.assign(
    clusterWith({
      get: (kind: string) =>
        this.answer('get', kind, () =>
          kind === 'Service'
            ? { spec: { selector: { app: 'backend' } } }
            : kind === 'Lease'
              ? structuredClone(this.lease)
              : kind === 'VirtualService'
                ? structuredClone(this.object)
                : undefined,
        ),
      list: (kind: string) =>
        this.answer('list', kind, () => (kind === 'VirtualService' ? [structuredClone(this.object)] : [])),
      log: () => Promise.resolve('Error: no DB_HOST\n'),
      pod: (_: string, name: string) => this.answer('pod', name, () => this.counters(name)),
      create: (lease: Lease) =>
        this.answer(
          'create',
          'Lease',
          () => (this.lease = { ...lease, metadata: { ...lease.metadata, uid: 'lease', resourceVersion: '1' } }),
        ),
      apply: (object: KubeObject) => this.answer('apply', object.kind, () => object),
      remove: (kind: string) => this.answer('remove', kind, () => kind === 'Lease' && ((this.lease = undefined), true)),
      patch: (kind: string, _: string, __: string, operations: PatchOperation[]) =>
        this.answer('patch', kind, () => (kind === 'Lease' ? this.renewed(operations) : this.write(operations))),
    }),
    { live: this.live },
  )

  private answer<T>(verb: string, what: string, value: () => T): Promise<T> {
    const error = this.trouble(verb, what)
    return error ? Promise.reject(error) : Promise.resolve(value())
  }

  private podOf(version: 'v1' | 'v2'): Pod {
    return pod({
      metadata: { name: version, uid: version, labels: { app: 'backend', version } },
      status: version === 'v2' ? this.canary : undefined,
    })
  }

  private serve(): void {
    const requests = (clock.now - this.servedUntil) / 10
    this.servedUntil = clock.now
    const atCanary = (requests * this.heard.findLast(({ at }) => at < clock.now)!.weight) / 100
    this.served = {
      v1: this.served.v1 + requests - atCanary,
      v2: this.served.v2 + atCanary,
      failed: this.served.failed + atCanary * this.failing,
    }
  }

  private counters(version: string): string {
    this.serve()
    const failed = version === 'v2' ? Math.floor(this.served.failed) : 0
    const line = (code: number, count: number) =>
      `istio_requests_total{reporter="destination",response_code="${code}"} ${count}\n`
    return line(200, Math.floor(this.served[version as 'v1' | 'v2']) - failed) + line(503, failed)
  }

  private renewed(operations: PatchOperation[]): Lease {
    try {
      return (this.lease = patched(this.lease!, operations))
    } catch {
      throw new ApiError(422, 'the server rejected our request due to an error in our request')
    }
  }

  private write(operations: PatchOperation[]): VirtualService {
    this.serve()
    const route = this.object.spec.http![0]!.route!
    for (const { op, path, value } of operations) {
      if (op === 'test' && value !== this.object.metadata.resourceVersion)
        throw new ApiError(422, 'the server rejected our request due to an error in our request')
      const place = /^\/spec\/http\/0\/route\/(\d)\/weight$/.exec(path)
      if (place) route[Number(place[1])]!.weight = value as number
    }
    this.touch()
    this.history.push(this.weight)
    this.heard.push({ at: clock.now + this.lagMs, weight: this.weight })
    return this.object
  }

  /** Somebody writes to the VirtualService. */
  touch(): void {
    this.object.metadata.resourceVersion = String(Number(this.object.metadata.resourceVersion) + 1)
  }
}

function deployment(image: string, replicas = 1): Workload {
  const made = workload('Deployment', 'backend-v2', {}, { replicas })
  return {
    ...made,
    spec: {
      ...made.spec,
      template: {
        metadata: { labels: { app: 'backend', version: 'v2' } },
        spec: { containers: [{ name: 'app', image }] },
      },
    },
  }
}

describe('a promotion', () => {
  test('of a healthy canary ends with all traffic on it, and leaves nothing to undo', async () => {
    const shop = new Shop()
    expect(await shop.promote()).toMatchObject({
      verdict: 'promoted',
      weight: 100,
      plan: { service: 'backend' },
      namespace: 'shop',
    })
    expect(shop.history).toEqual([5, 25, 50, 100])
    expect(shop.intents).toMatchObject([[{ split, needsDrainCheck: false }], []])
  })

  test('of a failing canary ends with all traffic on stable, and watches until the canary serves nothing', async () => {
    const shop = new Shop()
    shop.failing = 1
    const ended = await shop.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, secondsToSafe: 0 })
    expect(shop.history).toEqual([5, 0])
    expect(shop.notes.at(-1)).toContain('the canary serves nothing any more')
  })

  test('goes on from the weight in force', async () => {
    const shop = new Shop(25)
    expect((await shop.promote()).verdict).toBe('promoted')
    expect(shop.history).toEqual([50, 100])
  })

  test('is skipped where the canary has its weight already: nothing is written', async () => {
    const shop = new Shop(100)
    expect(await shop.promote()).toMatchObject({
      verdict: 'skipped',
      weight: 100,
      reason: 'the canary v2 already has the weight 100',
    })
    expect([shop.history, shop.intents.flat()]).toEqual([[], []])
  })

  test('is refused where nothing splits the service', async () => {
    const shop = new Shop()
    shop.object = virtualService([{ route: [to('v1', 100, 'reviews'), to('v2', 0, 'reviews')] }])
    await expect(shop.promote()).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first',
    )
  })
})

describe('whatever happens, traffic ends on stable', () => {
  test('the run is cancelled', async () => {
    const shop = new Shop()
    shop.trouble = () => (shop.weight === 25 && shop.controller.abort(), undefined)
    const ended = await shop.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: 'the run was cancelled' })
    expect(ended.error).toBeUndefined()
    expect(shop.history).toEqual([5, 25, 0])
    // The post step looks whether the proxies follow.
    expect(shop.intents.at(-1)).toMatchObject([
      { split, needsDrainCheck: true, drainTarget: { labels: { app: 'backend', version: 'v2' }, timeoutMs: 20_000 } },
    ])
  })

  test('the pods cannot be watched for longer than the progressDeadline', async () => {
    const shop = new Shop()
    shop.trouble = (verb, what) =>
      shop.weight === 25 && verb === 'watch' && what === 'Pod' ? new ApiError(503, 'etcd is down') : undefined
    const ended = await shop.promote()
    expect(ended).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: 'the counters of the sidecars could not be read for 20 s (`progressDeadline`)',
    })
    expect(ended.error).toBeUndefined()
    expect(shop.notes.some((line) => line.endsWith('some counters could not be read'))).toBe(true)
    expect(shop.history).toEqual([5, 25, 0])
  })

  test("the canary's counters cannot be read for longer than the progressDeadline", async () => {
    const shop = new Shop()
    shop.trouble = (verb, what) =>
      clock.now > 5_000 && verb === 'pod' && what === 'v2' ? new ApiError(0, 'no answer') : undefined
    const ended = await shop.promote()
    expect(ended).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: 'the counters of the sidecars could not be read for 20 s (`progressDeadline`)',
    })
    expect(ended.error).toBeUndefined()
    expect(shop.history).toEqual([5, 0])
  })

  test('nor is it claimed that the canary serves nothing while its counters cannot be read', async () => {
    const shop = new Shop()
    shop.trouble = (verb, what) =>
      clock.now > 5_000 && verb === 'pod' && what === 'v2' ? new ApiError(0, 'no answer') : undefined
    expect(await shop.promote()).not.toHaveProperty('secondsToSafe')
  })

  test("the canary's only pod is evicted in the middle of a step, and its successor is pending", async () => {
    const shop = new Shop()
    shop.trouble = () => {
      if (shop.weight === 25 && clock.now > 18_000) shop.canary = { phase: 'Pending', conditions: [] }
      return undefined
    }
    await shop.promote()
    expect(shop.history).toEqual([5, 25, 0])
  })

  test('a weight cannot be written', async () => {
    const shop = new Shop()
    let refusals = 0
    shop.trouble = (verb, what) =>
      shop.weight === 5 && verb === 'patch' && what === 'VirtualService' && refusals++ < 16
        ? new ApiError(403, 'forbidden')
        : undefined
    expect(await shop.promote()).toMatchObject({
      verdict: 'rolled-back',
      weight: 0,
      error: 'the promotion could not go on: forbidden, for 15 s',
    })
    expect(shop.history).toEqual([5, 0])
  })

  test('a put-back that cannot be written either is left to the post step, which knows what to undo', async () => {
    const shop = new Shop()
    shop.trouble = (verb) =>
      shop.weight === 5 && verb === 'patch' ? new ApiError(0, 'the API server does not answer') : undefined
    expect((await shop.promote()).error).toMatch(
      /and the traffic could not be put back: the API server does not answer, for 20 s \(`progressDeadline`\)$/,
    )
    expect(shop.lease?.spec?.holderIdentity).toMatch(/^run 7/)
    expect(shop.intents).toMatchObject([[{ split, needsDrainCheck: false }], [{ split, needsDrainCheck: false }]])
  })

  test('the canary crashes, and the reason names what its log says', async () => {
    const shop = new Shop()
    shop.trouble = () => {
      if (shop.weight === 5)
        shop.canary = {
          phase: 'Running',
          conditions: [{ type: 'Ready', status: 'False' }],
          initContainerStatuses: [container('istio-proxy')],
          containerStatuses: [
            container('app', {
              ready: false,
              restartCount: 2,
              state: { waiting: { reason: 'CrashLoopBackOff' } },
              lastState: { terminated: { exitCode: 1 } },
            }),
          ],
        }
      return undefined
    }
    expect((await shop.promote()).reason).toBe(
      'container app of v2 crashes in a loop: container app ended with exit code 1, 2 restarts: Error: no DB_HOST',
    )
    expect(shop.history).toEqual([5, 0])
  })
})

describe('proxies that do not hear of weight 0', () => {
  const patient = configOf(
    '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 60s, guard: off } }',
  )
  /** A bad canary; from its put-back on the proxies hear of nothing for so long. */
  const deaf = (ms: number) => {
    const shop = new Shop()
    shop.failing = 1
    shop.trouble = (verb, what) => (
      verb === 'patch' && what === 'VirtualService' && shop.weight > 0 && (shop.lagMs = ms), undefined
    )
    return shop
  }

  test('at once are waited for while the canary is seen to serve, and the promotion keeps its Lease', async () => {
    const shop = deaf(40_000)
    let renewals = 0
    const { trouble } = shop
    shop.trouble = (verb, what) => (
      verb === 'patch' && what === 'Lease' && shop.weight === 0 && renewals++, trouble(verb, what)
    )
    const ended = await shop.promote(patient)
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, secondsToSafe: expect.closeTo(40, 0) as number })
    expect(ended.error).toBeUndefined()
    expect(renewals).toBeGreaterThan(40)
    expect(shop.notes).toContain(
      'weight 0 is written, and the canary still serves 5.0 requests/s: the proxies are waited for (`progressDeadline`)',
    )
    expect(shop.intents.at(-1)).toEqual([])
  })

  test('within the progressDeadline end the run loudly, with what to look at', async () => {
    const shop = deaf(1_000_000)
    const ended = await shop.promote(patient)
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(ended).not.toHaveProperty('secondsToSafe')
    expect(ended.reason).toMatch(
      /^success rate: .*; but weight 0 is in VirtualService shop\/backend, and 60 s later the proxies still send 5.0 requests\/s to v2 of backend: .*istiod.*`istioctl proxy-status`/,
    )
    expect(ended.error).toBe(ended.reason)
    expect(shop.lease).toBeUndefined()
  })

  test('are not waited for once somebody else has the promotion', async () => {
    const shop = deaf(1_000_000)
    const { trouble } = shop
    shop.trouble = (verb, what) => {
      if (shop.weight === 0 && shop.history.length > 1 && shop.lease && verb === 'pod')
        shop.lease = { ...shop.lease, spec: { ...shop.lease.spec, holderIdentity: 'run 8 (12345678)' } }
      return trouble(verb, what)
    }
    expect((await shop.promote(patient)).error).toBeUndefined()
  })

  test('are left to the post step when the run is cancelled meanwhile', async () => {
    const shop = deaf(1_000_000)
    const { trouble } = shop
    shop.trouble = (verb, what) => (
      shop.weight === 0 && clock.now > 30_000 && shop.controller.abort(), trouble(verb, what)
    )
    expect((await shop.promote(patient)).verdict).toBe('rolled-back')
    expect(clock.now).toBeLessThan(32_000)
    expect(shop.intents.at(-1)).toMatchObject([{ split, needsDrainCheck: true }])
  })

  test('cannot be told from a canary whose counters do not answer: that is not waited for', async () => {
    const shop = deaf(1_000_000)
    const { trouble } = shop
    let from = 0
    shop.trouble = (verb, what) => {
      if (verb !== 'pod' || what !== 'v2' || shop.weight > 0 || shop.history.length === 0) return trouble(verb, what)
      from ||= clock.now
      return new ApiError(0, 'no answer')
    }
    expect((await shop.promote(patient)).error).toBeUndefined()
    expect(clock.now - from).toBeLessThanOrEqual(10_000)
  })
})

describe('an API server that is away for a while', () => {
  test('is waited for when a weight is to be written, and the promotion goes on', async () => {
    const shop = new Shop()
    let away = 0
    shop.trouble = (verb, what) =>
      verb === 'patch' && what === 'VirtualService' && shop.weight === 5 && away++ < 8
        ? new ApiError(503, 'busy')
        : undefined
    expect((await shop.promote()).verdict).toBe('promoted')
    expect(shop.history).toEqual([5, 25, 50, 100])
    expect(shop.notes.filter((line) => line.startsWith('not written yet (weight: v1 75, v2 25)'))).toHaveLength(8)
  })

  test('is waited for when the traffic is to go back', async () => {
    const shop = new Shop()
    shop.failing = 1
    let away = 0
    shop.trouble = (verb, what) =>
      verb === 'patch' && what === 'VirtualService' && shop.weight === 5 && away++ < 8
        ? new ApiError(500, 'failed calling webhook')
        : undefined
    expect(await shop.promote()).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(shop.history).toEqual([5, 0])
  })
})

describe('the Lease', () => {
  test('is renewed with every look, and gone with the promotion', async () => {
    const shop = new Shop()
    let renewals = 0
    shop.trouble = (verb, what) => (verb === 'patch' && what === 'Lease' && renewals++, undefined)
    await shop.promote()
    expect(renewals).toBeGreaterThanOrEqual(shop.notes.filter((line) => line.startsWith('at weight')).length)
    expect(shop.lease).toBeUndefined()
  })

  test('that another run has taken ends the promotion, and nothing is written any more', async () => {
    const shop = new Shop()
    shop.trouble = (verb, what) => {
      if (shop.weight === 25 && verb === 'pod' && what === 'v1') shop.lease!.spec!.holderIdentity = 'run 8 (deadbeef)'
      return undefined
    }
    const ended = await shop.promote()
    expect(ended.error).toBe('the promotion was taken from this run: run 8 has taken the promotion over')
    expect(shop.history).toEqual([5, 25])
    expect(shop.lease?.spec?.holderIdentity).toBe('run 8 (deadbeef)')
    expect(shop.intents.at(-1)).toEqual([])
  })

  test('of a run that lives makes a second one fail, which says whose it is', async () => {
    const shop = new Shop()
    shop.lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'mesh-canary-backend', resourceVersion: '1' },
      spec: {
        holderIdentity: 'https://ci/run/6 (deadbeef)',
        acquireTime: '2026-11-24T20:00:00Z',
        leaseDurationSeconds: 30,
      },
    }
    shop.trouble = (verb, what) => (
      verb === 'get' && what === 'Lease' && (shop.lease!.metadata.resourceVersion = String(clock.now)), undefined
    )
    await expect(shop.promote()).rejects.toThrow(
      'another run promotes backend: https://ci/run/6, since 2026-11-24T20:00:00Z',
    )
    expect(shop.history).toEqual([])
  })

  test('of a run that is not heard of any more is taken over after its time', async () => {
    const second = new Shop(50)
    second.lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'mesh-canary-backend', resourceVersion: '1', annotations: {} },
      spec: { holderIdentity: 'run 6 (deadbeef)', leaseDurationSeconds: 30 },
    }
    const from = clock.now
    expect((await second.promote()).verdict).toBe('promoted')
    expect(second.notes[0]).toContain('run 6 holds the Lease')
    expect(
      second.notes.some((line) => line.startsWith('run 6 held the promotion of backend and was not heard of any more')),
    ).toBe(true)
    expect(clock.now - from).toBeGreaterThan(30_000)
  })

  test('is kept when the run is cancelled, and the next run takes the step again with what was seen', async () => {
    const shop = new Shop()
    shop.trouble = () => (shop.weight === 25 && shop.controller.abort(), undefined)
    await shop.promote()
    expect(shop.lease?.spec?.holderIdentity).toBe('')
    const again = new Shop()
    again.lease = shop.lease
    const ended = await again.promote()
    expect(again.history).toEqual([25, 50, 100])
    expect(ended.steps.map(({ weight, outcome }) => [weight, outcome])).toEqual([
      [5, 'passed'],
      [25, 'interrupted'],
      [25, 'passed'],
      [50, 'passed'],
      [100, 'passed'],
    ])
    expect(again.notes.some((line) => line.startsWith('goes on from an earlier run'))).toBe(true)
  })

  test('and the weight are kept where a cancel is to hold it', async () => {
    const shop = new Shop()
    shop.trouble = () => (shop.weight === 25 && shop.controller.abort(), undefined)
    const ended = await shop.promote(
      configOf(
        '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, onCancel: hold } }',
      ),
    )
    expect(ended).toMatchObject({ verdict: 'held', weight: 25 })
    expect(shop.history).toEqual([5, 25])
  })

  test('is not mended by what an earlier run saw of another version', async () => {
    const shop = new Shop()
    shop.trouble = () => (shop.weight === 25 && shop.controller.abort(), undefined)
    await shop.promote()
    const again = new Shop()
    again.lease = shop.lease
    again.workloads = [deployment('backend:3')]
    await again.promote()
    expect(again.history).toEqual([5, 25, 50, 100])
  })
})

describe('in the middle of its promotion the canary', () => {
  const after = (shop: Shop, change: () => void) => {
    shop.workloads = [deployment('backend:2')]
    shop.trouble = () => (shop.weight === 25 && change(), undefined)
    return shop.promote()
  }

  test('gets another image: what was seen says nothing of that', async () => {
    const shop = new Shop()
    const ended = await after(shop, () => (shop.workloads = [deployment('backend:3')]))
    expect(ended.reason).toContain('Deployment/backend-v2 was changed during its promotion (backend:2 → backend:3)')
    expect(shop.history).toEqual([5, 25, 0])
  })

  test('is restarted, or scaled up: it is the same version', async () => {
    const shop = new Shop()
    const ended = await after(shop, () => {
      const restarted = deployment('backend:2', 3)
      restarted.spec.template.metadata!.annotations = { 'kubectl.kubernetes.io/restartedAt': '2026-11-24T20:00:00Z' }
      shop.workloads = [restarted]
    })
    expect(ended.verdict).toBe('promoted')
  })

  test('is scaled to 0', async () => {
    const shop = new Shop()
    expect((await after(shop, () => (shop.workloads = [deployment('backend:2', 0)]))).reason).toContain(
      'Deployment/backend-v2 was scaled to 0 during its promotion',
    )
    expect(shop.history).toEqual([5, 25, 0])
  })
})

describe('somebody else writes the weights in the middle', () => {
  const meddle = (shop: Shop) => {
    let done = false
    shop.trouble = (verb, what) => {
      if (done || shop.weight !== 25 || verb !== 'pod' || what !== 'v1') return undefined
      done = true
      shop.object.spec.http![0]!.route = [to('v1', 100), to('v2', 0)]
      shop.object.metadata.managedFields = [
        { manager: 'argocd-controller', time: '2026-11-24T20:00:00Z', fieldsV1: { 'f:spec': { 'f:http': {} } } },
      ]
      shop.touch()
      return undefined
    }
  }

  test('and the promotion fails within a look, saying who', async () => {
    const shop = new Shop()
    meddle(shop)
    const ended = await shop.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(ended.reason).toContain(
      'VirtualService shop/backend gives the canary 0% instead of 25%: argocd-controller wrote it at 2026-11-24T20:00:00Z',
    )
  })

  test('and they are written again where that is asked for', async () => {
    const shop = new Shop()
    meddle(shop)
    expect(
      (
        await shop.promote(
          configOf(
            '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, onDrift: take-over } }',
          ),
        )
      ).verdict,
    ).toBe('promoted')
    expect(shop.history).toEqual([5, 25, 25, 50, 100])
  })
})

test('evidence that is missing for a while is waited for', async () => {
  const shop = new Shop()
  shop.trouble = (verb) =>
    verb === 'pod' && clock.now > 5_000 && clock.now < 15_000 ? new ApiError(503, 'busy') : undefined
  expect((await shop.promote()).verdict).toBe('promoted')
})

describe('moving the weight', () => {
  test('starts over when somebody else wrote in between', async () => {
    const shop = new Shop()
    let writes = 0
    shop.trouble = (verb) => (verb === 'patch' && writes++ < 2 && shop.touch(), undefined)
    await setWeight(shop.cluster, split, 40)
    expect(await readWeight(shop.cluster, split)).toBe(40)
    expect(writes).toBe(3)
  })

  test('gives up after five, with the reason', async () => {
    const shop = new Shop()
    let writes = 0
    shop.trouble = (verb) =>
      verb === 'patch' ? (writes++, new ApiError(409, 'the object has been modified')) : undefined
    await expect(setWeight(shop.cluster, split, 40)).rejects.toThrow('the object has been modified')
    expect(writes).toBe(5)
  })

  test('writes nothing when the weight is there already', async () => {
    const shop = new Shop(40)
    await setWeight(shop.cluster, split, 40)
    expect(shop.history).toEqual([])
  })

  test.each<[string, VirtualService]>([
    [
      'nothing splits the service',
      { ...virtualService([{ route: [to('v1', 95), to('v2', 5)] }]), spec: { hosts: ['frontend'] } },
    ],
    ['no route names both', virtualService([{ match: [], route: [to('v2', 100)] }, { route: [to('v1', 100)] }])],
  ])('is refused, and so is reading it, where %s', async (_, object) => {
    const shop = new Shop()
    shop.object = object
    await expect(setWeight(shop.cluster, split, 40)).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first',
    )
    await expect(readWeight(shop.cluster, split)).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2',
    )
    expect(shop.history).toEqual([])
  })

  test('happens in the VirtualService that splits, not in another of the same host', async () => {
    const patched: unknown[] = []
    const cluster = clusterWith({
      list: () =>
        Promise.resolve([
          virtualService([{ route: [to('v2', 100)] }], { name: 'few' }),
          virtualService([{ route: [to('v1', 95), to('v2', 5)] }], { name: 'all' }),
        ]),
      patch: (_: string, __: string, name: string) => (patched.push(name), Promise.resolve(virtualService([]))),
    })
    expect(await readWeight(cluster, split)).toBe(5)
    await setWeight(cluster, split, 40)
    expect(patched).toEqual(['all'])
  })
})
