import { describe, expect, test } from 'vitest'
import { findGateways, requireReadGateways } from '../../../../src/canary/controller/gateways.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { Right } from '../../../../src/cluster/client.ts'
import type { KubeObject, Pod } from '../../../../src/cluster/objects.ts'
import { clusterWith, configOf, planOf, pod, to, virtualService } from '../../fixtures.ts'

const split = virtualService([{ route: [to('v1', 100), to('v2', 0)] }])
const atGateways = (...gateways: string[]) => ({ ...split, spec: { ...split.spec, gateways } })
const gateway = { apiVersion: 'networking.istio.io/v1', kind: 'Gateway', metadata: { name: 'edge', namespace: 'shop' } }
const edge = { ...gateway, spec: { selector: { istio: 'ingress' } } }
const podIn = (namespace: string, labels: Record<string, string>) => pod({ metadata: { namespace, labels } })
const httpRoute = (parent: object) => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'edge', namespace: 'shop' },
  spec: {
    parentRefs: [parent],
    rules: [
      {
        backendRefs: [
          { name: 'one', weight: 1 },
          { name: 'two', weight: 0 },
        ],
      },
    ],
  },
})
const ofServices = 'stable: { service: one }, canary: { service: two }'

/** The gateways in a cluster with these objects. `mayRead`: whether the account may read the kind there. */
function gateways(
  objects: KubeObject[],
  plan = '',
  mayRead: (kind: string, namespace: string | undefined) => boolean = () => true,
  isAllowed: (right: Right & { namespace: string }) => boolean = () => true,
) {
  const read = <T>(kind: string, namespace: string | undefined, value: T) =>
    mayRead(kind, namespace) ? Promise.resolve(value) : Promise.reject(new ApiError(403, 'forbidden'))
  const cluster = clusterWith({
    isAllowed: (right: Right & { namespace: string }) => Promise.resolve(isAllowed(right)),
    get: (kind: string, namespace: string, name: string) =>
      read(
        kind,
        namespace,
        objects.find(
          (each) => each.kind === kind && each.metadata.name === name && each.metadata.namespace === namespace,
        ),
      ),
    list: (kind: string, namespace: string | undefined, { labelSelector = '' }: { labelSelector?: string } = {}) => {
      const isThere = (each: KubeObject) => namespace === undefined || each.metadata.namespace === namespace
      const isSelected = ({ metadata: { labels = {} } }: KubeObject) =>
        labelSelector === '' ||
        labelSelector.split(',').every((pair) => labels[pair.split('=')[0]!] === pair.split('=')[1])
      return read(
        kind,
        namespace,
        objects.filter((each) => each.kind === kind && isThere(each) && isSelected(each)),
      )
    },
  })
  return findGateways(cluster, configOf(`{ namespace: shop, canary: { service: backend${plan && `, ${plan}`} } }`))
}

const inNamespaceOnly = (_: string, namespace: string | undefined) => namespace === 'shop'

describe('the proxies of a gateway are found', () => {
  const pods = [podIn('istio-ingress', { istio: 'ingress' }), podIn('istio-ingress', { app: 'other' })]
  const delegate = { ...split, spec: { http: split.spec.http! } }
  const root = {
    ...split,
    metadata: { name: 'root', namespace: 'web' },
    spec: { hosts: ['x'], gateways: ['shop/edge'], http: [{ delegate: { name: 'backend', namespace: 'shop' } }] },
  }
  const found = [{ namespace: 'istio-ingress', labelSelector: 'istio=ingress' }]

  test.each<[string, KubeObject[], string, object[]]>([
    [
      'by the selector of the Gateway that a VirtualService names',
      [atGateways('mesh', 'edge'), edge, ...pods],
      '',
      found,
    ],
    ['by the Gateway of an object that delegates to the route', [delegate, root, edge, ...pods], '', found],
    ['by the namespace of that Gateway', [atGateways('shop/edge'), edge, ...pods], '', found],
    [
      'by the label of a Gateway of the Gateway API',
      [
        httpRoute({ name: 'web', namespace: 'edge' }),
        podIn('edge', { 'gateway.networking.k8s.io/gateway-name': 'web' }),
      ],
      ofServices,
      [{ namespace: 'edge', labelSelector: 'gateway.networking.k8s.io/gateway-name=web' }],
    ],
    ['unless the Gateway is not there', [atGateways('edge'), ...pods], '', []],
    ['unless the route is for sidecars', [split, edge, ...pods], '', []],
    [
      'unless the route of the Gateway API is for sidecars',
      [httpRoute({ kind: 'Service', name: 'backend' })],
      ofServices,
      [],
    ],
    [
      'unless its route does not split',
      [{ ...atGateways('edge'), spec: { gateways: ['edge'], http: [] } }, edge],
      '',
      [],
    ],
  ])('%s', async (_, objects, plan, expected) => {
    expect(await gateways(objects, plan)).toEqual({ pods: expected, unread: new Map([['backend', []]]) })
  })

  test('in istio-system, also without the right to list the pods of all namespaces', async () => {
    const mayRead = (_: string, namespace: string | undefined) => namespace !== undefined
    const objects = [atGateways('edge'), edge, podIn('istio-system', { istio: 'ingress' })]
    expect((await gateways(objects, '', mayRead)).pods).toEqual([
      { namespace: 'istio-system', labelSelector: 'istio=ingress' },
    ])
  })

  test.each<[string, KubeObject[], string]>([
    ['the Gateway', [atGateways('edge/web')], 'Gateway edge/web'],
    ['the pods of the Gateway', [atGateways('edge'), edge], 'Gateway shop/edge'],
    [
      'which pods a Gateway without a selector has',
      [atGateways('edge'), { ...gateway, spec: {} } as KubeObject],
      'Gateway shop/edge',
    ],
  ])('or named if the account may not know %s', async (_, objects, unread) => {
    expect((await gateways(objects, '', inNamespaceOnly)).unread.get('backend')).toEqual([unread])
  })
})

describe('the proxies of a gateway whose counters the account may not read', () => {
  const objects = [
    atGateways('edge'),
    edge,
    podIn('istio-ingress', { istio: 'ingress' }),
    podIn('shop', { istio: 'ingress' }),
  ]
  const noProxy = ({ subresource, namespace }: Right & { namespace: string }) =>
    subresource !== 'proxy' || namespace === 'shop'
  const place = (namespace: string) => ({ namespace, labelSelector: 'istio=ingress' })

  test('are left out, and the gateway is named', async () => {
    expect(await gateways(objects, '', undefined, noProxy)).toEqual({
      pods: [place('shop')],
      unread: new Map([['backend', ['Gateway shop/edge']]]),
    })
  })

  test.each([
    ['if the counters come from Prometheus', 'prometheus: { service: "istio-system/prometheus:9090", counters: true }'],
    [
      'if `clients` names their namespace, where the reading itself shows the missing right',
      'clients: [istio-ingress]',
    ],
  ])('are found %s', async (_, plan) => {
    expect(await gateways(objects, plan, undefined, noProxy)).toEqual({
      pods: [place('istio-ingress'), place('shop')],
      unread: new Map([['backend', []]]),
    })
  })

  test('are left out if they may not be watched', async () => {
    const noWatch = ({ verb }: Right) => verb !== 'watch'
    expect((await gateways(objects, '', undefined, noWatch)).pods).toEqual([place('shop')])
  })
})

describe('a promotion whose gateway cannot be looked for', () => {
  const required = (unread: string[], pods: Pod[], plan = '') => {
    const notes: string[] = []
    requireReadGateways(unread, planOf(plan), 'canary', pods, (line) => notes.push(line))
    return notes
  }
  const router = (namespace: string) =>
    pod({ metadata: { namespace }, spec: { containers: [{ name: 'istio-proxy', args: ['proxy', 'router'] }] } })
  const fault = 'the Gateway edge/web routes requests to backend, and this run does not read all of its pods'

  test('is refused, with what to do', () => {
    expect(() => required(['Gateway edge/web'], [pod()])).toThrow(`canary: ${fault}: it does not see requests`)
  })

  test('begins if the pods of a gateway are among the clients, or if all gateways are read', () => {
    expect(required(['Gateway edge/web'], [pod(), router('edge')], 'clients: [edge]')).toEqual([])
    expect(required([], [pod()])).toEqual([])
  })

  test('begins with a note if the pods of another gateway are read, or if the counters come from Prometheus', () => {
    expect(required(['Gateway edge/web'], [router('istio-system')], 'clients: [edge]')).toEqual([
      expect.stringContaining(`${fault}: it does not see requests that fail there`),
    ])
    const prometheus = 'prometheus: { service: "istio-system/prometheus:9090", counters: true }'
    expect(required(['Gateway edge/web'], [pod()], prometheus)).toEqual([
      expect.stringMatching(/does not read all of its pods.*Prometheus needs only list and watch of pods$/),
    ])
  })
})
