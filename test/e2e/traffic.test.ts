// The traffic router on the real mesh: what the objects contain, and which version responds.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Split } from '../../src/policies/routes.ts'
import { plausible } from '../../src/statistics/binomial.ts'
import {
  deployEchoApp,
  clientProgram,
  eventually,
  statuses,
  versions,
  type EchoResponse,
  type EchoRequest,
} from './echo.ts'
import { runner } from './runner.ts'
import { applyObjects, callInMesh, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster

beforeAll(async () => {
  testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const { mirror = '', overlays = '' } = testCluster.inputs
  expect(await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'demo' })).toMatchObject({
    code: 0,
  })
  machine.remove()
  await deployEchoApp(testCluster)
  for (const version of ['v1', 'v2'])
    await apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `echo-${version}` },
      spec: { selector: { app: 'echo', version }, ports: [{ name: 'http', port: 8080 }] },
    })
  await apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'plain' },
    spec: { selector: { app: 'echo' }, ports: [{ name: 'tcp', port: 9000, targetPort: 8080 }] },
  })
  for (const host of ['echo', 'plain'])
    await apply({
      ...istio,
      kind: 'DestinationRule',
      metadata: { name: host },
      spec: { host, subsets: ['v1', 'v2'].map((version) => ({ name: version, labels: { version } })) },
    })
})
afterEach(() => kubectl('delete', 'virtualservices', '--all'))
afterAll(() => testCluster.run(['kubectl', 'delete', 'namespace', 'policies', '--wait=false']))

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'policies', ...args])
const apply = (object: object) => applyObjects(testCluster, [object], 'policies')
const istio = { apiVersion: 'networking.istio.io/v1' }
const route = (name: string, spec: object) =>
  apply({
    ...istio,
    kind: 'VirtualService',
    metadata: { name, annotations: { 'shop.example.com/owner': 'team-a' } },
    spec,
  })

const call = (name: string, ...args: unknown[]) => callInMesh(testCluster, name, ...args)
const sendRequests = async (more: EchoRequest = {}) =>
  JSON.parse(
    await kubectl('exec', 'deploy/caller', '-c', 'node', '--', 'node', '-e', clientProgram(more)),
  ) as EchoResponse[]
const allServedBy = (version: string, more: EchoRequest = {}) =>
  eventually(async () => expect(versions(await sendRequests({ times: 20, ...more }))).toEqual(Array(20).fill(version)))

const split: Split = {
  namespace: 'policies',
  service: 'echo',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const services: Split = {
  ...split,
  stable: { by: 'service', name: 'echo-v1' },
  canary: { by: 'service', name: 'echo-v2' },
}
const weightedRoutes = (v1: number, v2: number, host = 'echo') => [
  { destination: { host, subset: 'v1' }, weight: v1 },
  { destination: { host, subset: 'v2' }, weight: v2 },
]

/** The object as the API server returns it, without the fields that every write changes. */
async function written(name: string): Promise<{ text: string; weights: number[] }> {
  const { spec, metadata } = JSON.parse(await kubectl('get', 'virtualservice', name, '-o', 'json')) as {
    spec: object
    metadata: { labels?: object; annotations: Record<string, string> }
  }
  // What a promotion notes about its own writes.
  const { 'mesh-canary.io/moved-weights': _, 'mesh-canary.io/fence': __, ...annotations } = metadata.annotations
  const text = JSON.stringify([metadata.labels, annotations, spec])
  return { text, weights: [...text.matchAll(/"weight":(\d+)/g)].map(([, weight]) => Number(weight)) }
}
const withoutWeights = ({ text }: { text: string }) => text.replace(/"weight":\d+/g, '')

describe("a user's VirtualService", () => {
  const owned = {
    hosts: ['echo', 'echo.example.com'],
    http: [
      {
        name: 'old',
        match: [{ uri: { prefix: '/old' } }, { headers: { 'x-old': { exact: '1' } } }],
        redirect: { uri: '/new' },
      },
      {
        name: 'api',
        match: [{ uri: { prefix: '/api' } }],
        headers: { request: { set: { 'x-api': '1' } } },
        rewrite: { uri: '/' },
        mirror: { host: 'echo-v1' },
        mirrorPercentage: { value: 12.5 },
        timeout: '3s',
        route: weightedRoutes(90, 0).concat({ destination: { host: 'echo-v1' } as never, weight: 10 }),
      },
      {
        name: 'rest',
        retries: { attempts: 2, perTryTimeout: '1s', retryOn: 'gateway-error' },
        route: weightedRoutes(100, 0),
      },
    ],
  }

  test('keeps three routes, matches, headers and a mirror: a promotion changes only weights, a rollback nothing', async () => {
    await route('echo', owned)
    const before = await written('echo')
    await call('setHeaderRoute', split, [{ headers: { 'x-beta': { exact: '1' } } }])
    expect((await written('echo')).text).not.toBe(before.text)
    await call('setHeaderRoute', split, null)
    expect((await written('echo')).text).toBe(before.text)
    for (const weight of [5, 25, 100]) await call('setWeight', split, weight)
    const after = await written('echo')
    expect(after.weights).toEqual([0, 90, 10, 0, 100])
    expect(withoutWeights(after)).toBe(withoutWeights(before))
    expect(await call('readWeight', split)).toBe(100)
    await allServedBy('v2')
    expect(await call('resetToStable', split)).toHaveLength(1)
    expect((await written('echo')).text).toBe(before.text)
    expect(await call('resetToStable', split)).toMatchObject([{ changedRoutes: false }])
    await allServedBy('v1')
  })

  test('has only the named route changed', async () => {
    await route('echo', owned)
    await call('setWeight', { ...split, routes: ['rest'] }, 40)
    expect((await written('echo')).weights).toEqual([90, 0, 10, 60, 40])
    await expect(call('setWeight', { ...split, routes: ['other'] }, 40)).rejects.toThrow(
      'no route named other in policies splits echo between v1 and v2; choose `routes` from those that do: api, rest',
    )
  })

  test('keeps its own mirror, so a mirror to the canary is an error', async () => {
    await route('echo', owned)
    const before = await written('echo')
    await expect(call('setMirror', split, 10)).rejects.toThrow(
      'the route api of the VirtualService policies/echo already has a mirror',
    )
    expect((await written('echo')).text).toBe(before.text)
  })
})

describe('a canary with weight 0', () => {
  beforeEach(() =>
    route('echo', {
      hosts: ['echo'],
      http: [
        { match: [{ uri: { prefix: '/deep' } }], route: weightedRoutes(100, 0) },
        { route: weightedRoutes(100, 0) },
      ],
    }),
  )

  test('gets only the matching requests of every route, and none after the reset', async () => {
    const before = await written('echo')
    const beta = { headers: { 'x-beta': '1' } }
    await call('setHeaderRoute', split, [{ headers: { 'x-beta': { exact: '1' } } }])
    for (const url of ['http://echo:8080/', 'http://echo:8080/deep/down']) {
      await allServedBy('v2', { url, ...beta })
      await allServedBy('v1', { url })
    }
    await call('setHeaderRoute', split, null)
    await allServedBy('v1', beta)
    expect((await written('echo')).text).toBe(before.text)
  })

  test('gets copies of the requests, and none after the reset', async () => {
    const before = await written('echo')
    await call('setMirror', split, 100)
    await eventually(async () => {
      const path = `/copied-${Date.now()}`
      expect(versions(await sendRequests({ url: `http://echo:8080${path}`, times: 10 }))).toEqual(Array(10).fill('v1'))
      expect(await canaryRequestCount(path)).toBe(10)
    })
    await call('setMirror', split, null)
    expect((await written('echo')).text).toBe(before.text)
    await eventually(async () => {
      const path = `/alone-${Date.now()}`
      await sendRequests({ url: `http://echo:8080${path}`, times: 10 })
      expect(await canaryRequestCount(path)).toBe(0)
    })
  })

  /** Reads the count of the canary through the API server, past the mesh. */
  async function canaryRequestCount(path: string): Promise<number | undefined> {
    const pod = await kubectl('get', 'pods', '-l', 'app=echo,version=v2', '-o', 'jsonpath={.items[0].metadata.name}')
    return (
      JSON.parse(
        await kubectl('get', '--raw', `/api/v1/namespaces/policies/pods/${pod}:8080/proxy/seen?path=${path}`),
      ) as EchoResponse
    ).count
  }
})

test.each<[string, string, object, Split, string]>([
  [
    'Services of their own',
    'echo',
    {
      hosts: ['echo'],
      http: [
        {
          route: [
            { destination: { host: 'echo-v1' }, weight: 100 },
            { destination: { host: 'echo-v2.policies.svc.cluster.local' } },
          ],
        },
      ],
    },
    services,
    'http://echo:8080/',
  ],
  [
    'subsets of a TCP service',
    'plain',
    { hosts: ['plain'], tcp: [{ match: [{ port: 9000 }], route: weightedRoutes(100, 0, 'plain') }] },
    { ...split, service: 'plain' },
    'http://plain:9000/',
  ],
])('the responses follow the weight between %s', async (_, name, spec, between, url) => {
  await route(name, spec)
  await allServedBy('v1', { url })
  await call('setWeight', between, 30)
  expect(await call('readWeight', between)).toBe(30)
  await eventually(async () => {
    const servedShare = versions(await sendRequests({ url, times: 200 }))
    expect(plausible(servedShare.filter((version) => version === 'v2').length, 200, 0.3, 0.999)).toBe(true)
  })
  await call('setWeight', between, 100)
  await allServedBy('v2', { url })
  await call('resetToStable', between)
  await allServedBy('v1', { url })
})

describe('a stable Deployment that adopts the promoted version', () => {
  const groups = { stable: { app: 'echo', version: 'v1' }, canary: { app: 'echo', version: 'v2' } }
  const deployment = async (name: string) => {
    const { spec } = JSON.parse(await kubectl('get', 'deployment', name, '-o', 'json')) as {
      spec: {
        replicas: number
        template: { metadata: { labels: object; annotations?: object }; spec: { containers: { env: object[] }[] } }
      }
    }
    return spec
  }
  beforeEach(async () => {
    await route('echo', { hosts: ['echo'], http: [{ route: weightedRoutes(0, 100) }] })
    await kubectl('set', 'env', 'deploy/echo-v2', `RELEASE=${Date.now()}`)
    await kubectl('rollout', 'status', 'deploy/echo-v2', '--timeout=60s')
    await allServedBy('v2')
  })

  test('keeps its template if its new pods cannot be created, and the canary continues to serve', async () => {
    const before = await deployment('echo-v1')
    await apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'full' }, spec: { hard: { pods: '4' } } })
    await expect(call('adopt', split, groups)).rejects.toThrow(
      /Deployment\/echo-v1 could not take over from Deployment\/echo-v2: .*exceeded quota.*; it has its old template again, and the traffic stays on the canary/,
    )
    await kubectl('delete', 'resourcequota', 'full')
    expect(await deployment('echo-v1')).toEqual(before)
    await allServedBy('v2')
  })

  test('gets its template under load without a failed request, and the canary scales down', async () => {
    const { template } = await deployment('echo-v2')
    let isAdopted = false
    /** Sends requests until some have begun after the adoption. */
    const load = async () => {
      const answers: EchoResponse[] = []
      for (let isLast = false; !isLast; ) {
        isLast = isAdopted
        answers.push(...(await sendRequests({ times: 500 })))
      }
      return answers
    }
    // Two, so that one sends while the other begins anew.
    const loads = [load(), load()]
    await call('adopt', split, groups).finally(() => (isAdopted = true))
    for (const answers of await Promise.all(loads)) {
      expect(statuses(answers).filter((status) => status !== 200)).toEqual([])
      expect([answers.at(0)?.version, answers.at(-1)?.version]).toEqual(['v2', 'v1'])
    }
    await allServedBy('v1')
    const [stable, canary] = [await deployment('echo-v1'), await deployment('echo-v2')]
    expect(stable.template.spec).toEqual(template.spec)
    expect(stable.template.metadata.labels).toEqual({ app: 'echo', version: 'v1' })
    expect(canary.replicas).toBe(0)
  })
})
