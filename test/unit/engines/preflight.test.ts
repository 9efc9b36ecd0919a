import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject, VirtualService, DestinationRule } from '../../../src/cluster/objects.ts'
import { findFollowed } from '../../../src/engines/find.ts'
import { conflictFaults, followFaults } from '../../../src/engines/preflight.ts'
import type { Rollout } from '../../../src/engines/objects.ts'
import { clusterWith, configOf } from '../fixtures.ts'
import { backendService, canary, ofKind, rollout, running, serviceRoutes, subsetRoutes } from './fixtures.ts'

const argoConfig = (more = '') => `namespace: shop\ncanary: { service: backend, engine: argo-rollouts, ${more} }\n`
const flaggerConfig = (more = '') => `namespace: shop\ncanary: { service: backend, engine: flagger, ${more} }\n`
const argo = [backendService, ...subsetRoutes(), rollout()]
const flagger = [
  backendService,
  serviceRoutes(),
  canary(),
  running('backend', 'shop:1'),
  running('backend-primary', 'shop:1'),
]

type Rights = { resource: string; verb: string; subresource?: string }

/** A cluster with these objects that can only be read, without the kinds in `absent` and the rights in `denied`. */
function cluster(
  objects: KubeObject[],
  {
    absent = [] as string[],
    denied = (right: Rights): boolean => right.verb === '',
    everywhere = [] as KubeObject[],
  } = {},
) {
  return clusterWith({
    serves: (kind: string) => Promise.resolve(!absent.includes(kind)),
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(ofKind(objects, kind).find(({ metadata }) => metadata.name === name)),
    list: (kind: string, namespace: string | undefined) => {
      if (absent.includes(kind)) return Promise.reject(new ApiError(404, 'not found'))
      return Promise.resolve(ofKind(namespace === undefined ? everywhere : objects, kind))
    },
    isAllowed: (right: Rights) => Promise.resolve(!denied(right)),
  })
}

const faults = async (config: string, ...where: Parameters<typeof cluster>) =>
  (await followFaults(cluster(...where), configOf(config))).join('\n')

const fromGit = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: {
    ...object.metadata,
    labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' },
  },
})

/** A Deployment of the Helm chart of Flagger, whose pods have its own name. */
function labelled(ofPods: string, status: object = { readyReplicas: 1 }): KubeObject {
  const { spec, ...object } = running(ofPods, 'app:1')
  const labels = (value: string) => ({ labels: { 'app.kubernetes.io/name': value } })
  const template = { ...spec.template, metadata: labels(ofPods) }
  return {
    ...object,
    metadata: { ...object.metadata, ...labels('flagger') },
    spec: { ...spec, template },
    status,
  } as KubeObject
}

/** The same objects with another one of this kind. */
const replacing = (objects: KubeObject[], other: KubeObject) => [
  ...objects.filter(({ kind }) => kind !== other.kind),
  other,
]

const dashboard: KubeObject = {
  ...running('argo-rollouts-dashboard', 'dash:1'),
  metadata: {
    name: 'argo-rollouts-dashboard',
    namespace: 'argo',
    labels: { 'app.kubernetes.io/name': 'argo-rollouts', 'app.kubernetes.io/component': 'rollouts-dashboard' },
  },
}

/** The account may not read this kind. */
function unreadable(objects: KubeObject[], kind: string): Cluster {
  const found = cluster(objects)
  const forbidden = () => Promise.reject(new ApiError(403, 'forbidden'))
  return {
    ...found,
    list: (asked, ...rest) => (asked === kind ? forbidden() : found.list(asked, ...rest)),
    get: (asked, ...rest) => (asked === kind ? forbidden() : found.get(asked, ...rest)),
  }
}

test('a Rollout and a Canary that can be followed have no fault', async () => {
  expect(await faults(argoConfig('image: "shop:2"'), argo)).toBe('')
  expect(await faults(argoConfig(), argo)).toBe('')
  expect(await faults(flaggerConfig('image: "shop:2"'), flagger)).toBe('')
  // The fix may be there already.
  const failed = replacing(flagger, canary({ phase: 'Failed', lastAppliedSpec: 'bad' }))
  expect(await faults(flaggerConfig(), failed)).toBe('')
})

describe('before anything is touched, the fault names', () => {
  const moving = { phase: 'Progressing', currentPodHash: 'new' }
  test.each<[string, Promise<string>, RegExp]>([
    [
      'a Service that does not exist',
      faults(argoConfig(), argo.slice(1)),
      /canary\.service: the Service shop\/backend/,
    ],
    [
      'missing CRDs',
      faults(argoConfig(), argo, { absent: ['Rollout'] }),
      /canary\.engine: the cluster has no Rollouts/,
    ],
    ['missing CRDs of Flagger', faults(flaggerConfig(), flagger, { absent: ['Canary'] }), /no Canaries of Flagger/],
    [
      'no object for the service',
      faults(argoConfig(), argo.slice(0, -1)),
      /no Rollout of shop moves the traffic of backend/,
    ],
    [
      'a name that does not exist',
      faults('namespace: shop\ncanary: { service: backend, engine: { type: argo-rollouts, name: bakend } }', argo),
      /Rollout shop\/bakend does not exist.*backend/,
    ],
    [
      'an object of another service',
      faults('namespace: shop\ncanary: { service: front, engine: { type: flagger, name: backend } }', [
        ...flagger,
        { ...backendService, metadata: { name: 'front', namespace: 'shop' } },
      ]),
      /Canary shop\/backend moves the traffic of backend, backend-primary, backend-canary, not of front/,
    ],
    [
      'a paused Rollout',
      faults(argoConfig(), replacing(argo, rollout({}, { paused: true }))),
      /is paused \(`spec\.paused`\)/,
    ],
    [
      'a suspended Canary',
      faults(flaggerConfig(), replacing(flagger, canary({}, { suspend: true }))),
      /`spec\.suspend`/,
    ],
    [
      'a rollout that has failed',
      faults(argoConfig(), replacing(argo, rollout({ ...moving, abort: true, message: 'RolloutAborted' }))),
      /has failed already \(RolloutAborted\); change the image, or retry/,
    ],
    [
      'a Rollout whose stable revision is degraded',
      faults(
        argoConfig('image: "shop:2"'),
        replacing(argo, rollout({ phase: 'Degraded', message: 'ProgressDeadlineExceeded' })),
      ),
      /Rollout shop\/backend is degraded with its stable revision \(ProgressDeadlineExceeded\)/,
    ],
    [
      'a primary without a ready pod',
      faults(
        flaggerConfig('image: "shop:2"'),
        flagger.map((each) => (each.metadata.name === 'backend-primary' ? { ...each, status: { replicas: 1 } } : each)),
      ),
      /no pod of the Deployment shop\/backend-primary is ready/,
    ],
    [
      'a new image in the middle of a rollout',
      faults(argoConfig('image: "shop:2"'), replacing(argo, rollout(moving))),
      /rolls out another revision now/,
    ],
    [
      'no traffic routing',
      faults(argoConfig(), [
        backendService,
        rollout({}, { strategy: { canary: { stableService: 'backend', canaryService: 'next' } } }),
      ]),
      /has no trafficRouting/,
    ],
    [
      'an image that Git would undo',
      faults(
        flaggerConfig('image: "shop:2"'),
        flagger.map((each) => (each.metadata.name === 'backend' && each.kind === 'Deployment' ? fromGit(each) : each)),
      ),
      /Deployment backend comes from Git \(Flux \(Kustomization flux-system\/apps\)\).*commit it there/,
    ],
    [
      'another provider',
      faults(flaggerConfig(), replacing(flagger, canary({}, { provider: 'nginx' }))),
      /provider nginx/,
    ],
    [
      'a controller that never acted',
      faults(argoConfig(), replacing(argo, { ...rollout(), status: {} } as Rollout)),
      /no revision yet/,
    ],
    [
      'a controller without a ready pod',
      faults(argoConfig(), argo, { everywhere: [{ ...running('argo-rollouts', 'argo:1'), status: {} } as KubeObject] }),
      /controller of Argo Rollouts \(Deployment shop\/argo-rollouts\) has no ready pod/,
    ],
    [
      'routes without both versions',
      faults(
        argoConfig(),
        replacing(argo, { ...subsetRoutes()[0], spec: { hosts: ['backend'], http: [] } } as VirtualService),
      ),
      /no VirtualService of shop that the Rollout shop\/backend names \(backend, route primary\) has a route with both stable and canary/,
    ],
    [
      'a named route without both versions beside another one',
      faults(
        argoConfig(),
        replacing(
          argo,
          rollout(
            {},
            {
              strategy: {
                canary: {
                  trafficRouting: {
                    istio: {
                      virtualService: { name: 'backend', routes: ['main'] },
                      destinationRule: { name: 'backend', stableSubsetName: 'stable', canarySubsetName: 'canary' },
                    },
                  },
                },
              },
            },
          ),
        ),
      ),
      /names \(backend, route main\) has a route/,
    ],
    [
      'an image that the engine has not noticed yet',
      faults(
        flaggerConfig('image: "shop:3"'),
        flagger.map((each) =>
          each.metadata.name === 'backend' && each.kind === 'Deployment' ? running('backend', 'shop:2') : each,
        ),
      ),
      /Flagger has not acted on the last change of the Canary shop\/backend yet/,
    ],
    [
      'a missing primary',
      faults(
        flaggerConfig(),
        flagger.filter(({ metadata }) => metadata.name !== 'backend-primary'),
      ),
      /has no primary Deployment/,
    ],
    ['a Rollout without pods', faults(argoConfig(), replacing(argo, rollout({}, { replicas: 0 }))), /is scaled to 0/],
    [
      'pods from something else than a Deployment',
      faults(argoConfig(), replacing(argo, rollout({}, { workloadRef: { kind: 'PodTemplate', name: 'backend' } }))),
      /takes its pods from a PodTemplate/,
    ],
    [
      'a controller without a ready pod beside a ready dashboard',
      faults(argoConfig(), argo, {
        everywhere: [{ ...running('argo-rollouts', 'argo:1'), status: {} } as KubeObject, dashboard],
      }),
      /has no ready pod/,
    ],
    [
      'a controller of Flagger without a ready pod beside the ready Prometheus of its chart',
      faults(flaggerConfig(), flagger, {
        everywhere: [labelled('flagger', {}), labelled('flagger-prometheus')],
      }),
      /controller of Flagger \(Deployment shop\/flagger\) has no ready pod/,
    ],
    [
      'routes that may not be read',
      followFaults(unreadable(argo, 'VirtualService'), configOf(argoConfig())).then((each) => each.join()),
      /canary\.engine: this account may not read .* deploy\/rbac\/engines\.yaml/,
    ],
    [
      'Deployments that may not be read',
      followFaults(unreadable(flagger, 'Deployment'), configOf(flaggerConfig())).then((each) => each.join()),
      /deploy\/rbac\/engines\.yaml/,
    ],
    [
      'one missing right',
      faults(argoConfig(), argo, { denied: ({ subresource }: Rights) => subresource === 'status' }),
      /may not patch rollouts\/status in shop; give it the rights of deploy\/rbac\/engines\.yaml/,
    ],
    [
      'the missing right to set an image',
      faults(flaggerConfig('image: "shop:2"'), flagger, { denied: ({ resource }) => resource === 'deployments' }),
      /may not get deployments, patch deployments in shop/,
    ],
    [
      'a container that does not exist',
      faults(argoConfig('images: { web: "shop:2" }'), argo),
      /Rollout backend has no container web.*it has app/,
    ],
  ])('%s', async (_, found, expected) => {
    expect(await found).toMatch(expected)
  })
})

test('an abort of a rollout that may not be read names the remedy, too', async () => {
  const { canary: plan } = configOf(argoConfig())
  await expect(findFollowed(unreadable(argo, 'DestinationRule'), 'shop', plan!, 'abort')).rejects.toThrow(
    /may not read .* deploy\/rbac\/engines\.yaml/,
  )
})

test('a rollout whose abort may not be allowed is not followed, but aborted', async () => {
  const { canary: plan } = configOf(argoConfig())
  const silent = { ...cluster(argo), isAllowed: () => Promise.reject(new ApiError(500, 'no answer')) }
  await expect(findFollowed(silent, 'shop', plan!)).rejects.toThrow('does not tell whether this account may')
  expect((await findFollowed(silent, 'shop', plan!, 'abort')).name).toBe('backend')
})

describe('a promotion of this program refuses a service that a controller moves', () => {
  const builtin = configOf('namespace: shop\ncanary: { service: backend }')
  const routing = (objects: KubeObject[]) => ({
    virtualServices: ofKind(objects, 'VirtualService') as VirtualService[],
    destinationRules: ofKind(objects, 'DestinationRule') as DestinationRule[],
  })

  test('and names the Rollout', async () => {
    expect(await conflictFaults(cluster(argo), builtin, routing(argo))).toEqual([
      expect.stringMatching(
        /^canary\.service: Argo Rollouts moves the traffic of backend \(Rollout shop\/backend\).*`engine: argo-rollouts`/,
      ),
    ])
  })

  test('and names the Canary', async () => {
    expect((await conflictFaults(cluster(flagger), builtin, routing(flagger)))[0]).toMatch(
      /Flagger moves the traffic of backend \(Canary shop\/backend\)/,
    )
  })

  test('also by what the routes say, if it may not read the objects', async () => {
    const unread = clusterWith({ list: () => Promise.reject(new ApiError(403, 'forbidden')) })
    expect((await conflictFaults(unread, builtin, routing(flagger)))[0]).toMatch(/Canary shop\/backend/)
    const [, rule] = subsetRoutes()
    const marked = {
      ...rule,
      metadata: { ...rule.metadata, annotations: { 'argo-rollouts.argoproj.io/managed-by-rollouts': 'backend' } },
    }
    expect((await conflictFaults(unread, builtin, routing([marked])))[0]).toMatch(/Rollout shop\/backend/)
    const named = { ...backendService, metadata: { ...marked.metadata, name: 'backend-next' } }
    const services = clusterWith({
      list: (kind: string) =>
        kind === 'Service' ? Promise.resolve([named]) : Promise.reject(new ApiError(403, 'forbidden')),
    })
    const byService = configOf(
      'namespace: shop\ncanary: { service: backend, stable: { service: backend-old }, canary: { service: backend-next } }',
    )
    expect((await conflictFaults(services, byService, routing([])))[0]).toMatch(/Rollout shop\/backend/)
  })

  test('also if no run could follow it, and does not advise that', async () => {
    const skipped = replacing(flagger, canary({}, { skipAnalysis: true }))
    const [fault] = await conflictFaults(cluster(skipped), builtin, routing(skipped))
    expect(fault).toMatch(/Canary shop\/backend.*delete it, or .*because it has `skipAnalysis: true`/)
    expect(fault).not.toMatch(/set `engine/)
  })

  test('but not by a mark of one that is gone, nor by one of a host elsewhere', async () => {
    const [virtualService, rule] = subsetRoutes()
    const annotations = { 'argo-rollouts.argoproj.io/managed-by-rollouts': 'backend' }
    const left = [backendService, virtualService, { ...rule, metadata: { ...rule.metadata, annotations } }]
    expect(await conflictFaults(cluster(left), builtin, routing(left))).toEqual([])
    expect(await conflictFaults(cluster(left, { absent: ['Rollout'] }), builtin, routing(left))).toEqual([])
    const host = 'backend.other.svc.cluster.local'
    const elsewhere = [
      backendService,
      { ...virtualService, spec: { ...virtualService.spec, hosts: [host] } },
      { ...rule, spec: { ...rule.spec, host } },
      rollout(),
    ]
    expect(await conflictFaults(cluster(elsewhere), builtin, routing(elsewhere))).toEqual([])
  })

  test('but not one of its own', async () => {
    const other = configOf('namespace: shop\ncanary: { service: front }')
    expect(await conflictFaults(cluster(argo), other, routing(argo))).toEqual([])
    expect(await conflictFaults(cluster(argo), configOf(argoConfig()), routing(argo))).toEqual([])
  })
})
