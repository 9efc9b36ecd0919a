import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { olderGatewayFaults } from '../../../../src/policies/conflicts/older-gateways.ts'
import { ownerOf, withOwnerMarks } from '../../../../src/policies/owned-objects.ts'
import { configOf } from '../../fixtures.ts'
import { policy, recordingCluster } from '../recording-cluster.ts'

const config = configOf('namespace: shop\nname: mine\nexpose: { web: { port: 80, hosts: [shop.test] } }')
const secure = configOf(
  'namespace: shop\nname: mine\nexpose: { web: { port: 80, hosts: [shop.test], tls: { secret: c } } }',
)
const owner = ownerOf(config)
const faultsOf = (live: KubeObject[], from = config) =>
  olderGatewayFaults(recordingCluster(live).cluster, desired(from).objects, from, owner)

const at = (creationTimestamp: string) => ({ namespace: 'other', creationTimestamp })
const old = at('2026-01-01T00:00:00Z')
const gateway = (hosts: string[], more: object = {}, server: object = {}) =>
  policy(
    'Gateway',
    'edge',
    { selector: { istio: 'ingressgateway' }, servers: [{ port: { number: 80 }, hosts, ...server }], ...more },
    old,
  )
const routes = (hosts: string[], match?: object[], metadata = old) =>
  policy(
    'VirtualService',
    'theirs',
    { hosts, gateways: ['edge'], http: [{ ...(match ? { match } : {}), route: [{ destination: { host: 'a' } }] }] },
    metadata,
  )
const fault =
  'expose.web.hosts: the VirtualService other/theirs is older and already serves the host shop.test at the same gateway: it gets the requests of http route 1 of the VirtualService shop/web-gateway; choose another host, or remove it from that VirtualService'

describe('a host that an older route for every request serves at the same gateway', () => {
  test.each<[string, KubeObject[]]>([
    ['under the same name', [gateway(['shop.test']), routes(['shop.test'])]],
    ['with a namespace in the Gateway', [gateway(['*/shop.test']), routes(['shop.test'])]],
    ['through a Gateway for all hosts', [gateway(['*']), routes(['shop.test'])]],
    ['with routes for all hosts of the Gateway', [gateway(['other.test', 'shop.test']), routes(['*'])]],
    ['with a match that takes everything', [gateway(['shop.test']), routes(['shop.test'], [{ uri: { prefix: '/' } }])]],
  ])('is refused: %s', async (_, live) => {
    expect(await faultsOf(live)).toEqual([fault])
  })

  test.each<[string, KubeObject[]]>([
    ['for another host', [gateway(['other.test']), routes(['other.test'])]],
    ['for all hosts, because ours is more specific', [gateway(['*']), routes(['*'])]],
    ['for all hosts of a domain', [gateway(['*.test']), routes(['*'])]],
    ['for all hosts of a domain, in the routes', [gateway(['*']), routes(['*.test'])]],
    ['that its Gateway does not admit', [gateway(['other.test']), routes(['shop.test'])]],
    ['for a part of the paths', [gateway(['*']), routes(['shop.test'], [{ uri: { prefix: '/productpage' } }])]],
    ['at other pods', [gateway(['shop.test'], { selector: { istio: 'internal' } }), routes(['shop.test'])]],
    ['on another port', [gateway(['shop.test'], {}, { port: { number: 8080 } }), routes(['shop.test'])]],
    ['in the mesh only', [policy('VirtualService', 'theirs', { hosts: ['shop.test'], http: [{ route: [] }] }, old)]],
    ['without routes', [gateway(['shop.test'])]],
  ])('is accepted: %s', async (_, live) => {
    expect(await faultsOf(live)).toEqual([])
  })
})

test('all hosts are refused where an older route has all of them too', async () => {
  const all = configOf('namespace: shop\nname: mine\nexpose: { web: { port: 80, hosts: ["*"] } }')
  expect(await faultsOf([gateway(['*']), routes(['*'])], all)).toEqual([fault.replace('shop.test', '*')])
  expect(await faultsOf([gateway(['*']), routes(['shop.test'])], all)).toEqual([])
})

test('at a Gateway that the account may not read, the hosts of the routes count', async () => {
  const ours = policy('VirtualService', 'web', { ...routes(['shop.test']).spec, gateways: ['other/edge'] })
  const found = (hosts: string[]) =>
    olderGatewayFaults(recordingCluster([routes(hosts)]).cluster, [ours], config, owner)
  expect(await found(['shop.test'])).toHaveLength(1)
  expect(await found(['*'])).toEqual([])
})

test('a host is accepted if our route for it is the older one', async () => {
  const ours = desired(config).objects.map((object) =>
    withOwnerMarks({ ...object, metadata: { ...object.metadata, creationTimestamp: '2026-02-01T00:00:00Z' } }, owner),
  )
  const live = (created: string) => [...ours, gateway(['shop.test']), routes(['shop.test'], undefined, at(created))]
  expect(await faultsOf(live('2026-03-01T00:00:00Z'))).toEqual([])
  expect(await faultsOf(live('2026-01-01T00:00:00Z'))).toEqual([fault])
})

test('a host with TLS is refused if an older Gateway has it on the same port, with or without routes', async () => {
  const theirs = gateway(['shop.test'], {}, { port: { number: 443 }, tls: { mode: 'SIMPLE', credentialName: 'x' } })
  expect(await faultsOf([theirs], secure)).toEqual([
    'expose.web.hosts: the Gateway other/edge is older and already serves the host shop.test on port 443 of the same gateway, so it ignores the Gateway shop/web-gateway there; choose another host, or remove it from that Gateway',
  ])
})

test('an account that may read only its own namespace looks there', async () => {
  const { cluster } = recordingCluster([routes(['shop.test'])])
  const list = (kind: never, namespace?: string) =>
    namespace === undefined ? Promise.reject(new ApiError(403, 'forbidden')) : cluster.list(kind, namespace)
  expect(await olderGatewayFaults({ ...cluster, list: list as never }, desired(config).objects, config, owner)).toEqual(
    [],
  )
})
