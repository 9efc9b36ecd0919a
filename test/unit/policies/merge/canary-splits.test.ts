import { describe, expect, test } from 'vitest'
import type { HttpRoute, VirtualService } from '../../../../src/cluster/objects.ts'
import { withCanarySplits } from '../../../../src/policies/merge/canary-splits.ts'
import { configOf, to, virtualService } from '../../fixtures.ts'

const config = configOf('namespace: shop\ncanary: { service: backend, routes: [api] }')
const whole = { destination: { host: 'backend', port: { number: 80 } }, headers: { request: { add: { a: '1' } } } }
const api: HttpRoute = { name: 'api', timeout: '3s', route: [whole] }
/** At a gateway, because the default route of a host in the mesh gets both versions without a name, too. */
const atGateway = (http: HttpRoute[]): VirtualService => {
  const object = virtualService(http)
  return { ...object, spec: { ...object.spec, gateways: ['edge'] } }
}
const included = (http: HttpRoute[], live: VirtualService[] = [], by = config) =>
  (withCanarySplits([atGateway(http)], by, live)[0] as VirtualService).spec.http

describe('a route that the canary names and that goes to all pods', () => {
  test('gets both versions, with everything on stable, and keeps its other fields', () => {
    const part = (subset: string, weight: number) => ({
      ...whole,
      destination: { host: 'backend', port: { number: 80 }, subset },
      weight,
    })
    expect(included([api])).toEqual([{ name: 'api', timeout: '3s', route: [part('v1', 100), part('v2', 0)] }])
  })

  test('keeps the weights in force', () => {
    const live = virtualService([{ name: 'api', route: [to('v1', 30), to('v2', 70)] }])
    expect(included([api], [live])![0]!.route!.map(({ weight }) => weight)).toEqual([30, 70])
  })

  test('gets both Services if the versions are Services', () => {
    const services = configOf(
      'namespace: shop\ncanary: { service: backend, stable: { service: one }, canary: { service: two }, routes: [api] }',
    )
    expect(included([api], [], services)![0]!.route!.map(({ destination }) => destination.host)).toEqual([
      'one.shop.svc.cluster.local',
      'two.shop.svc.cluster.local',
    ])
  })
})

test.each<[string, HttpRoute]>([
  ['another name', { ...api, name: 'web' }],
  ['no name', { route: [whole] }],
  ['a subset', { ...api, route: [to('v1')] }],
  ['another host', { ...api, route: [{ destination: { host: 'frontend' } }] }],
  ['a redirect', { name: 'api', redirect: { uri: '/' } }],
])('a route with %s stays as it is', (_, route) => {
  expect(included([route])).toEqual([route])
})
