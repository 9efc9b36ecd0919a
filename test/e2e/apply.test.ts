// The built bundle plans, creates, merges, changes and deletes policies on the real mesh, and finally uninstalls the
// mesh. The tests build on each other: they start with a cluster without Istio, and end with one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '../../src/cluster/objects.ts'
import { hasSidecar } from '../../src/mesh/sidecar.ts'
import { runner, type Inputs } from './runner.ts'
import { deploySampleApp, embeddedMesh, traffic, type TestCluster } from './world.ts'

const seed = resolve(import.meta.dirname, '../fixtures/seed.yaml')
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-apply-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let before: string[]

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await removeMesh()
  await deploySampleApp(testCluster, 'healthy')
  machine = runner(testCluster.runner)
  before = await clusterObjects()
})
afterAll(() => {
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

/** Removes what earlier test files may have left. */
async function removeMesh(): Promise<void> {
  await kubectl('delete', 'namespace', 'sample-app', 'policies', 'verify-test', '--ignore-not-found', '--wait')
  await testCluster.run(['istioctl', 'uninstall', '--purge', '-y'])
  await kubectl('delete', 'namespace', 'istio-system', '--ignore-not-found', '--wait')
  await kubectl('delete', 'configmap', '-A', '-l', 'istio.io/config=true')
}

/** Kinds whose objects Kubernetes creates and deletes by itself, such as pods and events. */
const transientKinds =
  /^(pods|replicasets\.apps|controllerrevisions\.apps|events|events\.events\.k8s\.io|leases\..*|endpoints|endpointslices\..*|componentstatuses)$/

/** All objects of the cluster, and the labels of its namespaces. */
async function clusterObjects(): Promise<string[]> {
  const kinds = (await kubectl('api-resources', '--verbs=list', '-o', 'name'))
    .split('\n')
    .filter((kind) => kind !== '' && !transientKinds.test(kind))
  const [objects, namespaces] = await Promise.all([
    kubectl(
      'get',
      kinds.join(','),
      '-A',
      '-o',
      'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}',
    ),
    kubectl(
      'get',
      'namespaces',
      '-o',
      'jsonpath={range .items[*]}labels of {.metadata.name}: {.metadata.labels}{"\\n"}{end}',
    ),
  ])
  return `${objects}${namespaces}`.split('\n').filter(Boolean).sort()
}

const kinds =
  'virtualservices.networking.istio.io,destinationrules,peerauthentications,authorizationpolicies,telemetries,sidecars,serviceentries'

/** The policies of the namespace with their resource versions, which every write changes. */
async function policies(): Promise<Record<string, string>> {
  const lines = await kubectl(
    '-n',
    'sample-app',
    'get',
    kinds,
    '-o',
    'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}',
  )
  return Object.fromEntries(
    lines
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ') as [string, string]),
  )
}

function without(all: Record<string, string>, ...names: string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)))
}

function inputs(config: string, more: Inputs = {}): Inputs {
  const file = join(folder, 'mesh.yaml')
  writeFileSync(file, `name: shop\nnamespace: sample-app\nistio: { version: 1.31.0, profile: demo }\n${config}`)
  // Without a canary, the action rejects the input `metrics`.
  const { mirror, overlays } = testCluster.inputs
  return { ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, ...more }
}

const workloads = 'workloads: [deploy/frontend, deploy/backend, deploy/backend-v2, deploy/mysql]\n'
const baseConfig = `${workloads}mtls: strict
services:
  backend:
    retries: { attempts: 3, perTryTimeout: 2s }
    subsets: { v1: { version: v1 }, v2: { version: v2 } }
    traffic: { v1: 80, v2: 20 }
`
const telemetry = 'telemetry: { accessLogs: true }\n'
const baseObjects = ['DestinationRule/backend', 'PeerAuthentication/default', 'VirtualService/backend']
const foreignObjects = ['ServiceEntry/theirs', 'ServiceEntry/theirs-of-helm', 'ServiceEntry/theirs-of-another-config']

test('a first run installs the mesh and creates the policies', async () => {
  const { code, report } = await machine.run(inputs(baseConfig + telemetry))
  expect(report?.error).toBeUndefined()
  expect(code).toBe(0)
  expect(report?.plan).toHaveLength(baseObjects.length + 1)
  expect(report?.plan?.every(({ action }) => action === 'create')).toBe(true)
  expect(Object.keys(await policies())).toEqual(expect.arrayContaining(baseObjects))
  expect(Object.keys(await policies()).filter((name) => name.startsWith('Telemetry/'))).toHaveLength(1)
})

test('a second apply changes nothing', async () => {
  const previous = await policies()
  const { code, outputs, report } = await machine.run(inputs(baseConfig + telemetry))
  expect(code).toBe(0)
  expect(outputs['changed']).toBe('0')
  expect(report?.plan).toEqual([])
  expect(await policies()).toEqual(previous)
})

test('objects without labels, of another tool and of another config can exist beside the policies', async () => {
  const labels: Record<string, string>[] = [
    {},
    { 'app.kubernetes.io/managed-by': 'Helm' },
    { 'app.kubernetes.io/managed-by': 'mesh-canary', 'mesh-canary.io/config': '00000000' },
  ]
  const items = foreignObjects.map((name, i) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: name.split('/')[1], namespace: 'sample-app', labels: labels[i] },
    spec: {
      hosts: [`theirs-${i}.example.com`],
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
    },
  }))
  const file = join(folder, 'strangers.json')
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  await kubectl('create', '-f', file)
  expect(Object.keys(await policies())).toEqual(expect.arrayContaining(foreignObjects))
})

test.each<[string, Inputs]>([
  ['the stage plan', { stages: 'plan' }],
  ['a dry run', { 'dry-run': 'true' }],
])('%s shows what a removed section and a changed value would change, and changes nothing', async (_, more) => {
  const previous = await policies()
  const { code, report, log } = await machine.run(inputs(baseConfig.replace('attempts: 3', 'attempts: 2'), more))
  expect(code).toBe(0)
  expect(report?.plan?.map(({ action, kind }) => `${action} ${kind}`).sort()).toEqual([
    'change VirtualService',
    'delete Telemetry',
  ])
  expect(log).toContain('- spec.http[0].retries.attempts: 3')
  expect(log).toContain('+ spec.http[0].retries.attempts: 2')
  expect(await policies()).toEqual(previous)
})

test('an apply without a section deletes exactly the objects of that section', async () => {
  const previous = await policies()
  const [removed = ''] = Object.keys(previous).filter((name) => name.startsWith('Telemetry/'))
  const { code, report } = await machine.run(inputs(baseConfig))
  expect(code).toBe(0)
  expect(report?.changes.map(({ kind, name, action }) => [`${kind}/${name}`, action])).toEqual([[removed, 'deleted']])
  expect(await policies()).toEqual(without(previous, removed))
})

const virtualService = (name: string, host: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'sample-app' },
  spec: { hosts: [host], ...spec },
})
const toHost = (host: string) => [{ route: [{ destination: { host } }] }]

/** A config key with a manifest of the user. */
function manifest(object: object): string {
  const file = join(folder, 'own.yaml')
  writeFileSync(file, JSON.stringify(object))
  return `policies: ${file}\n`
}

async function withForeignObject(object: object, work: () => Promise<void>): Promise<void> {
  const file = join(folder, 'stranger.json')
  writeFileSync(file, JSON.stringify(object))
  await kubectl('create', '-f', file)
  try {
    await work()
  } finally {
    await kubectl('delete', '-f', file)
  }
}

test("a run fails and changes nothing if another owner's VirtualService has the host of a manifest", async () => {
  await withForeignObject(virtualService('theirs', 'frontend', { http: toHost('frontend') }), async () => {
    const previous = await policies()
    const { code, report } = await machine.run(
      inputs(
        baseConfig +
          manifest(
            virtualService('ours', 'frontend.sample-app.svc.cluster.local', {
              http: [{ timeout: '5s', ...toHost('frontend')[0] }],
            }),
          ),
      ),
    )
    expect(code).toBe(1)
    expect(report?.error).toMatch(
      /^policies: .*own\.yaml:1: the host frontend\.sample-app\.svc\.cluster\.local already has the VirtualService sample-app\/theirs, which mesh-canary does not manage/,
    )
    expect(report?.stages.map(({ name }) => name)).toEqual(['check'])
    expect(await policies()).toEqual(previous)
  })
})

test('the analysis reports no conflict with an object that the same run deletes', async () => {
  const sidecar = (name: string) =>
    manifest({
      apiVersion: 'networking.istio.io/v1',
      kind: 'Sidecar',
      metadata: { name },
      spec: { egress: [{ hosts: ['*/*'] }] },
    })
  expect((await machine.run(inputs(baseConfig + sidecar('one')))).report?.error).toBeUndefined()
  const { report } = await machine.run(inputs(baseConfig + sidecar('two')))
  expect(report?.error).toBeUndefined()
  expect(report?.changes.map(({ name, action }) => `${name} ${action}`)).toEqual(['two created', 'one deleted'])
})

test("a run fails and changes nothing if it would delete an object that another owner's object needs", async () => {
  const host = 'api.example.com'
  expect((await machine.run(inputs(`${baseConfig}egress: { hosts: { ${host}: {} } }\n`))).report?.error).toBeUndefined()
  await withForeignObject(virtualService('to-api', host, { tcp: toHost(host) }), async () => {
    const previous = await policies()
    const { code, report } = await machine.run(inputs(baseConfig))
    expect(code).toBe(1)
    expect(report?.error).toContain(`IST0101: VirtualService sample-app/to-api: Referenced host not found: "${host}"`)
    expect(await policies()).toEqual(previous)
  })
  const { report } = await machine.run(inputs(baseConfig))
  expect(report?.changes.map(({ kind, action }) => `${kind} ${action}`)).toEqual(['ServiceEntry deleted'])
})

test('a run merges the manifests with the config, keeps the retries and the split, and reports the merge', async () => {
  const previous = await traffic(testCluster)
  const { code, report, log } = await machine.run(inputs(workloads, { policies: seed }))
  expect(report?.error).toBeUndefined()
  expect(code).toBe(0)
  expect(log).toMatch(
    /VirtualService sample-app\/backend \(.*seed\.yaml:25\) was merged into VirtualService sample-app\/backend \(.*seed\.yaml:10\): the host backend can have only one VirtualService/,
  )
  const { spec } = JSON.parse(await kubectl('-n', 'sample-app', 'get', 'virtualservice', 'backend', '-o', 'json')) as {
    spec: { http: unknown }
  }
  expect(spec.http).toEqual([
    {
      retries: { attempts: 3, perTryTimeout: '2s' },
      route: [
        { destination: { host: 'backend', subset: 'v1' }, weight: 80 },
        { destination: { host: 'backend', subset: 'v2' }, weight: 20 },
      ],
    },
  ])
  const now = await traffic(testCluster)
  for (const version of ['v1', 'v2']) expect(now.versions[version]).toBeGreaterThan(previous.versions[version] ?? 0)
  expect(now.failed).toBe(previous.failed)
})

test('a service in the config and a split in a manifest are both in force, and a second run changes nothing', async () => {
  const both = inputs(`${workloads}services: { backend: { timeout: 5s } }\npolicies: ${seed}\n`)
  const first = await machine.run(both)
  expect(first.report?.error).toBeUndefined()
  expect(first.report?.changes.map(({ kind, name, action }) => `${kind}/${name} ${action}`)).toEqual([
    'VirtualService/backend changed',
  ])
  const { report, outputs } = await machine.run(both)
  expect(report?.error).toBeUndefined()
  expect(outputs['changed']).toBe('0')
})

test('uninstall fails and changes nothing while another owner has policies in the mesh', async () => {
  const previous = await clusterObjects()
  const { code, report } = await machine.run(inputs(workloads, { stages: 'uninstall' }))
  expect(code).toBe(1)
  expect(report?.error).toContain('policies that belong to no config of this namespace: ')
  expect(report?.error).toContain('ServiceEntry sample-app/theirs')
  expect(await clusterObjects()).toEqual(previous)
  expect(Object.keys(await policies())).toEqual(expect.arrayContaining(foreignObjects))
})

test('a dry run of uninstall lists what it would delete, and deletes nothing', async () => {
  for (const name of ['theirs', 'theirs-of-helm']) await kubectl('-n', 'sample-app', 'delete', 'serviceentry', name)
  const previous = await clusterObjects()
  const { code, report } = await machine.run(inputs(workloads, { stages: 'uninstall', 'dry-run': 'true' }))
  expect(code).toBe(0)
  expect(report?.removed).toEqual(
    expect.arrayContaining([
      'VirtualService sample-app/backend',
      'ServiceEntry sample-app/theirs-of-another-config',
      'Namespace istio-system',
      'label istio-injection of Namespace sample-app',
    ]),
  )
  expect(await clusterObjects()).toEqual(previous)
})

test('uninstall leaves the cluster as it was before the mesh', async () => {
  const { code, report } = await machine.run(inputs(workloads, { stages: 'uninstall' }))
  expect(report?.error).toBeUndefined()
  expect(code).toBe(0)
  expect(report?.restarted).toEqual([
    'Deployment/mysql',
    'Deployment/backend-v2',
    'Deployment/backend',
    'Deployment/frontend',
  ])
  expect(await clusterObjects()).toEqual(before)
  const pods = JSON.parse(await kubectl('-n', 'sample-app', 'get', 'pods', '-o', 'json')) as { items: Pod[] }
  expect(pods.items.filter((pod) => pod.metadata.deletionTimestamp === undefined && hasSidecar(pod))).toEqual([])
})

test('a second uninstall finds nothing to do', async () => {
  const { code, report } = await machine.run(inputs(workloads, { stages: 'uninstall' }))
  expect(code).toBe(0)
  expect(report?.removed).toEqual([])
  expect(report?.restarted).toEqual([])
})
