import { describe, expect, test } from 'vitest'
import { findDrift, type ExpectedRoutes } from '../../../../src/canary/traffic/drift.ts'
import { headerRoutePatch } from '../../../../src/canary/traffic/header-route.ts'
import { mirrorPatch } from '../../../../src/canary/traffic/mirror.ts'
import type { RouteWrite } from '../../../../src/canary/traffic/patch-routes.ts'
import { keyOf, type GatewayRoute, type Meta, type VirtualService } from '../../../../src/cluster/objects.ts'
import type { Routed, Split } from '../../../../src/policies/routes.ts'
import { planOf, to, virtualService, split, splitOfServices } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

const plan = planOf('mirror: { percent: 30% }, ab: { match: { headers: { x-beta: yes-please } } }')

const at = (canary: number, more: Partial<Meta> = {}) =>
  virtualService([{ route: [to('v1', 100 - canary), to('v2', canary)] }], more)
const named = (name: string, canary: number) =>
  virtualService([{ name, route: [to('v1', 100 - canary), to('v2', canary)] }], { name })
const httpRoute = (canary: number): GatewayRoute => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: {
    rules: [
      {
        backendRefs: [
          { name: 'backend-v1', weight: 100 - canary },
          { name: 'backend-v2', weight: canary },
        ],
      },
    ],
  },
})

type Case = {
  current: Routed[]
  known?: Routed[]
  by?: Split
  expected?: ExpectedRoutes
  written?: Pick<RouteWrite, 'key' | 'from'>[]
}
const driftOf = ({ current, known = current, by = split, expected = { weight: 25 }, written = [] }: Case) =>
  findDrift(current, known.map(keyOf), by, plan, expected, written)

describe('there is no drift when', () => {
  test.each<[string, Case]>([
    ['the weights are as written', { current: [at(25)] }],
    ['the weights of a Gateway API route are as written', { current: [httpRoute(25)], by: splitOfServices }],
    [
      'a route to another service changes',
      {
        current: [at(25), virtualService([{ route: [to('v1', 100, 'reviews')] }], { name: 'reviews' })],
        known: [at(25)],
      },
    ],
    [
      'something other than the weights changes',
      {
        current: [virtualService([{ timeout: '1s', retries: { attempts: 9 }, route: [to('v1', 75), to('v2', 25)] }])],
        known: [at(25)],
      },
    ],
    [
      'a third version has its own weight',
      { current: [virtualService([{ route: [to('v1', 45), to('v2', 15), to('v0', 40)] }])] },
    ],
    [
      'routes that are not named differ',
      {
        current: [
          virtualService([
            { name: 'a', route: [to('v1', 75), to('v2', 25)] },
            { name: 'b', route: [to('v1', 10), to('v2', 90)] },
          ]),
        ],
        by: { ...split, routes: ['a'] },
      },
    ],
    [
      'an object without any of the named routes has other weights',
      { current: [named('a', 25), named('b', 90)], by: { ...split, routes: ['a'] } },
    ],
    [
      'the watch still shows the version before our own write',
      { current: [at(5, { resourceVersion: '7' })], written: [{ key: keyOf(at(5)), from: '7' }] },
    ],
    [
      'the watch still shows the version before our last write but one',
      {
        current: [at(0, { resourceVersion: '6' })],
        written: [
          { key: keyOf(at(5)), from: '6' },
          { key: keyOf(at(5)), from: '7' },
        ],
      },
    ],
  ])('%s', (_, given) => {
    expect(driftOf(given)).toBeUndefined()
  })
})

describe('there is drift when', () => {
  test.each<[string, Case, string]>([
    [
      'somebody lowered the weight',
      { current: [at(0)] },
      'VirtualService shop/backend gives the canary 0% instead of 25%',
    ],
    ['somebody raised it', { current: [at(26)] }, 'VirtualService shop/backend gives the canary 26% instead of 25%'],
    [
      'one of several routes has another weight',
      {
        current: [
          virtualService([{ match: [], route: [to('v1', 75), to('v2', 25)] }, { route: [to('v1', 50), to('v2', 50)] }]),
        ],
      },
      'VirtualService shop/backend gives the canary 25, 50% instead of 25%',
    ],
    [
      'a Gateway API route has another weight',
      { current: [httpRoute(0)], by: splitOfServices },
      'HTTPRoute shop/backend gives the canary 0% instead of 25%',
    ],
    [
      'somebody added an object that splits, with other weights',
      { current: [at(25), at(90, { name: 'new' })], known: [at(25)] },
      'VirtualService shop/new gives the canary 90% instead of 25%',
    ],
    [
      'an object was deleted',
      { current: [], known: [at(25)] },
      'VirtualService shop/backend was deleted during the promotion',
    ],
    [
      'one of several objects was deleted',
      { current: [at(25)], known: [at(25), at(25, { name: 'shop' })] },
      'VirtualService shop/shop was deleted during the promotion',
    ],
    [
      'the routes no longer split',
      { current: [virtualService([{ route: [to('v1', 100)] }])] },
      'VirtualService shop/backend no longer splits traffic between v1 and v2',
    ],
    [
      'a named route was renamed',
      { current: [named('b', 25)], by: { ...split, routes: ['a'] } },
      'no route named a splits traffic between v1 and v2 now',
    ],
    [
      'the watch shows another version than the one before our write',
      { current: [at(5, { resourceVersion: '9' })], written: [{ key: keyOf(at(5)), from: '7' }] },
      'VirtualService shop/backend gives the canary 5% instead of 25%',
    ],
    [
      'the version before our write is that of another object',
      {
        current: [at(5, { resourceVersion: '7' })],
        written: [{ key: 'VirtualService shop/shop', from: '7' }],
      },
      'VirtualService shop/backend gives the canary 5% instead of 25%',
    ],
  ])('%s', (_, given, sentence) => {
    expect(driftOf(given)).toBe(sentence)
  })
})

describe('the routes of a stage', () => {
  const plain = at(0)
  const mirrored = patched(
    { ...plain, metadata: { ...plain.metadata, annotations: {} } },
    mirrorPatch(plain, split, 30).filter(({ path }) => path !== '/metadata/annotations'),
  )
  const picked = patched(plain, headerRoutePatch(plain, split, plan.ab!.match))
  const mirror: ExpectedRoutes = { weight: 0, kind: 'mirror', percent: 30 }
  const ab: ExpectedRoutes = { weight: 0, kind: 'ab' }

  test.each<[string, VirtualService, ExpectedRoutes, string | undefined]>([
    ['with the mirror as written', mirrored, mirror, undefined],
    [
      'without the mirror',
      plain,
      mirror,
      'VirtualService shop/backend no longer sends the canary copies of 30% of the requests',
    ],
    [
      'with a mirror of another share',
      mirrored,
      { ...mirror, percent: 50 },
      'VirtualService shop/backend no longer sends the canary copies of 50% of the requests',
    ],
    ['with the route for the requests that match', picked, ab, undefined],
    [
      'without the route for the requests that match',
      plain,
      ab,
      'VirtualService shop/backend no longer sends the canary the requests that match',
    ],
    [
      'with another weight, which is reported first',
      at(40),
      ab,
      'VirtualService shop/backend gives the canary 40% instead of 0%',
    ],
  ])('are checked %s', (_, object, expected, sentence) => {
    expect(driftOf({ current: [object], known: [object], expected })).toBe(sentence)
  })

  test('are not expected in a Gateway API route, which cannot have them', () => {
    expect(driftOf({ current: [httpRoute(0)], by: splitOfServices, expected: mirror })).toBeUndefined()
  })
})

describe('the writer of the routes', () => {
  type Field = NonNullable<Meta['managedFields']>[number]
  const wrote = (manager: string | undefined, time: string | undefined, spec: object = { 'f:http': {} }): Field => ({
    ...(manager === undefined ? {} : { manager }),
    ...(time === undefined ? {} : { time }),
    fieldsV1: { 'f:spec': spec },
  })
  const [early, late] = ['2026-11-24T20:00:00Z', '2026-11-24T21:00:00Z']

  test.each<[string, Field[], string]>([
    [
      'is the last manager of these fields',
      [wrote('argocd-controller', late), wrote('kubectl-edit', early)],
      ': argocd-controller wrote it at 2026-11-24T21:00:00Z',
    ],
    [
      'is never mesh-canary',
      [wrote('mesh-canary', late), wrote('kubectl-edit', early)],
      ': kubectl-edit wrote it at 2026-11-24T20:00:00Z',
    ],
    [
      'is nobody who wrote only other fields',
      [
        wrote('istiod', late, { 'f:hosts': {} }),
        { manager: 'labeller', time: late, fieldsV1: { 'f:metadata': {} } },
        wrote('kubectl-edit', early),
      ],
      ': kubectl-edit wrote it at 2026-11-24T20:00:00Z',
    ],
    [
      'may be the manager of the rules of a Gateway API route',
      [wrote('flux', late, { 'f:rules': {} })],
      ': flux wrote it at 2026-11-24T21:00:00Z',
    ],
    ['may have no name and no time', [wrote(undefined, undefined)], ': somebody wrote it at an unknown time'],
    ['is unknown without managed fields', [wrote('mesh-canary', late)], ''],
  ])('%s', (_, managedFields, who) => {
    expect(driftOf({ current: [at(0, { managedFields })] })).toBe(
      `VirtualService shop/backend gives the canary 0% instead of 25%${who}`,
    )
    expect(driftOf({ current: [virtualService([{ route: [to('v1', 100)] }], { managedFields })] })).toBe(
      `VirtualService shop/backend no longer splits traffic between v1 and v2${who}`,
    )
  })
})
