// A fake cluster answers the lists, so that each right and each kind can be missing.
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { hostConflicts } from '../../../../src/policies/conflicts/host-conflicts.ts'
import { clusterWith } from '../../fixtures.ts'

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

/**
 * `routes`: the list in all namespaces. `own`: the list in our namespace. A number is the status of a list that fails.
 */
function conflictWarnings(
  objects: KubeObject[],
  { routes = [], own = [], virtualServices = [] }: Lists,
): Promise<string[]> {
  const list = (kind: string, namespace?: string) => {
    const found = kind === 'VirtualService' ? virtualServices : namespace === undefined ? routes : own
    return typeof found === 'number' ? Promise.reject(new ApiError(found, '')) : Promise.resolve(found)
  }
  return hostConflicts(clusterWith({ list }), objects, 'shop')
}

const exposed = virtualService('web-gateway', { hosts: ['shop.test', '*'], gateways: ['shop/web-gateway'] }, ours)
const service = virtualService('web', { hosts: ['web.shop.svc.cluster.local'] }, ours)

describe('the warning about an HTTPRoute of somebody else for our host', () => {
  test('appears when both are for one gateway', async () => {
    expect(
      await conflictWarnings([service, exposed], {
        routes: [route('theirs', { ...atGateway, hostnames: ['a.test', 'shop.test'] })],
      }),
    ).toEqual([
      'policies: the HTTPRoute other/theirs, which mesh-canary does not manage, claims the host shop.test of the VirtualService shop/web-gateway too: which of the two gets a request depends on the gateway through which it comes; keep one of them',
    ])
  })

  test('appears when both are for the mesh', async () => {
    expect(await conflictWarnings([service, exposed], { routes: [route('theirs', inMesh)] })).toEqual([
      'policies: the HTTPRoute other/theirs, which mesh-canary does not manage, claims the host web.shop.svc.cluster.local of the VirtualService shop/web too: inside the mesh Istio follows the HTTPRoute, and the VirtualService has no effect; keep one of them',
    ])
  })

  test.each<[string, KubeObject]>([
    ['does not appear for an HTTPRoute with another host', route('theirs', { ...atGateway, hostnames: ['a.test'] })],
    ['does not appear for an HTTPRoute without hosts', route('theirs', atGateway)],
    [
      'does not appear for an HTTPRoute with the name of a service but at a gateway',
      route('theirs', { ...atGateway, hostnames: ['web.shop.svc.cluster.local'] }),
    ],
    [
      'does not appear for our own HTTPRoute with our host',
      route('ours', { ...atGateway, hostnames: ['shop.test'] }, ours),
    ],
  ])('%s', async (_, theirs) => {
    expect(await conflictWarnings([service, exposed], { routes: [theirs] })).toEqual([])
  })
})

test('a VirtualService of somebody else with the host of our HTTPRoute causes a warning', async () => {
  const theirs = virtualService('theirs', { hosts: ['shop.test'], gateways: ['mesh', 'infra/edge'] })
  const [warning, ...more] = await conflictWarnings([route('web', { ...atGateway, hostnames: ['shop.test'] }, ours)], {
    virtualServices: [theirs],
  })
  expect(warning).toContain(
    'the VirtualService shop/theirs, which mesh-canary does not manage, claims the host shop.test of the HTTPRoute other/web too',
  )
  expect(more).toEqual([])
})

describe('the warning about a VirtualService in another namespace for our host', () => {
  const otherNamespace = (spec: object, labels = {}) => ({
    ...virtualService('theirs', spec, labels),
    metadata: { name: 'theirs', namespace: 'platform', labels },
  })
  const host = 'web.shop.svc.cluster.local'

  test('appears for one inside the mesh', async () => {
    expect(
      await conflictWarnings([service, exposed], { virtualServices: [otherNamespace({ hosts: ['x', host] })] }),
    ).toEqual([
      `policies: the VirtualService platform/theirs, which mesh-canary does not manage, claims the host ${host} of the VirtualService shop/web too: inside the mesh Istio follows the older of the two; keep one of them`,
    ])
  })
  test('appears for one that is exported to our namespace', async () =>
    expect(
      await conflictWarnings([service], { virtualServices: [otherNamespace({ hosts: [host], exportTo: ['shop'] })] }),
    ).toHaveLength(1))

  test.each<[string, KubeObject]>([
    [
      'does not appear for one that is exported only to its own namespace',
      otherNamespace({ hosts: [host], exportTo: ['.'] }),
    ],
    [
      'does not appear for one at a gateway, where Istio merges several',
      otherNamespace({ hosts: [host, 'shop.test'], gateways: ['edge'] }),
    ],
    [
      'does not appear for one whose short host names a service of its own namespace',
      otherNamespace({ hosts: ['web'] }),
    ],
    ['does not appear for our own', otherNamespace({ hosts: [host] }, ours)],
    [
      'does not appear for one in our namespace, which the preflight refuses',
      virtualService('theirs', { hosts: [host] }),
    ],
  ])('%s', async (_, theirs) => {
    expect(await conflictWarnings([service, exposed], { virtualServices: [theirs] })).toEqual([])
  })
})

describe('a list that fails', () => {
  const theirs = route('theirs', { ...atGateway, hostnames: ['shop.test'] })
  test('in all namespaces is repeated in our namespace', async () =>
    expect(await conflictWarnings([exposed], { routes: 403, own: [theirs] })).toHaveLength(1))
  test('in our namespace too causes no warning', async () =>
    expect(await conflictWarnings([exposed], { routes: 403, own: 403 })).toEqual([]))
  test('because the cluster has no Gateway API counts as empty', async () =>
    expect(await conflictWarnings([exposed], { routes: 404, own: [theirs] })).toEqual([]))
  test('for another reason is an error', async () =>
    expect(conflictWarnings([exposed], { routes: 500 })).rejects.toBeInstanceOf(ApiError))
})
