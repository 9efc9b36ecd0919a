import { beforeEach, describe, expect, test } from 'vitest'
import { explainUndrained, findUndrained } from '../../../../src/canary/controller/undrained.ts'
import type { Cluster } from '../../../../src/cluster/client.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith, pod, to, virtualService } from '../../fixtures.ts'

let clock: FakeClock
let notes: string[]
beforeEach(() => {
  clock = new FakeClock()
  notes = []
})

describe('a canary without a weight', () => {
  const split: Split = {
    namespace: 'shop',
    service: 'backend',
    stable: { by: 'subset', name: 'v1' },
    canary: { by: 'subset', name: 'v2' },
  }
  const drainTarget = {
    selectors: { stable: { version: 'v1' }, canary: { version: 'v2' } },
    metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
    timeoutMs: 30_000,
  }
  const counter = (count: number) => `istio_requests_total{reporter="destination",response_code="200"} ${count}`
  const canary = pod({ metadata: { labels: { version: 'v2' } } })
  const undrained = (pods: Pod[], count: () => number, lastPerSecond?: number, isUnmoved = false) =>
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
      { ...drainTarget, lastPerSecond, isUnmoved },
      (line) => notes.push(line),
      clock,
    )

  const serving = { kind: 'serving', perSecond: 15, seconds: 60 } as const
  const explain = (cluster: Cluster) =>
    explainUndrained(cluster, split, serving, drainTarget, (line) => notes.push(line), clock)
  const whyServing = async (cluster: Cluster) => (await explain(cluster))?.text
  const listing = (objects: Record<string, unknown[]>) => ({
    list: (kind: string) => Promise.resolve(objects[kind] ?? []),
    log: () => Promise.resolve(''),
  })

  test('is drained when its counters do not change, whatever their values', async () => {
    expect(await undrained([canary], () => 4_711)).toBeUndefined()
    expect(notes).toEqual([
      'no request to the canary ended in the 9.5 s that this run watched it; none was seen before either, so nothing shows that the proxies follow the weight',
    ])
  })

  test('is drained after a second of silence if the run that promoted it has seen many requests', async () => {
    expect(await undrained([canary], () => 4_711, 50)).toBeUndefined()
    expect([clock.time, notes]).toEqual([
      1_500,
      ['the canary is drained: no request to it ended in the 1.5 s that this run watched it'],
    ])
  })

  test('still serves while its counters grow', async () => {
    expect(await undrained([canary], () => clock.time / 100)).toMatchObject({
      kind: 'serving',
      text: expect.stringContaining('and 30 s later the proxies still send 9.8 requests/s') as string,
    })
  })

  test('is drained at once when it has no pods', async () => {
    expect(await undrained([pod({ metadata: { labels: { version: 'v1' } } })], () => 0)).toBeUndefined()
    expect([clock.time, notes]).toEqual([0, ['no pod of v2 is there, so it serves no requests']])
  })

  test('whose weight was 0 already gets a short look, which lasts while it serves', async () => {
    expect(await undrained([canary], () => 4_711, undefined, true)).toBeUndefined()
    expect(clock.time).toBe(1_500)
    clock = new FakeClock()
    expect(await undrained([canary], () => clock.time / 100, undefined, true)).toMatchObject({ kind: 'serving' })
  })

  test('is reported as undrained because someone has given it traffic again', async () => {
    const cluster = clusterWith({
      list: () => Promise.resolve([virtualService([{ route: [to('v1', 70), to('v2', 30)] }])]),
    })
    expect(await whyServing(cluster)).toMatch(
      /^weight 0 was written to VirtualService shop\/backend, and 60 s later .*: someone has written 30 there since/,
    )
  })

  test('is reported as undrained because someone has given it traffic again in one of its routes', async () => {
    const routes = [0, 30].map((weight) => ({ route: [to('v1', 100 - weight), to('v2', weight)] }))
    const cluster = clusterWith({ list: () => Promise.resolve([virtualService(routes)]) })
    expect(await whyServing(cluster)).toContain('someone has written 30 there since')
  })

  test('is not called drained when its sidecars do not answer', async () => {
    const cluster = clusterWith({ ...listing({ Pod: [canary] }), pod: () => Promise.reject(new ApiError(403, 'no')) })
    const found = await findUndrained(cluster, split, drainTarget, (line) => notes.push(line), clock)
    expect(found).toMatchObject({
      kind: 'unseen',
      text: expect.stringMatching(
        /^weight 0 is written, and this run cannot see whether requests still reach v2/,
      ) as string,
    })
  })

  test('is drained by counters that a stock Envoy publishes with its prefix', async () => {
    const lines = () => `envoy_${counter(clock.time / 100)}`
    const cluster = clusterWith({ ...listing({ Pod: [canary] }), pod: () => Promise.resolve(lines()) })
    expect(await findUndrained(cluster, split, drainTarget, () => undefined, clock)).toMatchObject({ kind: 'serving' })
  })

  test('is not called drained while requests reach no version', async () => {
    const result = { kind: 'unserved', perSecond: 4, seconds: 60 } as const
    const found = await explainUndrained(clusterWith({}), split, result, drainTarget, () => undefined, clock)
    expect(found).toMatchObject({
      kind: 'unseen',
      text: expect.stringContaining(
        '60 s later 4.0 requests/s to backend still fail before they reach any version',
      ) as string,
    })
  })

  test('that still serves is reported with the route that bypasses the split', async () => {
    const objects = {
      VirtualService: [
        virtualService([{ route: [to('v1', 100), to('v2', 0)] }]),
        {
          ...virtualService([{ route: [{ destination: { host: 'backend.shop.svc.cluster.local' } }] }]),
          metadata: { name: 'edge', namespace: 'ingress' },
        },
      ],
    }
    expect(await whyServing(clusterWith(listing(objects)))).toMatch(
      /60 s later the proxies still send 15.0 requests\/s to v2 of backend: the route number 1 of the VirtualService ingress\/edge goes to all pods of backend/,
    )
  })

  test("counts as drained when only testers' routes name it", async () => {
    const route = virtualService([
      { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2')] },
      { route: [to('v1', 100), to('v2', 0)] },
    ])
    expect(await explain(clusterWith(listing({ VirtualService: [route] })))).toBeUndefined()
    expect(notes).toEqual(['v2 still gets the requests of routes that name it on purpose'])
  })

  const testers = virtualService([
    { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2')] },
    { route: [to('v1', 100), to('v2', 0)] },
  ])

  test.each<[string, number, boolean]>([
    ['under a quarter', 61, true],
    ['a quarter', 60, false],
    ['all', 15, false],
  ])(
    "beside testers' routes, counts as drained at %s of its last rate: %d/s, %s",
    async (_, lastPerSecond, isDrained) => {
      const cluster = clusterWith(listing({ VirtualService: [testers] }))
      const scope = { ...drainTarget, lastPerSecond }
      const found = await explainUndrained(cluster, split, serving, scope, (line) => notes.push(line), clock)
      expect(found).toEqual(
        isDrained
          ? undefined
          : {
              kind: 'unseen',
              text: expect.stringContaining(
                `too much of the ${lastPerSecond}.0 requests/s of the last step to show that users have left`,
              ) as string,
            },
      )
    },
  )

  test("is reported with its callers beside testers' routes, whatever its rate", async () => {
    const caller = pod({ metadata: { name: 'web-1', uid: 'web-1', labels: { app: 'web' } } })
    const call = () =>
      `istio_requests_total{reporter="source",destination_service="backend.shop.svc.cluster.local",destination_version="v2",response_code="200"} ${clock.time / 100}`
    const cluster = clusterWith({
      ...listing({ VirtualService: [testers], Pod: [caller, pod({ metadata: { labels: { version: 'v2' } } })] }),
      pod: (_: string, name: string) => Promise.resolve(name === 'web-1' ? call() : ''),
    })
    for (const lastPerSecond of [undefined, 1_000]) {
      const scope = { ...drainTarget, lastPerSecond }
      expect(await explainUndrained(cluster, split, serving, scope, () => undefined, clock)).toEqual({
        kind: 'serving',
        text: expect.stringContaining(
          'web-1 sends 20 of its 20 requests to v2, and they are testers, or istiod',
        ) as string,
      })
    }
  })

  test('is reported with the path that sends users to it', async () => {
    const route = virtualService([
      { match: [{ uri: { prefix: '/api' } }], route: [to('v2')] },
      { route: [to('v1', 100), to('v2', 0)] },
    ])
    expect(await whyServing(clusterWith(listing({ VirtualService: [route] })))).toContain(
      'sends requests of users to v2 alone',
    )
  })

  test('is reported with the callers whose proxies have an older route', async () => {
    const caller = pod({ metadata: { name: 'web-1', uid: 'web-1', labels: { app: 'web' } } })
    const call = (version: string, count: number) =>
      `istio_requests_total{reporter="source",destination_service="backend.shop.svc.cluster.local",destination_version="${version}",response_code="200"} ${count}`
    const labelled = pod({ metadata: { labels: { app: 'backend', version: 'v2' } } })
    const cluster = clusterWith({
      ...listing({
        VirtualService: [virtualService([{ route: [to('v1', 100), to('v2', 0)] }])],
        Pod: [caller, labelled],
      }),
      pod: (_: string, name: string) =>
        Promise.resolve(name === 'web-1' ? [call('v1', clock.time / 50), call('v2', clock.time / 100)].join('\n') : ''),
    })
    expect(await whyServing(cluster)).toContain(
      'web-1 sends 20 of its 60 requests to v2, and istiod has not told their proxies',
    )
  })

  test('is reported with the requests of callers without a sidecar', async () => {
    const plain = () =>
      `istio_requests_total{reporter="destination",connection_security_policy="none"} ${clock.time / 500}`
    const cluster = clusterWith({ ...listing({ Pod: [canary] }), pod: () => Promise.resolve(plain()) })
    expect(await whyServing(cluster)).toContain('4 of 4 requests in 2 s came in plain text')
  })

  describe('that still serves is reported with the state of istiod:', () => {
    const istiod = (status: Pod['status'] = {}) =>
      pod({
        metadata: { name: 'istiod-1', namespace: 'istio-system' },
        spec: { containers: [{ name: 'discovery' }], initContainers: [] },
        status,
      })
    const why = (more: Partial<Cluster>) =>
      whyServing(Object.assign(clusterWith({ list: () => Promise.resolve([]) }), more))
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
        'no failed watch in its log',
        { ...pods(istiod()), log: () => Promise.resolve('') },
        'istiod-1 is ready; its log shows no failed watch',
      ],
      [
        'no right to read its log',
        { ...pods(istiod()), log: forbidden },
        'istiod-1 is ready; this run cannot read its log',
      ],
      ['no right to read its pods', { list: forbidden }, 'this run cannot read its pods in istio-system'],
      ['no pod', pods(), 'none of its pods runs in istio-system'],
      [
        'the cause of a pod that is not ready',
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
    ])('%s', async (_, cluster, finding) => {
      expect(await why(cluster)).toContain(`(${finding}`)
    })
  })
})
