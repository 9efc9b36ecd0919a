import { describe, expect, test } from 'vitest'
import {
  setMirror,
  setWeight,
  resetToStable,
  readWeight,
  setHeaderRoute,
} from '../../../../src/canary/traffic/router.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { PatchOperation } from '../../../../src/cluster/client.ts'
import type { HttpRoute, VirtualService } from '../../../../src/cluster/objects.ts'
import type { Routed } from '../../../../src/policies/routes.ts'
import { clusterWith, to, virtualService, split, splitOfServices } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

const weights = (canary: number, name = 'mesh-canary') => ({ name, route: [to('v1', 100 - canary), to('v2', canary)] })
const inMesh = virtualService([weights(5)])
const atGateway: VirtualService = {
  ...virtualService([], { name: 'shop' }),
  spec: { hosts: ['shop.example.com'], gateways: ['shop'], http: [weights(5)] },
}
const gatewayRoute = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: {
    rules: [
      {
        backendRefs: [
          { name: 'backend-v1', weight: 1 },
          { name: 'backend-v2', weight: 0 },
        ],
      },
    ],
  },
}

type Refusal = { object: string; status: number }

/** A fake API server: it stores and patches these objects, and refuses the first patches. test/e2e uses real ones. */
function fakeServer(objects: Routed[], refusals: Refusal[] = []) {
  let stored: Routed[] = objects.map((object, i) => ({
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(i) },
  }))
  const patches: string[] = []
  const cluster = clusterWith({
    list: (kind: string) => Promise.resolve(stored.filter((object) => object.kind === kind)),
    patch: (_kind: string, _namespace: string, name: string, operations: PatchOperation[]) => {
      patches.push(name)
      const refusal = refusals.findIndex(({ object }) => object === name)
      if (refusal >= 0) return Promise.reject(new ApiError(refusals.splice(refusal, 1)[0]!.status, 'refused'))
      stored = stored.map((object) => (object.metadata.name === name ? patched(object, operations) : object))
      return Promise.resolve(stored.find((object) => object.metadata.name === name)!)
    },
  })
  return {
    cluster,
    patches,
    routes: (i = 0) => (stored[i] as VirtualService).spec.http!,
    object: (i = 0) => stored[i]!,
    weights: () =>
      stored.map((object) =>
        (object as VirtualService).spec.http!.map(({ route = [] }) => route.map(({ weight }) => weight)),
      ),
  }
}

describe('the weight', () => {
  test('changes in every VirtualService that splits between the versions, whoever wrote it and whatever its hosts are', async () => {
    const { cluster, weights, patches } = fakeServer([
      atGateway,
      inMesh,
      virtualService([{ route: [to('v1')] }], { name: 'other' }),
    ])
    await setWeight(cluster, split, 25)
    expect(weights().slice(0, 2)).toEqual([[[75, 25]], [[75, 25]]])
    expect(patches).toEqual(['shop', 'backend'])
  })

  test('is only written to the version of the object that was read', async () => {
    const operations: PatchOperation[] = []
    const cluster = clusterWith({
      list: () => Promise.resolve([inMesh]),
      patch: (...[, , , given]: [string, string, string, PatchOperation[]]) => (
        operations.push(...given), Promise.resolve(inMesh)
      ),
    })
    await setWeight(cluster, split, 25)
    expect(operations[0]).toEqual({ op: 'test', path: '/metadata/resourceVersion', value: '7' })
  })

  test.each([409, 422, 404])(
    'is read again after a conflict (%i), and not written again where it is in force',
    async (status) => {
      const { cluster, weights, patches } = fakeServer([inMesh, atGateway], [{ object: 'shop', status }])
      await setWeight(cluster, split, 25)
      expect(patches).toEqual(['backend', 'shop', 'shop'])
      expect(weights()).toEqual([[[75, 25]], [[75, 25]]])
    },
  )

  test('is not retried when the server refuses it for good', async () => {
    const { cluster, patches } = fakeServer([inMesh], [{ object: 'backend', status: 403 }])
    await expect(setWeight(cluster, split, 25)).rejects.toThrow('refused')
    expect(patches).toEqual(['backend'])
  })

  test('reaches all other objects when one is refused', async () => {
    const { cluster, weights, patches } = fakeServer([inMesh, atGateway], [{ object: 'backend', status: 403 }])
    await expect(setWeight(cluster, split, 0)).rejects.toThrow('refused')
    expect(patches).toEqual(['backend', 'shop'])
    expect(weights()).toEqual([[[95, 5]], [[100, 0]]])
  })

  test('is read from the route with the lowest weight, as an earlier write may have been interrupted', async () => {
    const { cluster } = fakeServer([
      virtualService([weights(50)]),
      { ...atGateway, spec: { ...atGateway.spec, http: [weights(25)] } },
    ])
    expect(await readWeight(cluster, split)).toBe(25)
  })

  test('cannot be read when other versions have all the traffic', async () => {
    const { cluster } = fakeServer([virtualService([{ route: [to('v0', 100), to('v1', 0), to('v2', 0)] }])])
    await expect(readWeight(cluster, split)).rejects.toThrow(
      'send none of its traffic to v1 or v2; give v1 a weight first',
    )
  })

  test('can be neither read nor written when no route splits', async () => {
    const { cluster } = fakeServer([])
    const message =
      'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first'
    for (const act of [
      () => readWeight(cluster, split),
      () => setWeight(cluster, split, 5),
      () => resetToStable(cluster, split),
    ])
      await expect(act()).rejects.toThrow(message)
  })
})

describe('named routes', () => {
  const two = virtualService([weights(5, 'api'), weights(5, 'rest'), { name: 'beta', route: [to('v2')] }])

  test('are the only ones whose weights change', async () => {
    const { cluster, weights } = fakeServer([two])
    await setWeight(cluster, { ...split, routes: ['rest'] }, 25)
    expect(weights()).toEqual([[[95, 5], [75, 25], [undefined]]])
    expect(await readWeight(cluster, { ...split, routes: ['rest'] })).toBe(25)
  })

  test.each([
    [
      'are an error when no route has such a name',
      two,
      'no route named beta, other in shop splits backend between v1 and v2; choose `routes` from those that do: api, rest',
    ],
    [
      'are an error when no route has a name',
      virtualService([{ route: weights(5).route }]),
      'the routes that do have no name: remove `routes` to move them all',
    ],
  ])('%s', async (_, object, message) => {
    await expect(readWeight(fakeServer([object]).cluster, { ...split, routes: ['beta', 'other'] })).rejects.toThrow(
      message,
    )
  })
})

describe('versions that are Services', () => {
  test('get their weights in an HTTPRoute', async () => {
    const { cluster, object } = fakeServer([gatewayRoute])
    await setWeight(cluster, splitOfServices, 20)
    expect(object().spec).toEqual({
      rules: [
        {
          backendRefs: [
            { name: 'backend-v1', weight: 80 },
            { name: 'backend-v2', weight: 20 },
          ],
        },
      ],
    })
  })

  test.each([403, 404])('work in a cluster without a readable Gateway API (%i)', async (status) => {
    const route = [
      { destination: { host: 'backend-v1' }, weight: 90 },
      { destination: { host: 'backend-v2' }, weight: 10 },
    ]
    const cluster = clusterWith({
      list: (kind: string) =>
        kind === 'VirtualService'
          ? Promise.resolve([virtualService([{ route }])])
          : Promise.reject(new ApiError(status, 'no')),
    })
    expect(await readWeight(cluster, splitOfServices)).toBe(10)
  })

  test('report what to write when no route splits', async () => {
    await expect(readWeight(fakeServer([]).cluster, splitOfServices)).rejects.toThrow(
      'no route of a VirtualService or an HTTPRoute in shop splits backend between backend-v1 and backend-v2; write one with both Services as destinations',
    )
  })

  test('cannot get copies of requests through an HTTPRoute', async () => {
    await expect(setMirror(fakeServer([gatewayRoute]).cluster, splitOfServices, 10)).rejects.toThrow(
      'backend-v2 cannot get copies of requests: no http route of a VirtualService',
    )
  })
})

/** A route with many settings. */
const settings = { timeout: '2s', retries: { attempts: 2 }, headers: { request: { set: { a: 'b' } } } }
const rich: HttpRoute = { ...weights(0), ...settings }
const beta = [{ headers: { 'X-Beta': { exact: '1' } } }]
const isBeta = { 'x-beta': { exact: '1' } }

describe('the requests that match', () => {
  test('go to the canary by a route before the one that splits, with the settings of that one', async () => {
    const { cluster, routes } = fakeServer([virtualService([{ name: 'first', redirect: {} }, rich])])
    await setHeaderRoute(cluster, split, beta)
    expect(routes()).toEqual([
      { name: 'first', redirect: {} },
      { ...settings, name: 'mesh-canary-ab', match: [{ headers: isBeta }], route: [to('v2')] },
      rich,
    ])
  })

  test('are only those that the route would have matched', async () => {
    const own = {
      match: [{ uri: { prefix: '/a' }, headers: { host: { exact: 'x' } } }, { uri: { prefix: '/b' } }],
      route: weights(0).route,
    }
    const { cluster, routes } = fakeServer([virtualService([own, rich])])
    await setHeaderRoute(cluster, split, beta)
    expect(routes().map(({ match }) => match)).toEqual([
      [
        { uri: { prefix: '/a' }, headers: { host: { exact: 'x' }, ...isBeta } },
        { uri: { prefix: '/b' }, headers: isBeta },
      ],
      own.match,
      [{ headers: isBeta }],
      undefined,
    ])
  })

  test('are those of one of several conditions, on each path of the route', async () => {
    const own = { match: [{ uri: { prefix: '/a' } }, { uri: { prefix: '/b' } }], route: weights(0).route }
    const { cluster, routes } = fakeServer([virtualService([own])])
    await setHeaderRoute(cluster, split, [...beta, { userAgent: 'Curl' }])
    const isCurl = { 'user-agent': { regex: '.*(?:Curl).*' } }
    expect(routes()[0]!.match).toEqual([
      { uri: { prefix: '/a' }, headers: isBeta },
      { uri: { prefix: '/a' }, headers: isCurl },
      { uri: { prefix: '/b' }, headers: isBeta },
      { uri: { prefix: '/b' }, headers: isCurl },
    ])
  })

  test.each([
    ['the path', { uri: { prefix: '/a' } }, [{ path: '/b' }], 'on uri'],
    ['a header', { headers: { 'x-beta': { exact: '2' } } }, beta, 'on headers.x-beta'],
  ])(
    'cannot be matched by %s when the route already has a condition on it, and nothing is written',
    async (_, condition, match, message) => {
      const { cluster, patches } = fakeServer([
        inMesh,
        { ...atGateway, spec: { ...atGateway.spec, http: [{ match: [condition], ...weights(0) }] } },
      ])
      await expect(setHeaderRoute(cluster, split, match)).rejects.toThrow(message)
      expect(patches).toEqual([])
    },
  )

  test.each<[string, (cluster: Parameters<typeof resetToStable>[0]) => Promise<unknown>]>([
    ['after the stage', (cluster) => setHeaderRoute(cluster, split, undefined)],
    ['after a reset to stable', (cluster) => resetToStable(cluster, split)],
  ])('leave no setting behind %s', async (_, end) => {
    const before = virtualService([{ match: [{ uri: { prefix: '/a' } }], ...rich }, rich])
    const { cluster, routes } = fakeServer([before])
    await setHeaderRoute(cluster, split, beta)
    await end(cluster)
    expect(routes()).toEqual(before.spec.http)
  })

  test('are replaced when the match changes, and not written twice', async () => {
    const { cluster, routes, patches } = fakeServer([virtualService([rich])])
    await setHeaderRoute(cluster, split, [{ method: 'GET' }])
    await setHeaderRoute(cluster, split, beta)
    await setHeaderRoute(cluster, split, beta)
    expect(patches).toHaveLength(2)
    expect(routes().map(({ match }) => match)).toEqual([[{ headers: isBeta }], undefined])
  })
})

describe('copies of requests', () => {
  const copies = { mirror: { host: 'backend', subset: 'v2' }, mirrorPercentage: { value: 20 } }

  test('go to the destination of the canary in the route', async () => {
    const { cluster, routes } = fakeServer([virtualService([rich, { redirect: {} }])])
    await setMirror(cluster, split, 20)
    expect(routes()).toEqual([{ ...rich, ...copies }, { redirect: {} }])
  })

  test.each<[string, object]>([
    ['annotations of its own', { annotations: { a: 'b' } }],
    ['none', {}],
  ])('leave nothing behind on an object with %s', async (_, meta) => {
    const { cluster, routes, object } = fakeServer([virtualService([rich], meta)])
    await setMirror(cluster, split, 20)
    await setMirror(cluster, split, 50)
    expect(routes()).toEqual([{ ...rich, ...copies, mirrorPercentage: { value: 50 } }])
    await setMirror(cluster, { ...split, routes: ['mesh-canary'] }, undefined)
    expect(routes()).toEqual([rich])
    // The API server omits an empty map.
    expect({ annotations: {}, ...meta }).toMatchObject({ annotations: object().metadata.annotations })
  })

  test.each<[string, object, string]>([
    [
      'on a named route',
      { name: 'mesh-canary', mirror: { host: 'shadow' } },
      'the route mesh-canary of the VirtualService shop/backend already has a mirror',
    ],
    [
      'that also goes to the canary',
      { name: 'mesh-canary', mirror: { host: 'backend', subset: 'v2' } },
      'already has a mirror',
    ],
    [
      'that is one of several',
      { name: undefined, mirrors: [{ destination: { host: 'shadow' } }] },
      'the http route 1 of the VirtualService shop/backend already has a mirror',
    ],
  ])(
    'are rejected beside a mirror of the user %s, which stays after a reset to stable',
    async (_, userMirror, message) => {
      const before = virtualService([{ ...weights(5), ...userMirror }])
      const { cluster, routes, weights: now } = fakeServer([before])
      await expect(setMirror(cluster, split, 20)).rejects.toThrow(message)
      expect(await resetToStable(cluster, split)).toHaveLength(1)
      expect(now()).toEqual([[[100, 0]]])
      expect(routes()[0]).toMatchObject(userMirror)
    },
  )

  test('are treated as those of the user when later policies left only our annotation', async () => {
    const userRoute = { ...weights(0), mirror: copies.mirror, mirrorPercentage: { value: 50 } }
    const { cluster, routes, object } = fakeServer([
      virtualService([userRoute], { annotations: { 'mesh-canary.io/mirror': '20' } }),
    ])
    await setMirror(cluster, split, undefined)
    expect(routes()).toEqual([userRoute])
    expect(object().metadata.annotations).toEqual({})
  })

  test('are not made of the requests that match, because the canary gets those itself', async () => {
    const { cluster, routes } = fakeServer([virtualService([rich])])
    await setMirror(cluster, split, 20)
    await setHeaderRoute(cluster, split, beta)
    expect(routes().map((route) => 'mirror' in route)).toEqual([false, true])
  })
})

describe('a reset to stable', () => {
  test('removes weight, mirror and header route in one write', async () => {
    const before = [virtualService([weights(0), rich]), atGateway]
    const { cluster, patches, routes } = fakeServer(before)
    await setMirror(cluster, split, 20)
    await setHeaderRoute(cluster, split, beta)
    await setWeight(cluster, split, 40)
    patches.length = 0
    expect(await resetToStable(cluster, split)).toHaveLength(2)
    expect(patches).toEqual(['backend', 'shop'])
    expect([routes(0), routes(1)]).toEqual([[weights(0), rich], [weights(0)]])
  })

  test('also writes to an object that needs no change, and changes no route', async () => {
    const { cluster, routes, object } = fakeServer([virtualService([weights(0)])])
    expect(await resetToStable(cluster, split)).toMatchObject([{ changedRoutes: false }])
    expect(routes()).toEqual([weights(0)])
    expect(object().metadata.annotations).toHaveProperty(['mesh-canary.io/fence'])
  })

  const changed = virtualService([{ route: [to('v2', 100)] }])
  const saved = virtualService([{ route: [to('v1', 40), to('v2', 60)] }])

  test('restores the saved routes of an object that no longer splits, with all traffic at stable', async () => {
    const { cluster, routes } = fakeServer([changed])
    const readable = {
      ...cluster,
      get: () => Promise.resolve({ ...changed, metadata: { ...changed.metadata, resourceVersion: '0' } }),
    }
    await resetToStable(readable as typeof cluster, split, { saved: [saved] })
    expect(routes()).toEqual([{ route: [to('v1', 100), to('v2', 0)] }])
  })

  test('recreates an object that somebody has deleted', async () => {
    const created: Routed[] = []
    const { cluster } = fakeServer([])
    const empty = {
      ...cluster,
      get: () => Promise.resolve(undefined),
      create: (object: Routed) => (created.push(object), Promise.resolve(object)),
    }
    expect(await resetToStable(empty as typeof cluster, split, { saved: [saved] })).toMatchObject([
      { key: 'VirtualService shop/backend' },
    ])
    expect((created[0] as VirtualService).spec.http).toEqual([{ route: [to('v1', 100), to('v2', 0)] }])
  })

  test('reads only the saved objects, by name, for a caller that may not list', async () => {
    const lists: string[] = []
    const { cluster, patches } = fakeServer([saved])
    const readable = {
      ...cluster,
      list: (kind: string) => (lists.push(kind), Promise.resolve([])),
      get: () => Promise.resolve({ ...saved, metadata: { ...saved.metadata, resourceVersion: '0' } }),
    }
    expect(await resetToStable(readable as typeof cluster, split, { saved: [saved], onlySaved: true })).toMatchObject([
      { key: 'VirtualService shop/backend' },
    ])
    expect([lists, patches]).toEqual([[], ['backend']])
  })
})
