// The outcome on a real cluster is shown by the e2e test; here, the order of the steps and what is refused.
import { describe, expect, test } from 'vitest'
import type { Kind, KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { uninstall, type Removal } from '../../../src/uninstall/uninstall.ts'
import { marked, ownerOf } from '../../../src/policies/prune.ts'
import { pod, workload } from '../fixtures.ts'
import { recordingCluster, policy, route, rule, type RecordingCluster } from '../policies/recording-cluster.ts'

const shop = ownerOf('mesh.yaml', 'shop')
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

/** A control plane, with what istioctl finds it by. */
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
  ...[rule('v1'), route(['v1', 100])].map((each) => marked(each, shop)),
]

/** The recordingCluster, which also does what a restart and istioctl do. */
function world(objects: KubeObject[]): RecordingCluster & { removal: Removal } {
  const it = recordingCluster(objects)
  const merge = (kind: Kind, _: unknown, name: string, body: { metadata?: { labels?: Record<string, null> } }) => {
    it.happened.push(`merge ${kind} ${name}`)
    const { metadata } = it.kept.get(`${kind} ${kind === 'Namespace' ? '' : 'shop'}/${name}`)!
    if (kind === 'Namespace')
      metadata.labels = Object.fromEntries(
        Object.entries(metadata.labels ?? {}).filter(([label]) => !(label in (body.metadata?.labels ?? {}))),
      )
    if (kind === 'Deployment')
      it.kept.set(`Pod shop/${name}-1`, { ...podOf(name), spec: { containers: [{ name: 'app' }] } } as KubeObject)
    return Promise.resolve({})
  }
  const istioctl = (args: string[]) => {
    it.happened.push(`istioctl ${args.join(' ')}`)
    const named = args.indexOf('--revision')
    if (args[0] === 'tag') return Promise.resolve()
    for (const [key, { metadata }] of it.kept)
      if (named > 0 && key.startsWith('Deployment ') && metadata.labels?.['istio.io/rev'] === args[named + 1])
        it.kept.delete(key)
    for (const [key, { metadata, kind }] of it.kept)
      if (named < 0 && /istiod|\.istio\.io$/.test(metadata.name) && kind !== 'Namespace') it.kept.delete(key)
    return Promise.resolve()
  }
  let updates = 0
  /** The count of the sets of clusters that the proxy has taken. */
  const podProxy = () => {
    it.happened.push('ask a proxy')
    return Promise.resolve(`envoy_cluster_manager_cds_update_success{} ${updates++}`)
  }
  const removal: Removal = {
    namespace: 'shop',
    workloads: [
      { kind: 'Deployment', name: 'frontend' },
      { kind: 'Deployment', name: 'mysql' },
    ],
    dryRun: false,
    timeoutMs: 0,
    signal: new AbortController().signal,
    istioctl,
    note: () => {},
  }
  return {
    ...it,
    cluster: { ...it.cluster, merge: merge as RecordingCluster['cluster']['merge'], pod: podProxy },
    removal,
  }
}

const fresh = () => structuredClone(mesh)

const askedOfBoth = ['ask a proxy', 'ask a proxy']

test('policies go, routes before the subsets that the proxies use, then sidecars, what is called before its callers, then the control plane and what it leaves', async () => {
  const { cluster, removal, happened, kept } = world(fresh())
  const { removed, restarted, remains } = await uninstall(cluster, removal)
  expect(happened).toEqual([
    ...askedOfBoth,
    'remove VirtualService',
    ...askedOfBoth,
    'remove DestinationRule',
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
  expect(kept.get('Namespace /shop')?.metadata.labels).toEqual({ team: 'x' })
  expect([...kept.keys()]).toEqual(
    expect.arrayContaining(['CustomResourceDefinition /widgets.example.com', 'ClusterRole /view']),
  )
})

test('with istiod gone no proxy is asked: nobody would tell it', async () => {
  const { cluster, removal, happened } = world(fresh().filter(({ metadata }) => metadata.name !== 'istiod'))
  const { remains } = await uninstall(cluster, removal)
  expect(happened.slice(0, 3)).toEqual(['remove VirtualService', 'remove DestinationRule', 'merge Namespace shop'])
  expect(remains).toEqual([])
})

test('a pod that has ended holds nothing back', async () => {
  const job = (namespace: string) =>
    pod({ metadata: { name: 'job-1', namespace, labels: { app: 'job' } }, status: { phase: 'Succeeded' } })
  const { cluster, removal } = world([...fresh(), job('shop'), job('staging')])
  expect((await uninstall(cluster, removal)).remains).toEqual([])
})

test('a dry run tells the same and does nothing', async () => {
  const [dry, real] = [world(fresh()), world(fresh())]
  const told = await uninstall(dry.cluster, { ...dry.removal, dryRun: true })
  expect(dry.happened).toEqual([])
  const done = await uninstall(real.cluster, real.removal)
  const sorted = ({ removed, ...rest }: typeof told) => ({ ...rest, removed: removed.toSorted() })
  expect(sorted(told)).toEqual(sorted(done))
})

test('one that fails half-way has told how far it came', async () => {
  const { cluster, removal } = world(fresh())
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

test('a second one finds nothing to do', async () => {
  const { cluster, removal, happened } = world(fresh())
  await uninstall(cluster, removal)
  happened.length = 0
  expect(await uninstall(cluster, removal)).toEqual({ removed: [], restarted: [], remains: [] })
  expect(happened).toEqual([])
})

test('what does not go is told', async () => {
  const { cluster, removal } = world(fresh())
  const { remains } = await uninstall(cluster, { ...removal, istioctl: () => Promise.resolve() })
  expect(remains).toEqual([
    'CustomResourceDefinition virtualservices.networking.istio.io',
    'ClusterRole istiod-clusterrole-istio-system',
  ])
})

describe('istio-system stays where something of the user is in it', () => {
  test.each([
    ['a workload', system('Deployment', 'grafana', {}, 'apps/v1')],
    ['a certificate', system('Secret', 'shop-tls')],
    ["the user's own CA", system('Secret', 'cacerts')],
    ['a setting', system('ConfigMap', 'istio-grafana-dashboards')],
  ])('%s', async (_, theirs) => {
    const { cluster, removal, kept } = world([...fresh(), theirs])
    const notes: string[] = []
    const { removed } = await uninstall(cluster, { ...removal, note: (line) => notes.push(line) })
    expect(notes[0]).toBe(
      `the namespace istio-system stays because it holds objects that are not part of the mesh: ${theirs.kind} istio-system/${theirs.metadata.name}`,
    )
    expect(removed).not.toContain('Namespace istio-system')
    const left = [...kept.values()]
      .filter(({ kind, metadata: { namespace } }) => namespace === 'istio-system' && kind !== 'Pod')
      .map(({ metadata: { name } }) => name)
    expect(kept.has('Namespace /istio-system')).toBe(true)
    expect(left.sort()).toEqual(['kube-root-ca.crt', theirs.metadata.name].sort())
  })
})

describe('nothing is touched where others need the mesh', () => {
  test.each([
    [
      "a stranger's policy",
      policy('Sidecar', 'theirs', {}),
      'policies that belong to no config of this namespace: Sidecar shop/theirs; delete them first',
    ],
    [
      "another namespace's policy of ours",
      marked(policy('Sidecar', 'default', {}, { namespace: 'staging' }), ownerOf('mesh.yaml', 'staging')),
      'Sidecar staging/default',
    ],
    [
      'a pod that nothing restarts',
      podOf('lonely'),
      'belong to no Deployment, StatefulSet or DaemonSet that could be restarted: Pod shop/lonely-1; delete them first, or wait until they end',
    ],
    [
      "another namespace's sidecar",
      podOf('web', 'staging'),
      'uninstall: pods in other namespaces still have sidecars (staging) and would lose the mesh',
    ],
  ])('%s', async (_, theirs, fault) => {
    const { cluster, removal, happened } = world([...fresh(), theirs])
    await expect(uninstall(cluster, removal)).rejects.toThrow(fault)
    expect(happened).toEqual([])
  })

  test("Istio's own policies and gateways, and our other configs in this namespace, go with it", async () => {
    const others = marked(policy('Telemetry', 'default', {}), ownerOf('other.yaml', 'shop'))
    const { cluster, removal } = world([
      ...fresh(),
      policy('EnvoyFilter', 'stats', {}, { namespace: 'istio-system', labels: ofIstio }),
      podOf('ingress', 'istio-system'),
      others,
    ])
    expect((await uninstall(cluster, { ...removal, dryRun: true })).removed).toContain('Telemetry shop/default')
  })
})

describe('of several control planes', () => {
  const two = () => [...fresh(), istiod('canary')]

  test('none goes unless it is named, for all would go', async () => {
    const { cluster, removal, happened } = world(two())
    await expect(uninstall(cluster, removal)).rejects.toThrow(
      'uninstall: the cluster has several control planes (default, canary), and this run would remove all of them; set `istio.revision` to the one to remove',
    )
    expect(happened).toEqual([])
  })

  test('one that nothing uses goes alone, and the record of it; policies and sidecars stay', async () => {
    const { cluster, removal, happened } = world(two())
    const { removed, restarted } = await uninstall(cluster, { ...removal, revision: 'canary', timeoutMs: 0 })
    expect(happened).toEqual(['istioctl uninstall --revision canary -y', 'remove ConfigMap'])
    expect({ removed, restarted }).toEqual({ removed: ['control plane canary'], restarted: [] })
  })

  test('one that is not there is not looked for', async () => {
    const { cluster, removal, happened } = world(fresh())
    expect(await uninstall(cluster, { ...removal, revision: 'canary' })).toEqual({
      removed: [],
      restarted: [],
      remains: [],
    })
    expect(happened).toEqual([])
  })

  test.each<[string, string, KubeObject[], string]>([
    [
      'a namespace that names it',
      'canary',
      [object('Namespace', 'staging', { labels: { 'istio.io/rev': 'canary' } })],
      'is still used by namespace staging; move',
    ],
    [
      'a namespace that names a tag of it',
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
      'a namespace that names none, where it serves those',
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
  ])('one is not removed while it is used: %s', async (_, revision, users, fault) => {
    const { cluster, removal, happened } = world([...two(), ...users])
    await expect(uninstall(cluster, { ...removal, revision })).rejects.toThrow(fault)
    expect(happened).toEqual([])
  })

  test('the last one goes with the tags of users, which the purge leaves', async () => {
    const webhook = object(
      'MutatingWebhookConfiguration',
      'istio-revision-tag-prod',
      { labels: { 'istio.io/tag': 'prod', 'istio.io/rev': 'default' } },
      'admissionregistration.k8s.io/v1',
    )
    const service = system('Service', 'istiod-revision-tag-prod', { 'istio.io/tag': 'prod' })
    const { cluster, removal, happened } = world([...fresh(), webhook, service])
    const { removed } = await uninstall(cluster, removal)
    expect(happened.filter((each) => each.startsWith('istioctl'))).toEqual([
      'istioctl tag remove prod -y',
      'istioctl uninstall --purge -y',
    ])
    expect(removed).toEqual(
      expect.arrayContaining(['MutatingWebhookConfiguration istio-revision-tag-prod', 'Namespace istio-system']),
    )
  })

  test('what names no revision is handed over before the one goes that served it', async () => {
    const { cluster, removal, happened } = world([
      istiod('old', '2026-01-01T00:00:00Z'),
      istiod('canary', '2026-02-01T00:00:00Z'),
      object(
        'MutatingWebhookConfiguration',
        'tag',
        { labels: { 'istio.io/tag': 'default', 'istio.io/rev': 'old' } },
        'admissionregistration.k8s.io/v1',
      ),
    ])
    await uninstall(cluster, { ...removal, revision: 'old' })
    expect(happened.slice(0, 2)).toEqual([
      'istioctl tag set default --revision canary --overwrite -y',
      'istioctl uninstall --revision old -y',
    ])
  })
})
