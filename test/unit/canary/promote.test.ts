import { describe, expect, test, vi } from 'vitest'
import { setWeight, readWeight } from '../../../src/canary/traffic/router.ts'
import { NotCommitted, type ReleaseAdoption } from '../../../src/canary/controller/context.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import type { KubeObject, Pod, VirtualService, Workload } from '../../../src/cluster/objects.ts'
import { clusterWith, configOf, container, to, virtualService, workload, split } from '../fixtures.ts'
import { isHeldAsPlanned } from '../../../src/canary/state/ending.ts'
import { FakeCluster } from './fake-cluster.ts'
import { templateHash } from '../../../src/canary/workload/fingerprint.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

function deployment(image: string, replicas = 1): Workload {
  const created = workload('Deployment', 'backend-v2', {}, { replicas })
  return {
    ...created,
    spec: {
      ...created.spec,
      template: {
        metadata: { labels: { app: 'backend', version: 'v2' } },
        spec: { containers: [{ name: 'app', image }] },
      },
    },
  }
}

describe('a promotion', () => {
  test('of a healthy canary ends with all traffic on it, and leaves nothing to roll back', async () => {
    const cluster = new FakeCluster()
    expect(await cluster.promote()).toMatchObject({
      verdict: 'promoted',
      weight: 100,
      plan: { service: 'backend' },
      namespace: 'shop',
    })
    expect(cluster.weights).toEqual([5, 25, 50, 100])
    expect(cluster.intents).toMatchObject([[{ split, needsDrainCheck: false }], []])
  })

  test('of a failing canary ends with all traffic on stable, and waits until the canary is drained', async () => {
    const cluster = new FakeCluster()
    cluster.failureShare = 1
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, secondsToSafe: 0 })
    expect(cluster.weights).toEqual([5, 0])
    expect(cluster.notes.at(-2)).toContain('the canary is drained')
    expect(cluster.notes.at(-1)).toMatch(/^rolled-back: success rate/)
  })

  describe('of a canary that the run created', () => {
    const created = (cleaned: string[], template?: string) => {
      const adoption = {
        templateFor: ({ spec }: Workload) => spec.template,
        writeConfigs: () => Promise.resolve(() => Promise.resolve()),
        updateSubset: () => Promise.resolve(),
        remove: () => Promise.resolve(''),
      }
      const cleanUp = () => Promise.resolve(cleaned.push('cleaned up') > 0 ? 'it is removed' : '')
      return { created: () => ({ template: template ?? templateHash([deployment('app:2')], []), adoption, cleanUp }) }
    }
    const withDeployment = () => {
      const cluster = new FakeCluster()
      cluster.workloads = [deployment('app:2')]
      return cluster
    }

    test('removes it after a rollback, when it serves nothing any more', async () => {
      const [cluster, cleaned] = [withDeployment(), [] as string[]]
      cluster.failureShare = 1
      expect(await cluster.promote(undefined, created(cleaned))).toMatchObject({ verdict: 'rolled-back', weight: 0 })
      expect(cleaned).toEqual(['cleaned up'])
      expect(cluster.notes.slice(-3)).toEqual([
        expect.stringContaining('the canary is drained'),
        'it is removed',
        expect.stringMatching(/^rolled-back/),
      ])
    })

    test('removes it if it never becomes ready', async () => {
      const [cluster, cleaned] = [withDeployment(), [] as string[]]
      cluster.canaryStatus = { phase: 'Pending', conditions: [] }
      expect(await cluster.promote(undefined, created(cleaned))).toMatchObject({ weight: 0 })
      expect(cluster.weights).toEqual([0])
      expect(cleaned).toEqual(['cleaned up'])
    })

    test('keeps it after a cancel, because the next run continues with it', async () => {
      const [cluster, cleaned] = [withDeployment(), [] as string[]]
      cluster.before = (verb, what) => {
        if (verb === 'patch' && what === 'VirtualService') cluster.controller.abort()
        return undefined
      }
      await cluster.promote(undefined, created(cleaned)).catch(() => undefined)
      expect(cleaned).toEqual([])
    })

    describe('for a stable version that Git owns', () => {
      async function promoteForGit(adoption: Partial<ReleaseAdoption>, commitTimeout = 600_000) {
        const { canary, ...config } = configOf(
          '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off } }',
        )
        const cluster = withDeployment()
        cluster.workloads.push(stable)
        const made = created([]).created()
        return cluster.promote(
          { ...config, canary: { ...canary!, after: 'gitops', commitTimeout } },
          { created: () => ({ ...made, adoption: { ...made.adoption, ...adoption } }) },
        )
      }
      const stable: Workload = {
        ...deployment('app:2'),
        metadata: { name: 'backend-v1', namespace: 'shop' },
        status: { replicas: 1, updatedReplicas: 1, availableReplicas: 1 },
      }
      stable.spec.template.metadata!.labels = { app: 'backend', version: 'v1' }

      test.each([
        [600_000, true],
        [0, false],
      ])('holds it with all the traffic if nothing is committed within %i ms', async (commitTimeout, isError) => {
        const awaitCommit = () => Promise.reject(new NotCommitted('nothing was committed'))
        const ended = await promoteForGit({ awaitCommit }, commitTimeout)
        const reason = 'every step passed its checks; but nothing was committed'
        expect(ended).toMatchObject({ verdict: 'held', weight: 100, adopted: false, reason })
        expect(ended.error !== undefined).toBe(isError)
        expect(isHeldAsPlanned(ended)).toBe(!isError)
      })

      test('promotes it when stable has the commit and the traffic', async () => {
        const ended = await promoteForGit({ awaitCommit: () => Promise.resolve(stable) })
        expect(ended).toMatchObject({ verdict: 'promoted', weight: 0, adopted: true })
        expect(ended.error).toBeUndefined()
      })

      test('says that the canary is left, if only its removal fails', async () => {
        const remove = () => Promise.reject(new Error('not for you'))
        const ended = await promoteForGit({ awaitCommit: () => Promise.resolve(stable), remove })
        expect(ended).toMatchObject({ verdict: 'promoted', weight: 0, adopted: false, error: 'not for you' })
      })
    })

    test('does not promote what another run has made of it', async () => {
      const [cluster, cleaned] = [withDeployment(), [] as string[]]
      await expect(cluster.promote(undefined, created(cleaned, 'other'))).rejects.toThrow(
        'was changed since this run created it',
      )
      expect(cluster.weights).toEqual([])
    })
  })

  test('of a service that runs its release already is skipped with the reason', async () => {
    const cluster = new FakeCluster()
    const ended = await cluster.promote(undefined, { whyIdle: () => 'it runs the release' })
    expect(ended).toMatchObject({ verdict: 'skipped', reason: 'it runs the release' })
    expect(cluster.weights).toEqual([])
  })

  describe("of a failing canary that testers' routes name", () => {
    const failing = (proxyLagMs: number) => {
      const cluster = new FakeCluster()
      cluster.virtualService = virtualService([
        // The fake cluster moves the weights of the first route, which must not hide the second.
        { match: [{ uri: { prefix: '/shop' } }], route: [to('v1', 100), to('v2', 0)] },
        { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2')] },
      ])
      cluster.failureShare = 1
      cluster.before = () => {
        if (cluster.weight > 0) cluster.proxyLagMs = proxyLagMs
        return undefined
      }
      return cluster.promote()
    }

    test('waits for proxies that are late', async () => {
      const ended = await failing(13_000)
      expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
      expect(ended.secondsToSafe).toBeGreaterThan(10)
      expect(ended.secondsToSafe).toBeLessThan(15)
    })

    test('is inconclusive while it serves as much as before', async () => {
      const ended = await failing(10 ** 9)
      expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
      expect(ended.reason).toMatch(/too much of the .* requests\/s of the last step to show that users have left/)
    })
  })

  test('does not begin behind a gateway whose proxies nobody reads', async () => {
    const cluster = new FakeCluster()
    cluster.virtualService.spec['gateways'] = ['mesh', 'edge/web']
    cluster.before = (_, what) => (what === 'Gateway' ? new ApiError(403, 'forbidden') : undefined)
    await expect(cluster.promote()).rejects.toThrow('canary: the Gateway edge/web routes requests to backend')
    expect([cluster.weights, cluster.lease]).toEqual([[], undefined])
  })

  test('fails when no route splits the service', async () => {
    const cluster = new FakeCluster()
    cluster.virtualService = virtualService([{ route: [to('v1', 100, 'reviews'), to('v2', 0, 'reviews')] }])
    await expect(cluster.promote()).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first',
    )
  })
})

describe('samples that take longer than pollInterval', () => {
  test('are taken less often, and the run says so once', async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb) => {
      if (verb === 'pod') cluster.clock.time += 2_000
      return undefined
    }
    expect(await cluster.promote()).toMatchObject({ verdict: 'promoted' })
    const notes = cluster.notes.filter((line) => line.includes('longer than `pollInterval`'))
    expect(notes).toEqual([
      'a sample took 4.0 s, longer than `pollInterval` (1.0 s), so the run samples less often; lower `maxPods`',
    ])
  })
})

describe('in a step of hours', () => {
  const config = configOf(
    '{ namespace: shop, canary: { service: backend, interval: 1h, steps: [50, 100], pollInterval: 1s, guard: off } }',
  )

  /** Its callers are seen. */
  function steadyCluster(): FakeCluster {
    const cluster = new FakeCluster()
    const readCounters = cluster.api.pod.bind(cluster.api)
    const ofCaller = () =>
      'istio_requests_total{reporter="source",destination_service="backend.shop.svc.cluster.local",' +
      `response_code="200"} ${cluster.clock.time / 10}\n`
    cluster.api.pod = async (...where) => (await readCounters(...where)) + (where[1] === 'v1' ? ofCaller() : '')
    return cluster
  }

  test('samples are taken less often once it is steady, and a sudden failure is still found within seconds', async () => {
    const cluster = steadyCluster()
    const samples: number[] = []
    let failsAt = Infinity
    cluster.before = (verb, what) => {
      if (verb !== 'pod' || what !== 'v2') return undefined
      samples.push(cluster.clock.time)
      if (samples.length === 500) {
        failsAt = cluster.clock.time
        cluster.failureShare = 0.5
      }
      return undefined
    }
    const ended = await cluster.promote(config)
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    const gaps = samples.slice(1).map((at, i) => at - samples[i]!)
    expect([gaps[100], gaps[450]]).toEqual([1_000, 5_000])
    const [step] = ended.steps
    expect((step as { endedAt: number }).endedAt - failsAt).toBeLessThanOrEqual(10_000)
  })

  test('a slow sample is compared with `pollInterval`, although it is steady', async () => {
    const cluster = steadyCluster()
    const slowNote = () => cluster.notes.find((line) => line.startsWith('a sample took'))
    cluster.before = (verb, what) => {
      if (verb === 'pod' && what === 'v2' && cluster.clock.time > 600_000) cluster.clock.time += 6_000
      if (slowNote()) cluster.controller.abort(new Error('the run was cancelled'))
      return undefined
    }
    await cluster.promote(config)
    expect(slowNote()).toMatch(
      /^a sample took 6\.\d s, longer than `pollInterval` \(1\.0 s\), so the run samples less often; lower `maxPods`$/,
    )
  })
})

describe('a canary whose tries fail three times as often as its limit allows', () => {
  /** No caller is read, so only the tries are known. */
  function failing(retries: object): FakeCluster {
    const cluster = new FakeCluster()
    cluster.virtualService = virtualService([{ route: [to('v1', 100), to('v2', 0)], retries }])
    cluster.failureShare = 0.03
    return cluster
  }
  const plan = configOf(
    '{ namespace: shop, canary: { service: backend, interval: 20s, pollInterval: 1s, progressDeadline: 20s, guard: off, ' +
      'checks: { noWorseThanStable: false } } }',
  )

  test('is promoted where four failed tries may be one user', async () => {
    const cluster = failing({ attempts: 3, retryOn: 'gateway-error' })
    expect(await cluster.promote(plan)).toMatchObject({ verdict: 'promoted' })
  })

  test('is rolled back where the route does not retry such failures', async () => {
    const cluster = failing({ attempts: 3, retryOn: 'connect-failure' })
    expect(await cluster.promote(plan)).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  })
})

describe('a weight counts only for the pod template that was observed at it, so', () => {
  /** The promotion of an earlier run, in the same cluster. */
  async function after(first: string, image = 'shop:2'): Promise<FakeCluster> {
    const cluster = new FakeCluster()
    cluster.workloads = [deployment('shop:2')]
    await cluster.promote(planWith(first))
    cluster.workloads = [deployment(image)]
    cluster.weights.length = 0
    return cluster
  }
  const planWith = (more: string) =>
    configOf(
      `{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off${more} } }`,
    )

  test('a canary that was promoted is skipped, and nothing is written', async () => {
    const cluster = await after('')
    const intents = cluster.intents.length
    expect(await cluster.promote(planWith(''))).toMatchObject({
      verdict: 'skipped',
      weight: 100,
      reason: 'v2 with this pod template already has the weight 100',
    })
    expect([cluster.weights, cluster.intents.slice(intents).flat()]).toEqual([[], []])
  })

  test.each([
    ['', 100],
    [', until: 50', 50],
  ])('another image starts at the first step (plan%s)', async (first, weight) => {
    const cluster = await after(first, 'shop:3')
    expect(cluster.weight).toBe(weight)
    expect((await cluster.promote(planWith(''))).verdict).toBe('promoted')
    expect(cluster.weights).toEqual([0, 5, 25, 50, 100])
  })

  test('another image that fails is rolled back, though the plan has reached its weight already', async () => {
    const cluster = await after(', until: 50', 'shop:3')
    cluster.failureShare = 1
    expect(await cluster.promote(planWith(', until: 50'))).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(cluster.weights).toEqual([0, 5, 0])
  })

  test('a weight that someone else wrote is lowered before the first step', async () => {
    const cluster = new FakeCluster(25)
    expect((await cluster.promote()).verdict).toBe('promoted')
    expect(cluster.weights).toEqual([0, 5, 25, 50, 100])
    expect(cluster.notes).toContain(
      'v2 has the weight 25, and no promotion has observed its pod template there: it goes back to 0 and starts at ' +
        'the first step that it has not passed',
    )
  })

  test('a plan with more steps continues from the steps that have passed', async () => {
    const cluster = await after(', steps: [10, 25]')
    expect((await cluster.promote(planWith(''))).verdict).toBe('promoted')
    expect(cluster.weights).toEqual([50, 100])
  })

  test('an image whose checks have failed is not raised from the weight that the plan holds', async () => {
    const cluster = new FakeCluster()
    cluster.failureShare = 1
    const held = await cluster.promote(planWith(', onFail: hold'))
    expect([held.verdict, cluster.weight]).toEqual(['held', 5])
    cluster.failureShare = 0
    await expect(cluster.promote(planWith(', onFail: hold'))).rejects.toThrow(
      /^the checks have failed v2 with this pod template \(run 7: .*\), and its weight is held at 5; deploy another version, or/,
    )
    expect(cluster.weights).toEqual([5])
  })

  test('a step without enough evidence is taken again', async () => {
    const cluster = new FakeCluster()
    const plan = planWith(', onInconclusive: hold, checks: { minRequests: 100000 }')
    expect(await cluster.promote(plan)).toMatchObject({ verdict: 'held', weight: 5 })
    expect(await cluster.promote(planWith(', onInconclusive: hold'))).toMatchObject({ verdict: 'promoted' })
    expect(cluster.weights).toEqual([5, 0, 5, 25, 50, 100])
  })

  test('a weight is not lowered while stable has no ready pod', async () => {
    const cluster = await after('', 'shop:3')
    cluster.stableStatus = { phase: 'Pending', conditions: [] }
    await expect(cluster.promote(planWith(''))).rejects.toThrow(
      'the weight of v2 cannot be lowered: no ready pod of v1 is behind the Service shop/backend, so every request there ' +
        'would get a 503: scale v1 up, or repair its pods',
    )
    expect(cluster.weights).toEqual([])
  })

  test('a canary that an earlier release has promoted is skipped, and another image after it is not', async () => {
    const cluster = new FakeCluster(100)
    cluster.workloads = [deployment('shop:2')]
    expect((await cluster.promote(planWith(''))).verdict).toBe('skipped')
    cluster.workloads = [deployment('shop:3')]
    expect((await cluster.promote(planWith(''))).verdict).toBe('promoted')
    expect(cluster.weights).toEqual([0, 5, 25, 50, 100])
  })

  test('a step that two runs left undecided has not passed', async () => {
    const cluster = new FakeCluster()
    const undecided = planWith(', onInconclusive: hold, steps: [5, 25, 50, 100], checks: { minRequests: 100000 }')
    await cluster.promote(planWith(', until: 5'))
    expect(await cluster.promote(undecided)).toMatchObject({ verdict: 'held', weight: 25 })
    expect(await cluster.promote(undecided)).toMatchObject({ verdict: 'held', weight: 25 })
    cluster.weights.length = 0
    await cluster.promote(planWith(''))
    expect(cluster.weights).toEqual([50, 100])
  })

  test('one that only some routes give it is lowered, too', async () => {
    const cluster = new FakeCluster()
    cluster.virtualService = virtualService([
      { match: [{ uri: { prefix: '/a' } }], route: [to('v1', 100), to('v2', 0)] },
      { route: [to('v1', 75), to('v2', 25)] },
    ])
    const seen: number[] = []
    cluster.before = (verb, what) => (
      verb === 'pod' && what === 'v2' && seen.push(cluster.virtualService.spec.http![1]!.route![1]!.weight!), undefined
    )
    await cluster.promote()
    // Its counters are read before the weight is lowered.
    expect(seen.slice(1, 3)).toEqual([0, 5])
  })
})

describe('traffic', () => {
  const plan = (steps: string) =>
    configOf(
      `{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, steps: ${steps} } }`,
    )

  test('that cannot support the plan is warned of once, with the rate that was seen', async () => {
    const cluster = new FakeCluster()
    expect((await cluster.promote(plan('[1, 100]'))).verdict).toBe('inconclusive')
    expect(cluster.warnings).toHaveLength(1)
    expect(cluster.warnings[0]).toMatch(/^canary: backend gets \d+(\.\d)? requests a second, which is too few/)
  })

  test('that can is not', async () => {
    const cluster = new FakeCluster()
    expect((await cluster.promote(plan('[50, 100]'))).verdict).toBe('promoted')
    expect(cluster.warnings).toEqual([])
  })
})

describe('a limit of p99', () => {
  const warningsAt = async (p99: string) => {
    const cluster = new FakeCluster()
    cluster.edges = [250, 500]
    const canary = `{ service: backend, steps: [50, 100], interval: 10s, guard: off, warmup: 0, checks: { p99: ${p99} } }`
    expect((await cluster.promote(configOf(`{ namespace: shop, canary: ${canary} }`))).verdict).toBe('promoted')
    return cluster.warnings
  }

  test('between two edges of the latency buckets is warned of', async () => {
    expect(await warningsAt('300ms')).toEqual([
      "canary: the sidecars' latency buckets have no edge at 300 ms, so requests of 250 to 500 ms count neither as good nor as too slow; set `checks.p99` to 250ms or 500ms, or give the pods such an edge (annotation sidecar.istio.io/statsHistogramBuckets)",
    ])
  })

  test('above the last edge is warned of', async () => {
    expect(await warningsAt('2s')).toEqual([expect.stringContaining('so requests above 500 ms count neither')])
  })

  test('at an edge is not', async () => {
    expect(await warningsAt('500ms')).toEqual([])
  })
})

describe('an API server that is away when the promotion ends', () => {
  const plan = (more = '') =>
    configOf(
      `{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s${more} } }`,
    )

  /** Its guard watches. Every call fails for `awayMs` after the last step has been decided. */
  function endingWhileAway(awayMs: number): FakeCluster {
    const cluster = new FakeCluster()
    let since: number | undefined
    cluster.before = () => {
      const annotations = cluster.lease?.metadata.annotations
      if (annotations) annotations['mesh-canary.io/guard'] ??= cluster.lease!.spec!.holderIdentity!
      if (cluster.notes.some((line) => line.startsWith('decision: '))) since ??= cluster.clock.time
      return since !== undefined && cluster.clock.time < since + awayMs ? new ApiError(0, 'no answer') : undefined
    }
    return cluster
  }

  test.each([
    ['promoted', '', 100],
    ['held', ', steps: [25, 50, 100], until: 25', 25],
  ])('for a moment delays the verdict %s until the Lease is settled', async (verdict, more, weight) => {
    const cluster = endingWhileAway(8_000)
    const ended = await cluster.promote(plan(more))
    expect([ended.verdict, ended.error, cluster.weight]).toEqual([verdict, undefined, weight])
    expect(cluster.lease?.spec?.holderIdentity ?? '').toBe('')
    expect(cluster.notes.at(-1)).toMatch(new RegExp(`^${verdict}: `))
    expect(cluster.intents.at(-1)).toEqual([])
  })

  test.each([
    ['promoted', '', 100],
    ['held', ', steps: [25, 50, 100], until: 25', 25],
  ])(
    'for longer than the progressDeadline makes %s inconclusive, because the guard will undo it',
    async (_, more, weight) => {
      const cluster = endingWhileAway(Infinity)
      const ended = await cluster.promote(plan(more))
      expect([ended.verdict, ended.weight]).toEqual(['inconclusive', weight])
      expect(ended.error).toMatch(
        /; but the Lease could not be released: no answer; its guard will return all traffic to v1 about 30 s after the last renewal$/,
      )
      expect(cluster.notes.filter((line) => line.startsWith('promoted:') || line.startsWith('held:'))).toEqual([])
      // The post step returns the traffic, if the guard has not done it by then.
      expect(cluster.intents.at(-1)).toMatchObject([{ split, needsDrainCheck: false }])
    },
  )
})

describe('while the Lease is settled, a lost answer', () => {
  /** Its guard watches. The answer to the first call of this kind is lost, and `write` carries it out. */
  function losing(lost: string, write: (cluster: FakeCluster) => void = () => undefined): FakeCluster {
    const cluster = new FakeCluster()
    let losses = 0
    cluster.before = (verb, what) => {
      const annotations = cluster.lease?.metadata.annotations
      if (annotations) annotations['mesh-canary.io/guard'] ??= cluster.lease!.spec!.holderIdentity!
      if (`${verb} ${what}` !== lost || losses++ > 0) return undefined
      write(cluster)
      return new ApiError(0, 'connection reset')
    }
    return cluster
  }
  const plan = (more = '') =>
    configOf(
      `{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s${more} } }`,
    )

  test('to the deletion of the guard does not change the verdict', async () => {
    expect(await losing('remove Job').promote(plan(', steps: [25, 50, 100], until: 25'))).toMatchObject({
      verdict: 'held',
      weight: 25,
    })
  })

  test('to the deletion of the Lease does not change the verdict', async () => {
    const ended = await losing('remove Lease', (cluster) => (cluster.lease = undefined)).promote(plan())
    expect([ended.verdict, ended.error]).toEqual(['promoted', undefined])
  })

  test('to the release of the Lease does not change the verdict', async () => {
    const cluster = losing('nothing')
    const patch = cluster.api.patch.bind(cluster.api)
    let losses = 0
    Object.assign(cluster.api, {
      patch: async (...call: Parameters<typeof patch>) => {
        const written = await patch(...call)
        const isRelease = call[0] === 'Lease' && cluster.lease?.spec?.holderIdentity === ''
        if (isRelease && losses++ === 0) throw new ApiError(0, 'connection reset')
        return written
      },
    })
    expect(await cluster.promote(plan(', steps: [25, 50, 100], until: 25'))).toMatchObject({
      verdict: 'held',
      weight: 25,
    })
  })
})

test('a canary whose Lease goes to its guard after the last step is not promoted', async () => {
  const cluster = new FakeCluster()
  cluster.before = () => {
    const isDecided = cluster.notes.some((line) => line.startsWith('decision: promoted'))
    if (isDecided && cluster.lease)
      cluster.lease.spec!.holderIdentity = `guard of ${cluster.lease.spec!.holderIdentity!}`
    return undefined
  }
  const ended = await cluster.promote()
  expect(ended.verdict).toBe('inconclusive')
  expect(ended.error).toMatch(/the guard is rolling back to stable, so its traffic may be elsewhere by now$/)
})

describe('all traffic ends on stable when', () => {
  test('the run is cancelled', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => (cluster.weight === 25 && cluster.controller.abort(), undefined)
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, reason: 'the run was cancelled' })
    expect(ended.error).toBeUndefined()
    expect(cluster.weights).toEqual([5, 25, 0])
    // The post step checks whether the proxies follow.
    expect(cluster.intents.at(-1)).toMatchObject([
      {
        split,
        needsDrainCheck: true,
        drainTarget: { selectors: { canary: { app: 'backend', version: 'v2' } }, timeoutMs: 20_000 },
      },
    ])
  })

  test('the pods cannot be watched for longer than the progressDeadline', async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb, what) =>
      cluster.weight === 25 && verb === 'watch' && what === 'Pod' ? new ApiError(503, 'etcd is down') : undefined
    const ended = await cluster.promote()
    expect(ended).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: 'the counters of the sidecars could not be read for 20 s (`progressDeadline`)',
    })
    expect(ended.error).toBeUndefined()
    expect(cluster.notes.some((line) => line.endsWith('some counters could not be read'))).toBe(true)
    expect(cluster.weights).toEqual([5, 25, 0])
  })

  test("the canary's counters cannot be read for longer than the progressDeadline", async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb, what) =>
      cluster.clock.time > 5_000 && verb === 'pod' && what === 'v2' ? new ApiError(0, 'no answer') : undefined
    const ended = await cluster.promote()
    expect(ended).toMatchObject({
      verdict: 'inconclusive',
      weight: 0,
      reason: expect.stringMatching(
        /^the counters of the sidecars could not be read for 20 s \(`progressDeadline`\); but weight 0 is written, and this run cannot see whether requests still reach v2/,
      ) as string,
    })
    expect(cluster.weights).toEqual([5, 0])
  })

  test('the counters cannot be read, and the report does not claim that the canary is drained', async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb, what) =>
      cluster.clock.time > 5_000 && verb === 'pod' && what === 'v2' ? new ApiError(0, 'no answer') : undefined
    expect(await cluster.promote()).not.toHaveProperty('secondsToSafe')
  })

  test("the canary's only pod is evicted during a step, and its replacement is pending", async () => {
    const cluster = new FakeCluster()
    cluster.before = () => {
      if (cluster.weight === 25 && cluster.clock.time > 18_000)
        cluster.canaryStatus = { phase: 'Pending', conditions: [] }
      return undefined
    }
    await cluster.promote()
    expect(cluster.weights).toEqual([5, 25, 0])
  })

  test('a weight cannot be written', async () => {
    const cluster = new FakeCluster()
    let refusals = 0
    cluster.before = (verb, what) =>
      cluster.weight === 5 && verb === 'patch' && what === 'VirtualService' && refusals++ < 16
        ? new ApiError(403, 'forbidden')
        : undefined
    expect(await cluster.promote()).toMatchObject({
      verdict: 'rolled-back',
      weight: 0,
      error: 'the promotion could not continue: forbidden, for 15 s',
    })
    expect(cluster.weights).toEqual([5, 0])
  })

  test('the post step writes a rollback that this run cannot write', async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb) =>
      cluster.weight === 5 && verb === 'patch' ? new ApiError(0, 'the API server does not answer') : undefined
    expect((await cluster.promote()).error).toMatch(
      /and rolling back to stable failed: the API server does not answer, for 20 s \(`progressDeadline`\)$/,
    )
    expect(cluster.lease?.spec?.holderIdentity).toMatch(/^run 7/)
    expect(cluster.intents).toMatchObject([[{ split, needsDrainCheck: false }], [{ split, needsDrainCheck: false }]])
  })

  test('the canary crashes, and the reason quotes its log', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => {
      if (cluster.weight === 5)
        cluster.canaryStatus = {
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
    expect((await cluster.promote()).reason).toBe(
      'container app of v2 crashes in a loop: container app ended with exit code 1, 2 restarts: Error: no DB_HOST',
    )
    expect(cluster.weights).toEqual([5, 0])
  })
})

describe('proxies that do not follow weight 0', () => {
  const patientConfig = configOf(
    '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 60s, guard: off } }',
  )
  /** A bad canary, and proxies that follow its rollback so many milliseconds late. */
  const lagging = (ms: number) => {
    const cluster = new FakeCluster()
    cluster.failureShare = 1
    cluster.before = (verb, what) => (
      verb === 'patch' && what === 'VirtualService' && cluster.weight > 0 && (cluster.proxyLagMs = ms), undefined
    )
    return cluster
  }

  test('are awaited while the canary serves, and the promotion keeps its Lease', async () => {
    const cluster = lagging(40_000)
    let renewals = 0
    const { before } = cluster
    cluster.before = (verb, what) => (
      verb === 'patch' && what === 'Lease' && cluster.weight === 0 && renewals++, before(verb, what)
    )
    const ended = await cluster.promote(patientConfig)
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0, secondsToSafe: expect.closeTo(40, 0) as number })
    expect(ended.error).toBeUndefined()
    expect(renewals).toBeGreaterThan(40)
    expect(cluster.notes).toContain(
      'weight 0 is written, but the canary still serves 5.0 requests/s: waiting for the proxies (`progressDeadline`)',
    )
    expect(cluster.intents.at(-1)).toEqual([])
  })

  test('before the progressDeadline fail the run, which says what to check', async () => {
    const cluster = lagging(1_000_000)
    const ended = await cluster.promote(patientConfig)
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(ended).not.toHaveProperty('secondsToSafe')
    expect(ended.reason).toMatch(
      /^success rate: .*; but weight 0 is in VirtualService shop\/backend, and 60 s later the proxies still send 5.0 requests\/s to v2 of backend: this run found no route past the split.*istio-system/,
    )
    expect(ended.error).toBe(ended.reason)
    expect(cluster.lease).toBeUndefined()
  })

  test('are not awaited once another run holds the Lease', async () => {
    const cluster = lagging(1_000_000)
    const { before } = cluster
    cluster.before = (verb, what) => {
      if (cluster.weight === 0 && cluster.weights.length > 1 && cluster.lease && verb === 'pod')
        cluster.lease = { ...cluster.lease, spec: { ...cluster.lease.spec, holderIdentity: 'run 8 (12345678)' } }
      return before(verb, what)
    }
    expect((await cluster.promote(patientConfig)).error).toBeUndefined()
  })

  test('are left to the post step when the run is cancelled', async () => {
    const cluster = lagging(1_000_000)
    const { before } = cluster
    cluster.before = (verb, what) => (
      cluster.weight === 0 && cluster.clock.time > 30_000 && cluster.controller.abort(), before(verb, what)
    )
    expect((await cluster.promote(patientConfig)).verdict).toBe('rolled-back')
    expect(cluster.clock.time).toBeLessThan(32_000)
    expect(cluster.intents.at(-1)).toMatchObject([{ split, needsDrainCheck: true }])
  })

  test('are not awaited when the counters of the canary do not answer', async () => {
    const cluster = lagging(1_000_000)
    const { before } = cluster
    let from = 0
    cluster.before = (verb, what) => {
      if (verb !== 'pod' || what !== 'v2' || cluster.weight > 0 || cluster.weights.length === 0)
        return before(verb, what)
      from ||= cluster.clock.time
      return new ApiError(0, 'no answer')
    }
    expect(await cluster.promote(patientConfig)).toMatchObject({
      verdict: 'inconclusive',
      error: expect.stringContaining('this run cannot see whether requests still reach v2 of backend') as string,
    })
    expect(cluster.clock.time - from).toBeLessThanOrEqual(13_000)
  })
})

describe('an API server that refuses writes for a while', () => {
  test('delays a weight, and the promotion continues', async () => {
    const cluster = new FakeCluster()
    let failedWrites = 0
    cluster.before = (verb, what) =>
      verb === 'patch' && what === 'VirtualService' && cluster.weight === 5 && failedWrites++ < 8
        ? new ApiError(503, 'busy')
        : undefined
    expect((await cluster.promote()).verdict).toBe('promoted')
    expect(cluster.weights).toEqual([5, 25, 50, 100])
    expect(cluster.notes.filter((line) => line.startsWith('not written yet (weight: v1 75, v2 25)'))).toHaveLength(8)
  })

  test('delays the time in which the traffic has to move, too', async () => {
    const cluster = new FakeCluster()
    let writtenAt: number | undefined
    cluster.before = (verb, what) => {
      if (verb !== 'patch' || what !== 'VirtualService' || cluster.weight !== 5) return undefined
      if (cluster.clock.time < 30_000) return new ApiError(503, 'busy')
      writtenAt ??= cluster.clock.now()
      return undefined
    }
    const { steps } = await cluster.promote()
    expect(steps.find(({ weight }) => weight === 25)?.shiftedAt).toBe(writtenAt)
  })

  test('delays a rollback', async () => {
    const cluster = new FakeCluster()
    cluster.failureShare = 1
    let failedWrites = 0
    cluster.before = (verb, what) =>
      verb === 'patch' && what === 'VirtualService' && cluster.weight === 5 && failedWrites++ < 8
        ? new ApiError(500, 'failed calling webhook')
        : undefined
    expect(await cluster.promote()).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(cluster.weights).toEqual([5, 0])
  })
})

test.each([
  [false, [5, 25, 50, 100], 'promoted'],
  [true, [5, 25, 50, 100, 0], 'rolled-back'],
])(
  'a promotion of an earlier wave is told of if a later one cannot start (together: %s)',
  async (together, weights, verdict) => {
    const cluster = new FakeCluster()
    const plan = 'interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off'
    const canaries = `[{ service: backend, ${plan} }, { service: frontend, wave: 2, ${plan} }]`
    const config = configOf(`{ namespace: shop, together: ${together}, canaries: ${canaries} }`)
    const problem: unknown = await cluster.promote(config).catch((error: unknown) => error)
    expect(cluster.weights).toEqual(weights)
    expect(problem).toMatchObject({ promotions: [{ verdict, weight: weights.at(-1) }] })
  },
)

describe('the Lease', () => {
  test('is renewed with every sample, and deleted at the end', async () => {
    const cluster = new FakeCluster()
    let renewals = 0
    cluster.before = (verb, what) => (verb === 'patch' && what === 'Lease' && renewals++, undefined)
    await cluster.promote()
    expect(cluster.progress.length).toBeGreaterThan(20)
    // The last is the end.
    expect(renewals).toBeGreaterThanOrEqual(cluster.progress.length - 1)
    expect(cluster.lease).toBeUndefined()
  })

  test('ends the promotion when another run takes it, and nothing more is written', async () => {
    const cluster = new FakeCluster()
    cluster.before = (verb, what) => {
      if (cluster.weight === 25 && verb === 'pod' && what === 'v1')
        cluster.lease!.spec!.holderIdentity = 'run 8 (deadbeef)'
      return undefined
    }
    const ended = await cluster.promote()
    expect(ended.error).toBe('this run lost the promotion: run 8 took over the promotion')
    // Only that run knows how it goes on.
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 25 })
    expect(cluster.weights).toEqual([5, 25])
    expect(cluster.lease?.spec?.holderIdentity).toBe('run 8 (deadbeef)')
    expect(cluster.intents.at(-1)).toEqual([])
  })

  test.each([
    ['', 'patch', 'Lease'],
    [', also when this run was about to write a rollback', 'pod', 'v1'],
  ])('ends the promotion undecided while its guard has returned only some routes%s', async (_, when, on) => {
    const cluster = new FakeCluster()
    cluster.before = (verb, what) => {
      if (cluster.weight === 25 && verb === when && what === on) {
        cluster.lease!.spec!.holderIdentity = 'guard of run 7 (deadbeef)'
        cluster.virtualService.spec.http = [
          { match: [{ uri: { prefix: '/a' } }], route: [to('v1', 100), to('v2', 0)] },
          { route: [to('v1', 75), to('v2', 25)] },
        ]
      }
      return undefined
    }
    expect(await cluster.promote()).toMatchObject({ verdict: 'inconclusive', weight: 25 })
  })

  test('ends the promotion undecided when another run has taken it and goes on, though its canary has failed', async () => {
    const cluster = new FakeCluster()
    let isTaken = false
    cluster.before = (verb, what) => {
      if (cluster.weight === 25) cluster.failureShare = 1
      const hasFailed = cluster.notes.some((line) => line.startsWith('decision: rolled-back'))
      if (hasFailed && !isTaken && verb === 'patch' && what === 'Lease') {
        isTaken = true
        cluster.lease!.spec!.holderIdentity = 'run 8 (deadbeef)'
      }
      return undefined
    }
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 25 })
    expect(ended.error).toBe('this run lost the promotion: run 8 took over the promotion')
    expect(cluster.weights).toEqual([5, 25])
  })

  test('makes a second run fail, which names the run that holds it', async () => {
    const cluster = new FakeCluster()
    cluster.lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'mesh-canary-backend', resourceVersion: '1' },
      spec: {
        holderIdentity: 'https://ci/run/6 (deadbeef)',
        acquireTime: '2026-11-24T20:00:00Z',
        leaseDurationSeconds: 30,
      },
    }
    cluster.before = (verb, what) => (
      verb === 'get' && what === 'Lease' && (cluster.lease!.spec!.renewTime = String(cluster.clock.time)), undefined
    )
    await expect(cluster.promote()).rejects.toThrow(
      'another run promotes backend: https://ci/run/6, since 2026-11-24T20:00:00Z',
    )
    expect(cluster.weights).toEqual([])
  })

  test('passes to another run when nobody renews it', async () => {
    const second = new FakeCluster(50)
    second.lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'mesh-canary-backend', resourceVersion: '1', annotations: {} },
      spec: { holderIdentity: 'run 6 (deadbeef)', leaseDurationSeconds: 30 },
    }
    const from = second.clock.time
    expect((await second.promote()).verdict).toBe('promoted')
    expect(second.notes[0]).toContain('run 6 holds the Lease')
    expect(second.notes.some((line) => line.startsWith('run 6 stopped renewing the Lease of backend'))).toBe(true)
    expect(second.clock.time - from).toBeGreaterThan(30_000)
  })

  test('is kept when the run is cancelled, and the next run repeats the step with the evidence so far', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => (cluster.weight === 25 && cluster.controller.abort(), undefined)
    await cluster.promote()
    expect(cluster.lease?.spec?.holderIdentity).toBe('')
    const again = new FakeCluster(0, cluster.clock)
    again.lease = cluster.lease
    const ended = await again.promote()
    expect(again.weights).toEqual([25, 50, 100])
    expect(ended.steps.map(({ weight, outcome }) => [weight, outcome])).toEqual([
      [5, 'passed'],
      [25, 'interrupted'],
      [25, 'passed'],
      [50, 'passed'],
      [100, 'passed'],
    ])
    expect(again.notes.some((line) => line.startsWith('resumes an earlier run'))).toBe(true)
  })

  test('and the weight are kept when `onCancel` is `hold`', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => (cluster.weight === 25 && cluster.controller.abort(), undefined)
    const ended = await cluster.promote(
      configOf(
        '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, onCancel: hold } }',
      ),
    )
    expect(ended).toMatchObject({ verdict: 'held', weight: 25 })
    expect(cluster.weights).toEqual([5, 25])
  })

  test('keeps no evidence for another version', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => (cluster.weight === 25 && cluster.controller.abort(), undefined)
    await cluster.promote()
    const again = new FakeCluster(0, cluster.clock)
    again.lease = cluster.lease
    again.workloads = [deployment('backend:3')]
    await again.promote()
    expect(again.weights).toEqual([5, 25, 50, 100])
  })
})

describe('a Lease that somebody deletes', () => {
  const cluster = (weight: number, then: (cluster: FakeCluster) => void = () => undefined) => {
    const deleting = new FakeCluster()
    deleting.before = (verb, what) => {
      const isDue = deleting.weight === weight && verb === 'pod' && what === 'v1' && deleting.lease !== undefined
      if (isDue && deleting.weights.filter((each) => each === weight).length === 1) {
        deleting.lease = undefined
        then(deleting)
      }
      return undefined
    }
    return deleting
  }

  test('ends the promotion on stable, because its guard is gone too', async () => {
    const deleted = cluster(25)
    const ended = await deleted.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(ended.reason).toContain('this run lost the promotion: the Lease shop/mesh-canary-backend was deleted')
    expect([deleted.weight, deleted.lease]).toEqual([0, undefined])
  })

  test('is created again while the API server is away for a moment', async () => {
    let refusals = 0
    const deleted = cluster(25)
    const { before } = deleted
    deleted.before = (verb, what) =>
      verb === 'create' && deleted.weight === 25 && refusals++ < 3 ? new ApiError(503, 'busy') : before(verb, what)
    expect(await deleted.promote()).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(refusals).toBeGreaterThan(3)
  })

  test('does not undo what another run has promoted meanwhile', async () => {
    const deleted = cluster(25, (now) => {
      const outcome = {
        template: 't',
        passedWeight: 100,
        failed: false,
        reason: '',
        run: 'run 8',
        session: 'run 8 (x)',
      }
      now.configMaps['mesh-canary-backend-outcome'] = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'mesh-canary-backend-outcome', namespace: 'shop' },
        data: { 'outcome.json': JSON.stringify(outcome) },
      } as KubeObject
    })
    const ended = await deleted.promote()
    expect(ended.error).toContain('this run lost the promotion')
    expect([deleted.weights, deleted.lease]).toEqual([[5, 25], undefined])
  })

  test('by its own run, at the end, is not created again by a renewal that was under way', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'] })
    try {
      const ending = new FakeCluster()
      ending.before = (verb) => {
        if (verb === 'remove') {
          ending.lease = undefined
          vi.advanceTimersByTime(2_000)
        }
        return undefined
      }
      expect(await ending.promote()).toMatchObject({ verdict: 'promoted' })
      await new Promise(setImmediate)
      expect(ending.lease).toBeUndefined()
    } finally {
      vi.useRealTimers()
    }
  })

  test.each([
    ['for the stage rollback, although that recorded nothing', 0],
    ['after somebody has lowered the weight', 50],
  ])('%s, is no promotion', async (_, weight) => {
    const deleted = new FakeCluster()
    deleted.before = (verb, what) => {
      const hasPassed = deleted.notes.some((line) => line.startsWith('decision: promoted'))
      if (hasPassed && deleted.weight === 100 && verb === 'patch' && what === 'Lease') {
        deleted.virtualService.spec.http = [{ route: [to('v1', 100 - weight), to('v2', weight)] }]
        deleted.lease = undefined
      }
      return undefined
    }
    const ended = await deleted.promote()
    expect(ended.verdict).toBe('inconclusive')
    expect(ended.error).toContain(`the weight of the canary is ${weight}`)
    expect([deleted.weight, deleted.lease]).toEqual([weight, undefined])
  })

  test('does not undo a promotion that has passed', async () => {
    const deleted = new FakeCluster()
    let isDeleted = false
    deleted.before = (verb, what) => {
      const hasPassed = deleted.notes.some((line) => line.startsWith('decision: promoted'))
      if (hasPassed && !isDeleted && verb === 'patch' && what === 'Lease') {
        isDeleted = true
        deleted.lease = undefined
      }
      return undefined
    }
    expect(await deleted.promote()).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect([isDeleted, deleted.weight, deleted.lease]).toEqual([true, 100, undefined])
  })
})

describe('a canary that, during its promotion,', () => {
  const after = (cluster: FakeCluster, change: () => void) => {
    cluster.workloads = [deployment('backend:2')]
    cluster.before = () => (cluster.weight === 25 && change(), undefined)
    return cluster.promote()
  }

  test('gets another image is rolled back', async () => {
    const cluster = new FakeCluster()
    const ended = await after(cluster, () => (cluster.workloads = [deployment('backend:3')]))
    expect(ended.reason).toContain('Deployment/backend-v2 was changed during its promotion (backend:2 → backend:3)')
    expect(cluster.weights).toEqual([5, 25, 0])
  })

  test('is restarted or scaled up is promoted, because it is the same version', async () => {
    const cluster = new FakeCluster()
    const ended = await after(cluster, () => {
      const restarted = deployment('backend:2', 3)
      restarted.spec.template.metadata!.annotations = { 'kubectl.kubernetes.io/restartedAt': '2026-11-24T20:00:00Z' }
      cluster.workloads = [restarted]
    })
    expect(ended.verdict).toBe('promoted')
  })

  test('is scaled to 0 is rolled back', async () => {
    const cluster = new FakeCluster()
    expect((await after(cluster, () => (cluster.workloads = [deployment('backend:2', 0)]))).reason).toContain(
      'Deployment/backend-v2 was scaled to 0 during its promotion',
    )
    expect(cluster.weights).toEqual([5, 25, 0])
  })
})

const isPromoted = ({ notes }: FakeCluster) => notes.some((line) => line.startsWith('decision: promoted'))

describe('a canary that is promoted and waits for another cluster', () => {
  /** It waits until it has failed, too. */
  const waiting = (cluster: FakeCluster, config?: Parameters<FakeCluster['promote']>[0]) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const others = {
      failure: () => undefined,
      report: ({ failure }: { failure?: string }) => (failure === undefined ? undefined : resolve(), promise),
      isLastLook: () => false,
      confirm: () => undefined,
      isFinal: () => true,
    }
    return cluster.promote(config, { others })
  }

  test.each<[string, string, (cluster: FakeCluster) => void]>([
    [
      'gets another image',
      'Deployment/backend-v2 was changed during its promotion (app:2 → app:3)',
      (cluster) => (cluster.workloads = [deployment('app:3')]),
    ],
    [
      'crashes',
      'container app of v2 was restarted during the promotion',
      (cluster) =>
        (cluster.canaryStatus = {
          ...cluster.canaryStatus,
          containerStatuses: [{ name: 'app', ready: true, restartCount: 1, state: {} }],
        } as Pod['status']),
    ],
    [
      'loses its last ready pod',
      'no ready pod of v2 is behind the Service backend',
      (cluster) => (cluster.canaryStatus = { phase: 'Running', conditions: [] }),
    ],
  ])('is rolled back if it %s', async (_, reason, change) => {
    const cluster = new FakeCluster()
    cluster.workloads = [deployment('app:2')]
    cluster.before = () => (isPromoted(cluster) && change(cluster), undefined)
    expect(await waiting(cluster)).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(cluster.notes.join('\n')).toContain(reason)
    expect(cluster.weights).toEqual([5, 25, 50, 100, 0])
  })
})

test('stable never adopts a version that the canary got after its checks', async () => {
  const stable = { ...deployment('app:1'), metadata: { name: 'backend-v1', namespace: 'shop' } }
  stable.spec.template.metadata!.labels = { app: 'backend', version: 'v1' }
  const cluster = new FakeCluster()
  cluster.workloads = [stable, deployment('app:2')]
  const writes: string[] = []
  cluster.before = (verb, what) => {
    if (isPromoted(cluster)) cluster.workloads = [stable, deployment('app:3')]
    if (verb === 'patch') writes.push(what)
    return undefined
  }
  const ended = await cluster.promote(
    configOf(
      '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, after: adopt } }',
    ),
  )
  expect(ended.error).toContain('Deployment/backend-v2 was changed after its checks had passed')
  expect(writes).not.toContain('Deployment')
})

describe('a stable version that loses its pods', () => {
  const down = { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] }
  /** Stable loses its pods at weight 25, and gets them back at that time, if it does. */
  const losing = (until = Infinity, failureShare = 0) => {
    const cluster = new FakeCluster()
    const ready = cluster.stableStatus
    cluster.before = () => {
      if (cluster.weight === 25) {
        cluster.failureShare = failureShare
        cluster.stableStatus = cluster.clock.time < until ? down : ready
      }
      return undefined
    }
    return cluster
  }

  test('ends the promotion, and its traffic returns as soon as stable has a ready pod', async () => {
    const cluster = losing(25_000)
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(ended.error).toBeUndefined()
    expect(cluster.weights).toEqual([5, 25, 0])
    expect(cluster.clock.time).toBeGreaterThan(25_000)
    expect(cluster.notes).toContainEqual(
      expect.stringMatching(/^not written yet \(weight: v1 100, v2 0\): no ready pod of v1 is behind the Service/),
    )
  })

  test('keeps the traffic of a failing canary where it is, and the run does not claim a rollback', async () => {
    const cluster = losing(Infinity, 0.5)
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 25 })
    expect(ended.error).toMatch(
      /and rolling back to stable failed: no ready pod of v1 is behind the Service shop\/backend, .*: scale v1 up, or repair its pods, for 20 s/,
    )
    expect(cluster.weights).toEqual([5, 25])
    expect(cluster.lease?.spec?.holderIdentity).toMatch(/^run 7/)
    expect(cluster.intents.at(-1)).toMatchObject([{ needsDrainCheck: false, selectors: { stable: { version: 'v1' } } }])
  })

  test('gets the traffic of a canary that has lost its pods, too', async () => {
    const cluster = losing()
    const { before } = cluster
    cluster.before = (verb, what) => (cluster.weight === 25 && (cluster.canaryStatus = down), before(verb, what))
    await cluster.promote()
    expect(cluster.weights).toEqual([5, 25, 0])
  })

  test('is no fault once the canary has all the traffic', async () => {
    const cluster = new FakeCluster()
    cluster.before = () => (cluster.weight === 100 && (cluster.stableStatus = down), undefined)
    expect((await cluster.promote()).verdict).toBe('promoted')
  })
})

test('a canary whose pods leave the Service during its promotion is rolled back, with the cause', async () => {
  const cluster = new FakeCluster()
  cluster.before = () => (cluster.weight === 25 && (cluster.selector = { app: 'backend', version: 'v1' }), undefined)
  const ended = await cluster.promote()
  expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
  expect(ended.reason).toContain('the Service shop/backend selects only pods with version=v1, but the subset v2')
  expect(cluster.weights).toEqual([5, 25, 0])
})

describe('when someone else writes the weights', () => {
  const interfere = (cluster: FakeCluster) => {
    let done = false
    cluster.before = (verb, what) => {
      if (done || cluster.weight !== 25 || verb !== 'pod' || what !== 'v1') return undefined
      done = true
      cluster.virtualService.spec.http![0]!.route = [to('v1', 100), to('v2', 0)]
      cluster.virtualService.metadata.managedFields = [
        { manager: 'argocd-controller', time: '2026-11-24T20:00:00Z', fieldsV1: { 'f:spec': { 'f:http': {} } } },
      ]
      cluster.touch()
      return undefined
    }
  }

  test('the promotion fails at the next sample, and names the writer', async () => {
    const cluster = new FakeCluster()
    interfere(cluster)
    const ended = await cluster.promote()
    expect(ended).toMatchObject({ verdict: 'rolled-back', weight: 0 })
    expect(ended.reason).toContain(
      'VirtualService shop/backend gives the canary 0% instead of 25%: argocd-controller wrote it at 2026-11-24T20:00:00Z',
    )
  })

  test('the weights are written again with `onDrift: take-over`', async () => {
    const cluster = new FakeCluster()
    interfere(cluster)
    expect(
      (
        await cluster.promote(
          configOf(
            '{ namespace: shop, canary: { service: backend, interval: 10s, progressDeadline: 20s, guard: off, onDrift: take-over } }',
          ),
        )
      ).verdict,
    ).toBe('promoted')
    expect(cluster.weights).toEqual([5, 25, 25, 50, 100])
  })
})

test('a promotion waits for counters that cannot be read for a while', async () => {
  const cluster = new FakeCluster()
  cluster.before = (verb) =>
    verb === 'pod' && cluster.clock.time > 5_000 && cluster.clock.time < 15_000 ? new ApiError(503, 'busy') : undefined
  expect((await cluster.promote()).verdict).toBe('promoted')
})

describe('setting the weight', () => {
  test('starts over when someone else wrote in between', async () => {
    const cluster = new FakeCluster()
    let writes = 0
    cluster.before = (verb) => (verb === 'patch' && writes++ < 2 && cluster.touch(), undefined)
    await setWeight(cluster.api, split, 40)
    expect(await readWeight(cluster.api, split)).toBe(40)
    expect(writes).toBe(3)
  })

  test('gives up after five attempts, with the reason', async () => {
    const cluster = new FakeCluster()
    let writes = 0
    cluster.before = (verb) =>
      verb === 'patch' ? (writes++, new ApiError(409, 'the object has been modified')) : undefined
    await expect(setWeight(cluster.api, split, 40)).rejects.toThrow('the object has been modified')
    expect(writes).toBe(5)
  })

  test('writes nothing when the weight is in force already', async () => {
    const cluster = new FakeCluster(40)
    await setWeight(cluster.api, split, 40)
    expect(cluster.weights).toEqual([])
  })

  test.each<[string, VirtualService]>([
    [
      'nothing splits the service',
      { ...virtualService([{ route: [to('v1', 95), to('v2', 5)] }]), spec: { hosts: ['frontend'] } },
    ],
    ['no route names both', virtualService([{ match: [], route: [to('v2', 100)] }, { route: [to('v1', 100)] }])],
  ])('fails, and so does reading the weight, when %s', async (_, object) => {
    const cluster = new FakeCluster()
    cluster.virtualService = object
    await expect(setWeight(cluster.api, split, 40)).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first',
    )
    await expect(readWeight(cluster.api, split)).rejects.toThrow(
      'no route of a VirtualService in shop splits backend between v1 and v2',
    )
    expect(cluster.weights).toEqual([])
  })

  test('writes the VirtualService that splits, and not another one of the same host', async () => {
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
