// The order of the steps, and what uninstall refuses. The e2e test shows the outcome on a real cluster.
import { describe, expect, test } from 'vitest'
import type { Kind, KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { uninstall, type Removal } from '../../../src/uninstall/uninstall.ts'
import { withOwnerMarks } from '../../../src/policies/owned-objects.ts'
import { ownerNamed, pod, workload } from '../fixtures.ts'
import { recordingCluster, policy, route, rule, type RecordingCluster } from '../policies/recording-cluster.ts'

const shop = ownerNamed('github.test/acme/shop mesh.yaml')
const object = (
  kind: string,
  name: string,
  metadata: Partial<KubeObject['metadata']> = {},
  apiVersion = 'v1',
): KubeObject => ({ apiVersion, kind, metadata: { name, ...metadata } })
const system = (kind: string, name: string, labels: Record<string, string> = {}, apiVersion?: string) =>
  object(kind, name, { namespace: 'istio-system', labels }, apiVersion)
const ofIstio = { 'install.operator.istio.io/owning-resource': 'unknown' }

function deployment(name: string): Workload {
  const one = workload('Deployment', name, { replicas: 1, updatedReplicas: 1, availableReplicas: 1 })
  return { ...one, spec: { ...one.spec, template: { ...one.spec.template, metadata: { labels: { app: name } } } } }
}
const podOf = (name: string, namespace = 'shop') =>
  pod({ metadata: { name: `${name}-1`, namespace, labels: { app: name } } })

/** A control plane with the labels by which istioctl finds it. */
const istiod = (revision = 'default', createdAt = '') => ({
  ...system(
    'Deployment',
    revision === 'default' ? 'istiod' : `istiod-${revision}`,
    { ...ofIstio, app: 'istiod', 'istio.io/rev': revision },
    'apps/v1',
  ),
  spec: { template: { spec: { containers: [{ name: 'discovery', image: 'docker.io/istio/pilot:1.31.0' }] } } },
  ...(createdAt
    ? {
        metadata: {
          name: `istiod-${revision}`,
          namespace: 'istio-system',
          creationTimestamp: createdAt,
          labels: { ...ofIstio, app: 'istiod', 'istio.io/rev': revision },
        },
      }
    : {}),
})

/** What mesh-canary stores about a control plane that it installed. */
const recordOf = (revision: string) =>
  system('ConfigMap', `mesh-canary-install-${revision}`, { 'app.kubernetes.io/managed-by': 'mesh-canary' })

const mesh: KubeObject[] = [
  object('Namespace', 'shop', { labels: { 'istio-injection': 'enabled', team: 'x' } }),
  object('Namespace', 'istio-system'),
  istiod(),
  system('ConfigMap', 'istio-ca-root-cert', { 'istio.io/config': 'true' }),
  system('ConfigMap', 'kube-root-ca.crt'),
  system('ConfigMap', 'mesh-canary-install', { 'app.kubernetes.io/managed-by': 'mesh-canary' }),
  {
    ...system('ConfigMap', 'istio-leader'),
    metadata: {
      name: 'istio-leader',
      namespace: 'istio-system',
      annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' },
    },
  },
  system('Secret', 'istio-ca-secret'),
  {
    ...system('Pod', 'istiod-1'),
    metadata: {
      name: 'istiod-1',
      namespace: 'istio-system',
      ownerReferences: [{ kind: 'ReplicaSet', name: 'istiod', uid: 'u' }],
    },
    spec: { containers: [] },
  } as KubeObject,
  object('ConfigMap', 'istio-ca-root-cert', { namespace: 'shop', labels: { 'istio.io/config': 'true' } }),
  object('CustomResourceDefinition', 'virtualservices.networking.istio.io', {}, 'apiextensions.k8s.io/v1'),
  object('CustomResourceDefinition', 'widgets.example.com', {}, 'apiextensions.k8s.io/v1'),
  object('ClusterRole', 'istiod-clusterrole-istio-system', {}, 'rbac.authorization.k8s.io/v1'),
  object('ClusterRole', 'view', {}, 'rbac.authorization.k8s.io/v1'),
  ...['frontend', 'mysql'].flatMap((name) => [deployment(name), podOf(name)]),
  deployment('plain'),
  ...[rule('v1'), route(['v1', 100])].map((each) => withOwnerMarks(each, shop)),
]

/** A recording cluster that also restarts pods and does what istioctl does. */
function fakeMesh(objects: KubeObject[]): RecordingCluster & { removal: Removal } {
  const fake = recordingCluster(objects)
  const merge = (kind: Kind, _: unknown, name: string, body: { metadata?: { labels?: Record<string, null> } }) => {
    fake.calls.push(`merge ${kind} ${name}`)
    const { metadata } = fake.stored.get(`${kind} ${kind === 'Namespace' ? '' : 'shop'}/${name}`)!
    if (kind === 'Namespace')
      metadata.labels = Object.fromEntries(
        Object.entries(metadata.labels ?? {}).filter(([label]) => !(label in (body.metadata?.labels ?? {}))),
      )
    if (kind === 'Deployment')
      fake.stored.set(`Pod shop/${name}-1`, { ...podOf(name), spec: { containers: [{ name: 'app' }] } } as KubeObject)
    return Promise.resolve({})
  }
  const istioctl = (args: string[]) => {
    fake.calls.push(`istioctl ${args.join(' ')}`)
    const named = args.indexOf('--revision')
    if (args[0] === 'tag') return Promise.resolve()
    for (const [key, { metadata }] of fake.stored)
      if (named > 0 && key.startsWith('Deployment ') && metadata.labels?.['istio.io/rev'] === args[named + 1])
        fake.stored.delete(key)
    for (const [key, { metadata, kind }] of fake.stored)
      if (named < 0 && /istiod|\.istio\.io$/.test(metadata.name) && kind !== 'Namespace') fake.stored.delete(key)
    return Promise.resolve()
  }
  let updates = 0
  /** The number of listener updates that the proxy has accepted. */
  const podProxy = () => {
    fake.calls.push('ask a proxy')
    return Promise.resolve(`envoy_listener_manager_lds_update_success{} ${updates++}`)
  }
  const removal: Removal = {
    namespace: 'shop',
    workloads: [
      { kind: 'Deployment', name: 'frontend' },
      { kind: 'Deployment', name: 'mysql' },
    ],
    takesOver: false,
    faults: [],
    dryRun: false,
    timeoutMs: 0,
    signal: new AbortController().signal,
    istioctl,
    note: () => {},
    beforeRoutes: () => Promise.resolve(),
  }
  return {
    ...fake,
    cluster: { ...fake.cluster, merge: merge as RecordingCluster['cluster']['merge'], pod: podProxy },
    removal,
  }
}

const meshObjects = () => structuredClone(mesh)

const bothProxies = ['ask a proxy', 'ask a proxy']

test('uninstall removes routes before the subsets that they use, then sidecars from the last service of a call to the first, then the control plane and its remains', async () => {
  const { cluster, removal, calls, stored } = fakeMesh(meshObjects())
  const { removed, restarted, remains } = await uninstall(cluster, removal)
  expect(calls).toEqual([
    ...bothProxies,
    'remove VirtualService',
    ...bothProxies,
    ...bothProxies,
    'remove DestinationRule',
    ...bothProxies,
    'merge Namespace shop',
    'merge Deployment mysql',
    'merge Deployment frontend',
    'istioctl uninstall --purge -y',
    'remove ConfigMap',
    'remove ConfigMap',
    'remove Namespace',
  ])
  expect(restarted).toEqual(['Deployment/mysql', 'Deployment/frontend'])
  expect(remains).toEqual([])
  expect(removed).toContain('CustomResourceDefinition virtualservices.networking.istio.io')
  expect(stored.get('Namespace /shop')?.metadata.labels).toEqual({ team: 'x' })
  expect([...stored.keys()]).toEqual(
    expect.arrayContaining(['CustomResourceDefinition /widgets.example.com', 'ClusterRole /view']),
  )
})

test('the way to the routes goes before all else, once nothing refuses', async () => {
  const { cluster, removal, calls } = fakeMesh(meshObjects())
  const before: string[][] = []
  const beforeRoutes = () => Promise.resolve(void before.push([...calls]))
  await expect(uninstall(cluster, { ...removal, beforeRoutes, faults: ['a Rollout'] })).rejects.toThrow('a Rollout')
  expect(before).toEqual([])
  await uninstall(cluster, { ...removal, beforeRoutes })
  expect(before).toEqual([[]])
})

test('uninstall does not wait for the proxies when istiod is gone, because nothing updates them', async () => {
  const { cluster, removal, calls } = fakeMesh(meshObjects().filter(({ metadata }) => metadata.name !== 'istiod'))
  const { remains } = await uninstall(cluster, removal)
  expect(calls.slice(0, 3)).toEqual(['remove VirtualService', 'remove DestinationRule', 'merge Namespace shop'])
  expect(remains).toEqual([])
})

test('uninstall ignores pods that have ended', async () => {
  const job = (namespace: string) =>
    pod({ metadata: { name: 'job-1', namespace, labels: { app: 'job' } }, status: { phase: 'Succeeded' } })
  const { cluster, removal } = fakeMesh([...meshObjects(), job('shop'), job('staging')])
  expect((await uninstall(cluster, removal)).remains).toEqual([])
})

test('a dry run reports what an uninstall would remove and changes nothing', async () => {
  const [dry, real] = [fakeMesh(meshObjects()), fakeMesh(meshObjects())]
  const planned = await uninstall(dry.cluster, { ...dry.removal, dryRun: true })
  expect(dry.calls).toEqual([])
  const done = await uninstall(real.cluster, real.removal)
  const sorted = ({ removed, ...rest }: typeof planned) => ({ ...rest, removed: removed.toSorted() })
  expect(sorted(planned)).toEqual(sorted(done))
})

test('an uninstall that fails half-way reports what it removed before', async () => {
  const { cluster, removal } = fakeMesh(meshObjects())
  const done: { removed: string[]; restarted: string[] } = { removed: [], restarted: [] }
  await expect(
    uninstall(cluster, { ...removal, istioctl: () => Promise.reject(new Error('istioctl uninstall failed')) }, done),
  ).rejects.toThrow('istioctl uninstall failed')
  expect(done.removed).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^VirtualService shop\//) as string,
      expect.stringMatching(/^DestinationRule shop\//) as string,
      'label istio-injection of Namespace shop',
    ]),
  )
  expect(done.removed.some((name) => name.startsWith('CustomResourceDefinition'))).toBe(false)
  expect(done.restarted).toEqual(['Deployment/mysql', 'Deployment/frontend'])
})

test('a second uninstall finds nothing to remove', async () => {
  const { cluster, removal, calls } = fakeMesh(meshObjects())
  await uninstall(cluster, removal)
  calls.length = 0
  expect(await uninstall(cluster, removal)).toEqual({ removed: [], restarted: [], remains: [] })
  expect(calls).toEqual([])
})

test('uninstall reports what could not be removed', async () => {
  const { cluster, removal } = fakeMesh(meshObjects())
  const { remains } = await uninstall(cluster, { ...removal, istioctl: () => Promise.resolve() })
  expect(remains).toEqual([
    'CustomResourceDefinition virtualservices.networking.istio.io',
    'ClusterRole istiod-clusterrole-istio-system',
  ])
})

describe('uninstall keeps istio-system if it contains', () => {
  test.each([
    ['a workload', system('Deployment', 'grafana', {}, 'apps/v1')],
    ['a certificate of the user', system('Secret', 'shop-tls')],
    ['a CA of the user', system('Secret', 'cacerts')],
    ['a ConfigMap of the user', system('ConfigMap', 'istio-grafana-dashboards')],
  ])('%s', async (_, foreign) => {
    const { cluster, removal, stored } = fakeMesh([...meshObjects(), foreign])
    const notes: string[] = []
    const { removed } = await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
    expect(notes[0]).toBe(
      `the namespace istio-system stays because it holds objects that are not part of the mesh: ${foreign.kind} istio-system/${foreign.metadata.name}`,
    )
    expect(removed).not.toContain('Namespace istio-system')
    const left = [...stored.values()]
      .filter(({ kind, metadata: { namespace } }) => namespace === 'istio-system' && kind !== 'Pod')
      .map(({ metadata: { name } }) => name)
    expect(stored.has('Namespace /istio-system')).toBe(true)
    expect(left.sort()).toEqual(['kube-root-ca.crt', foreign.metadata.name].sort())
  })
})

describe('uninstall', () => {
  test.each([
    [
      'a policy that is not ours',
      policy('Sidecar', 'theirs', {}),
      'policies that belong to no config of this namespace: Sidecar shop/theirs; delete them first',
    ],
    [
      'a policy that we wrote for another namespace',
      withOwnerMarks(
        policy('Sidecar', 'default', {}, { namespace: 'staging' }),
        ownerNamed('github.test/acme/shop mesh.yaml', 'staging'),
      ),
      'Sidecar staging/default',
    ],
    [
      'a policy of another repository in this namespace',
      withOwnerMarks(policy('Sidecar', 'default', {}), ownerNamed('github.test/acme/web mesh.yaml')),
      'policies of other repositories: Sidecar shop/default (github.test/acme/web mesh.yaml); delete them there first',
    ],
    [
      'a pod that no controller would restart',
      podOf('lonely'),
      'belong to no Deployment, StatefulSet or DaemonSet that could be restarted: Pod shop/lonely-1; delete them first, or wait until they end',
    ],
    [
      'a sidecar in another namespace',
      podOf('web', 'staging'),
      'uninstall: pods in other namespaces still have sidecars (staging) and would lose the mesh',
    ],
  ])('changes nothing if the cluster has %s', async (_, foreign, fault) => {
    const { cluster, removal, calls } = fakeMesh([...meshObjects(), foreign])
    await expect(uninstall(cluster, { ...removal, repository: 'github.test/acme/shop' })).rejects.toThrow(fault)
    expect(calls).toEqual([])
  })

  test('removes policies and gateways of Istio, and policies of our other configs in this namespace', async () => {
    const others = withOwnerMarks(policy('Telemetry', 'default', {}), ownerNamed('github.test/acme/shop other.yaml'))
    const { cluster, removal } = fakeMesh([
      ...meshObjects(),
      policy('EnvoyFilter', 'stats', {}, { namespace: 'istio-system', labels: ofIstio }),
      podOf('ingress', 'istio-system'),
      others,
    ])
    expect((await uninstall(cluster, { ...removal, dryRun: true })).removed).toContain('Telemetry shop/default')
  })

  test("refuses while a run promotes, because the routes are that run's, and removes a Lease that nobody holds", async () => {
    const held = (holderIdentity: string) => ({
      ...object('Lease', 'mesh-canary-backend', {
        namespace: 'shop',
        labels: { 'app.kubernetes.io/managed-by': 'mesh-canary' },
      }),
      apiVersion: 'coordination.k8s.io/v1',
      spec: { holderIdentity },
    })
    const busy = fakeMesh([...meshObjects(), held('run 7 (deadbeef)')])
    await expect(uninstall(busy.cluster, busy.removal)).rejects.toThrow(
      'uninstall: run 7 (deadbeef) holds the Lease shop/mesh-canary-backend of a promotion; wait for its end',
    )
    expect(busy.calls).toEqual([])
    const idle = fakeMesh([...meshObjects(), held('')])
    expect((await uninstall(idle.cluster, idle.removal)).removed).toContain('Lease shop/mesh-canary-backend')
  })

  test('refuses for a fault that its caller names, and changes nothing', async () => {
    const { cluster, removal, calls } = fakeMesh(meshObjects())
    await expect(uninstall(cluster, { ...removal, faults: ['uninstall: a Rollout'] })).rejects.toThrow(/a Rollout/)
    expect(calls).toEqual([])
  })

  test('removes the records of how promotions ended', async () => {
    const record = object('ConfigMap', 'mesh-canary-backend-outcome', {
      namespace: 'shop',
      labels: { 'mesh-canary.io/outcome': 'backend' },
    })
    const { cluster, removal } = fakeMesh([...meshObjects(), record])
    expect((await uninstall(cluster, removal)).removed).toContain('ConfigMap shop/mesh-canary-backend-outcome')
  })
})

describe('uninstall in a mesh that somebody else installed', () => {
  /** No record: istioctl, Helm or an operator installed it. */
  const foreign = () => meshObjects().filter(({ metadata }) => metadata.name !== 'mesh-canary-install')
  const labelledBy = (manager: string): KubeObject => ({
    ...object('Namespace', 'shop', { labels: { 'istio-injection': 'enabled' } }),
    metadata: {
      name: 'shop',
      labels: { 'istio-injection': 'enabled' },
      managedFields: [{ manager, fieldsV1: { 'f:metadata': { 'f:labels': { 'f:istio-injection': {} } } } }],
    },
  })

  test('removes the policies, the label and the sidecars that mesh-canary brought, and not the control plane', async () => {
    const { cluster, removal, stored, calls } = fakeMesh([...foreign(), labelledBy('mesh-canary')])
    const notes: string[] = []
    const { removed, restarted, remains } = await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
    expect(notes[0]).toContain('the control plane default stays, because mesh-canary did not install it, but somebody')
    expect(removed).toEqual(
      expect.arrayContaining(['VirtualService shop/backend', 'label istio-injection of Namespace shop']),
    )
    expect({ restarted: restarted.length > 0, remains }).toEqual({ restarted: true, remains: [] })
    expect(calls.filter((call) => call.startsWith('istioctl'))).toEqual([])
    expect(stored.has('Deployment istio-system/istiod')).toBe(true)
  })

  test('changes nothing if the namespace has a policy of another repository', async () => {
    const theirs = withOwnerMarks(policy('Sidecar', 'default', {}), ownerNamed('github.test/acme/web mesh.yaml'))
    const { cluster, removal, calls } = fakeMesh([...foreign(), labelledBy('mesh-canary'), theirs])
    const ofOther = uninstall(cluster, { ...removal, repository: 'github.test/acme/shop' })
    await expect(ofOther).rejects.toThrow('policies of other repositories: Sidecar shop/default')
    expect(calls).toEqual([])
  })

  test('leaves a label of somebody else, and the sidecars with it', async () => {
    const { cluster, removal } = fakeMesh([...foreign(), labelledBy('kubectl-label')])
    const { removed, restarted } = await uninstall(cluster, removal)
    expect(removed).not.toContain('label istio-injection of Namespace shop')
    expect(restarted).toEqual([])
  })

  test('does not mind the policies and the sidecars of others', async () => {
    const { cluster, removal, stored } = fakeMesh([
      ...foreign(),
      policy('Sidecar', 'theirs', {}),
      podOf('web', 'staging'),
    ])
    await uninstall(cluster, removal)
    expect(stored.has('Sidecar shop/theirs')).toBe(true)
  })

  test('removes the whole mesh if it takes it over', async () => {
    const { cluster, removal, calls } = fakeMesh(foreign())
    await uninstall(cluster, { ...removal, takesOver: true })
    expect(calls).toContain('istioctl uninstall --purge -y')
  })

  test('refuses to remove its revision beside others', async () => {
    const { cluster, removal, calls } = fakeMesh([...meshObjects(), istiod('theirs')])
    await expect(uninstall(cluster, { ...removal, revision: 'theirs' })).rejects.toThrow(
      'uninstall: the control plane theirs stays, because mesh-canary did not install it',
    )
    expect(calls).toEqual([])
  })
})

describe('uninstall of what the section observability brought', () => {
  const labels = { 'app.kubernetes.io/component': 'observability' }
  const ours = (kind: string, name: string, namespace?: string, apiVersion?: string) =>
    withOwnerMarks(object(kind, name, { labels, ...(namespace === undefined ? {} : { namespace }) }, apiVersion), shop)
  const installed = () => [
    ours('Namespace', 'observability'),
    ours('Service', 'jaeger', 'observability'),
    ours('Deployment', 'jaeger', 'observability', 'apps/v1'),
    object('ConfigMap', 'kube-root-ca.crt', { namespace: 'observability' }),
  ]
  const meshConfig = () => ({
    ...object('ConfigMap', 'istio', {
      namespace: 'istio-system',
      resourceVersion: '7',
      annotations: { 'mesh-canary.io/extension-providers': 'mesh-canary-traces' },
    }),
    data: { mesh: 'extensionProviders: [{ name: theirs }, { name: mesh-canary-traces }]' },
  })
  const foreign = () => meshObjects().filter(({ metadata }) => metadata.name !== 'mesh-canary-install')

  test('removes the namespace last, and a provider from a mesh config that stays', async () => {
    const [dry, real] = [0, 1].map(() => fakeMesh([...foreign(), ...installed(), meshConfig()]))
    const planned = await uninstall(dry!.cluster, { ...dry!.removal, dryRun: true })
    const { removed, remains } = await uninstall(real!.cluster, real!.removal)
    expect(remains).toEqual([])
    expect(real!.stored.get('ConfigMap istio-system/istio')).toMatchObject({
      data: { mesh: 'extensionProviders:\n  - name: theirs\n' },
    })
    const ofObservability = removed.filter((title) => /observability|provider/.test(title))
    expect(ofObservability).toEqual([
      'extension provider mesh-canary-traces of ConfigMap istio-system/istio',
      'Deployment observability/jaeger',
      'Service observability/jaeger',
      'Namespace observability',
    ])
    expect(planned.removed.toSorted()).toEqual(removed.toSorted())
  })

  test('leaves a provider that a Telemetry of somebody else names', async () => {
    const spec = { tracing: [{ providers: [{ name: 'mesh-canary-traces' }] }] }
    const theirs = policy('Telemetry', 'default', spec, { namespace: 'other' })
    const { cluster, removal, calls } = fakeMesh([...foreign(), meshConfig(), theirs])
    await uninstall(cluster, removal)
    expect(calls).not.toContain('patch ConfigMap')
  })

  test('leaves the namespace while others use it, and what is in it of another namespace', async () => {
    const theirs = withOwnerMarks(
      object('Service', 'prometheus', { labels, namespace: 'observability' }),
      ownerNamed('github.test/acme/web mesh.yaml', 'web'),
    )
    const { cluster, removal, stored } = fakeMesh([...foreign(), ...installed(), theirs])
    const notes: string[] = []
    await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
    expect(notes).toContain('the namespace observability stays: it also holds Service observability/prometheus')
    expect([...stored.keys()].filter((key) => key.includes('observability'))).toEqual([
      'Namespace /observability',
      'ConfigMap observability/kube-root-ca.crt',
      'Service observability/prometheus',
    ])
  })
})

describe('with several control planes uninstall', () => {
  const two = () => [...meshObjects(), istiod('canary'), recordOf('canary')]

  test('refuses to remove all of them unless the config names one', async () => {
    const { cluster, removal, calls } = fakeMesh(two())
    await expect(uninstall(cluster, removal)).rejects.toThrow(
      'uninstall: the cluster has several control planes (default, canary), and this run would remove all of them; set `istio.revision` to the one to remove',
    )
    expect(calls).toEqual([])
  })

  test('removes an unused one and its record, and leaves policies and sidecars', async () => {
    const { cluster, removal, calls } = fakeMesh(two())
    const beforeRoutes = () => Promise.reject(new Error('the routes stay'))
    const { removed, restarted } = await uninstall(cluster, {
      ...removal,
      revision: 'canary',
      timeoutMs: 0,
      beforeRoutes,
    })
    expect(calls).toEqual(['istioctl uninstall --revision canary -y', 'remove ConfigMap'])
    expect({ removed, restarted }).toEqual({ removed: ['control plane canary'], restarted: [] })
  })

  test('does nothing if the named one does not exist', async () => {
    const { cluster, removal, calls } = fakeMesh(meshObjects())
    expect(await uninstall(cluster, { ...removal, revision: 'canary' })).toEqual({
      removed: [],
      restarted: [],
      remains: [],
    })
    expect(calls).toEqual([])
  })

  test.each<[string, string, KubeObject[], string]>([
    [
      'a namespace with its revision',
      'canary',
      [object('Namespace', 'staging', { labels: { 'istio.io/rev': 'canary' } })],
      'is still used by namespace staging; move',
    ],
    [
      'a namespace with one of its tags',
      'canary',
      [
        object('Namespace', 'staging', { labels: { 'istio.io/rev': 'prod' } }),
        object(
          'MutatingWebhookConfiguration',
          'prod',
          { labels: { 'istio.io/tag': 'prod', 'istio.io/rev': 'canary' } },
          'admissionregistration.k8s.io/v1',
        ),
      ],
      'is still used by namespace staging, tag prod; move',
    ],
    [
      'a namespace without a revision, if it is the default',
      'default',
      [pod({ metadata: { name: 'x', namespace: 'shop' } })],
      'is still used by namespace shop; move',
    ],
    [
      'a pod',
      'canary',
      [
        pod({
          metadata: {
            name: 'web-1',
            namespace: 'staging',
            annotations: { 'sidecar.istio.io/status': '{"revision":"canary"}' },
          },
        }),
      ],
      'is still used by pod staging/web-1; move',
    ],
    [
      'a gateway',
      'canary',
      [pod({ metadata: { name: 'gw-1', namespace: 'istio-system', labels: { 'istio.io/rev': 'canary' } } })],
      'is still used by gateway pod istio-system/gw-1; move',
    ],
  ])('refuses to remove one that is in use by %s', async (_, revision, users, fault) => {
    const { cluster, removal, calls } = fakeMesh([...two(), ...users])
    await expect(uninstall(cluster, { ...removal, revision })).rejects.toThrow(fault)
    expect(calls).toEqual([])
  })

  test('removes the tags of users with the last one, because istioctl purge leaves them', async () => {
    const webhook = object(
      'MutatingWebhookConfiguration',
      'istio-revision-tag-prod',
      { labels: { 'istio.io/tag': 'prod', 'istio.io/rev': 'default' } },
      'admissionregistration.k8s.io/v1',
    )
    const service = system('Service', 'istiod-revision-tag-prod', { 'istio.io/tag': 'prod' })
    const { cluster, removal, calls } = fakeMesh([...meshObjects(), webhook, service])
    const { removed } = await uninstall(cluster, removal)
    expect(calls.filter((each) => each.startsWith('istioctl'))).toEqual([
      'istioctl tag remove prod -y',
      'istioctl uninstall --purge -y',
    ])
    expect(removed).toEqual(
      expect.arrayContaining(['MutatingWebhookConfiguration istio-revision-tag-prod', 'Namespace istio-system']),
    )
  })

  test('moves the default tag to another one before it removes the one that served it', async () => {
    const { cluster, removal, calls } = fakeMesh([
      istiod('old', '2026-01-01T00:00:00Z'),
      istiod('canary', '2026-02-01T00:00:00Z'),
      recordOf('old'),
      object(
        'MutatingWebhookConfiguration',
        'tag',
        { labels: { 'istio.io/tag': 'default', 'istio.io/rev': 'old' } },
        'admissionregistration.k8s.io/v1',
      ),
    ])
    await uninstall(cluster, { ...removal, revision: 'old' })
    expect(calls.slice(0, 2)).toEqual([
      'istioctl tag set default --revision canary --overwrite -y',
      'istioctl uninstall --revision old -y',
    ])
  })
})

describe('uninstall of a mesh whose parts belong to others', () => {
  const helm = { 'meta.helm.sh/release-name': 'istio-base', 'meta.helm.sh/release-namespace': 'istio-system' }
  const withoutIstiod = () =>
    meshObjects().filter(({ metadata }) => !/^(istiod|mesh-canary-install)$/.test(metadata.name))
  const helmCrd = object(
    'CustomResourceDefinition',
    'gateways.networking.istio.io',
    { annotations: helm },
    'apiextensions.k8s.io/v1',
  )
  const outside = {
    ...object(
      'MutatingWebhookConfiguration',
      'istio-sidecar-injector',
      { labels: { app: 'sidecar-injector' } },
      'admissionregistration.k8s.io/v1',
    ),
    webhooks: [{ clientConfig: { url: 'https://istiod.platform.test/inject' } }],
  } as KubeObject
  const elsewhere = () => ({
    ...istiod('old'),
    metadata: { ...istiod('old').metadata, namespace: 'istio-old', annotations: helm },
  })

  test.each<[string, KubeObject, string]>([
    [
      'a control plane outside the cluster',
      outside,
      'the control plane default stays, because mesh-canary did not install it, but whoever runs it outside this ' +
        'cluster (MutatingWebhookConfiguration istio-sidecar-injector); remove it there, or set `istio.takeOver: true`',
    ],
    [
      'CRDs of a Helm release',
      helmCrd,
      'the CustomResourceDefinition gateways.networking.istio.io stays, because mesh-canary did not install it, but ' +
        'Helm, as its release istio-system/istio-base; remove it there',
    ],
  ])('leaves %s', async (_, foreign, sentence) => {
    const { cluster, removal, calls, stored } = fakeMesh([...withoutIstiod(), foreign])
    const notes: string[] = []
    await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
    expect(notes[0]).toContain(sentence)
    expect(calls.filter((call) => call.startsWith('istioctl'))).toEqual([])
    expect(stored.has('Namespace /istio-system')).toBe(true)
    expect(stored.has('VirtualService shop/backend')).toBe(false)
    const taking = fakeMesh([...withoutIstiod(), foreign])
    await uninstall(taking.cluster, { ...taking.removal, takesOver: true })
    expect(taking.calls).toContain('istioctl uninstall --purge -y')
  })

  test('removes CRDs with the marks of Helm beside a control plane of its own', async () => {
    const { cluster, removal, calls } = fakeMesh([...meshObjects(), helmCrd])
    await uninstall(cluster, removal)
    expect(calls).toContain('istioctl uninstall --purge -y')
  })

  test('removes CRDs with the marks of the installer from which it took over', async () => {
    const record = { ...recordOf('default'), data: { takenOverFrom: 'Helm, as its release istio-system/istiod' } }
    record.metadata.name = 'mesh-canary-install'
    const { cluster, removal, calls } = fakeMesh([...meshObjects(), record, helmCrd])
    await uninstall(cluster, removal)
    expect(calls).toContain('istioctl uninstall --purge -y')
  })

  test.each<[string, Partial<Removal>, KubeObject[]]>([
    ['the whole mesh', {}, []],
    ['one of several', { revision: 'old' }, meshObjects()],
  ])('refuses to take over a control plane in another namespace as %s', async (_, asked, others) => {
    const { cluster, removal, calls } = fakeMesh([...others, elsewhere()])
    await expect(uninstall(cluster, { ...removal, ...asked, takesOver: true })).rejects.toThrow(
      /^uninstall: the control plane old stays, because mesh-canary did not install it, but Helm, .*; remove it there$/,
    )
    expect(calls).toEqual([])
  })
})

test.each([
  ['a Secret of a SealedSecret', 'Secret', 'v1', 'SealedSecret', true],
  ['a Deployment of a Kiali', 'Deployment', 'apps/v1', 'Kiali', true],
  ['a Service of a Deployment', 'Service', 'v1', 'Deployment', false],
  ['a Job of a CronJob', 'Job', 'batch/v1', 'CronJob', false],
])("%s in istio-system keeps the namespace only if it is the user's", async (_, kind, apiVersion, ownerKind, keeps) => {
  const ownerReferences = [{ kind: ownerKind, name: 'theirs', uid: 'u', controller: true }]
  const owned = object(kind, 'theirs', { namespace: 'istio-system', ownerReferences }, apiVersion)
  const { cluster, removal, stored } = fakeMesh([...meshObjects(), owned])
  const notes: string[] = []
  await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
  expect(notes.join('\n').includes(`${kind} istio-system/theirs`)).toBe(keeps)
  expect(stored.has('Namespace /istio-system')).toBe(keeps)
})
