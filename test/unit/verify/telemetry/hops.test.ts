// Which spans a trace lacks.
import { describe, expect, test } from 'vitest'
import {
  callsElsewhere,
  hopNames,
  missingHops,
  podsWithoutCounters,
  type Route,
} from '../../../../src/verify/telemetry/hops.ts'
import { parseTraces, type Span } from '../../../../src/verify/telemetry/jaeger.ts'
import { arrivedTrace } from '../../../../src/verify/telemetry/trace-arrival.ts'
import type { SentRequest } from '../../../../src/verify/telemetry/types.ts'

const traceId = '1'.repeat(32)
const client = (id: string, pod: string, to: string): Span => ({
  id,
  traceId,
  kind: 'client',
  service: `${pod.split('-')[0]}.shop`,
  pod,
  namespace: 'shop',
  host: `${to}.shop.svc.cluster.local`,
})
const server = (id: string, pod: string, parent: string): Span => ({
  id,
  traceId,
  kind: 'server',
  service: `${pod.split('-')[0]}.shop`,
  pod,
  namespace: 'shop',
  parent,
})
const spans = [
  server('1', 'frontend-1', '0'),
  client('2', 'frontend-1', 'backend'),
  server('3', 'backend-1', '2'),
  client('4', 'backend-1', 'stock'),
  server('5', 'stock-1', '4'),
]
const without = (...ids: string[]) => spans.filter(({ id }) => !ids.includes(id))
const sent: SentRequest = {
  traceId,
  requestId: '',
  way: 'sidecar',
  status: 200,
  at: 0,
  pod: 'frontend-1',
  before: new Map(),
  after: new Map(),
}
const route = (more: Partial<Route> = {}): Route => ({
  namespace: 'shop',
  podsWithCounters: new Set(['frontend-1', 'backend-1', 'stock-1']),
  entry: { service: 'frontend', pod: 'frontend-1', sidecarSawRequest: true },
  countedCalls: new Map([
    ['frontend-1', ['backend']],
    ['backend-1', ['stock']],
  ]),
  statedServices: [],
  pods: new Map([
    ['frontend', ['frontend-1']],
    ['backend', ['backend-1']],
    ['stock', ['stock-1']],
  ]),
  ...more,
})

test('a trace with a span at both ends of each hop lacks nothing', () => {
  expect(missingHops(spans, route())).toEqual([])
  expect(hopNames(spans)).toEqual([
    'backend (server)',
    'backend → stock (client)',
    'frontend (server)',
    'frontend → backend (client)',
    'stock (server)',
  ])
})

describe('a trace that lacks', () => {
  test('the first server span', () => {
    const lacking = [{ to: 'frontend', end: 'server', isCertain: true }]
    expect(missingHops(without('1'), route())).toEqual(lacking)
    const unseen = { service: 'frontend', pod: 'frontend-1', sidecarSawRequest: false }
    expect(missingHops(without('1'), route({ entry: unseen }))).toEqual([])
  })

  test('the spans of a later hop', () => {
    expect(missingHops(without('4', '5'), route())).toEqual([
      { from: 'backend-1', to: 'stock', end: 'client', isCertain: false },
    ])
  })

  test('the server span of a call, unless no pod there has a sidecar', () => {
    const lacking = [{ from: 'backend-1', to: 'stock', end: 'server', isCertain: true }]
    expect(missingHops(without('5'), route())).toEqual(lacking)
    expect(missingHops(without('5'), route({ pods: new Map([...route().pods, ['stock', []]]) }))).toEqual([])
  })

  test('the server span of a call that reached a pod', () => {
    const unserved = { ...client('4', 'backend-1', 'stock'), isUnserved: true as const }
    expect(missingHops([...without('4', '5'), unserved], route())).toEqual([])
  })

  test('a service that the config says the request passes', () => {
    const [none, calls] = [new Map<string, string[]>(), new Map([['frontend-1', ['backend']]])]
    expect(missingHops(without('2', '3', '4', '5'), route({ countedCalls: none, statedServices: ['stock'] }))).toEqual([
      { to: 'stock', end: 'server', isCertain: true },
    ])
    expect(
      missingHops(without('2', '3', '4', '5'), route({ countedCalls: calls, statedServices: ['backend'] })),
    ).toEqual([{ from: 'frontend-1', to: 'backend', end: 'client', isCertain: true }])
  })
})

test('calls of pods that the trace did not reach do not count', () => {
  expect(missingHops(spans, route({ countedCalls: new Map([['elsewhere-1', ['backend']]]) }))).toEqual([])
})

test('a call of a service elsewhere is not one of the service with the same name', () => {
  const calls = new Map([['frontend-1', ['backend', 'stock.shared']]])
  const elsewhere = { ...client('6', 'frontend-1', 'stock'), host: 'stock.shared.svc.cluster.local' }
  expect(missingHops([...spans, elsewhere], route({ countedCalls: calls }))).toEqual([])
  expect(callsElsewhere(spans, route({ countedCalls: calls }))).toEqual(['stock.shared'])
  const both = new Map([['frontend-1', ['backend', 'stock']]])
  expect(missingHops([...spans, elsewhere], route({ countedCalls: both }))).toEqual([
    { from: 'frontend-1', to: 'stock', end: 'client', isCertain: false },
  ])
})

describe('the calls of a pod on the way are not known', () => {
  const read = (...pods: string[]) => route({ podsWithCounters: new Set(pods) })

  test('if its counters could not be read', () => {
    expect(podsWithoutCounters(spans, read('frontend-1', 'backend-1', 'stock-1'))).toEqual([])
    expect(podsWithoutCounters(spans, read('frontend-1', 'stock-1'))).toEqual(['backend-1'])
    expect(podsWithoutCounters([], read('backend-1'))).toEqual(['frontend-1'])
  })

  test('if it started while the proof ran, and the trace is not called complete then', () => {
    const led = [...without('3', '4', '5'), server('3', 'backend-new', '2')]
    expect(missingHops(led, route())).toEqual([])
    expect(podsWithoutCounters(led, route())).toEqual(['backend-new'])
    expect(arrivedTrace(led, sent, route())).toBeUndefined()
    expect(arrivedTrace(spans, sent, route())?.ok).toBe(true)
  })

  test('but a pod of another namespace is not asked', () => {
    expect(podsWithoutCounters([...spans, { ...server('7', 'redis-1', '6'), namespace: 'shared' }], route())).toEqual(
      [],
    )
  })
})

test("spans are read as Jaeger's query API writes them", () => {
  const tags = (pairs: Record<string, unknown>) => Object.entries(pairs).map(([key, value]) => ({ key, value }))
  const node = 'sidecar~10.0.0.7~frontend-75f-abc.shop~shop.svc.cluster.local'
  const data = [
    {
      spans: [
        {
          traceID: 'abc',
          spanID: '2',
          references: [{ refType: 'CHILD_OF', spanID: '1' }],
          processID: 'p1',
          tags: tags({
            'span.kind': 'client',
            node_id: node,
            upstream_cluster: 'outbound|3001|v1|backend.shop.svc.cluster.local;',
          }),
        },
      ],
      processes: { p1: { serviceName: 'frontend.shop' } },
    },
  ]
  expect(parseTraces(JSON.stringify({ data }))).toEqual([
    {
      id: '2',
      traceId: 'abc'.padStart(32, '0'),
      parent: '1',
      kind: 'client',
      service: 'frontend.shop',
      pod: 'frontend-75f-abc',
      namespace: 'shop',
      host: 'backend.shop.svc.cluster.local',
    },
  ])
  data[0]!.spans[0]!.tags.push({ key: 'response_flags', value: 'UF,URX' })
  expect(parseTraces(JSON.stringify({ data }))).toMatchObject([{ isUnserved: true }])
  data[0]!.spans[0]!.tags = tags({ node_id: node.replace('sidecar', 'router') })
  expect(parseTraces(JSON.stringify({ data }))[0]).not.toHaveProperty('pod')
  expect(parseTraces('{"data":null}')).toEqual([])
})

test('an answer of something else is an error', () => {
  expect(() => parseTraces('<html>')).toThrow("does not come from Jaeger's query API; check the address")
  expect(() => parseTraces('{}')).toThrow("does not come from Jaeger's query API; check the address")
})
