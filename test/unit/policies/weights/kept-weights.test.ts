import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { keepWeights, replacedBy, weightRules } from '../../../../src/policies/weights/kept-weights.ts'
import { movedAnnotation } from '../../../../src/policies/weights/moved-weights.ts'
import { planChanges } from '../../../../src/policies/plan.ts'
import { withOwnerMarks } from '../../../../src/policies/owned-objects.ts'
import { ownerNamed, configOf, fileWith, to, virtualService } from '../../fixtures.ts'
import { keyOf, policy, recordingCluster } from '../recording-cluster.ts'

const host = 'backend.shop.svc.cluster.local'
const moved = { annotations: { [movedAnnotation]: `${host}/v1, ${host}/v2` } }
const rulesOf = (yaml: string) => weightRules(configOf(`namespace: shop\n${yaml}`))
const none = rulesOf('mtls: strict')
const canary = rulesOf('canary: { service: backend }')
const fromFile = rulesOf('canary: { service: backend }\nservices: { backend: { weights: from-file } }')
const split = (v1: number, v2: number) => [to('v1', v1), to('v2', v2)]
const asked = virtualService([{ route: split(90, 10) }])
const inForce = virtualService([{ route: split(0, 100) }])
const promoted = virtualService([{ route: split(0, 100) }], moved)
const routesOf = (object: KubeObject) =>
  (object as ReturnType<typeof virtualService>).spec.http!.map(({ route = [] }) => route.map(({ weight }) => weight))

describe('the weights of a file', () => {
  test('give way to those that a promotion moved, and the plan says so', () => {
    const { object, lines, faults } = keepWeights(asked, promoted, none)
    expect(routesOf(object)).toEqual([[0, 100]])
    expect(lines).toEqual(['spec.http[0].route: kept: 0/100 (file says 90/10)'])
    expect(faults).toEqual([])
  })

  test('give way to those after a rollback', () => {
    const rolledBack = virtualService([{ route: split(100, 0) }], moved)
    expect(keepWeights(asked, rolledBack, none).lines).toEqual(['spec.http[0].route: kept: 100/0 (file says 90/10)'])
  })

  test('give way to those of a canary in the config, whoever wrote them', () => {
    expect(routesOf(keepWeights(asked, inForce, canary).object)).toEqual([[0, 100]])
  })

  test('count while nothing is live, and where no promotion moved anything', () => {
    expect(keepWeights(asked, undefined, canary)).toEqual({ object: asked, lines: [], faults: [] })
    expect(routesOf(keepWeights(asked, inForce, none).object)).toEqual([[90, 10]])
  })

  test('count again with `weights: from-file`', () => {
    expect(routesOf(keepWeights(asked, promoted, fromFile).object)).toEqual([[90, 10]])
  })

  test('are not mentioned where they are the same', () => {
    expect(keepWeights(promoted, promoted, canary).lines).toEqual([])
  })

  test('move in a named route only, if the canary names routes', () => {
    const rules = rulesOf('canary: { service: backend, routes: [shop] }')
    const of = (...weights: [number, number]) =>
      virtualService([
        { name: 'shop', match: [{ uri: { prefix: '/shop' } }], route: split(...weights) },
        { name: 'rest', route: split(...weights) },
      ])
    expect(routesOf(keepWeights(of(90, 10), of(0, 100), rules).object)).toEqual([
      [0, 100],
      [90, 10],
    ])
  })
})

describe('wherever they live,', () => {
  test('weights at a gateway are kept, and the route for testers stays', () => {
    const at = (weights: [number, number]) =>
      policy('VirtualService', 'public', {
        hosts: ['shop.test'],
        gateways: ['edge'],
        http: [
          { match: [{ headers: { team: { exact: 'qa' } } }], route: [to('v2')] },
          { match: [{ uri: { prefix: '/' } }], route: split(...weights) },
        ],
      })
    const { object, lines } = keepWeights(at([90, 10]), at([0, 100]), canary)
    expect(object).toEqual(at([0, 100]))
    expect(lines).toEqual(['spec.http[1].route: kept: 0/100 (file says 90/10)'])
  })

  test('weights of a delegate without hosts are kept', () => {
    const delegate = (weights: [number, number], more = {}) =>
      policy('VirtualService', 'delegate', { http: [{ route: split(...weights) }] }, more)
    expect(keepWeights(delegate([95, 5]), delegate([0, 100], moved), none).lines).toHaveLength(1)
  })

  test('weights between two Services are kept, in a VirtualService and in an HTTPRoute', () => {
    const rules = rulesOf(
      'canary: { service: web, stable: { service: web-a }, canary: { service: web-b } }\nservices: { api: { timeout: 1s } }',
    )
    const byHost = (a: number, b: number) =>
      virtualService([
        {
          route: [
            { destination: { host: 'web-a' }, weight: a },
            { destination: { host: 'web-b' }, weight: b },
          ],
        },
      ])
    expect(routesOf(keepWeights(byHost(100, 0), byHost(0, 100), rules).object)).toEqual([[0, 100]])
    const route = (a: number, b: number) => ({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        rules: [
          {
            backendRefs: [
              { name: 'web-a', weight: a },
              { name: 'web-b', weight: b },
            ],
          },
        ],
      },
    })
    expect(keepWeights(route(90, 10), route(0, 100), rules)).toEqual({
      object: route(0, 100),
      lines: ['spec.rules[0].backendRefs: kept: 0/100 (file says 90/10)'],
      faults: [],
    })
  })

  test('weights of a TCP route are kept', () => {
    const tcp = (v1: number, v2: number) =>
      policy('VirtualService', 'db', { hosts: ['backend'], tcp: [{ route: split(v1, v2) }] })
    expect(keepWeights(tcp(90, 10), tcp(0, 100), canary).object).toEqual(tcp(0, 100))
  })

  test('weights that a promotion moves while the run works are not overwritten', async () => {
    const { cluster } = recordingCluster([withOwnerMarks(promoted, ownerNamed('mesh.yaml'))], ({ metadata }) =>
      metadata.resourceVersion === '7' ? new ApiError(409, 'the object has been modified') : undefined,
    )
    await expect(planChanges(cluster, [asked], ownerNamed('mesh.yaml'))).rejects.toThrow(
      'VirtualService shop/backend has changed since this run read it, and its weights may belong to a promotion; run again',
    )
  })

  test('weights of a first promotion, which begins while the run works, are not overwritten', async () => {
    const live = withOwnerMarks(virtualService([{ route: split(100, 0) }]), ownerNamed('mesh.yaml'))
    const { cluster, stored } = recordingCluster([live], ({ metadata }) => {
      if (metadata.resourceVersion === undefined) return undefined
      stored.set(keyOf(live), { ...live, ...virtualService([{ route: split(75, 25) }], moved) })
      return new ApiError(409, 'the object has been modified')
    })
    await expect(planChanges(cluster, [asked], ownerNamed('mesh.yaml'))).rejects.toThrow('has changed since this run')
  })

  test('are written although a controller has written the status of the route since it was read', async () => {
    const live = withOwnerMarks(virtualService([{ route: split(100, 0) }]), ownerNamed('mesh.yaml'))
    let conflicts = 0
    const { cluster, stored } = recordingCluster([live], ({ metadata }) => {
      if (metadata.resourceVersion !== '7') return undefined
      conflicts++
      stored.set(keyOf(live), { ...live, metadata: { ...live.metadata, resourceVersion: '8' } })
      return new ApiError(409, 'the object has been modified')
    })
    const [planned] = await planChanges(cluster, [asked], ownerNamed('mesh.yaml'))
    expect([planned?.action, conflicts]).toEqual(['change', 1])
  })

  test('weights are kept when the file renames its object', async () => {
    const owner = ownerNamed('mesh.yaml')
    const old = withOwnerMarks(
      policy('VirtualService', 'old', { hosts: [host], http: [{ route: split(0, 100) }] }, moved),
      owner,
    )
    const renamed = policy('VirtualService', 'new', { hosts: ['backend'], http: [{ route: split(90, 10) }] })
    const planned = await planChanges(recordingCluster([old]).cluster, [renamed], owner)
    expect(planned.map(({ action }) => action)).toEqual(['create', 'delete'])
    expect(routesOf(planned[0]!.object)).toEqual([[0, 100]])
    expect(replacedBy(renamed, undefined, [policy('VirtualService', 'x', { hosts: ['other'] })])).toBeUndefined()
  })
})

describe('versions that come and go', () => {
  test('a new version starts at 0, because the file cannot give it traffic unwatched', () => {
    const next = virtualService([{ route: [to('v2', 80), to('v3', 20)] }])
    const { object, lines } = keepWeights(
      next,
      promoted,
      rulesOf('canary: { service: backend, stable: v2, canary: v3 }'),
    )
    expect(routesOf(object)).toEqual([[100, 0]])
    expect(lines).toEqual(['spec.http[0].route: kept: 100/0 (file says 80/20)'])
  })

  test('a version without traffic may leave the file', () => {
    const alone = virtualService([{ route: [to('v2')] }])
    expect(keepWeights(alone, promoted, canary)).toMatchObject({ object: alone, lines: [], faults: [] })
  })

  test.each([
    ['one with traffic', [to('v1')]],
    ['the split as a whole', [{ destination: { host: 'backend' } }]],
  ])('%s may not: the fault says what would move the traffic', (_, route) => {
    expect(keepWeights(virtualService([{ route }]), promoted, none).faults).toEqual([
      `policies: the VirtualService shop/backend: spec.http[0].route: v2 of ${host} has the weight 100 in the cluster, and the route as it is written here sends it nothing; keep it as a destination with any weight, or set \`services.backend.weights: from-file\` to move the traffic`,
    ])
    expect(keepWeights(virtualService([{ route }]), promoted, fromFile).faults).toEqual([])
  })

  describe('the file states the first weights of a canary that is new', () => {
    const exposed = 'expose: { backend: { port: 80, hosts: [shop.test] } }'
    const routes = (config: ReturnType<typeof configOf>) =>
      desired(config).objects.filter(({ kind }) => kind === 'VirtualService')

    test.each([
      ['beside a timeout', 'services: { backend: { timeout: 5s } }', 'service: backend'],
      ['beside a port', 'services: { backend: { port: 80, timeout: 5s } }', 'service: backend'],
      ['at a gateway', exposed, 'service: backend'],
    ])('%s', (_, more, plan) => {
      const before = routes(configOf(`namespace: shop\n${more}`))
      const config = configOf(`namespace: shop\n${more}\ncanary: { ${plan} }`)
      const replaced = routes(config).flatMap((object) => {
        const live = before.find(({ metadata }) => metadata.name === object.metadata.name)
        return live ? [[object, live] as const] : []
      })
      expect(replaced).toHaveLength(1)
      for (const [object, live] of replaced) {
        expect(new Set(routesOf(object).map(String))).toEqual(new Set(['100,0']))
        expect(keepWeights(object, live, weightRules(config))).toEqual({
          object,
          lines: [],
          faults: [],
        })
      }
    })

    test('in a named route', () => {
      const rules = rulesOf('canary: { service: backend, routes: [api] }')
      const api = (route: object[]) => virtualService([{ name: 'api', match: [{ port: 80 }], route } as never])
      const live = api([{ destination: { host: 'backend' } }])
      expect(keepWeights(api(split(100, 0)), live, rules)).toMatchObject({ lines: [], faults: [] })
    })

    test('and what a part of the requests had at the whole host ends', () => {
      const toAll = (weight: number) => ({ destination: { host: 'backend' }, weight })
      const live = (all: number, v1: number) => virtualService([{ route: [toAll(all), to('v1', v1)] }])
      expect(keepWeights(asked, live(20, 80), canary)).toMatchObject({
        lines: ['spec.http[0].route: kept: 80/0 (file says 90/10)'],
        faults: [],
      })
      expect(keepWeights(asked, live(100, 0), canary)).toMatchObject({ object: asked, lines: [], faults: [] })
    })
  })

  test('a new route for testers has no weights to keep', () => {
    const withTesters = virtualService([
      { match: [{ headers: { team: { exact: 'qa' } } }], route: [to('v2')] },
      { route: split(90, 10) },
    ])
    expect(keepWeights(withTesters, promoted, canary)).toMatchObject({
      lines: ['spec.http[1].route: kept: 0/100 (file says 90/10)'],
      faults: [],
    })
  })
})

describe('a config with a canary and routes in a manifest', () => {
  const manifest = (http: string) =>
    fileWith(
      `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: backend }\nspec: { hosts: [backend], http: [${http}] }\n`,
      'routes.yaml',
    )
  const httpOf = (http: string, more = '') => {
    const config = configOf(`namespace: shop\npolicies: ${manifest(http)}\ncanary: { service: backend }\n${more}`)
    const found = desired(config).objects.find(({ kind }) => kind === 'VirtualService')
    return (found as ReturnType<typeof virtualService>).spec.http
  }
  const v = (subset: string, weight?: number) =>
    `{ destination: { host: backend, subset: ${subset} }${weight === undefined ? '' : `, weight: ${weight}`} }`

  test('says nothing about weights itself, so the file may state any', () => {
    expect(
      httpOf(
        `{ name: primary, timeout: 4s, route: [${v('v1', 95)}, ${v('v2', 5)}], mirror: { host: backend, subset: v2 } }`,
      ),
    ).toEqual([{ name: 'primary', timeout: '4s', route: split(95, 5), mirror: { host: 'backend', subset: 'v2' } }])
  })

  test('gives a default route to one version the other one too, with weight 0', () => {
    expect(httpOf(`{ name: primary, route: [${v('v1')}] }`)).toEqual([{ name: 'primary', route: split(100, 0) }])
    expect(httpOf(`{ route: [${v('v2', 100)}] }`)).toEqual([{ route: split(0, 100) }])
  })

  test('gives a default route to the whole service both versions', () => {
    expect(httpOf('{ timeout: 4s, route: [{ destination: { host: backend } }] }')).toMatchObject([
      { timeout: '4s', route: [{ weight: 100 }, { weight: 0 }] },
    ])
  })

  test('adds the policies of the service to the route, and keeps its name', () => {
    expect(
      httpOf(`{ name: primary, route: [${v('v1', 95)}, ${v('v2', 5)}] }`, 'services: { backend: { timeout: 3s } }'),
    ).toEqual([{ name: 'primary', timeout: '3s', route: split(95, 5) }])
  })

  test('refuses a default route to something else, and names the route', () => {
    expect(() => httpOf(`{ route: [${v('v7')}] }`)).toThrow(
      'policies: the default route of the VirtualService shop/backend sends requests for backend neither to v1 nor to v2 nor to the whole service',
    )
  })
})
