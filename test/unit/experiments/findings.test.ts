// What an experiment says in words: what the mesh did, and what would help.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { advice, findings } from '../../../src/experiments/findings.ts'
import { readMeshFacts, type MeshFacts, type RoutePolicy } from '../../../src/experiments/route-policies.ts'
import { noCoverage } from '../../../src/experiments/state/coverage.ts'
import { start } from '../../../src/experiments/state/machine.ts'
import { noMeshCounts, type MeshCounts } from '../../../src/experiments/state/mesh-counts.ts'
import type { EndedState } from '../../../src/experiments/state/types.ts'
import { experimentReport } from '../../../src/report/experiment-report.ts'
import { experimentSection } from '../../../src/report/experiment-summary.ts'
import { clusterWith, pod, served, to, virtualService } from '../fixtures.ts'
import { experimentOf } from './fixtures.ts'

const unseen = { count: 0, isComplete: false, isPublished: false }
const ofFront = '{ abort: { status: 503, service: shop } }'

function ended(more: Partial<EndedState> = {}): EndedState {
  return {
    ...start(experimentOf(), 0),
    phase: 'ended',
    outcome: { verdict: 'fragile', reason: 'x' },
    recovery: { kind: 'confirmed', seconds: 4 },
    timeline: [
      { phase: 'waiting', at: 1_000 },
      { phase: 'recovering', at: 31_000 },
      { phase: 'ended', at: 36_500 },
    ],
    steady: served(600),
    acting: served(1_236, 15, 100),
    signs: { calls: 1_236, faulted: 412 },
    coverage: { ...noCoverage, since: 12_000 },
    ...more,
  }
}

const counts = (more: Partial<MeshCounts>): MeshCounts => ({ ...noMeshCounts, ...more })
const policy = (more: Partial<RoutePolicy> = {}): RoutePolicy => ({
  name: 'mesh-canary',
  tries: 4,
  retryOn: ['gateway-error'],
  perTryTimeoutMs: undefined,
  timeoutMs: undefined,
  ...more,
})
const facts = (more: Partial<MeshFacts> = {}): MeshFacts => ({ policies: [policy()], pods: 3, ejects: true, ...more })

describe('what the mesh did is told', () => {
  test('with the numbers of the fault, of the users and of the retries', () => {
    const mesh = counts({
      retries: { count: 409, isComplete: true, isPublished: true },
      retrySuccesses: { count: 397, isComplete: true, isPublished: true },
    })
    expect(findings(experimentOf('', ofFront), ended({ mesh }), 'shop')).toEqual([
      '412 of 1236 calls to shop were aborted',
      '15 of 1236 requests of users of backend failed (before: 0 of 600); p99 went from 500 ms to 10000 ms',
      'the sidecars retried 409 times, 397 times with success',
      '0 timeouts, 0 requests over a connection limit, 0 ejections',
    ])
  })

  test('without what no sidecar publishes', () => {
    const mesh = counts({
      retries: unseen,
      timeouts: { count: 2, isComplete: false, isPublished: false },
      ejections: unseen,
    })
    const lines = findings(experimentOf('', ofFront), ended({ mesh }), 'shop')
    expect(lines).toContain('retries were not seen: not every caller publishes that counter')
    expect(lines).toContain('at least 2 timeouts, 0 requests over a connection limit')
  })

  test('without numbers that nobody counted, if the fault did not show itself', () => {
    expect(findings(experimentOf(), ended({ coverage: noCoverage }), 'backend')).toEqual([
      'the fault did not show itself',
    ])
  })

  test('not at all if nothing was injected', () => {
    const state = ended({ recovery: { kind: 'unneeded' } })
    expect(findings(experimentOf(), state, 'backend')).toEqual([])
    expect(advice(experimentOf(), state, facts())).toEqual([])
  })
})

describe('advice', () => {
  const of = (more: Partial<MeshFacts>, state: Partial<EndedState> = {}, settings = ofFront) =>
    advice(experimentOf('', settings), ended(state), facts(more)).join('\n')

  test('names a fault that comes before the retries of its own route', () => {
    expect(of({}, {}, '{ delay: { time: 2s } }')).toContain('inject this fault before their own retries and timeouts')
  })

  const retried = { mesh: counts({ retries: { count: 300, isComplete: true, isPublished: true } }) }

  test('names a route that does not retry', () => {
    const without = policy({ name: 'beta', tries: 1 })
    const text = 'the route beta does not retry calls to backend; set `services.backend.retries`'
    expect(of({ policies: [without, policy()] })).toBe(text)
    expect(of({ policies: [without, policy()] }, retried)).toBe('')
    // Of calls to another service of the experiment.
    expect(of({ policies: [without] }, retried)).toBe(text)
  })

  test("knows that calls without a route follow Istio's defaults", () => {
    expect(of({ policies: [] })).toContain("calls to backend are retried on Istio's default conditions")
    expect(of({ policies: [] }, retried)).toBe('')
  })

  test('names retry conditions that did not cover the failures', () => {
    expect(of({})).toContain('are retried on gateway-error, and nothing was retried')
    expect(of({}, { mesh: counts({ retries: { count: 3, isComplete: true, isPublished: true } }) })).not.toContain(
      'nothing was retried',
    )
    expect(of({}, { mesh: counts({ retries: unseen }) })).not.toContain('nothing was retried')
  })

  test('names tries that do not fit into the timeout, even if users noticed nothing', () => {
    const good = { acting: served(900), outcome: { verdict: 'resilient' as const, reason: 'x' } }
    const tooLong = policy({ perTryTimeoutMs: 2_000, timeoutMs: 5_000 })
    expect(of({ policies: [tooLong] }, good)).toContain('4 tries of 2000 ms each, and its `timeout` of 5000 ms')
    expect(of({ policies: [policy({ perTryTimeoutMs: 1_000, timeoutMs: 5_000 })] }, good)).toBe('')
  })

  test('names a single pod, and pods that cannot be ejected', () => {
    expect(of({ pods: 1 })).toContain('backend has 1 pod')
    expect(of({ ejects: false })).toContain('circuitBreaker.consecutive5xxErrors')
    expect(of({ ejects: undefined })).not.toContain('ejected')
  })

  test('says how to publish counters that nobody publishes', () => {
    expect(of({}, { mesh: counts({ retries: unseen }) })).toContain('sidecar.istio.io/statsInclusionPrefixes')
  })
})

test('the facts are those of the routes, the rule and the pods of the service', async () => {
  const route = {
    route: [to('v1')],
    timeout: '5s',
    retries: { attempts: 3, perTryTimeout: '2s', retryOn: '5xx, reset' },
  }
  const objects: Record<string, object[]> = {
    VirtualService: [virtualService([route, { route: [to('v1')] }, { route: [{ destination: { host: 'other' } }] }])],
    DestinationRule: [
      { metadata: { namespace: 'shop' }, spec: { host: 'backend', trafficPolicy: { outlierDetection: {} } } },
    ],
    Pod: [pod(), pod({ metadata: { name: 'other', labels: { app: 'other' } } })],
  }
  const cluster = clusterWith({
    list: (kind: string, namespace: string) => Promise.resolve(namespace === 'shop' ? objects[kind] : []),
    get: () => Promise.resolve({ spec: { selector: { app: 'backend' } } }),
  })
  expect(await readMeshFacts(cluster, 'shop', 'backend')).toEqual({
    policies: [
      { name: 'number 1 of backend', tries: 4, retryOn: ['5xx', 'reset'], perTryTimeoutMs: 2_000, timeoutMs: 5_000 },
      { name: 'number 2 of backend', tries: 3, retryOn: [], perTryTimeoutMs: undefined, timeoutMs: undefined },
    ],
    pods: 1,
    ejects: true,
  })
})

describe('the facts', () => {
  const rule = (host: string) => ({
    kind: 'DestinationRule',
    metadata: { name: 'default', namespace: 'istio-system' },
    spec: { host, trafficPolicy: { outlierDetection: {} } },
  })
  const unready = { conditions: [{ type: 'Ready', status: 'False' }] }
  const cluster = (ofMesh: () => Promise<object[]>) =>
    clusterWith({
      list: (kind: string, namespace: string) => {
        if (namespace === 'istio-system') return ofMesh()
        return Promise.resolve(kind === 'Pod' ? [pod(), pod({ status: unready })] : [])
      },
      get: () => Promise.resolve({ spec: { selector: { app: 'backend' } } }),
    })

  test.each<[string, () => Promise<object[]>, boolean | undefined]>([
    ['follow the rule of the mesh', () => Promise.resolve([rule('*.local')]), true],
    ['follow no rule for others', () => Promise.resolve([rule('*.com')]), false],
    ['leave open what may not be read', () => Promise.reject(new ApiError(403, 'no')), undefined],
  ])('%s', async (_, ofMesh, ejects) => {
    expect(await readMeshFacts(cluster(ofMesh), 'shop', 'backend')).toEqual({ policies: [], pods: 2, ejects })
  })
})

test('the summary has the verdict, the timeline, the users before and during, and the advice', () => {
  const experiment = experimentOf('', ofFront)
  const report = experimentReport({ name: 'trial', experiment, state: ended() }, facts({ pods: 1 }))
  expect(report).toMatchObject({ fault: 'abort', recovery: 'confirmed', secondsToRecovered: 4 })
  const text = experimentSection(report)
  expect(text).toContain('### Experiment trial: abort')
  expect(text).toContain('**fragile**: x')
  expect(text).toContain('| recovering | 30.0 | 5.5 | users were back 4.0 s after the removal |')
  expect(text).toContain('| before the fault | 600 | 0 | 500 |')
  expect(text).toContain('| while it acted | 1236 | 15 | 10000 |')
  expect(text).toContain('Advice:')
})
