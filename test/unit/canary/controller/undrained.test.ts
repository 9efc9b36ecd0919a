import { beforeEach, describe, expect, test } from 'vitest'
import { explainServing, findUndrained } from '../../../../src/canary/controller/undrained.ts'
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
    labels: { version: 'v2' },
    metrics: { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' },
    timeoutMs: 30_000,
  }
  const counter = (count: number) => `istio_requests_total{reporter="destination",response_code="200"} ${count}`
  const canary = pod({ metadata: { labels: { version: 'v2' } } })
  const undrained = (pods: Pod[], count: () => number) =>
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
      clock,
    )

  test('is drained when its counters do not change, whatever their values', async () => {
    expect(await undrained([canary], () => 4_711)).toBeUndefined()
    expect(notes).toEqual(['the canary is drained: it served its last request 0.0 s after its weight was set to 0'])
  })

  test('still serves while its counters grow', async () => {
    expect(await undrained([canary], () => clock.time / 100)).toContain(
      'and 30 s later the proxies still send 9.8 requests/s',
    )
  })

  test('is drained when it has no pods', async () => {
    expect(await undrained([], () => 0)).toBeUndefined()
    expect(clock.time).toBeLessThanOrEqual(2_000)
  })

  test('is reported as undrained because someone has given it traffic again', async () => {
    const cluster = clusterWith({
      list: () => Promise.resolve([virtualService([{ route: [to('v1', 70), to('v2', 30)] }])]),
    })
    expect(await explainServing(cluster, split, { perSecond: 15, seconds: 60 })).toMatch(
      /^weight 0 was written to VirtualService shop\/backend, and 60 s later .*: someone has written 30 there since/,
    )
  })

  describe('that still serves is reported with the state of istiod:', () => {
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
      expect(await why(cluster)).toContain(`istiod has not told them (${finding}`)
    })
  })
})
