// A control plane that Helm installed, on the real mesh: the built bundle uses it unchanged, shows what it would
// change, refuses to overwrite it, takes it over when asked, and removes only what it installed itself. The tests build
// on each other: they start and end without Istio.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { load } from 'js-yaml'
import type { ConfigMap } from '../../src/cluster/objects.ts'
import { runner, type Inputs } from './runner.ts'
import { embeddedMesh, type TestCluster } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-foreign-'))
const helm = 'Helm, as its release istio-system/istiod'
let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await removeMesh()
  await kubectl('create', 'namespace', 'outpost')
  await installLikeHelm()
})
afterAll(async () => {
  await removeMesh()
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function removeMesh(): Promise<void> {
  await kubectl('delete', 'namespace', 'sample-app', 'policies', 'outpost', '--ignore-not-found', '--wait')
  await testCluster.run(['istioctl', 'uninstall', '--purge', '-y'])
  await kubectl('delete', 'namespace', 'istio-system', '--ignore-not-found', '--wait')
}

const settings = {
  'meshConfig.outboundTrafficPolicy.mode': 'REGISTRY_ONLY',
  'meshConfig.accessLogFile': '/dev/stdout',
  'meshConfig.defaultConfig.holdApplicationUntilProxyStarts': 'true',
}

/** Applies the charts with Helm's field manager and annotations, and with settings of its own. */
async function installLikeHelm(): Promise<void> {
  const values = Object.entries({ profile: 'minimal', ...settings }).flatMap(([key, value]) => [
    '--set',
    `${key}=${value}`,
  ])
  const file = join(folder, 'charts.yaml')
  writeFileSync(
    file,
    await testCluster.run(['istioctl', 'manifest', 'generate', '-f', testCluster.inputs['overlays']!, ...values]),
  )
  await kubectl('create', 'namespace', 'istio-system')
  const apply = ['apply', '--server-side', '--field-manager=helm', '-f', file]
  await kubectl(...apply)
  for (const object of ['deployment/istiod', 'configmap/istio'])
    await kubectl(
      ...['-n', 'istio-system', 'annotate', object],
      ...['meta.helm.sh/release-name=istiod', 'meta.helm.sh/release-namespace=istio-system'],
    )
  await kubectl('-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=90s')
}

function runAction(istio: string, rest = '', more: Inputs = {}) {
  const file = join(folder, 'mesh.yaml')
  writeFileSync(file, `name: outpost\nnamespace: outpost\nistio: { version: 1.31.0, ${istio} }\n${rest}`)
  const { mirror, overlays } = testCluster.inputs
  return machine.main({ ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, ...more })
}

async function meshConfig(): Promise<Record<string, unknown>> {
  const { data = {} } = JSON.parse(
    await kubectl('-n', 'istio-system', 'get', 'configmap', 'istio', '-o', 'json'),
  ) as ConfigMap
  return load(data['mesh']!) as Record<string, unknown>
}

/** The version of each object of the control plane: it grows with each write. */
const versions = () =>
  kubectl(
    ...['-n', 'istio-system', 'get', 'deployments,services,serviceaccounts,roles', '-o'],
    'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.metadata.labels}{"\\n"}{end}',
  )

test.each<[string, string]>([
  ['the version and a profile', 'profile: default'],
  ['a setting that is in force', 'set: meshConfig.accessLogFile=/dev/stdout'],
])('a control plane of somebody else stays unchanged for a config with %s', async (_, istio) => {
  const [config, objects] = [await meshConfig(), await versions()]
  const { code, report, log, outputs } = await runAction(istio)
  expect({ code, error: report?.error, changed: outputs['changed'] }).toEqual({
    code: 0,
    error: undefined,
    changed: '0',
  })
  expect(report?.mesh).toEqual({ version: '1.31.0', action: 'unchanged' })
  expect(log).toContain(`the control plane default (1.31.0) was installed by ${helm}, and is used as it is`)
  expect(await meshConfig()).toEqual(config)
  expect(await versions()).toBe(objects)
})

test('a run that asks for another mesh setting fails, and names the owner and the difference', async () => {
  const config = await meshConfig()
  const { code, report } = await runAction('set: meshConfig.outboundTrafficPolicy.mode=ALLOW_ANY')
  expect(code).toBe(1)
  expect(report?.error).toBe(
    `istio: the control plane default was installed by ${helm}, and it is not as this config asks: ` +
      'ConfigMap istio-system/istio, data.mesh.outboundTrafficPolicy.mode: the config asks for ALLOW_ANY, and it is ' +
      'REGISTRY_ONLY; nothing was changed. Change the control plane with the tool that installed it, or change this config ' +
      'to match it, or set `istio.takeOver: true` to let this run overwrite it',
  )
  expect(await meshConfig()).toEqual(config)
})

test('a dry run for another profile fails, too', async () => {
  const { code, report } = await runAction('profile: demo', '', { 'dry-run': 'true' })
  expect(code).toBe(1)
  expect(report?.error).toContain(
    'data.mesh.extensionProviders[otel].name: the config asks for otel, and it is not set',
  )
})

test('plan shows what a takeover would change in the mesh config, and changes nothing', async () => {
  const config = await meshConfig()
  const { code, report, log } = await runAction('profile: minimal, takeOver: true', 'stages: plan\n')
  expect({ code, error: report?.error }).toEqual({ code: 0, error: undefined })
  const map = report?.meshPlan?.find(({ kind, name }) => kind === 'ConfigMap' && name === 'istio')
  expect(map).toMatchObject({ action: 'change', namespace: 'istio-system' })
  expect(map?.diff).toEqual(
    expect.arrayContaining([
      '- data.mesh.outboundTrafficPolicy.mode: REGISTRY_ONLY',
      '- data.mesh.accessLogFile: /dev/stdout',
      '- data.mesh.defaultConfig.holdApplicationUntilProxyStarts: true',
    ]),
  )
  expect(log).toContain('- data.mesh.accessLogFile: /dev/stdout')
  expect(report?.meshPlan?.map(({ kind, name }) => `${kind}/${name}`)).not.toContain('Deployment/istiod')
  expect(await meshConfig()).toEqual(config)
})

test('uninstall removes what mesh-canary made, and leaves the control plane and the labels of others', async () => {
  await kubectl('label', 'namespace', 'outpost', 'istio-injection=enabled')
  expect(await runAction('profile: default', 'mtls: permissive\nverify: { timeout: 30s }\n')).toMatchObject({ code: 0 })
  const objects = await versions()
  const { code, report, log } = await runAction('profile: default', 'stages: uninstall\n')
  expect({ code, error: report?.error, removed: report?.removed }).toEqual({
    code: 0,
    error: undefined,
    removed: ['PeerAuthentication outpost/default'],
  })
  expect(log).toContain(`the control plane default stays, because mesh-canary did not install it, but ${helm}`)
  expect(await versions()).toBe(objects)
  expect(await kubectl('get', 'namespace', 'outpost', '-o', 'jsonpath={.metadata.labels}')).toContain('istio-injection')
})

test('a takeover installs what the config asks for, and the next run changes nothing', async () => {
  const first = await runAction('profile: minimal, takeOver: true')
  expect({ code: first.code, error: first.report?.error }).toEqual({ code: 0, error: undefined })
  expect(first.report?.mesh?.action).toBe('changed')
  expect(await meshConfig()).not.toHaveProperty('accessLogFile')
  const { code, report } = await runAction('profile: minimal')
  expect({ code, error: report?.error, mesh: report?.mesh?.action }).toEqual({
    code: 0,
    error: undefined,
    mesh: 'unchanged',
  })
})

test('a change does not overwrite what somebody has since set by hand in the mesh config', async () => {
  const { mesh } = JSON.parse(
    await kubectl('-n', 'istio-system', 'get', 'configmap', 'istio', '-o', 'jsonpath={.data}'),
  ) as { mesh: string }
  const patch = JSON.stringify({ data: { mesh: `${mesh}\nenableTracing: true\n` } })
  await kubectl('-n', 'istio-system', 'patch', 'configmap', 'istio', '--type=merge', '-p', patch)
  const { code, report } = await runAction('profile: minimal, set: meshConfig.accessLogFile=/dev/stdout')
  expect(code).toBe(1)
  expect(report?.error).toMatch(
    /installing 1\.31\.0 would overwrite what others installed or set: ConfigMap istio-system\/istio, which belongs to .*kubectl-patch.*: .*data\.mesh\.enableTracing.* would change/,
  )
  expect(await meshConfig()).toMatchObject({ enableTracing: true })
})

test('uninstall removes a control plane that it has taken over', async () => {
  const { code, report } = await runAction('profile: minimal', 'stages: uninstall\n')
  expect({ code, error: report?.error }).toEqual({ code: 0, error: undefined })
  expect(await kubectl('get', 'deployments', '-A', '-l', 'app=istiod', '-o', 'name')).toBe('')
})
