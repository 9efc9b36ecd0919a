import { describe, expect, test } from 'vitest'
import { findDrift, type ExpectedRoutes } from '../../../../src/canary/traffic/drift.ts'
import { headerRoutePatch } from '../../../../src/canary/traffic/header-route.ts'
import { mirrorPatch } from '../../../../src/canary/traffic/mirror.ts'
import type { RouteWrite } from '../../../../src/canary/traffic/router.ts'
import { keyOf, type GatewayRoute, type Meta, type VirtualService } from '../../../../src/cluster/objects.ts'
import type { Routed, Split } from '../../../../src/policies/routes.ts'
import { planOf, to, virtualService } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const services: Split = {
  ...split,
  stable: { by: 'service', name: 'backend-v1' },
  canary: { by: 'service', name: 'backend-v2' },
}
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

type Case = { live: Routed[]; known?: Routed[]; by?: Split; asked?: ExpectedRoutes; written?: RouteWrite[] }
const told = ({ live, known = live, by = split, asked = { weight: 25 }, written = [] }: Case) =>
  findDrift(live, known.map(keyOf), by, plan, asked, written)

describe('nothing is said while', () => {
  test.each<[string, Case]>([
    ['the weights are as asked for', { live: [at(25)] }],
    ['they are so in a route of the Gateway API', { live: [httpRoute(25)], by: services }],
    [
      'a route to others changes',
      { live: [at(25), virtualService([{ route: [to('v1', 100, 'reviews')] }], { name: 'reviews' })], known: [at(25)] },
    ],
    [
      'more than weights was changed, and they are as asked for',
      {
        live: [virtualService([{ timeout: '1s', retries: { attempts: 9 }, route: [to('v1', 75), to('v2', 25)] }])],
        known: [at(25)],
      },
    ],
    [
      'a third version has its own share',
      { live: [virtualService([{ route: [to('v1', 45), to('v2', 15), to('v0', 40)] }])] },
    ],
    [
      'routes that were not named differ',
      {
        live: [
          virtualService([
            { name: 'a', route: [to('v1', 75), to('v2', 25)] },
            { name: 'b', route: [to('v1', 10), to('v2', 90)] },
          ]),
        ],
        by: { ...split, routes: ['a'] },
      },
    ],
    [
      'an object with none of the named routes has other weights',
      { live: [named('a', 25), named('b', 90)], by: { ...split, routes: ['a'] } },
    ],
    [
      'the watch still shows what stood before our own write',
      { live: [at(5, { resourceVersion: '7' })], written: [{ key: keyOf(at(5)), from: '7', to: '8' }] },
    ],
    [
      'it shows what stood before the write before that',
      {
        live: [at(0, { resourceVersion: '6' })],
        written: [
          { key: keyOf(at(5)), from: '6', to: '7' },
          { key: keyOf(at(5)), from: '7', to: '8' },
        ],
      },
    ],
  ])('%s', (_, given) => {
    expect(told(given)).toBeUndefined()
  })
})

describe('it is told when', () => {
  test.each<[string, Case, string]>([
    [
      'somebody gave the canary less',
      { live: [at(0)] },
      'VirtualService shop/backend gives the canary 0% instead of 25%',
    ],
    ['somebody gave it more', { live: [at(26)] }, 'VirtualService shop/backend gives the canary 26% instead of 25%'],
    [
      'only one of several routes',
      {
        live: [
          virtualService([{ match: [], route: [to('v1', 75), to('v2', 25)] }, { route: [to('v1', 50), to('v2', 50)] }]),
        ],
      },
      'VirtualService shop/backend gives the canary 25, 50% instead of 25%',
    ],
    [
      'a route of the Gateway API',
      { live: [httpRoute(0)], by: services },
      'HTTPRoute shop/backend gives the canary 0% instead of 25%',
    ],
    [
      'an object that splits was added, with other weights',
      { live: [at(25), at(90, { name: 'new' })], known: [at(25)] },
      'VirtualService shop/new gives the canary 90% instead of 25%',
    ],
    [
      'an object was deleted',
      { live: [], known: [at(25)] },
      'VirtualService shop/backend was deleted in the middle of the promotion',
    ],
    [
      'one of several was',
      { live: [at(25)], known: [at(25), at(25, { name: 'shop' })] },
      'VirtualService shop/shop was deleted in the middle of the promotion',
    ],
    [
      'the routes do not split any more',
      { live: [virtualService([{ route: [to('v1', 100)] }])] },
      'the routes of VirtualService shop/backend do not split between v1 and v2 any more',
    ],
    [
      'a route that was named has another name',
      { live: [named('b', 25)], by: { ...split, routes: ['a'] } },
      'no route named a splits between v1 and v2 any more',
    ],
    [
      'the watch shows something else than before our write',
      { live: [at(5, { resourceVersion: '9' })], written: [{ key: keyOf(at(5)), from: '7', to: '8' }] },
      'VirtualService shop/backend gives the canary 5% instead of 25%',
    ],
    [
      'another object has that version',
      { live: [at(5, { resourceVersion: '7' })], written: [{ key: 'VirtualService shop/shop', from: '7', to: '8' }] },
      'VirtualService shop/backend gives the canary 5% instead of 25%',
    ],
  ])('%s', (_, given, sentence) => {
    expect(told(given)).toBe(sentence)
  })
})

describe('what a stage asks beside the weight', () => {
  const plain = at(0)
  const mirrored = patched(
    { ...plain, metadata: { ...plain.metadata, annotations: {} } },
    mirrorPatch(plain, split, 30).filter(({ path }) => path !== '/metadata/annotations'),
  )
  const picked = patched(plain, headerRoutePatch(plain, split, plan.ab!.match))
  const mirror: ExpectedRoutes = { weight: 0, kind: 'mirror', percent: 30 }
  const ab: ExpectedRoutes = { weight: 0, kind: 'ab' }

  test.each<[string, VirtualService, ExpectedRoutes, string | undefined]>([
    ['copies as asked for', mirrored, mirror, undefined],
    [
      'no copies any more',
      plain,
      mirror,
      'VirtualService shop/backend does not send the canary copies of 30% of the requests any more',
    ],
    [
      'copies of another share',
      mirrored,
      { ...mirror, percent: 50 },
      'VirtualService shop/backend does not send the canary copies of 50% of the requests any more',
    ],
    ['the route of those that match', picked, ab, undefined],
    [
      'no route of those that match',
      plain,
      ab,
      'VirtualService shop/backend does not send the canary the requests that match any more',
    ],
    ['the weight, which comes first', at(40), ab, 'VirtualService shop/backend gives the canary 40% instead of 0%'],
  ])('is looked for too: %s', (_, live, asked, sentence) => {
    expect(told({ live: [live], known: [live], asked })).toBe(sentence)
  })

  test('is not asked of a route of the Gateway API, which has no place for it', () => {
    expect(told({ live: [httpRoute(0)], by: services, asked: mirror })).toBeUndefined()
  })
})

describe('who it was', () => {
  type Field = NonNullable<Meta['managedFields']>[number]
  const wrote = (manager: string | undefined, time: string | undefined, spec: object = { 'f:http': {} }): Field => ({
    ...(manager === undefined ? {} : { manager }),
    ...(time === undefined ? {} : { time }),
    fieldsV1: { 'f:spec': spec },
  })
  const [early, late] = ['2026-11-24T20:00:00Z', '2026-11-24T21:00:00Z']

  test.each<[string, Field[], string]>([
    [
      'is the last who wrote the routes',
      [wrote('argocd-controller', late), wrote('kubectl-edit', early)],
      ': argocd-controller wrote it at 2026-11-24T21:00:00Z',
    ],
    [
      'is never ourselves',
      [wrote('mesh-canary', late), wrote('kubectl-edit', early)],
      ': kubectl-edit wrote it at 2026-11-24T20:00:00Z',
    ],
    [
      'is nobody who wrote other fields only',
      [
        wrote('istiod', late, { 'f:hosts': {} }),
        { manager: 'labeller', time: late, fieldsV1: { 'f:metadata': {} } },
        wrote('kubectl-edit', early),
      ],
      ': kubectl-edit wrote it at 2026-11-24T20:00:00Z',
    ],
    ['may be a writer of rules', [wrote('flux', late, { 'f:rules': {} })], ': flux wrote it at 2026-11-24T21:00:00Z'],
    ['may have neither name nor time', [wrote(undefined, undefined)], ': somebody wrote it at an unknown time'],
    ['is not guessed', [wrote('mesh-canary', late)], ''],
  ])('%s', (_, managedFields, who) => {
    expect(told({ live: [at(0, { managedFields })] })).toBe(
      `VirtualService shop/backend gives the canary 0% instead of 25%${who}`,
    )
    expect(told({ live: [virtualService([{ route: [to('v1', 100)] }], { managedFields })] })).toBe(
      `the routes of VirtualService shop/backend do not split between v1 and v2 any more${who}`,
    )
  })
})
