// Objects of Argo Rollouts and Flagger, as their controllers leave them.
import type { DestinationRule, KubeObject, Service, VirtualService, Workload } from '../../../src/cluster/objects.ts'
import type { FlaggerCanary, Rollout } from '../../../src/engines/objects.ts'
import { workload } from '../fixtures.ts'

type Deep<T> = { [K in keyof T]?: T[K] extends object | undefined ? Deep<T[K]> | T[K] : T[K] }

/** A healthy Rollout of `backend` between two subsets, which runs the revision `old`. */
export function rollout(status: Deep<Rollout['status']> = {}, spec: Deep<Rollout['spec']> = {}): Rollout {
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Rollout',
    metadata: { name: 'backend', namespace: 'shop', generation: 3, uid: 'r1' },
    spec: {
      selector: { matchLabels: { app: 'backend' } },
      template: { metadata: { labels: { app: 'backend' } }, spec: { containers: [{ name: 'app', image: 'shop:1' }] } },
      strategy: {
        canary: {
          trafficRouting: {
            istio: {
              virtualService: { name: 'backend', routes: ['primary'] },
              destinationRule: { name: 'backend', stableSubsetName: 'stable', canarySubsetName: 'canary' },
            },
          },
          steps: [{ setWeight: 20 }, { pause: {} }, { setWeight: 50 }, { pause: { duration: '10s' } }],
        },
      },
      ...spec,
    } as Rollout['spec'],
    status: {
      phase: 'Healthy',
      observedGeneration: '3',
      currentPodHash: 'old',
      stableRS: 'old',
      ...status,
    } as NonNullable<Rollout['status']>,
  }
}

/** A Canary of `backend` that has promoted the spec `old`. */
export function canary(status: FlaggerCanary['status'] = {}, spec: Deep<FlaggerCanary['spec']> = {}): FlaggerCanary {
  return {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'Canary',
    metadata: { name: 'backend', namespace: 'shop', generation: 1, uid: 'c1' },
    spec: {
      targetRef: { kind: 'Deployment', name: 'backend' },
      service: { port: 3001 },
      analysis: { interval: '10s', threshold: 3, stepWeight: 20, maxWeight: 50 },
      ...spec,
    } as FlaggerCanary['spec'],
    status: { phase: 'Succeeded', lastAppliedSpec: 'old', lastPromotedSpec: 'old', canaryWeight: 0, ...status },
  }
}

/** A Deployment with this image, whose pods have the label `app`. */
export function running(name: string, image: string): Workload {
  const object = workload('Deployment', name)
  return {
    ...object,
    metadata: { ...object.metadata, name, namespace: 'shop', generation: 1 },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'app', image }] } },
    },
    status: { readyReplicas: 1 },
  }
}

export const backendService: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector: { app: 'backend' }, ports: [{ port: 3001 }] },
}

/** The routes of the Rollout, with this weight of its canary. */
export function subsetRoutes(weight = 0): [VirtualService, DestinationRule] {
  return [
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'backend', namespace: 'shop' },
      spec: {
        hosts: ['backend'],
        http: [
          {
            name: 'primary',
            route: [
              { destination: { host: 'backend', subset: 'stable' }, weight: 100 - weight },
              { destination: { host: 'backend', subset: 'canary' }, weight },
            ],
          },
        ],
      },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name: 'backend', namespace: 'shop' },
      spec: { host: 'backend', subsets: [{ name: 'stable' }, { name: 'canary' }] },
    },
  ]
}

/** The routes that Flagger makes, with this weight of its canary. */
export function serviceRoutes(weight = 0): VirtualService {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: {
      name: 'backend',
      namespace: 'shop',
      ownerReferences: [{ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', name: 'backend', uid: 'c1' }],
    },
    spec: {
      hosts: ['backend'],
      http: [
        {
          route: [
            { destination: { host: 'backend-primary' }, weight: 100 - weight },
            { destination: { host: 'backend-canary' }, weight },
          ],
        },
      ],
    },
  }
}

export const ofKind = (objects: readonly KubeObject[], kind: string) => objects.filter((each) => each.kind === kind)
