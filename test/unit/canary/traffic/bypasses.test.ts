import { describe, expect, test } from 'vitest'
import { findBypasses } from '../../../../src/canary/traffic/bypasses.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { clusterWith, pod, to, virtualService, split } from '../../fixtures.ts'

const labels = (version: string) => ({ app: 'backend', version })
const selectors = { stable: labels('v1'), canary: labels('v2') }

const service = (name: string, spec: object = {}, metadata: object = {}): KubeObject & { spec: object } => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', ...metadata },
  spec: { selector: { app: 'backend' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
})
const versions = ['v1', 'v2'].map((version) =>
  pod({ metadata: { name: version, uid: version, labels: labels(version) } }),
)
const caller = (name: string, namespace = 'shop') =>
  pod({ metadata: { name, uid: name, namespace, labels: { app: name } } })
const route = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
const exported = (exportTo: string[]) => ({ ...route, spec: { ...route.spec, exportTo } })
const sidecar = (namespace: string, hosts: string[], more: object = {}): KubeObject & { spec: object } => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'default', namespace },
  spec: { egress: [{ hosts }], ...more },
})
const usual = [service('backend'), ...versions, route]

/** The bypasses in a cluster with these objects. `unread`: the namespaces that the account may not read. */
function bypasses(
  objects: KubeObject[],
  clients: string[] = [],
  mayRead: (namespace: string | undefined) => boolean = () => true,
) {
  const cluster = clusterWith({
    list: (kind: string, namespace?: string) => {
      if (!mayRead(namespace)) return Promise.reject(new ApiError(403, 'forbidden'))
      if (kind === 'GRPCRoute') return Promise.reject(new ApiError(404, 'no such kind'))
      const isThere = ({ metadata }: KubeObject) => namespace === undefined || metadata.namespace === namespace
      return Promise.resolve(objects.filter((each) => each.kind === kind && isThere(each)))
    },
  })
  return findBypasses(cluster, split, { clients }, selectors)
}

describe('a bypass is', () => {
  test('a second Service for pods of both versions, unless its own route splits', async () => {
    const second = service('backend-lb', { ports: [{ port: 443, targetPort: 8080 }] })
    expect((await bypasses([...usual, second])).faults).toEqual([
      expect.stringMatching(/^the Service shop\/backend-lb selects pods of both v1 and v2, and no route splits/),
    ])
    const own = {
      ...virtualService([{ route: [to('v1', 90), to('v2', 10)] }]),
      metadata: { name: 'lb', namespace: 'shop' },
    }
    const split = { ...own, spec: { ...own.spec, hosts: ['backend-lb'] } }
    expect((await bypasses([...usual, second, split])).faults).toEqual([])
    const unsplit = {
      ...split,
      spec: { hosts: ['backend-lb'], http: [{ route: [{ destination: { host: 'backend-lb' } }] }] },
    }
    expect((await bypasses([...usual, second, unsplit])).faults).toEqual([
      expect.stringMatching(/VirtualService shop\/lb goes to all pods of backend/),
    ])
  })

  test('a route that callers in another namespace do not see', async () => {
    const objects = [service('backend'), ...versions]
    expect((await bypasses([...objects, exported(['.'])], ['partner'])).faults).toEqual([
      expect.stringMatching(
        /^the pods of partner do not see the VirtualService shop\/backend, which is visible to shop only/,
      ),
    ])
    expect((await bypasses([...objects, exported(['.', 'partner'])], ['partner'])).faults).toEqual([])
    expect((await bypasses([...objects, exported(['.'])])).faults).toEqual([])
    const hidden = service('backend', {}, { annotations: { 'networking.istio.io/exportTo': '.' } })
    expect((await bypasses([hidden, ...versions, route], ['partner'])).faults).toEqual([
      expect.stringMatching(/^the annotation networking.istio.io\/exportTo of the Service shop\/backend is \./),
    ])
  })

  test('a Sidecar that hides the service from all known callers', async () => {
    const callers = [caller('web', 'partner'), caller('job', 'partner')]
    expect(
      (await bypasses([...usual, ...callers, sidecar('partner', ['istio-system/*'])], ['partner'])).faults,
    ).toEqual([
      'the Sidecar partner/default hides backend from its callers in partner, so they know no split and reach the pods of both versions; add shop/backend.shop.svc.cluster.local to `egress.hosts`',
    ])
    expect((await bypasses([...usual, caller('web'), sidecar('shop', ['istio-system/*'])])).faults).toEqual([
      expect.stringContaining('hides backend from its callers in shop'),
    ])
  })
})

const ingress = (ingressClassName: string): KubeObject & { spec: object } => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name: 'edge', namespace: 'shop' },
  spec: { ingressClassName, rules: [{ http: { paths: [{ backend: { service: { name: 'backend' } } }] } }] },
})

test("Istio's own Ingress is a bypass, and another one is a suspect", async () => {
  expect((await bypasses([...usual, ingress('istio')])).faults).toEqual([
    expect.stringMatching(/^the Ingress shop\/edge sends requests to all pods of backend/),
  ])
  const other = await bypasses([...usual, ingress('nginx')])
  expect([other.faults, other.suspects]).toEqual([[], [expect.stringContaining('the Ingress shop/edge')]])
})

test('a route to a subset that selects both versions is a bypass', async () => {
  const rule: KubeObject & { spec: object } = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'backend', namespace: 'shop' },
    spec: {
      host: 'backend',
      subsets: [
        { name: 'all', labels: { app: 'backend' } },
        { name: 'v1', labels: labels('v1') },
      ],
    },
  }
  const routes = virtualService([
    { match: [{ uri: { prefix: '/a' } }], route: [to('all')] },
    { route: [to('v1', 100), to('v2', 0)] },
  ])
  expect((await bypasses([service('backend'), ...versions, routes, rule])).faults).toHaveLength(1)
})

describe('no bypass, but a suspect, is', () => {
  test.each<[string, KubeObject[], string[], string]>([
    ['a headless Service', [service('backend-pods', { clusterIP: 'None' })], [], 'Service shop/backend-pods'],
    [
      'a Service for metrics',
      [service('backend-metrics', { ports: [{ name: 'http-metrics', port: 8080 }] })],
      [],
      'Service shop/backend-metrics',
    ],
    [
      'a Sidecar of a pod that may not call the service',
      [caller('web'), caller('db'), sidecar('shop', ['~/*'], { workloadSelector: { labels: { app: 'db' } } })],
      [],
      'the Sidecar shop/default hides backend from pods of shop',
    ],
    [
      'a Sidecar beside known callers elsewhere',
      [caller('web'), caller('buyer', 'partner'), sidecar('shop', ['istio-system/*'])],
      ['partner'],
      'the Sidecar shop/default',
    ],
  ])('%s', async (_, objects, clients, suspect) => {
    const found = await bypasses([...usual, ...objects], clients)
    expect(found.faults).toEqual([])
    expect(found.suspects).toEqual([expect.stringContaining(suspect)])
  })

  test('the type of the Service', async () => {
    expect((await bypasses([service('backend', { type: 'LoadBalancer' }), ...versions, route])).suspects).toEqual([
      expect.stringContaining('requests from outside the mesh come past its routes'),
    ])
  })
})

describe('neither is', () => {
  test.each<[string, KubeObject[]]>([
    ['a Service of one version', [service('backend-v2', { selector: labels('v2') })]],
    ['a Service of another port', [service('backend-admin', { ports: [{ port: 9000 }] })]],
    ['a Service without a selector', [service('outside', { selector: undefined })]],
    ['a Sidecar that names the namespace', [caller('web'), sidecar('shop', ['./*', 'istio-system/*'])]],
    ['a Sidecar that names the host', [caller('web'), sidecar('shop', ['*/backend.shop.svc.cluster.local'])]],
    ['a Sidecar without hosts', [caller('web'), { ...sidecar('shop', []), spec: {} } as KubeObject]],
    [
      'a Sidecar that hides the service from a namespace that does not call it',
      [caller('x', 'other'), sidecar('other', ['~/*'])],
    ],
  ])('%s', async (_, objects) => {
    expect(await bypasses([...usual, ...objects])).toMatchObject({ faults: [], suspects: [], unseen: [] })
  })
})

test('what the account may not read is named, and the rest is found', async () => {
  const found = await bypasses([...usual, service('items')], ['partner'], (namespace) => namespace === 'shop')
  expect(found.faults).toEqual([expect.stringContaining('Service shop/items')])
  expect(found.unseen).toEqual(
    expect.arrayContaining(['VirtualServices of other namespaces', 'VirtualServices of partner', 'Pods of partner']),
  )
})

test('a kind that the cluster lacks is not named, although the account may not read it everywhere', async () => {
  const found = await bypasses(usual, [], (namespace) => namespace === 'shop')
  expect(found.unseen).toEqual(['VirtualServices of other namespaces', 'HTTPRoutes of other namespaces'])
})

test('what the run writes and deletes is in force already', async () => {
  const bad = {
    ...virtualService([{ route: [{ destination: { host: 'backend' } }] }]),
    metadata: { name: 'old', namespace: 'shop' },
  }
  const cluster = clusterWith({
    list: (kind: string) => Promise.resolve([...usual, bad].filter((each) => each.kind === kind)),
  })
  const find = (written: KubeObject[], isDeleted = false) =>
    findBypasses(cluster, split, {}, selectors, {
      pending: { written, isDeleted: (each) => isDeleted && each.metadata.name === 'old' },
    })
  expect((await find([])).faults).toHaveLength(1)
  expect((await find([], true)).faults).toEqual([])
  expect((await find([{ ...bad, spec: route.spec } as KubeObject])).faults).toEqual([])
})
