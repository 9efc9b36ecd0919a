import { describe, expect, test } from 'vitest'
import type { HttpRoute } from '../../../../src/cluster/objects.ts'
import { hiddenByOther, hiddenInOne } from '../../../../src/policies/conflicts/hidden-routes.ts'
import { policy } from '../recording-cluster.ts'

const route = [{ destination: { host: 'backend' } }]
const on = (...match: object[]): HttpRoute => (match.length > 0 ? { match, route } : { route })
const object = (source: string, ...http: HttpRoute[]) => ({
  object: policy('VirtualService', source, { hosts: ['backend'], http }),
  source: `${source}.yaml:1`,
})
const uri = (prefix: string) => ({ uri: { prefix } })
const header = (exact: string) => ({ headers: { 'x-debug': { exact } } })

test('a route after one for every request is hidden, and both are named', () => {
  expect(hiddenInOne(object('a', { ...on(), name: 'all' }, on(header('1'))))).toEqual([
    'policies: http route 2 of the VirtualService shop/a (a.yaml:1) never gets a request, because http route 1 of the VirtualService shop/a (a.yaml:1, all) takes every request; put it before that route, or remove it',
  ])
})

test.each<[string, object[], object[]]>([
  ['a longer prefix after a shorter one', [uri('/api')], [uri('/api/items')]],
  ['an exact path after its prefix', [uri('/api')], [{ uri: { exact: '/api/items' } }]],
  ['more conditions after fewer', [uri('/api')], [{ ...uri('/api'), ...header('1') }]],
  ['anything after the prefix /', [uri('/')], [header('1')]],
  ['a value of a header after any value of it', [{ headers: { 'x-debug': {} } }], [header('1')]],
  ['one of several matches', [uri('/a'), uri('/b')], [uri('/b/c')]],
  ['the same match for one port', [uri('/api')], [{ ...uri('/api'), port: 80 }]],
  ['callers with more labels', [{ sourceLabels: { app: 'web' } }], [{ sourceLabels: { app: 'web', tier: 'x' } }]],
])('%s is hidden', (_, first, second) => {
  expect(hiddenInOne(object('a', on(...first), on(...second)))).toHaveLength(1)
})

test.each<[string, object[], object[]]>([
  ['a shorter prefix after a longer one', [uri('/api/items')], [uri('/api')]],
  ['another value of a header', [header('1')], [header('2')]],
  ['a path after the same path for one port only', [{ ...uri('/api'), port: 80 }], [uri('/api')]],
  ['a path for some gateways', [{ ...uri('/'), gateways: ['edge'] }], [{ ...uri('/'), gateways: ['mesh'] }]],
  ['a path in any case after the same path in this case', [uri('/api')], [{ ...uri('/api'), ignoreUriCase: true }]],
  ['one match of several that is not taken', [uri('/a')], [uri('/a/b'), uri('/c')]],
  ['another regular expression', [{ uri: { regex: '/a.*' } }], [{ uri: { regex: '/ab.*' } }]],
  ['requests without a header', [{ withoutHeaders: { 'x-debug': {} } }], [uri('/')]],
])('%s is not hidden', (_, first, second) => {
  expect(hiddenInOne(object('a', on(...first), on(...second)))).toEqual([])
})

describe('routes of two objects', () => {
  test('hide each other whichever comes first, and both places are named', () => {
    expect(hiddenByOther(object('a', on(uri('/api/items'))), object('b', on(uri('/api'))), true)).toEqual([
      'policies: http route 1 of the VirtualService shop/a (a.yaml:1) never gets a request, because http route 1 of the VirtualService shop/b (b.yaml:1) takes all that it matches; write both into one object, in the order that you want',
    ])
  })

  test('may have the default route in either, because it comes last', () => {
    expect(hiddenByOther(object('a', on()), object('b', on(uri('/api'))), true)).toEqual([])
  })

  test('are merged if they have the same match, and collide where nothing merges them', () => {
    expect(hiddenByOther(object('a', on(uri('/api'))), object('b', on(uri('/api'))), true)).toEqual([])
    expect(hiddenByOther(object('a', on()), object('b', on()), false)).toHaveLength(1)
  })
})
