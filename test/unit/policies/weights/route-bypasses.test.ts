import { describe, expect, test } from 'vitest'
import type { GatewayRoute, HttpRoute, VirtualService } from '../../../../src/cluster/objects.ts'
import { hostOf } from '../../../../src/policies/compile/names.ts'
import {
  describeRouteBypass,
  findRouteBypasses,
  findPinnedVersions,
  type Shared,
} from '../../../../src/policies/weights/route-bypasses.ts'
import type { Routed, Split } from '../../../../src/policies/routes.ts'
import { to, virtualService, split, splitOfServices } from '../../fixtures.ts'

const whole = { route: [{ destination: { host: 'backend' } }] }
const halves = { route: [to('v1', 100), to('v2', 0)] }
const header = (value: string) => [{ headers: { 'x-user': { exact: value } } }]
const path = (prefix: string) => [{ uri: { prefix } }]

const faults = (routes: Routed[] | HttpRoute[], of = split, shared: Partial<Shared> = {}) =>
  findRouteBypasses('kind' in (routes[0] ?? {}) ? (routes as Routed[]) : [virtualService(routes as HttpRoute[])], of, {
    hosts: [],
    subsets: [],
    ...shared,
  }).map((each) => describeRouteBypass(each))

function routesFor(hosts: string[], http: HttpRoute[], more: object = {}): VirtualService {
  const object = virtualService(http, { name: 'edge' })
  return { ...object, spec: { ...object.spec, hosts, ...more } }
}

describe('a route that bypasses the split is', () => {
  test.each<[string, HttpRoute[], RegExp]>([
    [
      'one before it for every path',
      [{ match: path('/'), ...whole }, halves],
      /number 1 .*goes to all pods of backend/,
    ],
    [
      'one before it for some paths',
      [{ match: path('/api/'), ...whole }, halves],
      /number 1 .*\/api\/.*goes to all pods/,
    ],
    ['one with a name', [{ name: 'api', match: path('/api/'), ...whole }, halves], /^the route api of the Virtual/],
    [
      'a part of a route with both versions',
      [{ route: [...halves.route, { destination: { host: 'backend.shop' }, weight: 10 }] }],
      /goes to all pods/,
    ],
    [
      'one to a version for everybody before it',
      [{ route: [to('v1')] }, halves],
      /number 1 .*before the split in the route number 2/,
    ],
    [
      'one for all regular expressions',
      [{ match: [{ uri: { regex: '.*' } }], route: [to('v1')] }, halves],
      /before the split/,
    ],
    [
      'one with a redirect for everybody before it',
      [{ name: 'moved', redirect: { uri: '/' } }, halves],
      /^the route moved .*takes every request before the split/,
    ],
    [
      'a default to stable behind a narrow split',
      [{ match: path('/a'), ...halves }, { route: [to('v1')] }],
      /sends every request to v1/,
    ],
    ['a default to the canary', [{ route: [to('v2')] }], /sends every request to v2/],
    [
      'a default for the callers in the mesh only',
      [{ match: [{ gateways: ['mesh'] }], route: [to('v1')] }, halves],
      /sends every request to v1/,
    ],
  ])('%s', (_, routes, message) => {
    const found = faults(routes)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test.each<[string, Routed]>([
    ['at a gateway', routesFor(['shop.test'], [whole], { gateways: ['edge'] })],
    ['at a gateway, to stable only', routesFor(['shop.test'], [{ route: [to('v1')] }], { gateways: ['edge'] })],
    ['in a delegate', { ...virtualService([whole]), spec: { http: [whole] } }],
    ['of a TCP port', routesFor(['backend'], [halves], { tcp: [whole] })],
    [
      'of TLS connections',
      routesFor(['backend'], [halves], { tls: [{ match: [{ sniHosts: ['a.test'] }], ...whole }] }),
    ],
    [
      'in another namespace',
      {
        ...virtualService([{ route: [{ destination: { host: 'backend.shop.svc.cluster.local' } }] }]),
        metadata: { name: 'edge', namespace: 'ingress' },
      },
    ],
  ])('found %s', (_, object) => {
    expect(faults([object])).toHaveLength(1)
  })

  test('found in the Gateway API', () => {
    const route = (rules: GatewayRoute['spec']['rules']): GatewayRoute => ({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'edge', namespace: 'shop' },
      spec: { rules: rules! },
    })
    expect(faults([route([{ backendRefs: [{ name: 'backend' }] }])])[0]).toMatch(
      /HTTPRoute shop\/edge goes to all pods/,
    )
    const both = {
      backendRefs: [
        { name: 'backend-v1', weight: 9 },
        { name: 'backend-v2', weight: 1 },
      ],
    }
    expect(faults([route([both])], splitOfServices)).toEqual([])
    expect(faults([route([{ backendRefs: [{ name: 'backend-v1' }] }])], splitOfServices)[0]).toMatch(
      /every request to backend-v1/,
    )
    const testers = { matches: [{ headers: [{ name: 'x', value: '1' }] }], backendRefs: [{ name: 'backend-v2' }] }
    expect(faults([route([testers, both])], splitOfServices)).toEqual([])
  })

  test('a route to another Service for both versions', () => {
    const route = [{ route: [{ destination: { host: 'items' } }] }, halves]
    expect(faults(route, split, { hosts: ['items.shop.svc.cluster.local'] })[0]).toMatch(/number 1 .*goes to all pods/)
    expect(faults([{ route: [{ destination: { host: 'backend' } }] }], splitOfServices)).toEqual([])
  })

  test('a route to a subset for both versions', () => {
    const routes = [{ match: path('/a'), route: [to('all')] }, halves]
    expect(faults(routes)).toEqual([])
    expect(faults(routes, split, { subsets: ['all'] })[0]).toMatch(/goes to all pods/)
  })
})

describe('a route of users to the canary alone is', () => {
  const alone = { route: [to('v2')] }
  test.each<[string, HttpRoute['match'][]]>([
    ['of a port', [[{ port: 80 }]]],
    ['of a path', [path('/api')]],
    ['of a namespace', [[{ sourceNamespace: 'web' }]]],
    ['that lack a header', [[{ withoutHeaders: { 'x-internal': {} } }]]],
    ['with an empty condition', [[{ port: 80, headers: {} }]]],
    ['of testers or of a path', [[...header('tester'), ...path('/api')]]],
  ])('found and not taken for one of testers: %s', (_, [match]) => {
    const object = virtualService([{ match, ...alone }, halves])
    expect(faults([object])).toEqual([
      expect.stringMatching(
        /^the route number 1 .* of the VirtualService shop\/backend sends .* to v2 alone.*; give it both v1 and v2 as destinations, or name it in `routes`/,
      ),
    ])
    expect(findPinnedVersions([object], split).canary).toBe(false)
  })

  test.each<[string, HttpRoute['match']]>([
    ['a header', header('tester')],
    ['a query parameter', [{ queryParams: { next: { exact: '1' } } }]],
    ['a header without another', [{ ...header('tester')[0], withoutHeaders: { 'x-user': {} } }]],
    ['a header on a path', [{ ...path('/api')[0], ...header('tester')[0] }]],
  ])('not found for %s of testers', (_, match) => {
    const object = virtualService([{ match, ...alone }, halves])
    expect(faults([object])).toEqual([])
    expect(findPinnedVersions([object], split)).toEqual({ stable: false, canary: true })
  })

  test('not found if it has a name in `routes`, and then its requests are not meant for the canary', () => {
    const object = virtualService([
      { name: 'api', match: path('/api'), ...alone },
      { name: 'rest', ...halves },
    ])
    expect(faults([object], { ...split, routes: ['rest', 'api'] })).toEqual([])
    expect(faults([object], { ...split, routes: ['rest'] })).toHaveLength(1)
    expect(findPinnedVersions([object], { ...split, routes: ['rest', 'api'] }).canary).toBe(false)
  })

  test('found at a host that users share, in whatever object, and not at one of its own', () => {
    const atEdge = { gateways: ['edge'] }
    const own = routesFor(['next.shop.test'], [{ match: path('/api'), ...alone }], atEdge)
    const users = { ...routesFor(['shop.test'], [halves], atEdge), metadata: { name: 'users', namespace: 'shop' } }
    const api = routesFor(['shop.test'], [{ match: path('/api'), ...alone }], atEdge)
    expect(faults([own, users])).toEqual([])
    expect(findPinnedVersions([own, users], split).canary).toBe(true)
    expect(faults([api, users])).toHaveLength(1)
    expect(findPinnedVersions([api, users], split).canary).toBe(false)
    expect(faults([routesFor(['shop.test'], [{ match: path('/api'), ...alone }, halves], atEdge)])).toHaveLength(1)
  })

  test('found in a delegate unless its root sends it testers only', () => {
    const delegate: VirtualService = { ...virtualService([alone], { name: 'next' }), spec: { http: [alone] } }
    const root = (match: HttpRoute['match']) =>
      routesFor(['shop.test'], [{ match, delegate: { name: 'next' } }, halves], { gateways: ['edge'] })
    expect(faults([root(path('/next')), delegate])).toHaveLength(1)
    expect(faults([root(header('tester')), delegate])).toEqual([])
  })

  test('found in the Gateway API', () => {
    const rule = (match: object) => ({ matches: [match], backendRefs: [{ name: 'backend-v2' }] })
    const route = (name: string, rules: object[], hostnames: string[]): GatewayRoute =>
      ({
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'HTTPRoute',
        metadata: { name, namespace: 'shop' },
        spec: { parentRefs: [{ name: 'edge' }], hostnames, rules },
      }) as GatewayRoute
    const both = { backendRefs: [{ name: 'backend-v1' }, { name: 'backend-v2', weight: 0 }] }
    const users = route('users', [both], ['shop.test'])
    const api = rule({ path: { type: 'PathPrefix', value: '/api' } })
    expect(faults([route('api', [api], ['shop.test']), users], splitOfServices)).toHaveLength(1)
    expect(faults([route('api', [api], ['next.shop.test']), users], splitOfServices)).toEqual([])
    expect(
      faults(
        [route('api', [rule({ queryParams: [{ name: 'next', value: '1' }] })], ['shop.test']), users],
        splitOfServices,
      ),
    ).toEqual([])
  })
})

describe('no bypass is', () => {
  test.each<[string, Routed[]]>([
    ['a split alone', [virtualService([halves])]],
    ["testers' header", [virtualService([{ match: header('tester'), route: [to('v2')] }, halves])]],
    ['a path that stays on stable', [virtualService([{ match: path('/admin'), route: [to('v1')] }, halves])]],
    ['a route that an earlier one hides', [virtualService([halves, whole])]],
    ['a route to another service', [virtualService([{ match: path('/'), route: [to('v1', 100, 'other')] }])]],
    [
      'a destination without weight',
      [virtualService([{ route: [...halves.route, { destination: { host: 'backend' }, weight: 0 }] }])],
    ],
    ['a host of its own for testers', [routesFor(['next.shop.test'], [{ route: [to('v2')] }], { gateways: ['edge'] })]],
    [
      'a Service of the same name elsewhere',
      [{ ...virtualService([whole]), metadata: { name: 'x', namespace: 'other' } }],
    ],
    [
      'a narrower route before the split of the same paths',
      [
        virtualService([
          { match: path('/a/b'), redirect: {} },
          { match: path('/a'), ...halves },
        ]),
      ],
    ],
  ])('%s', (_, objects) => {
    expect(faults(objects)).toEqual([])
  })

  test('one of the host of a version that is a Service of its own, and it pins nothing', () => {
    const to = (host: string) => ({ route: [{ destination: { host } }] })
    const own = routesFor(['backend-v1'], [{ timeout: '5s', ...to('backend-v1') }])
    expect(faults([own], splitOfServices)).toEqual([])
    expect(findPinnedVersions([own], splitOfServices)).toEqual({ stable: false, canary: false })
    expect(faults([routesFor(['backend-v1', 'backend'], [to('backend-v1')])], splitOfServices)).toHaveLength(1)
    expect(
      faults([routesFor(['backend-v1'], [to('all')])], splitOfServices, { hosts: [hostOf('all', 'shop')] }),
    ).toHaveLength(1)
    const ofService: Split = { ...splitOfServices, stable: { by: 'service', name: 'backend' } }
    expect(faults([routesFor(['backend'], [to('backend')])], ofService)).toHaveLength(1)
  })

  test('a route that the canary names', () => {
    const named = { ...split, routes: ['api'] }
    expect(faults([{ name: 'api', match: path('/api/'), ...whole }, halves], named)).toEqual([])
    expect(faults([{ name: 'api', ...halves }, { route: [to('v1')] }], named)).toEqual([])
    expect(faults([{ name: 'web', match: path('/web/'), ...whole }, halves], named)).toHaveLength(1)
  })
})

describe('routes that name a version on purpose', () => {
  test.each<[string, HttpRoute[], string[] | undefined, string]>([
    ['none', [halves], undefined, ''],
    ['of testers', [{ match: header('tester'), route: [to('v2')] }, halves], undefined, 'canary'],
    ['of a path', [{ match: path('/admin'), route: [to('v1')] }, halves], undefined, 'stable'],
    ['hidden', [halves, { route: [to('v2')] }], undefined, ''],
    ['of copies', [{ ...halves, mirror: { host: 'backend', subset: 'v2' } }], undefined, 'canary'],
    [
      'of a split that does not move',
      [
        { name: 'a', match: path('/a'), ...halves },
        { name: 'b', ...halves },
      ],
      ['b'],
      'stable canary',
    ],
  ])('%s', (_, routes, names, expected) => {
    const { stable, canary } = findPinnedVersions([virtualService(routes)], {
      ...split,
      ...(names ? { routes: names } : {}),
    })
    expect([stable && 'stable', canary && 'canary'].filter(Boolean).join(' ')).toBe(expected)
  })
})
