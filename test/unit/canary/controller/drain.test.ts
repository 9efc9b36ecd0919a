import { beforeEach, describe, expect, test, vi } from 'vitest'
import {
  findUndrained,
  waitForDrain,
  explainServing,
  type DrainResult,
} from '../../../../src/canary/controller/drain.ts'
import { ApiError, type Cluster } from '../../../../src/cluster/client.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { clusterWith, pod, to, virtualService } from '../../fixtures.ts'
import { randomFrom } from '../../random.ts'

// Time passes only when somebody sleeps.
const { clock } = vi.hoisted(() => ({ clock: { now: 0 } }))
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => ((clock.now += ms), Promise.resolve()) }))
vi.mock('../../../../src/runtime/clock.ts', () => ({ monotonicNow: () => clock.now }))

let notes: string[]
beforeEach(() => {
  clock.now = 0
  notes = []
})

/** What comes of it when each look sees what `glance` answers at that moment. */
function watched(
  glance: (ms: number) => number | undefined,
  { perSecond = 20, timeoutMs = 60_000, over = (): boolean => false } = {},
): Promise<DrainResult> {
  return waitForDrain(() => Promise.resolve(glance(clock.now)), {
    timeoutMs,
    perSecond,
    over,
    note: (line) => notes.push(line),
  })
}

describe('a canary whose weight was put back', () => {
  test('is safe at its last request, which is told a second later', async () => {
    expect(await watched((ms) => (ms <= 1_500 ? 5 : 0))).toEqual({ secondsToSafe: 1.5 })
    expect([clock.now, notes]).toEqual([
      2_500,
      ['the canary serves nothing any more, 1.5 s after the weight was put back'],
    ])
  })

  test('is waited for as long as it is seen to serve, and then no longer than anybody has progressDeadline', async () => {
    expect(await watched((ms) => (ms <= 45_000 ? 5 : 0))).toEqual({ secondsToSafe: 45 })
    clock.now = 0
    expect(await watched(() => 5)).toEqual({ still: { perSecond: 10, seconds: 60 } })
  })

  test('is waited for 10 s where the counters do not answer, also when they stop to', async () => {
    expect(await watched(() => undefined)).toEqual({})
    expect([clock.now, notes.at(-1)]).toEqual([
      10_000,
      '10 s after its weight was set to 0 the canary was not seen to be quiet: its sidecars do not answer',
    ])
    clock.now = 0
    expect(await watched((ms) => (ms <= 20_000 ? 5 : undefined))).toEqual({})
    expect(clock.now).toBe(30_000)
  })

  test('is not called quiet for looks that answered nothing', async () => {
    expect(await watched((ms) => (ms % 1_000 === 0 ? undefined : ms < 5_000 ? 5 : 0))).toEqual({ secondsToSafe: 4.5 })
  })

  test('is not waited for any longer than the run lives', async () => {
    expect(await watched(() => 5, { over: () => clock.now >= 3_000 })).toEqual({})
    expect([clock.now, notes.at(-1)]).toEqual([
      3_000,
      '3 s after its weight was set to 0 the canary was not seen to be quiet: it is not waited for any longer',
    ])
  })

  test.each([2, 5, 20])(
    'that gets %d requests a second by chance, all the time, is called quiet in at most one of a hundred cases',
    async (perSecond) => {
      const random = randomFrom(11)
      /** A look of half a second has a request with the probability that this rate gives it. */
      const glance = () => (random() < 1 - Math.exp(-perSecond / 2) ? 1 : 0)
      let mistakes = 0
      for (let i = 0; i < 300; i++) {
        clock.now = 0
        if ((await watched(glance, { perSecond })).secondsToSafe !== undefined) mistakes++
      }
      expect(mistakes).toBeLessThanOrEqual(3)
    },
  )

  test('and got one request a second is waited for as long as its pauses may be', async () => {
    expect(await watched(() => 0, { perSecond: 1 })).toEqual({ secondsToSafe: 0 })
    expect(clock.now).toBe(9_000)
  })
})

describe('from outside its promotion a canary', () => {
  const split: Split = {
    namespace: 'shop',
    service: 'backend',
    stable: { by: 'subset', name: 'v1' },
    canary: { by: 'subset', name: 'v2' },
  }
  const drainTarget = {
    labels: { version: 'v2' },
    metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
    timeoutMs: 30_000,
  }
  const counter = (count: number) => `istio_requests_total{reporter="destination",response_code="200"} ${count}`
  const canary = pod({ metadata: { labels: { version: 'v2' } } })
  const looked = (pods: Pod[], count: () => number) =>
    findUndrained(
      clusterWith({
        list: (kind: string) =>
          Promise.resolve(
            kind === 'VirtualService'
              ? [virtualService([{ route: [to('v1', 100), to('v2', 0)] }])]
              : kind === 'Pod'
                ? pods
                : [],
          ),
        pod: () => Promise.resolve(counter(count())),
        log: () => Promise.resolve(''),
      }),
      split,
      drainTarget,
      (line) => notes.push(line),
    )

  test('is quiet when its counters stand still, whatever they say', async () => {
    expect(await looked([canary], () => 4_711)).toBeUndefined()
    expect(notes).toEqual(['the canary serves nothing any more, 0.0 s after the weight was put back'])
  })

  test('serves while its counters go on', async () => {
    expect(await looked([canary], () => clock.now / 100)).toContain(
      'and 30 s later the proxies still send 9.8 requests/s',
    )
  })

  test('without pods serves nobody', async () => {
    expect(await looked([], () => 0)).toBeUndefined()
    expect(clock.now).toBeLessThanOrEqual(2_000)
  })

  test('that somebody has given traffic again is told so', async () => {
    const cluster = clusterWith({
      list: () => Promise.resolve([virtualService([{ route: [to('v1', 70), to('v2', 30)] }])]),
    })
    expect(await explainServing(cluster, split, { perSecond: 15, seconds: 60 })).toMatch(
      /^weight 0 was written to VirtualService shop\/backend, and 60 s later .*: somebody has written 30 there since/,
    )
  })

  describe('that still serves is told with what a person would find at istiod', () => {
    const istiod = (status: Pod['status'] = {}) =>
      pod({
        metadata: { name: 'istiod-1', namespace: 'istio-system' },
        spec: { containers: [{ name: 'discovery' }], initContainers: [] },
        status,
      })
    const why = (more: Partial<Cluster>) =>
      explainServing(Object.assign(clusterWith({ list: () => Promise.resolve([]) }), more), split, {
        perSecond: 25,
        seconds: 60,
      })
    const pods = (...items: Pod[]) => ({
      list: ((kind: string) => Promise.resolve(kind === 'Pod' ? items : [])) as unknown as Cluster['list'],
    })
    const forbidden = () => Promise.reject(new ApiError(403, 'forbidden'))

    test.each<[string, Partial<Cluster>, string]>([
      [
        'its last failed watch',
        {
          ...pods(istiod()),
          log: () =>
            Promise.resolve(
              '2026-11-25T01:57:43Z\terror\twatch error in cluster Kubernetes: sidecars is forbidden\n2026-11-25T01:57:44Z\tinfo\tads\tPush\n',
            ),
        },
        'istiod-1 is ready; its log says: 2026-11-25T01:57:43Z error watch error in cluster Kubernetes: sidecars is forbidden',
      ],
      [
        'that its log tells nothing',
        { ...pods(istiod()), log: () => Promise.resolve('') },
        'istiod-1 is ready; its log tells of no failed watch',
      ],
      [
        'that its log is not to be read',
        { ...pods(istiod()), log: forbidden },
        'istiod-1 is ready; its log cannot be read by this run',
      ],
      ['that its pods are not to be read', { list: forbidden }, 'its pods in istio-system cannot be read by this run'],
      ['that there is none', pods(), 'no pod of it runs in istio-system'],
      [
        'why it is not ready',
        pods(
          istiod({
            phase: 'Pending',
            conditions: [
              {
                type: 'PodScheduled',
                status: 'False',
                reason: 'Unschedulable',
                message: '0/3 nodes are available: 3 Insufficient memory.',
              },
            ],
          }),
        ),
        'istiod-1: no node takes the pod: 0/3 nodes are available: 3 Insufficient memory',
      ],
    ])('%s', async (_, cluster, told) => {
      expect(await why(cluster)).toContain(`istiod has not told them (${told}`)
    })
  })
})
