// The lists of a cluster are faked, so that each right and each kind can be missing.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { hostConflicts } from '../../../src/policies/host-conflicts.ts'
import { clusterWith } from '../fixtures.ts'

const ours = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const virtualService = (name: string, spec: object, labels = {}): KubeObject => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'shop', labels },
  ...{ spec },
})
const route = (name: string, spec: object, labels = {}): KubeObject => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name, namespace: 'other', labels },
  ...{ spec },
})
const atGateway = { parentRefs: [{ name: 'edge' }] }
const inMesh = { parentRefs: [{ kind: 'Service', group: '', name: 'web', namespace: 'shop' }] }

type Lists = { routes?: KubeObject[] | number; own?: KubeObject[] | number; virtualServices?: KubeObject[] }

/** `routes` everywhere, `own` in the namespace alone; a number is the status of a list that fails. */
function claimed(objects: KubeObject[], { routes = [], own = [], virtualServices = [] }: Lists): Promise<string[]> {
  const list = (kind: string, namespace?: string) => {
    const found = kind === 'VirtualService' ? virtualServices : namespace === undefined ? routes : own
    return typeof found === 'number' ? Promise.reject(new ApiError(found, '')) : Promise.resolve(found)
  }
  return hostConflicts(clusterWith({ list }), objects, 'shop')
}

const exposed = virtualService('web-gateway', { hosts: ['shop.test', '*'], gateways: ['shop/web-gateway'] }, ours)
const service = virtualService('web', { hosts: ['web.shop.svc.cluster.local'] }, ours)

describe('a host of ours that has an HTTPRoute of somebody else', () => {
  test('at a gateway', async () => {
    expect(
      await claimed([service, exposed], {
        routes: [route('theirs', { ...atGateway, hostnames: ['a.test', 'shop.test'] })],
      }),
    ).toEqual([
      'policies: the HTTPRoute other/theirs, which mesh-canary does not manage, claims the host shop.test of the VirtualService shop/web-gateway too: which of the two gets a request depends on the gateway through which it comes; keep one of them',
    ])
  })

  test('in the mesh', async () => {
    expect(await claimed([service, exposed], { routes: [route('theirs', inMesh)] })).toEqual([
      'policies: the HTTPRoute other/theirs, which mesh-canary does not manage, claims the host web.shop.svc.cluster.local of the VirtualService shop/web too: inside the mesh Istio follows the HTTPRoute, and the VirtualService has no effect; keep one of them',
    ])
  })

  test.each<[string, KubeObject]>([
    ['another host', route('theirs', { ...atGateway, hostnames: ['a.test'] })],
    ['no host of its own', route('theirs', atGateway)],
    [
      'the name of a service, but at a gateway',
      route('theirs', { ...atGateway, hostnames: ['web.shop.svc.cluster.local'] }),
    ],
    ['our host, and is ours', route('ours', { ...atGateway, hostnames: ['shop.test'] }, ours)],
  ])('not one that has %s', async (_, theirs) => {
    expect(await claimed([service, exposed], { routes: [theirs] })).toEqual([])
  })
})

test("a host of our HTTPRoute that has somebody else's VirtualService", async () => {
  const theirs = virtualService('theirs', { hosts: ['shop.test'], gateways: ['mesh', 'infra/edge'] })
  const [warning, ...more] = await claimed([route('web', { ...atGateway, hostnames: ['shop.test'] }, ours)], {
    virtualServices: [theirs],
  })
  expect(warning).toContain(
    'the VirtualService shop/theirs, which mesh-canary does not manage, claims the host shop.test of the HTTPRoute other/web too',
  )
  expect(more).toEqual([])
})

describe("a host of our VirtualService that has somebody else's in another namespace", () => {
  const elsewhere = (spec: object, labels = {}) => ({
    ...virtualService('theirs', spec, labels),
    metadata: { name: 'theirs', namespace: 'platform', labels },
  })
  const host = 'web.shop.svc.cluster.local'

  test('inside the mesh', async () => {
    expect(await claimed([service, exposed], { virtualServices: [elsewhere({ hosts: ['x', host] })] })).toEqual([
      `policies: the VirtualService platform/theirs, which mesh-canary does not manage, claims the host ${host} of the VirtualService shop/web too: inside the mesh Istio follows the older of the two; keep one of them`,
    ])
  })
  test('that is shown to our namespace', async () =>
    expect(
      await claimed([service], { virtualServices: [elsewhere({ hosts: [host], exportTo: ['shop'] })] }),
    ).toHaveLength(1))

  test.each<[string, KubeObject]>([
    ['is kept to its own', elsewhere({ hosts: [host], exportTo: ['.'] })],
    ['is for a gateway, where several come together', elsewhere({ hosts: [host, 'shop.test'], gateways: ['edge'] })],
    ['means a service of its own by the short name', elsewhere({ hosts: ['web'] })],
    ['is ours', elsewhere({ hosts: [host] }, ours)],
    ['is in our namespace, which the preflight refuses', virtualService('theirs', { hosts: [host] })],
  ])('but not one that %s', async (_, theirs) => {
    expect(await claimed([service, exposed], { virtualServices: [theirs] })).toEqual([])
  })
})

describe('what cannot be listed', () => {
  const theirs = route('theirs', { ...atGateway, hostnames: ['shop.test'] })
  test('everywhere is listed in the namespace', async () =>
    expect(await claimed([exposed], { routes: 403, own: [theirs] })).toHaveLength(1))
  test('at all is left alone', async () => expect(await claimed([exposed], { routes: 403, own: 403 })).toEqual([]))
  test('because the cluster has no Gateway API is not there', async () =>
    expect(await claimed([exposed], { routes: 404, own: [theirs] })).toEqual([]))
  test('for another reason is an error', async () =>
    expect(claimed([exposed], { routes: 500 })).rejects.toBeInstanceOf(ApiError))
})
