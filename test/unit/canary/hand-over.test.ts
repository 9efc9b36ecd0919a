// Promotions that one run hands over to the next, because its time is over.
import { describe, expect, test, vi } from 'vitest'
import {
  endedAnnotation,
  guardAnnotation,
  handedOverBy,
  savedPromotion,
} from '../../../src/canary/ownership/lease-object.ts'
import type { State } from '../../../src/canary/state/types.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import { configOf, to, virtualService } from '../fixtures.ts'
import { FakeCluster } from './fake-cluster.ts'

vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const planWith = (more = '', interval = '100s') =>
  configOf(
    `{ namespace: shop, canary: { service: backend, interval: ${interval}, pollInterval: 1s, progressDeadline: 20s${more} } }`,
  )
const why = 'the run ends after 60 s (`runFor`)'

/** A cluster in which each guard says at once that it watches. */
function guardedCluster(before = new FakeCluster()) {
  const cluster = new FakeCluster(before.weight, before.clock)
  cluster.virtualService = before.virtualService
  cluster.lease = before.lease
  cluster.configMaps = before.configMaps
  cluster.before = () => {
    const { lease } = cluster
    const holder = lease?.spec?.holderIdentity
    if (holder && handedOverBy(holder) === undefined)
      Object.assign(lease.metadata.annotations!, { [guardAnnotation]: holder })
    return undefined
  }
  return cluster
}

/** The run ends so many ms from now. */
const endingIn = (cluster: FakeCluster, ms: number) => ({
  runsUntil: { at: cluster.clock.time + ms, latestAt: cluster.clock.time + ms + 5_000, resumeWithinMs: 3_600_000, why },
})

const stepsOf = ({ steps }: { steps: { weight: number; outcome: string }[] }) =>
  steps.map(({ weight, outcome }) => [weight, outcome])

describe('a run whose time is over', () => {
  test('leaves the time watched to the next one also beside another destination, where 25% reads as 26%', async () => {
    const first = guardedCluster()
    first.virtualService = virtualService([{ route: [to('v1', 98), to('v2', 0), to('v3', 2)] }])
    await first.promote(planWith(', steps: [25, 100]'), endingIn(first, 97_000))
    const second = guardedCluster(first)
    const { steps } = await second.promote(planWith(', steps: [25, 100]'))
    const { shiftedAt, endedAt } = steps[1] as { shiftedAt: number; endedAt: number }
    expect(endedAt - shiftedAt).toBeLessThan(60_000)
  })

  test('hands a canary on that has had no time to become ready', async () => {
    const first = guardedCluster()
    await first.promote(planWith(), endingIn(first, 60_000))
    const second = guardedCluster(first)
    second.canaryStatus = { ...second.canaryStatus!, conditions: [] }
    expect(await second.promote(planWith(), endingIn(second, 5_000))).toMatchObject({ verdict: 'held', weight: 5 })
  })

  test('ends held, keeps the weight and its guard, and lets the next run take the Lease', async () => {
    const cluster = guardedCluster()
    const ended = await cluster.promote(planWith(), endingIn(cluster, 60_000))
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 5 })
    expect(ended.reason).toBe(
      `${why}, and the canary keeps the weight 5: the next run continues, and if none does within 3600 s ` +
        '(`runFor.resumeWithin`), the guard returns all traffic to v1',
    )
    expect(cluster.weights).toEqual([5])
    expect(handedOverBy(cluster.lease!.spec!.holderIdentity!)).toMatch(/^run 7 /)
    expect(cluster.lease!.spec!.leaseDurationSeconds).toBe(3_600)
    expect(cluster.intents.at(-1)).toEqual([])
  })

  test('is followed by one that continues the step and its time, with the evidence so far', async () => {
    const first = guardedCluster()
    await first.promote(planWith(), endingIn(first, 60_000))
    const second = guardedCluster(first)
    const from = second.clock.time
    const ended = await second.promote(planWith(), endingIn(second, 70_000))
    expect(stepsOf(ended)).toEqual([
      [5, 'interrupted'],
      [5, 'passed'],
      [25, 'held'],
    ])
    const [, again] = ended.steps
    expect((again as { endedAt: number }).endedAt - from).toBeLessThan(50_000)
    expect(ended.canary.requests).toBeGreaterThan(1_000)
    expect(second.notes.some((line) => line.startsWith('resumes an earlier run'))).toBe(true)
  })

  /** How long the second run watched the step, which the first one watched for all but a few seconds. */
  const secondStepAfter = async (meanwhile: (cluster: FakeCluster) => void) => {
    const plan = planWith(', steps: [50, 100]')
    const first = guardedCluster()
    await first.promote(plan, endingIn(first, 97_000))
    meanwhile(first)
    const second = guardedCluster(first)
    const { steps } = await second.promote(plan)
    const [, again] = steps as { shiftedAt: number; endedAt: number }[]
    return again!.endedAt - again!.shiftedAt
  }

  test.each<[string, (cluster: FakeCluster) => void]>([
    ['the guard has returned the traffic', (cluster) => cluster.setWeight(0)],
    [
      'somebody has ended the promotion',
      ({ lease }) => {
        lease!.spec!.holderIdentity = ''
        lease!.metadata.annotations![endedAnnotation] = 'the guard set the weight to 0'
      },
    ],
    [
      'a run between them was lost',
      ({ lease }) => Object.assign(lease!.spec!, { holderIdentity: 'run 8', leaseDurationSeconds: 30 }),
    ],
  ])('gives a step its whole time when %s', async (_, meanwhile) => {
    expect(await secondStepAfter(() => undefined)).toBeLessThan(60_000)
    expect(await secondStepAfter(meanwhile)).toBeGreaterThan(95_000)
  })

  test('is followed by one that counts the requests of the step on for `checks.minRequests`', async () => {
    const plan = planWith(', steps: [1, 100], checks: { minRequests: 40, successRate: 90% }')
    const first = guardedCluster()
    await first.promote(plan, endingIn(first, 98_000))
    const second = guardedCluster(first)
    expect(await second.promote(plan)).toMatchObject({ verdict: 'promoted' })
  })

  test('promotes a canary whose steps are longer than any run', async () => {
    let cluster = guardedCluster()
    let ended = await cluster.promote(planWith(', steps: [50, 100]', '150s'), endingIn(cluster, 60_000))
    for (let runs = 1; runs < 12 && ended.verdict === 'held'; runs++) {
      cluster = guardedCluster(cluster)
      ended = await cluster.promote(planWith(', steps: [50, 100]', '150s'), endingIn(cluster, 60_000))
    }
    expect(ended).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect(cluster.lease).toBeUndefined()
  })

  test('gives no other version the time of this one', async () => {
    const first = guardedCluster()
    await first.promote(planWith(), endingIn(first, 60_000))
    const second = guardedCluster(first)
    const plan = planWith(', steps: [5, 50, 100]')
    const ended = await second.promote(plan, endingIn(second, 60_000))
    expect(stepsOf(ended)).toEqual([[5, 'held']])
  })

  test('lets no other plan promote what it handed over in the last step', async () => {
    const first = guardedCluster()
    await first.promote(planWith(', steps: [50, 100]', '150s'), endingIn(first, 190_000))
    expect(first.weight).toBe(100)
    const second = guardedCluster(first)
    const from = second.clock.time
    expect(await second.promote(planWith(', steps: [50, 100]', '160s'))).toMatchObject({ verdict: 'promoted' })
    expect(second.clock.time - from).toBeGreaterThan(320_000)
  })

  test('before the first weight leaves nothing to guard', async () => {
    const cluster = guardedCluster()
    cluster.canaryStatus = { ...cluster.canaryStatus!, conditions: [] }
    const ended = await cluster.promote(planWith(), endingIn(cluster, 5_000))
    expect(ended).toMatchObject({ verdict: 'held', weight: 0, reason: `${why}, and the next run continues` })
    expect(cluster.lease!.spec!.holderIdentity).toBe('')
  })

  test('says that no guard watches the weight with `guard: off`', async () => {
    const cluster = new FakeCluster()
    const ended = await cluster.promote(planWith(', guard: off'), endingIn(cluster, 60_000))
    expect(ended.reason).toContain('which no guard watches (`guard: off`)')
    expect(cluster.lease!.spec!.holderIdentity).toBe('')
  })

  /** Fails more often than the limit allows, but not for long enough to be decided when the time of the run ends. */
  const doubtfulCluster = () => {
    const cluster = guardedCluster()
    cluster.failureShare = 0.02
    return cluster
  }

  test('returns the traffic of a canary in doubt, and the job fails', async () => {
    const cluster = doubtfulCluster()
    const ended = await cluster.promote(planWith(', checks: { successRate: 99% }'), endingIn(cluster, 30_000))
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(ended.reason).toContain('the evidence leans against the canary')
    expect(cluster.weight).toBe(0)
  })

  test('holds a canary in doubt with `onInconclusive: hold`, but does not hand it over', async () => {
    const cluster = doubtfulCluster()
    const plan = planWith(', onInconclusive: hold, checks: { successRate: 99% }')
    const ended = await cluster.promote(plan, endingIn(cluster, 30_000))
    expect(ended).toMatchObject({ verdict: 'held', weight: 5 })
    expect(ended).not.toHaveProperty('asPlanned')
    expect(handedOverBy(cluster.lease?.spec?.holderIdentity ?? '')).toBeUndefined()
  })

  test('returns the traffic of a canary that is still not ready when the run that resumed it ends', async () => {
    const plan = configOf(
      '{ namespace: shop, canary: { service: backend, interval: 100s, pollInterval: 1s, progressDeadline: 3m } }',
    )
    const first = guardedCluster()
    await first.promote(plan, endingIn(first, 60_000))
    const second = guardedCluster(first)
    second.canaryStatus = { ...second.canaryStatus!, conditions: [] }
    const ended = await second.promote(plan, endingIn(second, 70_000))
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(ended.reason).toContain('the canary is not ready')
    expect(second.weight).toBe(0)
  })

  const withoutCounters = (untilMs: number) => {
    const cluster = guardedCluster()
    const guard = cluster.before
    const isSilent = () => cluster.clock.time > 55_000 && cluster.clock.time < untilMs
    cluster.before = (verb, what) =>
      guard(verb, what) ?? (verb === 'pod' && what === 'v2' && isSilent() ? new ApiError(0, 'no answer') : undefined)
    return cluster.promote(planWith(), endingIn(cluster, 60_000))
  }

  test('waits some seconds for counters that cannot be read at that moment', async () => {
    expect(await withoutCounters(62_000)).toMatchObject({ verdict: 'held', weight: 5 })
  })

  test('returns the traffic of a canary whose counters still cannot be read', async () => {
    const ended = await withoutCounters(Infinity)
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 0 })
    expect(ended.reason).toContain('the counters of the sidecars cannot be read')
  })

  test('does not hand over what the API server does not let it: then the guard rolls back', async () => {
    const cluster = guardedCluster()
    const guard = cluster.before
    let isEnding = false
    cluster.before = (verb, what) => {
      isEnding ||= cluster.notes.some((line) => line.startsWith('decision: held'))
      return guard(verb, what) ?? (isEnding && verb === 'patch' ? new ApiError(503, 'away') : undefined)
    }
    const ended = await cluster.promote(planWith(), endingIn(cluster, 60_000))
    expect(ended).toMatchObject({ verdict: 'inconclusive', weight: 5 })
    expect(ended.error).toContain('its guard will return all traffic to v1')
    expect(cluster.intents.at(-1)).toHaveLength(1)
  })

  test.each<[string, number, object]>([
    ['gives up a higher weight that the server refuses', 503, { verdict: 'held', weight: 5 }],
    // It may be in force already.
    ['waits on for a write whose outcome nobody knows', 0, { verdict: 'rolled-back', weight: 0 }],
  ])('%s at the last moment', async (_, status, outcome) => {
    const cluster = guardedCluster()
    const guard = cluster.before
    const isRefused = (verb: string, what: string) =>
      verb === 'patch' && what === 'VirtualService' && cluster.weight === 5 && cluster.clock.time < 123_000
    cluster.before = (verb, what) =>
      guard(verb, what) ?? (isRefused(verb, what) ? new ApiError(status, 'webhook of istiod') : undefined)
    const ended = await cluster.promote(planWith(), endingIn(cluster, 105_000))
    expect(ended).toMatchObject(outcome)
    if (status === 0) return
    expect(stepsOf(ended)).toEqual([[5, 'passed']])
    const second = guardedCluster(cluster)
    expect(stepsOf(await second.promote(planWith()))).toMatchObject([[5, 'passed'], [25, 'passed'], {}, {}])
  })

  test('writes nothing to the Lease after it has handed it over', async () => {
    const cluster = guardedCluster()
    await cluster.promote(planWith(), endingIn(cluster, 60_000))
    expect(savedPromotion(cluster.lease)?.state.phase).toBe('watching')
  })

  test('leaves what the next run continues also if it dies before it could hand over', async () => {
    const cluster = guardedCluster()
    let left: State | undefined
    const hasDecided = () => cluster.notes.some((line) => line.startsWith('decision: held'))
    cluster.clock.afterSleep = () => {
      if (hasDecided()) left = savedPromotion(cluster.lease)?.state
    }
    // The other clusters of a fleet never end.
    const others = {
      failure: () => undefined,
      report: () => new Promise<void>(() => undefined),
      isFinal: () => false,
      isLastLook: () => false,
      confirm: () => undefined,
    }
    await cluster.promote(planWith(), { ...endingIn(cluster, 60_000), others })
    expect(left).toMatchObject({ phase: 'watching', weight: 5, watchedBefore: { stage: 1 } })
  })

  test('starts no promotion any more', async () => {
    const cluster = guardedCluster()
    const ended = await cluster.promote(planWith(), endingIn(cluster, 0))
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 0, notStarted: 'prevented' })
    expect(ended.reason).toBe(`${why}; the next run continues`)
    expect(cluster.weights).toEqual([])
  })

  test('starts none that was handed over to it either, and says that it keeps its weight', async () => {
    const first = guardedCluster()
    await first.promote(planWith(), endingIn(first, 60_000))
    const second = guardedCluster(first)
    const ended = await second.promote(planWith(), endingIn(second, 0))
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 5, notStarted: 'prevented' })
    expect(ended.reason).toContain('the canary keeps its weight 5 from an earlier run')
    expect(handedOverBy(second.lease!.spec!.holderIdentity!)).toMatch(/^run 7 /)
  })

  /** Another run that is alive holds the Lease of the frontend; `whyIdle`: of the frontend. */
  const besideAnotherRun = async (whyIdle?: string) => {
    const first = guardedCluster()
    await first.promote(planWith(), endingIn(first, 60_000))
    const second = guardedCluster(first)
    second.virtualService.spec.http!.push({ route: [to('v1', 100, 'frontend'), to('v2', 0, 'frontend')] })
    const { api, clock } = second
    const get = api.get.bind(api)
    const held = () => ({
      ...first.lease,
      metadata: { name: 'mesh-canary-frontend', namespace: 'shop' },
      spec: { holderIdentity: 'run 9', leaseDurationSeconds: 30, renewTime: String(clock.time) },
    })
    const reading = (kind: string, namespace: string, name: string) =>
      kind === 'Lease' && name.includes('frontend') ? Promise.resolve(held()) : get(kind as 'Lease', namespace, name)
    Object.assign(api, { get: reading })
    const own = '{ service: backend, interval: 100s, pollInterval: 1s, progressDeadline: 20s }'
    const plan = configOf(
      `{ namespace: shop, together: false, canaries: [${own}, { service: frontend, leaseWaitTimeout: 30m }] }`,
    )
    const ended = await second.promote(plan, {
      ...endingIn(second, 60_000),
      whyIdle: (service) => (service === 'frontend' ? whyIdle : undefined),
    })
    return { second, ended }
  }

  test('begins none while another one of its wave waits for another run', async () => {
    const { second, ended } = await besideAnotherRun()
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 5, notStarted: 'prevented' })
    expect(handedOverBy(second.lease!.spec!.holderIdentity!)).toMatch(/^run 7 /)
  })

  test('waits for no run where there is nothing to promote', async () => {
    const { ended } = await besideAnotherRun('nothing to promote')
    expect(stepsOf(ended)).toEqual([
      [5, 'interrupted'],
      [5, 'passed'],
      [25, 'held'],
    ])
  })

  /** A second wave does not begin in the time of this run, in which the first is promoted. */
  const withLaterWave = async (together: boolean) => {
    const cluster = guardedCluster()
    const first = '{ service: backend, interval: 10s, pollInterval: 1s }'
    const plan = configOf(
      `{ namespace: shop, together: ${together}, canaries: [${first}, { service: frontend, wave: 2 }] }`,
    )
    const { runsUntil } = endingIn(cluster, 0)
    const isPromoted = () => cluster.notes.some((line) => line.includes('decision: promoted'))
    Object.defineProperty(runsUntil, 'at', { get: () => (isPromoted() ? 0 : Infinity) })
    return { cluster, ended: await cluster.promote(plan, { runsUntil }) }
  }

  test('leaves one unfinished that is promoted while the next run promotes another, so that it can roll both back', async () => {
    const { cluster, ended } = await withLaterWave(true)
    expect(ended).toMatchObject({ verdict: 'held', asPlanned: true, weight: 100 })
    expect(ended.reason).toContain(`${why} before all were promoted`)
    expect(savedPromotion(cluster.lease)?.state).toMatchObject({ phase: 'waiting', weight: 100 })
  })

  test.each([0, 50])('promotes it again where its weight has become %s since', async (weight) => {
    const { cluster } = await withLaterWave(true)
    cluster.setWeight(weight)
    cluster.lease!.spec!.holderIdentity = ''
    cluster.lease!.metadata.annotations![endedAnnotation] = `the guard set the weight to ${weight}`
    const second = guardedCluster(cluster)
    const single =
      '{ namespace: shop, together: true, canaries: [{ service: backend, interval: 10s, pollInterval: 1s }] }'
    const ended = await second.promote(configOf(single))
    expect(ended).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect(second.weights).toEqual([100])
  })

  test('ends one that is promoted with `together: false`', async () => {
    const { cluster, ended } = await withLaterWave(false)
    expect(ended).toMatchObject({ verdict: 'promoted', weight: 100 })
    expect(cluster.lease).toBeUndefined()
  })

  test('leaves nothing to the next run where all is promoted already', async () => {
    const first = guardedCluster()
    await first.promote(planWith('', '10s'))
    const second = guardedCluster(first)
    const ended = await second.promote(planWith('', '10s'), endingIn(second, 0))
    expect(ended).toMatchObject({ verdict: 'skipped', weight: 100, notStarted: 'nothing-to-do' })
  })
})
