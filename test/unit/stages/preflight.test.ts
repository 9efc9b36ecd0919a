import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject, VirtualService } from '../../../src/cluster/objects.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { ConfigError } from '../../../src/config/error.ts'
import { preflight } from '../../../src/stages/preflight.ts'
import { clusterWith, configOf, pod, to, virtualService, workload } from '../fixtures.ts'
import { policy } from '../policies/recording-cluster.ts'

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector: { app: 'backend' }, ports: [{ port: 3001 }] },
}
const ours = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const versions = ['v1', 'v2'].map((version) =>
  pod({ metadata: { name: version, labels: { app: 'backend', version } } }),
)
const everything: KubeObject[] = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  service,
  workload('Deployment', 'backend'),
  ...versions,
]

/** A VirtualService for a gateway, of somebody else. */
function edge(http: NonNullable<VirtualService['spec']['http']>): VirtualService {
  const object = virtualService(http, { name: 'edge' })
  return { ...object, spec: { ...object.spec, hosts: ['shop.test'], gateways: ['edge'] } }
}

/** The faults of a config in a cluster with these objects. The fake can only be read, so that a write would fail. */
async function faults(yaml: string, objects: KubeObject[] = everything): Promise<string[]> {
  const config = configOf(yaml)
  const cluster = clusterWith({
    version: () => Promise.resolve('v1.36.1'),
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(objects.find((each) => each.kind === kind && each.metadata.name === name)),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
  const error: unknown = await preflight(cluster, config, stagesOf(config)).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error === undefined) return []
  expect(error).toBeInstanceOf(ConfigError)
  return (error as Error).message.split('\n')
}

function templated(name: string, template: object, spec: object = {}): KubeObject {
  const one = workload('Deployment', name)
  return {
    ...one,
    spec: { ...one.spec, template: { ...template, spec: { ...one.spec.template.spec, ...spec } } },
  } as KubeObject
}

const canary = 'namespace: shop\ncanary: { service: backend }\n'

describe('the preflight', () => {
  test.each<[string, string, KubeObject[] | undefined, string[]]>([
    ['nothing', `${canary}workloads: deploy/backend`, undefined, []],
    [
      'a namespace that does not exist',
      canary.replace('shop', 'shoq'),
      undefined,
      ['namespace: shoq does not exist in the cluster; did you mean `shop`?; create it'],
    ],
    [
      'a workload that does not exist',
      'namespace: shop\nworkloads: deploy/backedn',
      undefined,
      ['workloads: the Deployment shop/backedn does not exist; did you mean `backend`?'],
    ],
    [
      'a workload of another kind',
      'namespace: shop\nworkloads: sts/backend',
      undefined,
      ['workloads: the StatefulSet shop/backend does not exist; deploy it first'],
    ],
    [
      'a workload that opted out of sidecars',
      'namespace: shop\nworkloads: deploy/agent',
      [...everything, templated('agent', { metadata: { labels: { 'sidecar.istio.io/inject': 'false' } } })],
      ['workloads: the Deployment shop/agent cannot get a sidecar: its pods have the label sidecar.istio.io/inject'],
    ],
    [
      'a workload that opted out by an annotation',
      'namespace: shop\nworkloads: deploy/agent',
      [...everything, templated('agent', { metadata: { annotations: { 'sidecar.istio.io/inject': 'false' } } })],
      [
        'workloads: the Deployment shop/agent cannot get a sidecar: its pods have the annotation sidecar.istio.io/inject',
      ],
    ],
    [
      'a workload on the network of the node',
      'namespace: shop\nworkloads: deploy/agent',
      [...everything, templated('agent', {}, { hostNetwork: true })],
      ['workloads: the Deployment shop/agent cannot get a sidecar: its pods use the network of the node'],
    ],
    [
      'nothing of such a workload among all',
      'namespace: shop\nworkloads: all',
      [...everything, templated('agent', {}, { hostNetwork: true })],
      [],
    ],
    [
      'a namespace that keeps its pods out of the mesh',
      'namespace: shop\nworkloads: all',
      [
        { ...everything[0]!, metadata: { name: 'shop', labels: { 'istio-injection': 'disabled' } } },
        ...everything.slice(1),
      ],
      ['namespace: shop has the label istio-injection=disabled, which keeps its pods out of the mesh'],
    ],
    [
      'another mTLS mode for the whole namespace',
      'namespace: shop\nmtls: strict',
      [...everything, policy('PeerAuthentication', 'legacy', { mtls: { mode: 'PERMISSIVE' } })],
      ['mtls: the PeerAuthentication shop/legacy, which mesh-canary does not manage, is for the whole namespace too'],
    ],
    [
      'what undoes the mTLS mode',
      'namespace: shop\nmtls: strict',
      [
        ...everything,
        policy('PeerAuthentication', 'theirs', {
          selector: { matchLabels: { version: 'v1' } },
          mtls: { mode: 'DISABLE' },
        }),
        policy('DestinationRule', 'plain', { host: 'backend', trafficPolicy: { tls: { mode: 'DISABLE' } } }),
      ],
      ['mtls: the PeerAuthentication shop/theirs sets DISABLE for v1:3001', 'mtls: the DestinationRule shop/plain'],
    ],
    [
      'a service that does not exist',
      'namespace: shop\nservices: { backedn: { timeout: 1s } }',
      undefined,
      ['services.backedn: the Service shop/backedn does not exist; did you mean `backend`?'],
    ],
    [
      'a service of the canary that does not exist',
      canary.replace('backend', 'backedn'),
      undefined,
      ['canary.service: the Service shop/backedn does not exist'],
    ],
    [
      'a port that the service does not have',
      'namespace: shop\nservices: { backend: { port: 80, timeout: 1s } }',
      undefined,
      ['services.backend.port: the Service shop/backend has no port 80; it has 3001'],
    ],
    [
      'a port of a service without ports',
      'namespace: shop\nservices: { outside: { port: 80, timeout: 1s } }',
      [
        ...everything,
        { apiVersion: 'v1', kind: 'Service', metadata: { name: 'outside' }, ...{ spec: { externalName: 'a.test' } } },
      ],
      ['services.outside.port: the Service shop/outside has no port 80; it has none'],
    ],
    [
      'a gateway that does not exist',
      'namespace: shop\nexpose: { backend: { port: 3001, gateway: edge } }',
      undefined,
      ['expose.backend.gateway: no pod and no Deployment of any namespace has the label istio=edge'],
    ],
    [
      'a canary without pods',
      'namespace: shop\ncanary: { service: backend, canary: v9 }',
      undefined,
      ['canary.canary: the subset v9 selects no pod: none in shop has the labels app=backend,version=v9'],
    ],
    [
      'a Service that selects the pods of one version only',
      canary,
      everything.map((each) =>
        each === service
          ? { ...service, spec: { ...service.spec, selector: { app: 'backend', version: 'v1' } } }
          : each,
      ),
      [
        'canary: the Service shop/backend selects only pods with version=v1, but the subset v2 has the label version=v2: none of its pods can be behind the Service',
      ],
    ],
    [
      'a Service without HTTP',
      canary,
      everything.map((each) =>
        each === service ? { ...service, spec: { ...service.spec, ports: [{ name: 'mysql', port: 3306 }] } } : each,
      ),
      ['canary.service: no port of the Service shop/backend carries HTTP (3306 mysql)'],
    ],
    [
      'a headless Service',
      canary,
      everything.map((each) =>
        each === service ? { ...service, spec: { ...service.spec, clusterIP: 'None' } as typeof service.spec } : each,
      ),
      ['canary.service: the Service shop/backend is headless'],
    ],
    [
      'a headless Service behind a gateway only',
      `${canary}expose: { backend: { port: 3001 } }`,
      [
        ...everything.map((each) =>
          each === service ? { ...service, spec: { ...service.spec, clusterIP: 'None' } as typeof service.spec } : each,
        ),
        pod({ metadata: { name: 'gateway', namespace: 'istio-system', labels: { istio: 'ingressgateway' } } }),
      ],
      [],
    ],
    [
      'a VirtualService of somebody else',
      canary,
      [...everything, virtualService([{ route: [to('v1')] }])],
      [
        'canary: the host backend.shop.svc.cluster.local already has the VirtualService shop/backend, which mesh-canary does not manage',
      ],
    ],
    ['our own VirtualService', canary, [...everything, virtualService([{ route: [to('v1')] }], { labels: ours })], []],
    [
      'a promotion without the stage policies and without a split',
      `${canary}stages: promote`,
      undefined,
      [
        'canary.service: no route of a VirtualService in shop splits backend between v1 and v2; run the stage policies as well',
      ],
    ],
    [
      'a promotion without the stage policies, when a route names one version only',
      `${canary}stages: promote`,
      [...everything, virtualService([{ route: [to('v2', 100)] }])],
      ['canary.service: no route of a VirtualService'],
    ],
    [
      'traffic to a version that the config does not define',
      canary,
      [...everything, virtualService([{ route: [to('v0', 40), to('v1', 60)] }], { labels: ours })],
      [
        'services.backend.subsets: the subset v0 gets 40% of the traffic now, but is not defined here; add it with its labels',
      ],
    ],
    [
      'a promotion without the stage policies, when a route splits',
      `${canary}stages: promote`,
      [...everything, virtualService([{ route: [to('v1', 100), to('v2', 0)] }])],
      [],
    ],
    [
      'a gateway route that bypasses the split',
      canary,
      [...everything, edge([{ route: [{ destination: { host: 'backend' } }] }])],
      [
        'canary: the route number 1 of the VirtualService shop/edge goes to all pods of backend, so its requests reach v2 whatever its weight is; give it both v1 and v2 as destinations',
      ],
    ],
    [
      'a gateway route of testers, and one for another service',
      canary,
      [
        ...everything,
        edge([
          { match: [{ headers: { tester: { exact: 'yes' } } }], route: [to('v2')] },
          { route: [{ destination: { host: 'frontend' } }] },
        ]),
      ],
      [],
    ],
    [
      'several faults at once',
      'namespace: shop\nworkloads: deploy/x, deploy/y\nservices: { z: { timeout: 1s } }',
      undefined,
      ['workloads: the Deployment shop/x', 'workloads: the Deployment shop/y', 'services.z'],
    ],
  ])('reports the expected faults for %s', async (_, yaml, objects, beginnings) => {
    const found = await faults(yaml, objects)
    expect(found).toHaveLength(beginnings.length)
    beginnings.forEach((beginning, i) => expect(found[i]!.slice(0, beginning.length)).toBe(beginning))
  })

  test('accepts a version that is deployed but has not started', async () => {
    const deployment = workload('Deployment', 'backend-v2')
    const v2 = {
      ...deployment,
      spec: {
        ...deployment.spec,
        template: { metadata: { labels: { app: 'backend', version: 'v2' } }, spec: { containers: [] } },
      },
    }
    expect(await faults(canary, [...everything.filter(({ metadata }) => metadata.name !== 'v2'), v2])).toEqual([])
  })

  test('needs no namespace to install a mesh', async () => {
    expect(await faults('namespace: shop\nistio: {}', [])).toEqual([])
  })
})

test('the preflight names what to check when the cluster does not answer', async () => {
  const cluster = clusterWith({
    version: () => Promise.reject(new ApiError(0, 'the API server https://x does not answer (ECONNREFUSED)')),
  })
  const config = configOf('mtls: strict')
  await expect(preflight(cluster, config, stagesOf(config))).rejects.toThrow(
    'kubeconfig: the API server https://x does not answer (ECONNREFUSED); check the address in the kubeconfig',
  )
})
