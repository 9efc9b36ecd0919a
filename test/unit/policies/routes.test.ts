import { describe, expect, test } from 'vitest'
import type { PatchOperation } from '../../../src/cluster/client.ts'
import type { VirtualService } from '../../../src/cluster/objects.ts'
import { fullHost, routesTo, shift, weightsOf } from '../../../src/policies/routes.ts'
import { to, virtualService } from '../fixtures.ts'

const split = virtualService([{ route: [to('v1', 95), to('v2', 5)] }])
const move = (object: VirtualService, weight: number) => shift(object, 'backend', 'shop', 'v1', 'v2', weight)
const untouched: PatchOperation = { op: 'test', path: '/metadata/resourceVersion', value: '7' }

test.each([
  ['backend', 'backend.shop.svc.cluster.local'],
  ['backend.other', 'backend.other.svc.cluster.local'],
  ['backend.other.svc', 'backend.other.svc.cluster.local'],
  ['backend.other.svc.cluster.local', 'backend.other.svc.cluster.local'],
  ['api.example.com', 'api.example.com'],
])('the host %s in the namespace shop is %s', (host, full) => {
  expect(fullHost(host, 'shop')).toBe(full)
})

describe('whose VirtualService it is', () => {
  test.each<[string, VirtualService, boolean]>([
    ['by the short host', split, true],
    ['by the full host among others', { ...split, spec: { hosts: ['a.example.com', 'backend.shop.svc.cluster.local'] } }, true],
    ['the short host in another namespace is another service', { ...split, metadata: { name: 'backend', namespace: 'other' } }, false],
    ['another host', { ...split, spec: { hosts: ['frontend'] } }, false],
  ])('%s', (_, object, ours) => {
    expect(routesTo(object, 'backend', 'shop')).toBe(ours)
  })
})

describe('the split in force', () => {
  test.each<[string, VirtualService, Record<string, number> | undefined]>([
    ['two weights', split, { v1: 95, v2: 5 }],
    ['a single destination has all, written or not', virtualService([{ route: [to('v1')] }]), { v1: 100 }],
    ['a missing weight beside others is 0', virtualService([{ route: [to('v1', 100), to('v2')] }]), { v1: 100, v2: 0 }],
    ['the full host', virtualService([{ route: [to('v1', 60, 'backend.shop.svc.cluster.local'), to('v2', 40, 'backend.shop')] }]), { v1: 60, v2: 40 }],
    ['a route to another service first', virtualService([{ route: [to('v9', 100, 'frontend')] }, { route: [to('v1', 70), to('v2', 30)] }]), { v1: 70, v2: 30 }],
    ['no subset', virtualService([{ route: [{ destination: { host: 'backend' } }] }]), undefined],
    ['a redirect', virtualService([{ redirect: { uri: '/' } }]), undefined],
    ['no http routes', { ...split, spec: { hosts: ['backend'] } }, undefined],
  ])('%s', (_, object, weights) => {
    expect(weightsOf(object, 'backend', 'shop')).toEqual(weights)
  })
})

describe('the split between two subsets', () => {
  const between = (object: VirtualService) => weightsOf(object, 'backend', 'shop', ['v1', 'v2'])
  const forOneHeader = { match: [{ headers: {} }], route: [to('v2', 100)] }

  test('passes over a route for a few, which names only one of them', () => {
    const object = virtualService([forOneHeader, { route: [to('v1', 95), to('v2', 5)] }])
    expect(between(object)).toEqual({ v1: 95, v2: 5 })
    expect(weightsOf(object, 'backend', 'shop')).toEqual({ v1: 95, v2: 5 })
  })

  test('is that of a route for a few where none is for all', () => {
    expect(weightsOf(virtualService([forOneHeader]), 'backend', 'shop')).toEqual({ v2: 100 })
  })

  test('is none where no route names both', () => {
    expect(between(virtualService([forOneHeader, { route: [to('v1')] }]))).toBeUndefined()
  })
})

describe('moving the weight', () => {
  test('writes the two weights and nothing else, on the object as it was read', () => {
    expect(move(split, 25)).toEqual([
      untouched,
      { op: 'add', path: '/spec/http/0/route/0/weight', value: 75 },
      { op: 'add', path: '/spec/http/0/route/1/weight', value: 25 },
    ])
  })

  test('writes nothing when it is there already', () => {
    expect(move(split, 5)).toEqual([])
  })

  test('finds the destinations wherever they stand, in each route that names both', () => {
    const object = virtualService([
      { route: [to('v9', 100, 'frontend')] },
      { match: [{ headers: {} }], route: [to('v2', 100)] },
      { route: [to('v2', 0), to('v1', 100)] },
      { route: [to('v1', 100), to('other', 0, 'frontend'), to('v2', 0)] },
    ])
    expect(move(object, 10)?.slice(1)).toEqual([
      { op: 'add', path: '/spec/http/2/route/0/weight', value: 10 },
      { op: 'add', path: '/spec/http/2/route/1/weight', value: 90 },
      { op: 'add', path: '/spec/http/3/route/0/weight', value: 90 },
      { op: 'add', path: '/spec/http/3/route/2/weight', value: 10 },
    ])
  })

  test('takes a third subset out of the split, so that the weights still add up', () => {
    expect(move(virtualService([{ route: [to('v0', 20), to('v1', 75), to('v2', 5)] }]), 5)).toEqual([
      untouched,
      { op: 'add', path: '/spec/http/0/route/0/weight', value: 0 },
      { op: 'add', path: '/spec/http/0/route/1/weight', value: 95 },
    ])
  })

  test.each<[string, VirtualService]>([
    ['only one of the two', virtualService([{ route: [to('v1', 100)] }])],
    ['the two in different routes', virtualService([{ route: [to('v1')] }, { route: [to('v2')] }])],
    ['another service of the same subsets', virtualService([{ route: [to('v1', 95, 'frontend'), to('v2', 5, 'frontend')] }])],
  ])('says that there is nothing to move in a VirtualService that names %s', (_, object) => {
    expect(move(object, 50)).toBeUndefined()
  })
})
