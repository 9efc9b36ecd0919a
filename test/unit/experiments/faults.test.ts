// How a fault changes objects, and that its removal restores them exactly.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject, Lease, Workload } from '../../../src/cluster/objects.ts'
import { objectsOf, planFault, type FaultChange } from '../../../src/experiments/faults/fault-plan.ts'
import { injectFault } from '../../../src/experiments/faults/inject.ts'
import {
  describeUnfinished,
  findLeftovers,
  findTouched,
  findUnfinished,
  restoreObjects,
} from '../../../src/experiments/faults/restore.ts'
import { to, virtualService } from '../fixtures.ts'
import { FakeObjects } from './fake-objects.ts'
import { experimentOf } from './fixtures.ts'

const lease = { metadata: { name: 'mesh-canary-backend', uid: 'lease-1' } } as Lease
const mark = { experiment: 'trial', lease: 'mesh-canary-backend', identity: 'run 7 (deadbeef)' }

let written: KubeObject[] = []
async function inject(cluster: Cluster, settings: string, more = ''): Promise<FaultChange[]> {
  const plan = await planFault(
    cluster,
    'shop',
    'mesh-canary-experiment-backend',
    experimentOf(`maxAffected: 100%, ${more}`, settings),
  )
  written = structuredClone(await injectFault(cluster, plan, lease, mark))
  return plan
}

const abort = '{ abort: { status: 503, percent: 30% } }'
const percentage = { value: 30 }
const routed = () =>
  virtualService([
    { name: 'beta', match: [{ headers: { 'x-beta': { exact: '1' } } }], route: [to('v2')], timeout: '3s' },
    { name: 'other', route: [{ destination: { host: 'other' } }] },
    { name: 'split', route: [to('v1', 80), to('v2', 20)] },
  ])
const rule = (spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'backend', namespace: 'shop', resourceVersion: '3' },
  spec: { host: 'backend', ...spec },
})
const workload = (matchLabels: object) =>
  ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'backend', namespace: 'shop' },
    spec: { selector: { matchLabels } },
  }) as Workload

describe('an abort', () => {
  test('gets a route before each route to the service, with everything of that route', async () => {
    const cluster = new FakeObjects(routed())
    await inject(cluster.api, abort)
    const fault = { abort: { httpStatus: 503, percentage } }
    const { spec } = cluster.objects[0] as ReturnType<typeof routed>
    expect(spec.http).toEqual([
      { ...routed().spec.http![0], name: 'mesh-canary-fault', fault },
      routed().spec.http![0],
      routed().spec.http![1],
      { ...routed().spec.http![2], name: 'mesh-canary-fault', fault },
      routed().spec.http![2],
    ])
  })

  test('can be for some callers and requests', async () => {
    const cluster = new FakeObjects(routed())
    const match = '{ abort: { status: 503, from: { app: web }, match: { headers: { x-try: "1" } } } }'
    await inject(cluster.api, match)
    const { http } = (cluster.objects[0] as ReturnType<typeof routed>).spec
    expect(http![0]!.match).toEqual([
      { headers: { 'x-beta': { exact: '1' }, 'x-try': { exact: '1' } }, sourceLabels: { app: 'web' } },
    ])
    expect(http![3]!.match).toEqual([{ headers: { 'x-try': { exact: '1' } }, sourceLabels: { app: 'web' } }])
  })

  test('that contradicts a route is refused before anything is written', async () => {
    const cluster = new FakeObjects(routed())
    const match = '{ abort: { status: 503, match: { headers: { x-beta: "2" } } } }'
    await expect(inject(cluster.api, match)).rejects.toThrow('already has a condition on headers.x-beta')
    expect(cluster.content).toEqual(new FakeObjects(routed()).content)
  })

  test('of a service without routes brings its own, which belong to the Lease', async () => {
    const cluster = new FakeObjects()
    await inject(cluster.api, abort)
    expect(cluster.objects[0]).toMatchObject({
      kind: 'VirtualService',
      metadata: { name: 'mesh-canary-experiment-backend', ownerReferences: [{ kind: 'Lease', uid: 'lease-1' }] },
      spec: { hosts: ['backend.shop.svc.cluster.local'], http: [{ name: 'mesh-canary-fault' }, {}] },
    })
  })
})

describe('an abort meets', () => {
  const route = { route: [to('v1')] }
  const forGateway = () => {
    const found = virtualService([route])
    Object.assign(found.spec, { hosts: ['shop.example.com'], gateways: ['shop'] })
    return found
  }

  test('the calls from sidecars as well where the only routes are for a gateway', async () => {
    const cluster = new FakeObjects(forGateway())
    const changes = await inject(cluster.api, abort)
    expect(changes.map(({ write: { kind, object } }) => `${kind} ${object.metadata.name}`)).toEqual([
      'patch backend',
      'create mesh-canary-experiment-backend',
    ])
  })

  test('them through the routes for sidecars, if there are some', async () => {
    const mixed = forGateway()
    Object.assign(mixed.spec, { hosts: ['shop.example.com', 'backend'], gateways: ['shop', 'mesh'] })
    expect(await inject(new FakeObjects(mixed).api, abort)).toHaveLength(1)
  })

  test('them through a VirtualService to which another one delegates', async () => {
    const parent = virtualService([{ delegate: { name: 'part' } }])
    const part = virtualService([route], { name: 'part' })
    delete part.spec.hosts
    const changes = await inject(new FakeObjects(parent, part).api, abort)
    expect(changes.map(({ write }) => write.object.metadata.name)).toEqual(['part'])
  })

  const split = (...weights: [string, number][]) =>
    virtualService([{ route: weights.map(([host, weight]) => ({ destination: { host }, weight })) }])
  const gatewayRoute = (kind: string, spec: object) => ({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind,
    metadata: { name: 'web', namespace: 'shop' },
    spec,
  })

  test.each<[string, KubeObject, string]>([
    [
      'other services behind the same host',
      split(['backend-v1', 50], ['backend-v2', 50]),
      'the VirtualService shop/backend sends the requests for backend to other services',
    ],
    [
      'another service in the same route',
      split(['backend', 10], ['other', 90]),
      'also sends requests to other.shop.svc.cluster.local, which would get the fault as well',
    ],
    [
      'an HTTPRoute for a gateway',
      gatewayRoute('HTTPRoute', { rules: [{ backendRefs: [{ name: 'backend' }] }] }),
      'the HTTPRoute shop/web sends requests to backend',
    ],
    [
      'an HTTPRoute for sidecars',
      gatewayRoute('HTTPRoute', { parentRefs: [{ kind: 'Service', name: 'backend' }], rules: [] }),
      'the HTTPRoute shop/web sends requests to backend',
    ],
    [
      'a GRPCRoute for sidecars',
      gatewayRoute('GRPCRoute', { parentRefs: [{ kind: 'Service', name: 'backend' }], rules: [] }),
      'the GRPCRoute shop/web sends requests to backend',
    ],
    [
      'a VirtualService of another namespace behind it',
      virtualService([{ delegate: { name: 'part', namespace: 'web' } }]),
      'hands requests for backend to the VirtualService web/part',
    ],
  ])('nobody, and is refused, with %s', async (_, object, message) => {
    await expect(inject(new FakeObjects(object).api, abort)).rejects.toThrow(message)
  })

  test('those of clients with routes of their own, or is refused', async () => {
    const site = forGateway()
    Object.assign(site.metadata, { name: 'site', namespace: 'istio-system' })
    site.spec.http = [{ route: [{ destination: { host: 'backend.shop.svc.cluster.local' } }] }]
    const cluster = new FakeObjects(site)
    await expect(inject(cluster.api, abort, 'clients: [istio-system]')).rejects.toThrow(
      'the VirtualService istio-system/site decides about calls to backend, and the run changes nothing outside of shop',
    )
    expect(await inject(cluster.api, abort)).toHaveLength(1)
  })
})

test('a delay is one of Istio', async () => {
  const cluster = new FakeObjects(routed())
  await inject(cluster.api, '{ delay: { time: 1500ms, percent: 30% } }')
  const { http } = (cluster.objects[0] as ReturnType<typeof routed>).spec
  expect(http![0]!['fault']).toEqual({ delay: { fixedDelay: '1500ms', percentage } })
})

const small = { tcp: { maxConnections: 2 }, http: { http1MaxPendingRequests: 1, http2MaxRequests: 2 } }
const overload = '{ overload: { maxConnections: 2 } }'

test('an overload shrinks every connection pool of the rule, and keeps its other limits', async () => {
  const spec = {
    trafficPolicy: {
      connectionPool: { tcp: { maxConnections: 100, connectTimeout: '3s' } },
      portLevelSettings: [{ port: { number: 3001 }, connectionPool: { http: { maxRetries: 3 } } }],
    },
    subsets: [{ name: 'v1' }, { name: 'v2', trafficPolicy: { connectionPool: { http: { http2MaxRequests: 9 } } } }],
  }
  const cluster = new FakeObjects(rule(spec))
  await inject(cluster.api, overload)
  expect(cluster.objects[0]).toMatchObject({
    spec: {
      trafficPolicy: {
        connectionPool: { tcp: { maxConnections: 2, connectTimeout: '3s' }, http: small.http },
        portLevelSettings: [{ connectionPool: { tcp: small.tcp, http: { ...small.http, maxRetries: 3 } } }],
      },
      subsets: [{ name: 'v1' }, { trafficPolicy: { connectionPool: small } }],
    },
  })
})

test('an overload of a service without a rule of its own keeps what the rule for all says', async () => {
  const spec = { host: '*.shop.svc.cluster.local', trafficPolicy: { tls: { mode: 'DISABLE' } } }
  const forAll = rule(spec)
  forAll.metadata.name = 'all'
  const cluster = new FakeObjects(forAll)
  await inject(cluster.api, overload)
  expect(cluster.objects[0]).toEqual(forAll)
  expect(cluster.objects[1]).toMatchObject({
    metadata: { name: 'mesh-canary-experiment-backend' },
    spec: {
      host: 'backend.shop.svc.cluster.local',
      trafficPolicy: { tls: { mode: 'DISABLE' }, connectionPool: small },
    },
  })
})

describe('the rule for the whole mesh', () => {
  const ofMesh = rule({ host: '*.local', trafficPolicy: { outlierDetection: {}, tls: { mode: 'ISTIO_MUTUAL' } } })
  Object.assign(ofMesh.metadata, { name: 'default', namespace: 'istio-system' })

  test('is in force in an overload of a service without any other', async () => {
    const cluster = new FakeObjects(ofMesh)
    await inject(cluster.api, overload)
    expect(cluster.objects[1]).toMatchObject({
      spec: { trafficPolicy: { outlierDetection: {}, tls: { mode: 'ISTIO_MUTUAL' }, connectionPool: small } },
    })
  })

  test('makes an overload impossible if it may not be read', async () => {
    const cluster = new FakeObjects(ofMesh)
    const list = cluster.api.list.bind(cluster.api)
    cluster.api.list = (kind, namespace) =>
      namespace === 'istio-system' ? Promise.reject(new ApiError(403, 'no')) : list(kind, namespace)
    await expect(inject(cluster.api, overload)).rejects.toThrow('no')
    expect(cluster.content).toEqual(new FakeObjects(ofMesh).content)
  })
})

describe('an overload is refused', () => {
  const limit = { connectionPool: { tcp: { maxConnections: 1 } } }
  const elsewhere = rule({ host: 'backend.shop.svc.cluster.local' })
  elsewhere.metadata.namespace = 'web'
  test.each<[string, KubeObject, string]>([
    [
      'that would raise a limit',
      rule({ trafficPolicy: limit }),
      'limits maxConnections to 1, and the overload would raise',
    ],
    [
      'beside a rule for some callers',
      rule({ workloadSelector: { matchLabels: { app: 'web' } } }),
      'the DestinationRule shop/backend is for the callers of its `workloadSelector` alone',
    ],
    [
      'beside a rule that clients follow first',
      elsewhere,
      'callers in web follow the DestinationRule web/backend for backend',
    ],
  ])('%s', async (_, object, message) => {
    const cluster = new FakeObjects(object)
    await expect(inject(cluster.api, overload, 'clients: [web]')).rejects.toThrow(message)
    expect(cluster.content).toEqual(new FakeObjects(object).content)
  })
})

test('a partition refuses every caller of the workload', async () => {
  const cluster = new FakeObjects(workload({ app: 'backend' }))
  await inject(cluster.api, '{ partition: { workload: deploy/backend } }')
  expect(cluster.objects[1]).toMatchObject({
    kind: 'AuthorizationPolicy',
    spec: { selector: { matchLabels: { app: 'backend' } }, action: 'DENY', rules: [{}] },
  })
})

test('a partition of a workload that selects its pods by no label would refuse all, and is refused itself', async () => {
  const cluster = new FakeObjects(workload({}))
  await expect(inject(cluster.api, '{ partition: { workload: deploy/backend } }')).rejects.toThrow('by no label')
  expect(cluster.objects).toHaveLength(1)
})

describe('removing the fault', () => {
  const cases: [string, string, () => KubeObject[]][] = [
    ['an abort from routes', abort, () => [routed()]],
    [
      'an abort from an object with annotations',
      abort,
      () => [{ ...routed(), metadata: { ...routed().metadata, annotations: { owner: 'web' } } }],
    ],
    ['an abort of a service without routes', abort, () => []],
    ['an overload from a rule without limits', overload, () => [rule({ subsets: [{ name: 'v1' }] })]],
    [
      'an overload from a rule with limits',
      overload,
      () => [rule({ trafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } } } })],
    ],
    ['an overload of a service without a rule', overload, () => []],
    ['a partition', '{ partition: { workload: deploy/backend } }', () => [workload({ app: 'backend' })]],
  ]

  test.each(cases)('restores exactly what was there: %s', async (_, settings, objects) => {
    const cluster = new FakeObjects(...objects())
    const plan = await inject(cluster.api, settings)
    expect(cluster.content).not.toEqual(new FakeObjects(...objects()).content)
    await restoreObjects(cluster.api, objectsOf(plan), { invalidatesPreparedWrites: false })
    expect(cluster.content).toEqual(new FakeObjects(...objects()).content)
  })

  test.each(cases)('is possible from the annotations alone: %s', async (_, settings, objects) => {
    const cluster = new FakeObjects(...objects())
    await inject(cluster.api, settings)
    const found = await findLeftovers(cluster.api, 'shop', ['mesh-canary-backend'])
    expect(found).toHaveLength(1)
    await restoreObjects(
      cluster.api,
      found.map(({ fault }) => fault),
      { invalidatesPreparedWrites: false },
    )
    expect(cluster.content).toEqual(new FakeObjects(...objects()).content)
  })

  test.each(cases)('twice changes nothing more: %s', async (_, settings, objects) => {
    const cluster = new FakeObjects(...objects())
    const plan = await inject(cluster.api, settings)
    expect(await restoreObjects(cluster.api, objectsOf(plan))).toHaveLength(1)
    expect(await restoreObjects(cluster.api, objectsOf(plan))).toEqual([])
  })

  test('keeps what somebody else has changed since', async () => {
    const cluster = new FakeObjects(rule({ trafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } } } }))
    const plan = await inject(cluster.api, overload)
    const theirs = { tcp: { maxConnections: 7 } }
    await cluster.api.patch('DestinationRule', 'shop', 'backend', [
      { op: 'replace', path: '/spec/trafficPolicy/connectionPool', value: theirs },
    ])
    expect(await findTouched(cluster.api, objectsOf(plan), written)).toHaveLength(1)
    await restoreObjects(cluster.api, objectsOf(plan))
    expect(cluster.objects[0]).toMatchObject({ spec: { trafficPolicy: { connectionPool: theirs } } })
  })

  describe('of an overload, beside what somebody else has changed since:', () => {
    const limits = { connectionPool: { tcp: { maxConnections: 100 } } }
    type Rule = { trafficPolicy?: Record<string, unknown>; subsets?: object[] }
    test.each<[string, Rule, (spec: Rule) => Rule, Rule]>([
      [
        'another policy of the host',
        {},
        (spec) => ({ trafficPolicy: { ...spec.trafficPolicy, outlierDetection: {} } }),
        { trafficPolicy: { outlierDetection: {} } },
      ],
      [
        'another limit of the same pool',
        { trafficPolicy: limits },
        (spec) => {
          const pool = spec.trafficPolicy!['connectionPool'] as { tcp: object }
          return { trafficPolicy: { connectionPool: { ...pool, tcp: { ...pool.tcp, connectTimeout: '3s' } } } }
        },
        { trafficPolicy: { connectionPool: { tcp: { maxConnections: 100, connectTimeout: '3s' } } } },
      ],
      [
        'a subset in front',
        { trafficPolicy: limits, subsets: [{ name: 'v1', trafficPolicy: limits }] },
        (spec) => ({ ...spec, subsets: [{ name: 'v0' }, ...spec.subsets!] }),
        { trafficPolicy: limits, subsets: [{ name: 'v0' }, { name: 'v1', trafficPolicy: limits }] },
      ],
    ])('%s', async (_, before, change, after) => {
      const cluster = new FakeObjects(rule(before))
      const plan = await inject(cluster.api, overload)
      const { spec } = cluster.objects[0] as KubeObject & { spec: Rule }
      const value = { host: 'backend', ...change(spec) }
      await cluster.api.patch('DestinationRule', 'shop', 'backend', [{ op: 'replace', path: '/spec', value }])
      await restoreObjects(cluster.api, objectsOf(plan))
      expect(cluster.objects[0]).toMatchObject({ spec: { host: 'backend', ...after } })
      expect(JSON.stringify(cluster.objects[0])).not.toContain('"maxConnections":2')
    })
  })

  test('leaves an object of the same name that is not of an experiment', async () => {
    const cluster = new FakeObjects(workload({ app: 'backend' }))
    const objects = objectsOf(await inject(cluster.api, '{ partition: { workload: deploy/backend } }'))
    cluster.objects[1]!.metadata.annotations = {}
    await restoreObjects(cluster.api, objects)
    expect(cluster.objects).toHaveLength(2)
  })

  test('undoes what the fault wrote, also where the caller knows an older plan', async () => {
    const cluster = new FakeObjects(rule({ trafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } } } }))
    const objects = objectsOf(await planFault(cluster.api, 'shop', 'x', experimentOf('', overload)))
    const value = { tcp: { maxConnections: 50 } }
    await cluster.api.patch('DestinationRule', 'shop', 'backend', [
      { op: 'replace', path: '/spec/trafficPolicy/connectionPool', value },
    ])
    await inject(cluster.api, overload)
    await restoreObjects(cluster.api, objects)
    expect(cluster.objects[0]).toMatchObject({ spec: { trafficPolicy: { connectionPool: value } } })
  })

  test('leaves the fault of another run in the same object', async () => {
    const cluster = new FakeObjects(routed())
    const objects = objectsOf(await inject(cluster.api, abort))
    expect(await restoreObjects(cluster.api, objects, { identity: 'run 6 (00000000)' })).toEqual([])
    expect(await restoreObjects(cluster.api, objects, { identity: mark.identity })).toHaveLength(1)
  })

  test('is not confirmed while somebody writes it again', async () => {
    const cluster = new FakeObjects(routed())
    const objects = objectsOf(await inject(cluster.api, abort))
    const { spec } = cluster.objects[0] as ReturnType<typeof routed>
    await restoreObjects(cluster.api, objects)
    expect(await findUnfinished(cluster.api, objects, mark.identity)).toEqual([])
    await cluster.api.patch('VirtualService', 'shop', 'backend', [{ op: 'replace', path: '/spec', value: spec }])
    expect(describeUnfinished(await findUnfinished(cluster.api, objects, mark.identity))).toContain(
      'VirtualService shop/backend has the fault again',
    )
  })

  test('invalidates what a frozen run has prepared', async () => {
    const cluster = new FakeObjects(routed())
    const plan = await planFault(cluster.api, 'shop', 'x', experimentOf('', abort))
    await restoreObjects(cluster.api, objectsOf(plan))
    await expect(injectFault(cluster.api, plan, lease, mark)).rejects.toThrow('resourceVersion')
  })

  test('leaves the faults of other Leases alone', async () => {
    const cluster = new FakeObjects(routed())
    await inject(cluster.api, abort)
    expect(await findLeftovers(cluster.api, 'shop', ['mesh-canary-other'])).toEqual([])
  })
})

test('an object with the fault of another experiment is refused, because nobody could tell whose routes are whose', async () => {
  const cluster = new FakeObjects(routed())
  await inject(cluster.api, abort)
  const before = cluster.content
  const plan = await planFault(cluster.api, 'shop', 'x', experimentOf('', '{ abort: { service: other, status: 503 } }'))
  const theirs = { experiment: 'theirs', lease: 'mesh-canary-other', identity: 'run 8 (00000000)' }
  await expect(injectFault(cluster.api, plan, lease, theirs)).rejects.toThrow(
    'the VirtualService shop/backend has the fault of the experiment trial of run 7; wait for its end. ' +
      'If that run is gone, run an experiment that takes its Lease mesh-canary-backend',
  )
  expect(cluster.content).toEqual(before)
})

describe('a change of what the fault wrote is noticed,', () => {
  type Spec = { http?: object[]; rules?: object[] }
  test.each<[string, string, () => KubeObject, (spec: Spec) => void]>([
    ['if one of two routes is removed', abort, routed, ({ http }) => http!.splice(0, 1)],
    ['if a route has another fault', abort, routed, ({ http }) => Object.assign(http![0]!, { fault: {} })],
    [
      'if an object of the fault is edited',
      '{ partition: { workload: deploy/backend } }',
      () => workload({ app: 'backend' }),
      (spec) => (spec.rules = []),
    ],
  ])('%s', async (_, settings, object, change) => {
    const cluster = new FakeObjects(object())
    const plan = await inject(cluster.api, settings)
    expect(await findTouched(cluster.api, objectsOf(plan), written)).toEqual([])
    const { kind, name } = objectsOf(plan)[0]!
    const found = cluster.find(kind, name) as KubeObject & { spec: Spec }
    change(found.spec)
    // As the API server counts the changes of a spec.
    found.metadata.generation = (found.metadata.generation ?? 1) + 1
    expect(await findTouched(cluster.api, objectsOf(plan), written)).toHaveLength(1)
  })
})

test('limits that a lost overload has left do not keep the next one from higher ones', async () => {
  const before = rule({ trafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } } } })
  const cluster = new FakeObjects(before)
  await inject(cluster.api, '{ overload: { maxConnections: 1 } }')
  const next = experimentOf('', '{ overload: { maxConnections: 5, maxPendingRequests: 5 } }')
  const [change] = await planFault(cluster.api, 'shop', 'x', next)
  expect(change!.undo).toMatchObject({ fields: [{ before: 100, wrote: 5 }, {}, {}] })
})
