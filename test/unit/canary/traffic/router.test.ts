import { describe, expect, test } from 'vitest'
import {
  setMirror,
  setWeight,
  resetToStable,
  readWeight,
  setHeaderRoute,
  type Split,
} from '../../../../src/canary/traffic/router.ts'
import { ApiError, type PatchOperation } from '../../../../src/cluster/client.ts'
import type { HttpRoute, VirtualService } from '../../../../src/cluster/objects.ts'
import type { Routed } from '../../../../src/policies/routes.ts'
import { clusterWith, to, virtualService } from '../../fixtures.ts'
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

type Refusal = { by: string; status: number }

/** An API server in so far as it keeps these objects, patches them, and refuses the first patches. Real ones stand in test/e2e. */
function keeper(objects: Routed[], refusals: Refusal[] = []) {
  let kept: Routed[] = objects.map((object, i) => ({
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(i) },
  }))
  const asked: string[] = []
  const cluster = clusterWith({
    list: (kind: string) => Promise.resolve(kept.filter((object) => object.kind === kind)),
    patch: (_kind: string, _namespace: string, name: string, operations: PatchOperation[]) => {
      asked.push(name)
      const refusal = refusals.findIndex(({ by }) => by === name)
      if (refusal >= 0) return Promise.reject(new ApiError(refusals.splice(refusal, 1)[0]!.status, 'refused'))
      kept = kept.map((object) => (object.metadata.name === name ? patched(object, operations) : object))
      return Promise.resolve(kept.find((object) => object.metadata.name === name)!)
    },
  })
  return {
    cluster,
    asked,
    routes: (i = 0) => (kept[i] as VirtualService).spec.http!,
    object: (i = 0) => kept[i]!,
    weights: () =>
      kept.map((object) =>
        (object as VirtualService).spec.http!.map(({ route = [] }) => route.map(({ weight }) => weight)),
      ),
  }
}

describe('the weight', () => {
  test('moves in every VirtualService that splits between the two, whoever wrote it and whatever its hosts are', async () => {
    const { cluster, weights, asked } = keeper([
      atGateway,
      inMesh,
      virtualService([{ route: [to('v1')] }], { name: 'other' }),
    ])
    await setWeight(cluster, split, 25)
    expect(weights().slice(0, 2)).toEqual([[[75, 25]], [[75, 25]]])
    expect(asked).toEqual(['shop', 'backend'])
  })

  test('is written only on the object as it was read', async () => {
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
    'is read again after a change by somebody else (%i), and what is in force already is not written again',
    async (status) => {
      const { cluster, weights, asked } = keeper([inMesh, atGateway], [{ by: 'shop', status }])
      await setWeight(cluster, split, 25)
      expect(asked).toEqual(['backend', 'shop', 'shop'])
      expect(weights()).toEqual([[[75, 25]], [[75, 25]]])
    },
  )

  test('is not tried again when the server refuses it for good', async () => {
    const { cluster, asked } = keeper([inMesh], [{ by: 'backend', status: 403 }])
    await expect(setWeight(cluster, split, 25)).rejects.toThrow('refused')
    expect(asked).toEqual(['backend'])
  })

  test('reaches every other object where one is refused', async () => {
    const { cluster, weights, asked } = keeper([inMesh, atGateway], [{ by: 'backend', status: 403 }])
    await expect(setWeight(cluster, split, 0)).rejects.toThrow('refused')
    expect(asked).toEqual(['backend', 'shop'])
    expect(weights()).toEqual([[[95, 5]], [[100, 0]]])
  })

  test('that is read is that of the route that got least, for a move may have been interrupted', async () => {
    const { cluster } = keeper([
      virtualService([weights(50)]),
      { ...atGateway, spec: { ...atGateway.spec, http: [weights(25)] } },
    ])
    expect(await readWeight(cluster, split)).toBe(25)
  })

  test('cannot be read where others have all the traffic', async () => {
    const { cluster } = keeper([virtualService([{ route: [to('v0', 100), to('v1', 0), to('v2', 0)] }])])
    await expect(readWeight(cluster, split)).rejects.toThrow(
      'give all of its traffic to others than v1 and v2; give v1 a weight first',
    )
  })

  test('has no place where nothing splits', async () => {
    const { cluster } = keeper([])
    const told = 'no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies first'
    for (const verb of [
      () => readWeight(cluster, split),
      () => setWeight(cluster, split, 5),
      () => resetToStable(cluster, split),
    ])
      await expect(verb()).rejects.toThrow(told)
  })
})

describe('routes that are named', () => {
  const two = virtualService([weights(5, 'api'), weights(5, 'rest'), { name: 'beta', route: [to('v2')] }])

  test('are the only ones to move', async () => {
    const { cluster, weights } = keeper([two])
    await setWeight(cluster, { ...split, routes: ['rest'] }, 25)
    expect(weights()).toEqual([[[95, 5], [75, 25], [undefined]]])
    expect(await readWeight(cluster, { ...split, routes: ['rest'] })).toBe(25)
  })

  test.each([
    [
      'are an error where there is none of that name',
      two,
      'no route named beta, other in shop splits backend between v1 and v2; those that do are api, rest',
    ],
    [
      'are an error where no route has a name',
      virtualService([{ route: weights(5).route }]),
      'those that do have no name: leave `routes` out to move them all',
    ],
  ])('%s', async (_, object, told) => {
    await expect(readWeight(keeper([object]).cluster, { ...split, routes: ['beta', 'other'] })).rejects.toThrow(told)
  })
})

describe('Services as versions', () => {
  test('move in the HTTPRoute that weighs them', async () => {
    const { cluster, object } = keeper([gatewayRoute])
    await setWeight(cluster, services, 20)
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

  test.each([403, 404])('need no Gateway API in the cluster (%i)', async (status) => {
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
    expect(await readWeight(cluster, services)).toBe(10)
  })

  test('say what to write where nothing splits', async () => {
    await expect(readWeight(keeper([]).cluster, services)).rejects.toThrow(
      'no route of a VirtualService or an HTTPRoute in shop splits backend between backend-v1 and backend-v2; write one with both Services as destinations',
    )
  })

  test('get no copies through an HTTPRoute', async () => {
    await expect(setMirror(keeper([gatewayRoute]).cluster, services, 10)).rejects.toThrow(
      'backend-v2 cannot be sent copies of requests: no http route of a VirtualService',
    )
  })
})

/** With all the settings that a route may have. */
const settings = { timeout: '2s', retries: { attempts: 2 }, headers: { request: { set: { a: 'b' } } } }
const rich: HttpRoute = { ...weights(0), ...settings }
const beta = { headers: { 'X-Beta': '1' } }
const isBeta = { 'x-beta': { exact: '1' } }

describe('the requests that match', () => {
  test('go to the canary by a route with the settings of the one that splits, before it', async () => {
    const { cluster, routes } = keeper([virtualService([{ name: 'first', redirect: {} }, rich])])
    await setHeaderRoute(cluster, split, beta)
    expect(routes()).toEqual([
      { name: 'first', redirect: {} },
      { ...settings, name: 'mesh-canary-ab', match: [{ headers: isBeta }], route: [to('v2')] },
      rich,
    ])
  })

  test('are those that the route would have taken', async () => {
    const own = {
      match: [{ uri: { prefix: '/a' }, headers: { host: { exact: 'x' } } }, { uri: { prefix: '/b' } }],
      route: weights(0).route,
    }
    const { cluster, routes } = keeper([virtualService([own, rich])])
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

  test.each([
    ['the path', { uri: { prefix: '/a' } }, { path: '/b' }, 'on uri'],
    ['a header', { headers: { 'x-beta': { exact: '2' } } }, beta, 'on headers.x-beta'],
  ])(
    'cannot be told by %s where the route looks at it already, and nothing is written',
    async (_, condition, match, told) => {
      const { cluster, asked } = keeper([
        inMesh,
        { ...atGateway, spec: { ...atGateway.spec, http: [{ match: [condition], ...weights(0) }] } },
      ])
      await expect(setHeaderRoute(cluster, split, match)).rejects.toThrow(told)
      expect(asked).toEqual([])
    },
  )

  test.each<[string, (cluster: Parameters<typeof resetToStable>[0]) => Promise<unknown>]>([
    ['when there are to be none', (cluster) => setHeaderRoute(cluster, split, undefined)],
    ['when all is put back', (cluster) => resetToStable(cluster, split)],
  ])('leave no trace %s', async (_, end) => {
    const before = virtualService([{ match: [{ uri: { prefix: '/a' } }], ...rich }, rich])
    const { cluster, routes } = keeper([before])
    await setHeaderRoute(cluster, split, beta)
    await end(cluster)
    expect(routes()).toEqual(before.spec.http)
  })

  test('are replaced by others, and not written twice', async () => {
    const { cluster, routes, asked } = keeper([virtualService([rich])])
    await setHeaderRoute(cluster, split, { method: 'GET' })
    await setHeaderRoute(cluster, split, beta)
    await setHeaderRoute(cluster, split, beta)
    expect(asked).toHaveLength(2)
    expect(routes().map(({ match }) => match)).toEqual([[{ headers: isBeta }], undefined])
  })
})

describe('copies of requests', () => {
  const copies = { mirror: { host: 'backend', subset: 'v2' }, mirrorPercentage: { value: 20 } }

  test('go to where the route sends the canary', async () => {
    const { cluster, routes } = keeper([virtualService([rich, { redirect: {} }])])
    await setMirror(cluster, split, 20)
    expect(routes()).toEqual([{ ...rich, ...copies }, { redirect: {} }])
  })

  test.each<[string, object]>([
    ['annotations of its own', { annotations: { a: 'b' } }],
    ['none', {}],
  ])('leave no trace on an object with %s', async (_, meta) => {
    const { cluster, routes, object } = keeper([virtualService([rich], meta)])
    await setMirror(cluster, split, 20)
    await setMirror(cluster, split, 50)
    expect(routes()).toEqual([{ ...rich, ...copies, mirrorPercentage: { value: 50 } }])
    await setMirror(cluster, { ...split, routes: ['mesh-canary'] }, undefined)
    expect(routes()).toEqual([rich])
    // An empty map is what the API server leaves out.
    expect({ annotations: {}, ...meta }).toMatchObject({ annotations: object().metadata.annotations })
  })

  test.each<[string, object, string]>([
    [
      'by its name',
      { name: 'mesh-canary', mirror: { host: 'shadow' } },
      'the route mesh-canary of the VirtualService shop/backend has a mirror already',
    ],
    ['even to the canary', { name: 'mesh-canary', mirror: { host: 'backend', subset: 'v2' } }, 'has a mirror already'],
    [
      'of several',
      { name: undefined, mirrors: [{ destination: { host: 'shadow' } }] },
      'the http route 1 of the VirtualService shop/backend has a mirror already',
    ],
  ])("are refused beside a mirror of the user's %s, which stays when all is put back", async (_, theirs, told) => {
    const before = virtualService([{ ...weights(5), ...theirs }])
    const { cluster, routes, weights: now } = keeper([before])
    await expect(setMirror(cluster, split, 20)).rejects.toThrow(told)
    expect(await resetToStable(cluster, split)).toHaveLength(1)
    expect(now()).toEqual([[[100, 0]]])
    expect(routes()[0]).toMatchObject(theirs)
  })

  test('left behind by policies that were applied anew are not taken for those of the user', async () => {
    const theirs = { ...weights(0), mirror: copies.mirror, mirrorPercentage: { value: 50 } }
    const { cluster, routes, object } = keeper([
      virtualService([theirs], { annotations: { 'mesh-canary.io/mirror': '20' } }),
    ])
    await setMirror(cluster, split, undefined)
    expect(routes()).toEqual([theirs])
    expect(object().metadata.annotations).toEqual({})
  })

  test('are not made of the requests that match, which the canary gets itself', async () => {
    const { cluster, routes } = keeper([virtualService([rich])])
    await setMirror(cluster, split, 20)
    await setHeaderRoute(cluster, split, beta)
    expect(routes().map((route) => 'mirror' in route)).toEqual([false, true])
  })
})

describe('putting all back', () => {
  test('takes weights, copies and matching requests away in one write', async () => {
    const before = [virtualService([weights(0), rich]), atGateway]
    const { cluster, asked, routes } = keeper(before)
    await setMirror(cluster, split, 20)
    await setHeaderRoute(cluster, split, beta)
    await setWeight(cluster, split, 40)
    asked.length = 0
    expect(await resetToStable(cluster, split)).toHaveLength(2)
    expect(asked).toEqual(['backend', 'shop'])
    expect([routes(0), routes(1)]).toEqual([[weights(0), rich], [weights(0)]])
  })

  test('says that there was nothing to do', async () => {
    const { cluster, asked } = keeper([virtualService([weights(0)])])
    expect(await resetToStable(cluster, split)).toEqual([])
    expect(asked).toEqual([])
  })

  const strayed = virtualService([{ route: [to('v2', 100)] }])
  const saved = virtualService([{ route: [to('v1', 40), to('v2', 60)] }])

  test('gives an object that splits no more the routes that it had before, all of them at stable', async () => {
    const { cluster, routes } = keeper([strayed])
    const byName = {
      ...cluster,
      get: () => Promise.resolve({ ...strayed, metadata: { ...strayed.metadata, resourceVersion: '0' } }),
    }
    await resetToStable(byName as typeof cluster, split, [saved])
    expect(routes()).toEqual([{ route: [to('v1', 100), to('v2', 0)] }])
  })

  test('makes one again that somebody has deleted', async () => {
    const made: Routed[] = []
    const { cluster } = keeper([])
    const empty = {
      ...cluster,
      get: () => Promise.resolve(undefined),
      create: (object: Routed) => (made.push(object), Promise.resolve(object)),
    }
    expect(await resetToStable(empty as typeof cluster, split, [saved])).toMatchObject([
      { key: 'VirtualService shop/backend' },
    ])
    expect((made[0] as VirtualService).spec.http).toEqual([{ route: [to('v1', 100), to('v2', 0)] }])
  })

  test('reads by name alone for who may not list', async () => {
    const lists: string[] = []
    const { cluster, asked } = keeper([saved])
    const byName = {
      ...cluster,
      list: (kind: string) => (lists.push(kind), Promise.resolve([])),
      get: () => Promise.resolve({ ...saved, metadata: { ...saved.metadata, resourceVersion: '0' } }),
    }
    expect(await resetToStable(byName as typeof cluster, split, [saved], true)).toMatchObject([
      { key: 'VirtualService shop/backend' },
    ])
    expect([lists, asked]).toEqual([[], ['backend']])
  })
})
