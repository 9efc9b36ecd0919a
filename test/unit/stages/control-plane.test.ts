// What the stage install may do to a control plane, with a fake cluster: versions, add-ons and rights that the test mesh
// does not have. test/e2e/foreign-control-plane.test.ts shows the rest on a real one.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import { kindOf, type Kind, type KubeObject, type Meta } from '../../../src/cluster/objects.ts'
import { desiredMesh } from '../../../src/mesh/install.ts'
import { listControlPlanes } from '../../../src/mesh/revisions.ts'
import { planInstall, type InstallPlan, type MeshChange } from '../../../src/stages/control-plane.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { configOf, tempFolder } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const system = 'istio-system'
const helm = { 'meta.helm.sh/release-name': 'istiod', 'meta.helm.sh/release-namespace': system }
const meshMap = (mesh: string, metadata: Partial<Meta> = {}): KubeObject & { data: object } => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'istio', namespace: system, ...metadata },
  data: { mesh },
})
const istiod = (version: string, metadata: Partial<Meta> = {}, availableReplicas = 1) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    name: 'istiod',
    namespace: system,
    uid: 'u1',
    ...metadata,
    labels: { app: 'istiod', ...metadata.labels },
  },
  spec: { template: { spec: { containers: [{ name: 'discovery', image: `istio/pilot:${version}` }] } } },
  status: { availableReplicas },
})

/** An istioctl that renders a mesh config of the accessLogFile it is given, and a gateway for the profile demo. */
function fakeIstioctl(): string {
  const path = join(tempFolder(), 'istioctl')
  const gateway = '---\\napiVersion: v1\\nkind: Service\\nmetadata: { name: gateway, namespace: istio-system }\\n'
  writeFileSync(
    path,
    `#!/bin/sh
log=none; gateway=
for value in "$@"; do
  case "$value" in meshConfig.accessLogFile=*) log="\${value#*=}";; profile=demo) gateway='${gateway}';; esac
done
printf "apiVersion: v1\\nkind: ConfigMap\\nmetadata: { name: istio, namespace: istio-system }\\ndata: { mesh: 'accessLogFile: $log' }\\n$gateway"
`,
  )
  chmodSync(path, 0o755)
  return path
}

async function planOf(
  istio: string,
  objects: KubeObject[],
  change: (cluster: Cluster) => Partial<Cluster> = () => ({}),
) {
  const fake = recordingCluster(objects)
  const cluster = { ...fake.cluster, ...change(fake.cluster) }
  const config = configOf(`istio: { version: 1.31.0, ${istio} }`)
  const context = {
    cluster,
    config,
    mesh: desiredMesh(config.istio!),
    istioctl: { path: fakeIstioctl(), version: '1.31.0', cacheHit: true },
    host: { signal: new AbortController().signal },
  } as unknown as StageContext
  return planInstall(context, await listControlPlanes(cluster))
}
const refusalIn = (plan: InstallPlan) => (plan as MeshChange).refusal

describe('a control plane of somebody else', () => {
  const ofHelm = [istiod('1.31.0', { annotations: helm }), meshMap('accessLogFile: /dev/stdout')]
  const installer = 'Helm, as its release istio-system/istiod'

  test.each<[string, string]>([
    ['only a version', ''],
    ['a setting that it has', 'set: meshConfig.accessLogFile=/dev/stdout'],
    ['no gateway, although there could be one', 'profile: default'],
  ])('is used for a config with %s', async (_, istio) => {
    expect(await planOf(istio, ofHelm)).toMatchObject({ action: 'foreign', foreign: { installer } })
  })

  test('is used if its vendor adds a suffix to the version', async () => {
    const objects = [istiod('1.31.0-vendor.5', { annotations: helm }), meshMap('accessLogFile: none')]
    expect(await planOf('', objects)).toMatchObject({ action: 'foreign' })
  })

  test.each<[string, string, KubeObject[], string]>([
    [
      'another version',
      '',
      [istiod('1.30.2', { annotations: helm })],
      'it runs 1.30.2, and the config asks for 1.31.0',
    ],
    ['a prerelease', '', [istiod('1.31.0-rc.1', { annotations: helm })], 'it runs 1.31.0-rc.1'],
    ['no istiod that is available', '', [istiod('1.31.0', { annotations: helm }, 0)], 'its istiod is not available'],
    [
      'another setting',
      'set: meshConfig.accessLogFile=/tmp/log',
      ofHelm,
      'ConfigMap istio-system/istio, data.mesh.accessLogFile: the config asks for /tmp/log, and it is /dev/stdout',
    ],
    ['no gateway', 'profile: demo', ofHelm, 'Service istio-system/gateway does not exist'],
  ])('is refused with %s', async (_, istio, objects, words) => {
    const refusal = refusalIn(await planOf(istio, objects))
    expect(refusal).toContain(`istio: the control plane default was installed by ${installer}, and it is not as this`)
    expect(refusal).toContain(words)
    expect(refusal).toContain('set `istio.takeOver: true`')
    expect(refusalIn(await planOf(`${istio}${istio ? ', ' : ''}takeOver: true`, objects))).toBeUndefined()
  })

  test('is refused if an account may not compare a setting that the config asks for', async () => {
    const forbidden = () => ({ apply: () => Promise.reject(new ApiError(403, 'cannot patch configmaps')) })
    expect(refusalIn(await planOf('set: meshConfig.accessLogFile=/tmp/log', ofHelm, forbidden))).toContain(
      'ConfigMap istio-system/istio cannot be compared with the config: cannot patch configmaps',
    )
    expect(await planOf('', ofHelm, forbidden)).toMatchObject({ action: 'foreign' })
  })

  test('in another namespace is used by its revision, and never overwritten', async () => {
    const addOn = (version: string) =>
      istiod(version, {
        name: 'istiod-asm-1-31',
        namespace: 'aks-istio-system',
        labels: { 'istio.io/rev': 'asm-1-31' },
      })
    expect(await planOf('revision: asm-1-31', [addOn('1.31.0')])).toMatchObject({ action: 'foreign' })
    expect(await planOf('revision: asm-1-31, takeOver: true', [addOn('1.31.0')])).toMatchObject({ action: 'foreign' })
    const other = refusalIn(await planOf('revision: asm-1-31, takeOver: true', [addOn('1.30.0')]))
    expect(other).toContain('installed by Azure (AKS, as its Istio add-on)')
    expect(other).not.toContain('takeOver')
    expect(refusalIn(await planOf('', [addOn('1.31.0')]))).toContain(
      'the control plane asm-1-31 (1.31.0) in aks-istio-system, which belongs to Azure (AKS, as its Istio add-on), ' +
        "shares Istio's CRDs with the new one (set `istio.revision` to asm-1-31 to use it)",
    )
  })
})

test('a new control plane may add labels to objects of others, and no more', async () => {
  const labelled = meshMap('accessLogFile: none', { annotations: helm, labels: { release: 'base' } })
  expect(refusalIn(await planOf('', [labelled]))).toBeUndefined()
  const differing = meshMap('accessLogFile: /dev/stdout', { annotations: helm })
  expect(refusalIn(await planOf('', [differing]))).toContain('would overwrite what others installed or set')
  expect(refusalIn(await planOf('takeOver: true', [differing]))).toBeUndefined()
})

test('a control plane outside the cluster, as of a managed offering, is not joined by a second one', async () => {
  const webhook = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'istiod-managed', labels: { app: 'sidecar-injector', 'istio.io/rev': 'asm-managed' } },
    webhooks: [{ clientConfig: { url: 'https://managed.test/inject' } }],
  }
  expect(refusalIn(await planOf('', [webhook]))).toContain(
    'a control plane outside this cluster injects the sidecars of the revision asm-managed',
  )
})

describe('a control plane that mesh-canary installed', () => {
  const record = (data: object): KubeObject & { data: object } => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'mesh-canary-install', namespace: system },
    data,
  })

  test('changes, and the plan shows the mesh config value by value', async () => {
    const plan = await planOf('set: meshConfig.accessLogFile=/tmp/log', [
      istiod('1.31.0'),
      record({ uid: 'u1', fingerprint: 'other' }),
      meshMap('accessLogFile: none'),
    ])
    expect(plan).toMatchObject({
      action: 'change',
      changes: [{ action: 'change', leaves: [{ path: 'data.mesh.accessLogFile', before: 'none', after: '/tmp/log' }] }],
    })
    expect(refusalIn(plan)).toBeUndefined()
  })

  test.each<[string, Partial<Meta>, string[], string]>([
    [
      'what another tool manages',
      { annotations: helm },
      [],
      'which belongs to Helm, as its release istio-system/istiod',
    ],
    ['what somebody has set by hand', {}, ['conflict with "kubectl-edit" using v1'], 'which belongs to kubectl-edit'],
  ])('is not changed if that would overwrite %s', async (_, metadata, causes, words) => {
    const objects = [istiod('1.31.0'), record({ uid: 'u1' }), meshMap('accessLogFile: none', metadata)]
    const conflicting = (cluster: Cluster) => ({
      apply: ((object: KubeObject, force?: boolean, dryRun?: boolean) =>
        causes.length > 0 && !force
          ? Promise.reject(new ApiError(409, 'conflict', causes))
          : cluster.apply(object, force, dryRun)) as Cluster['apply'],
    })
    const refusal = refusalIn(await planOf('set: meshConfig.accessLogFile=/tmp/log', objects, conflicting))
    expect(refusal).toContain('installing 1.31.0 would overwrite what others installed or set')
    expect(refusal).toContain(`ConfigMap istio-system/istio, ${words}: data.mesh.accessLogFile`)
  })

  test('changes what istiod and Kubernetes write themselves', async () => {
    const objects = [istiod('1.31.0'), record({ uid: 'u1' }), meshMap('accessLogFile: none')]
    const conflicting = (cluster: Cluster) => ({
      apply: ((object: KubeObject, force?: boolean, dryRun?: boolean) =>
        force
          ? cluster.apply(object, force, dryRun)
          : Promise.reject(new ApiError(409, '', ['conflict with "pilot-discovery"']))) as Cluster['apply'],
    })
    expect(refusalIn(await planOf('set: meshConfig.accessLogFile=/tmp/log', objects, conflicting))).toBeUndefined()
  })

  test('loses the objects that the config no longer asks for', async () => {
    const gateway: KubeObject = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'gateway',
        namespace: system,
        labels: { 'operator.istio.io/component': 'IngressGateways', 'istio.io/rev': 'default' },
      },
    }
    const plan = (await planOf('', [istiod('1.31.0'), record({ uid: 'u1' }), gateway])) as MeshChange
    expect(plan.changes.map(({ action, object }) => [action, kindOf(object) satisfies Kind | undefined])).toEqual([
      ['create', 'ConfigMap'],
      ['delete', 'Service'],
    ])
  })
})
