// Several control planes on the real mesh: the built bundle installs them, moves workloads under traffic, moves them
// back after a failure, and removes control planes. The tests build on each other: they start and end without Istio.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KubeObject, Pod } from '../../src/cluster/objects.ts'
import { sidecarRevision } from '../../src/mesh/sidecar.ts'
import { deployEchoApp } from './echo.ts'
import { runner, type Inputs } from './runner.ts'
import { applyObjects, embeddedMesh, type TestCluster } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-revisions-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await removeMesh()
})
afterAll(async () => {
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
  await kubectl('delete', 'namespace', 'policies', 'load', '--ignore-not-found', '--wait=false')
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])
const apply = (object: object) => applyObjects(testCluster, [object])

/** Removes what earlier test files may have left. */
async function removeMesh(): Promise<void> {
  await kubectl('delete', 'namespace', 'sample-app', 'policies', 'load', '--ignore-not-found', '--wait')
  await testCluster.run(['istioctl', 'uninstall', '--purge', '-y'])
  await kubectl('delete', 'namespace', 'istio-system', '--ignore-not-found', '--wait')
}

/** Runs the action with this config, the mirror, and the overlays that this mesh needs. */
function runAction(istio: string, rest = '', more: Inputs = {}) {
  const file = join(folder, 'mesh.yaml')
  writeFileSync(file, `name: plane\nnamespace: policies\nistio: { version: 1.31.0, ${istio} }\n${rest}`)
  const { mirror, overlays } = testCluster.inputs
  return machine.main({ ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, ...more })
}
const workloads = 'workloads: [deploy/echo-v1, deploy/echo-v2]\nverify: { timeout: 60s }\n'

async function istiods(): Promise<string[]> {
  return (
    await kubectl(
      'get',
      'deployments',
      '-A',
      '-l',
      'app=istiod',
      '-o',
      'jsonpath={range .items[*]}{.metadata.labels.istio\\.io/rev}{"\\n"}{end}',
    )
  )
    .split('\n')
    .filter(Boolean)
    .sort()
}

async function labels(): Promise<Record<string, string>> {
  const { metadata } = JSON.parse(await kubectl('get', 'namespace', 'policies', '-o', 'json')) as KubeObject
  return Object.fromEntries(Object.entries(metadata.labels ?? {}).filter(([name]) => name.startsWith('istio')))
}

/** The distinct revisions of the sidecars of the echo pods. */
async function sidecars(): Promise<(string | undefined)[]> {
  const { items } = JSON.parse(await kubectl('-n', 'policies', 'get', 'pods', '-l', 'app=echo', '-o', 'json')) as {
    items: Pod[]
  }
  return [...new Set(items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(sidecarRevision))]
}

test('a cluster that fails the precheck gets no mesh, unless the config suppresses the code', async () => {
  const name = 'httproutes.gateway.networking.k8s.io'
  await kubectl('delete', 'crd', name, '--ignore-not-found')
  const schema = { openAPIV3Schema: { type: 'object' } }
  await apply({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name,
      annotations: { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api/pull/891' },
    },
    spec: {
      group: 'gateway.networking.k8s.io',
      scope: 'Namespaced',
      names: { kind: 'HTTPRoute', plural: 'httproutes' },
      versions: [{ name: 'v1alpha2', served: true, storage: true, schema }],
    },
  })
  const refused = await runAction('profile: demo')
  const let_ = await runAction('profile: demo, suppress: [IST0156]', '', { 'dry-run': 'true' })
  await kubectl('delete', 'crd', name)
  expect(refused.report?.error).toMatch(
    /istioctl x precheck finds errors, so nothing is installed.*\nIST0156 .*v1alpha2 is lower than the minimum version: v1beta1/,
  )
  expect(refused.code).toBe(1)
  expect(let_).toMatchObject({ code: 0, report: { stages: [{ name: 'check' }, { name: 'install', outcome: 'done' }] } })
  expect(let_.report?.warnings.join()).toContain('IST0172')
  expect(await istiods()).toEqual([])
})

test('a run looks for images that are never pulled on the nodes before it installs anything', async () => {
  const dry = await runAction('profile: demo, imagePullPolicy: Never', '', { 'dry-run': 'true' })
  expect(dry).toMatchObject({
    code: 0,
    outputs: { images: 'docker.io/istio/pilot:1.31.0 docker.io/istio/proxyv2:1.31.0' },
  })
  const { code, report } = await runAction('profile: demo, imagePullPolicy: Never, hub: registry.example/istio')
  expect(code).toBe(1)
  expect(report?.error).toContain(
    'istio.imagePullPolicy: the images are never pulled, and not all are there: registry.example/istio/pilot:1.31.0 is not on mesh-canary; registry.example/istio/proxyv2:1.31.0 is not on mesh-canary; load them',
  )
  expect(await istiods()).toEqual([])
})

test('a run rejects ambient mode with a reason', async () => {
  await kubectl('create', 'namespace', 'policies')
  await kubectl('label', 'namespace', 'policies', 'istio.io/dataplane-mode=ambient')
  for (const istio of ['profile: ambient', 'set: values.profile=ambient'])
    expect((await runAction(istio)).report?.error).toContain('asks for ambient mode, where pods have no sidecars')
  expect((await runAction('profile: demo', 'workloads: all\n')).report?.error).toContain(
    'namespace: policies has the label istio.io/dataplane-mode=ambient',
  )
  expect(await istiods()).toEqual([])
})

/** A caller in another namespace, with its own sidecar, that sends requests without pause and logs their results. */
const caller = `
  const { request } = require('node:http')
  const seen = { sent: 0, failed: 0 }
  const one = () => {
    seen.sent++
    const asked = request('http://echo.policies:8080/', { agent: false }, (response) => {
      if (response.statusCode !== 200) seen.failed++
      response.resume().on('end', () => setTimeout(one, 20))
    })
    asked.on('error', () => (seen.failed++, setTimeout(one, 20)))
    asked.end()
  }
  setTimeout(one, 1000)
  process.on('SIGTERM', () => process.exit())
  setInterval(() => console.log(JSON.stringify(seen)), 250)`

async function traffic(): Promise<{ sent: number; failed: number }> {
  return JSON.parse((await kubectl('-n', 'load', 'logs', 'deploy/caller', '-c', 'node', '--tail', '1')).trim()) as {
    sent: number
    failed: number
  }
}

test('a namespace moves to a new control plane beside the old one under traffic, without a failed request', async () => {
  expect(await runAction('profile: demo')).toMatchObject({ code: 0 })
  await deployEchoApp(testCluster)
  // Each pod serves until no proxy sends it requests any more, and the first one sets its own proxy image.
  for (const [name, image] of [
    ['echo-v1', { 'sidecar.istio.io/proxyImage': 'docker.io/istio/proxyv2:1.31.0' }],
    ['echo-v2', {}],
  ] as const)
    await kubectl(
      '-n',
      'policies',
      'patch',
      'deployment',
      name,
      '-p',
      JSON.stringify({
        spec: {
          template: {
            metadata: { annotations: image },
            spec: { containers: [{ name: 'node', lifecycle: { preStop: { sleep: { seconds: 3 } } } }] },
          },
        },
      }),
    )
  await apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'load', labels: { 'istio-injection': 'enabled' } },
  })
  const container = {
    name: 'node',
    image: 'docker.io/mesh-canary/sample-app:1',
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', caller],
  }
  await apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'caller', namespace: 'load' },
    spec: {
      selector: { matchLabels: { app: 'caller' } },
      template: { metadata: { labels: { app: 'caller' } }, spec: { containers: [container] } },
    },
  })
  for (const [namespace, name] of [
    ['policies', 'echo-v1'],
    ['policies', 'echo-v2'],
    ['load', 'caller'],
  ] as const)
    await kubectl('-n', namespace, 'rollout', 'status', `deploy/${name}`, '--timeout=60s')
  expect(await sidecars()).toEqual(['default'])
  await expect.poll(async () => (await traffic()).sent, { timeout: 20_000 }).toBeGreaterThan(20)
  const before = await traffic()

  const { code, report, log } = await runAction('profile: demo, revision: canary, removeOld: true', workloads)
  expect({ code, error: report?.error }).toEqual({ code: 0, error: undefined })
  expect(report).toMatchObject({
    mesh: { version: '1.31.0', revision: 'canary', action: 'installed' },
    restarted: ['Deployment/echo-v1', 'Deployment/echo-v2'],
  })
  expect(log).toContain(
    'namespace policies: labelled istio.io/rev=canary, without istio-injection=enabled, which would win over it',
  )
  expect(await labels()).toEqual({ 'istio.io/rev': 'canary' })
  expect(await sidecars()).toEqual(['canary'])
  const after = await traffic()
  expect(after.sent - before.sent).toBeGreaterThan(200)
  expect(after.failed - before.failed).toBe(0)
  // The caller's namespace was not part of the move, and still uses the old control plane.
  expect(report?.warnings.join()).toMatch(
    /the namespace policies points to the control plane canary, but these pods still have sidecars of another one: caller-\S+ \(default\)/,
  )
  expect(report?.warnings.join()).toMatch(
    /the control plane default \(1\.31\.0\) stays, because these still use it: namespace load, pod load\/caller-\S+, pod policies\/caller-/,
  )
  expect(await istiods()).toEqual(['canary', 'default'])
})

test('a second run changes nothing', async () => {
  const { code, outputs, report } = await runAction('profile: demo, revision: canary, removeOld: true', workloads)
  expect({ code, changed: outputs['changed'], restarted: report?.restarted, mesh: report?.mesh?.action }).toEqual({
    code: 0,
    changed: '0',
    restarted: [],
    mesh: 'unchanged',
  })
})

test('the namespace and its workloads return to the old control plane if the new sidecars do not start', async () => {
  // Without gateways, because they would use the same broken image.
  const broken =
    'profile: minimal, revision: broken, set: { values.global.proxy.image: docker.io/mesh-canary/no-such-proxy:1, "components.ingressGateways[0].enabled": false, "components.egressGateways[0].enabled": false }'
  const { code, report } = await runAction(broken, workloads, { 'verify-timeout': '12s' })
  expect(code).toBe(1)
  expect(report?.error).toMatch(
    /Deployment\/echo-v2 was not ready within 12 s after its restart: echo-v2-.*no-such-proxy:1.*\nso the namespace policies points to the revision canary again, and Deployment\/echo-v1, Deployment\/echo-v2 were restarted with its sidecars/,
  )
  expect(await labels()).toEqual({ 'istio.io/rev': 'canary' })
  expect(await sidecars()).toEqual(['canary'])
  expect((await traffic()).failed).toBe(0)
})

test('a run does not remove a control plane that is in use', async () => {
  const { code, report } = await runAction('revision: canary', 'stages: uninstall\n')
  expect(code).toBe(1)
  expect(report?.error).toMatch(
    /uninstall: the control plane canary is still used by namespace policies, .*gateway pod istio-system\/istio-ingressgateway-.*pod policies\/echo-v1-/,
  )
  expect(await istiods()).toEqual(['broken', 'canary', 'default'])
})

test('a run removes an unused control plane by its name, or because it is older than the configured one', async () => {
  expect(await runAction('revision: broken', 'stages: uninstall\n')).toMatchObject({
    code: 0,
    report: { removed: ['control plane broken'] },
  })
  await kubectl('delete', 'namespace', 'load', '--wait')
  await kubectl('-n', 'policies', 'delete', 'deployment', 'caller', '--wait')
  await kubectl('-n', 'policies', 'wait', '--for=delete', 'pod', '-l', 'app=caller', '--timeout=60s')
  const { code, report } = await runAction('profile: demo, revision: canary, removeOld: true', workloads)
  expect({ code, error: report?.error, removed: report?.removed, restarted: report?.restarted }).toEqual({
    code: 0,
    error: undefined,
    removed: ['control plane default (1.31.0)'],
    restarted: [],
  })
  expect(await istiods()).toEqual(['canary'])
  // The webhook that validates Istio's objects belongs to the new control plane, too.
  const validator = JSON.parse(
    await kubectl('get', 'validatingwebhookconfiguration', 'istiod-default-validator', '-o', 'json'),
  ) as { webhooks: { clientConfig: { service: { name: string } } }[] }
  expect(validator.webhooks[0]!.clientConfig.service.name).toBe('istiod-canary')
  await apply({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'echo', namespace: 'policies' },
    spec: { host: 'echo' },
  })
  await kubectl('-n', 'policies', 'delete', 'destinationrule', 'echo')
})

test('the namespace names a tag instead of the revision, and workloads with the right sidecars do not restart', async () => {
  const tagged = 'profile: demo, revision: canary, tag: prod'
  const first = await runAction(tagged, workloads)
  expect({ code: first.code, error: first.report?.error, restarted: first.report?.restarted }).toEqual({
    code: 0,
    error: undefined,
    restarted: [],
  })
  expect(await labels()).toEqual({ 'istio.io/rev': 'prod' })
  expect((await runAction(tagged, workloads)).outputs['changed']).toBe('0')
  await kubectl('-n', 'policies', 'rollout', 'restart', 'deploy/echo-v1')
  await kubectl('-n', 'policies', 'rollout', 'status', 'deploy/echo-v1', '--timeout=60s')
  expect(await sidecars()).toEqual(['canary'])
})

test('the removal of the last control plane removes the whole mesh, including the tags', async () => {
  const { code, report } = await runAction('revision: canary', 'stages: uninstall\n')
  expect({ code, error: report?.error }).toEqual({ code: 0, error: undefined })
  expect(await labels()).toEqual({})
  expect(
    (await kubectl('get', 'mutatingwebhookconfigurations,validatingwebhookconfigurations,namespaces', '-o', 'name'))
      .split('\n')
      .filter((name) => name.includes('istio')),
  ).toEqual([])
})
