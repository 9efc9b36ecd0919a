// `metrics.prometheus: operator` on the real mesh with the real Prometheus Operator: monitors that its Prometheus selects,
// and mistakes that are named before anything is written. The tests build on each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { goModule, importAddons } from '../mesh/index.ts'
import { runner } from './runner.ts'
import { deploySampleApp, embeddedMesh, type TestCluster } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-operator-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let bundle: string

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await importAddons('prometheus', 'prometheus-operator', 'prometheus-config-reloader')
  bundle = join(
    await goModule('github.com/prometheus-operator/prometheus-operator', 'prometheus-operator'),
    'bundle.yaml',
  )
  await deploySampleApp(testCluster)
  expect((await run('', 'install, inject')).report?.error).toBeUndefined()
})
afterAll(async () => {
  await kubectl('delete', '-f', bundle, '--ignore-not-found', '--wait=false')
  await kubectl('delete', 'namespace', 'monitoring', '--ignore-not-found', '--wait=false')
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
})

function run(section: string, stages = 'policies, observe') {
  const file = join(folder, 'mesh.yaml')
  const head = 'name: observed\nnamespace: sample-app\nistio: { version: 1.31.0, profile: minimal }\nworkloads: all\n'
  writeFileSync(file, head + section)
  const { mirror, overlays } = testCluster.inputs
  return machine.main({ ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, stages })
}

const operator = 'observability: { metrics: { prometheus: operator }, logs: { collector: stdout } }\n'
const ours = ['-A', '-l', 'app.kubernetes.io/managed-by=mesh-canary', '-o', 'name']

test('a cluster without the operator is an error before anything is written', async () => {
  const { report } = await run(operator)
  expect(report?.error).toContain(
    'observability.metrics.prometheus: the cluster lacks the CRDs of the Prometheus Operator (podmonitors.monitoring.coreos.com',
  )
  expect(await kubectl('get', 'telemetries', ...ours)).toBe('')
})

test('monitors get the labels that the Prometheus of the operator selects', async () => {
  await kubectl('apply', '--server-side', '-f', bundle)
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s')
  await kubectl('apply', '-f', join(import.meta.dirname, 'observability/prometheus.yaml'))
  expect((await run(operator)).report?.error).toBeUndefined()
  const selected = await kubectl(
    '-n',
    'monitoring',
    'get',
    'podmonitors,servicemonitors',
    '-l',
    'release=main',
    '-o',
    'name',
  )
  expect(selected.trim().split('\n').sort()).toEqual([
    'podmonitor.monitoring.coreos.com/istio-proxies-istio-system',
    'podmonitor.monitoring.coreos.com/istio-proxies-sample-app',
    'servicemonitor.monitoring.coreos.com/istiod',
  ])
})

test('a second run changes nothing', async () => {
  const { outputs, report } = await run(operator)
  expect({ error: report?.error, changed: outputs['changed'] }).toEqual({ error: undefined, changed: '0' })
})

type Instant = { data: { result: { metric: Record<string, string> }[] } }

/** An answer of the operator's Prometheus. */
async function ask<T>(path: string): Promise<T> {
  const server = '/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy'
  return JSON.parse(await kubectl('get', '--raw', `${server}${path}`)) as T
}

async function query(promql: string): Promise<Record<string, string>[]> {
  const found = await ask<Instant>(`/api/v1/query?query=${encodeURIComponent(promql)}`).catch(() => undefined)
  return found?.data.result.map(({ metric }) => metric) ?? []
}

test("its Prometheus scrapes the application's sidecars and istiod", async () => {
  const reporters = () => query('sum by (reporter) (istio_requests_total{namespace="sample-app"})')
  await expect.poll(reporters, { timeout: 180_000, interval: 1_000 }).toHaveLength(2)
  await expect.poll(() => query('pilot_xds{namespace="istio-system"}'), { timeout: 60_000 }).toHaveLength(1)
})

test('alerts are rules that its Prometheus evaluates', async () => {
  const withAlerts = operator.replace('observability: { ', 'observability: { alerts: true, ')
  expect((await run(withAlerts)).report?.error).toBeUndefined()
  type Rules = { data: { groups: { name: string; rules: { health: string }[] }[] } }
  const rules = async () => {
    const { data } = await ask<Rules>('/api/v1/rules').catch((): Rules => ({ data: { groups: [] } }))
    return data.groups.map(({ name, rules }) => [name, ...new Set(rules.map(({ health }) => health))])
  }
  await expect.poll(rules, { timeout: 180_000, interval: 1_000 }).toEqual([['mesh-canary-sample-app-mesh', 'ok']])
})

test('the stage verify finds the Prometheus by itself, and a request in it', async () => {
  const { report } = await run(operator, 'verify')
  expect(report?.error).toBeUndefined()
  expect(report?.telemetry?.map(({ what, ok }) => [what, ok])).toEqual([
    ['metrics', true],
    ['logs', true],
  ])
})

test('the stage verify names labels of a monitor that Prometheus does not select', async () => {
  await kubectl('-n', 'monitoring', 'label', 'podmonitor', 'istio-proxies-sample-app', 'release=other', '--overwrite')
  const section = 'observability: { metrics: { prometheus: operator }, proof: { timeout: 8s } }\n'
  // The operator and its reloader take up to a minute until Prometheus no longer scrapes the pods.
  await expect
    .poll(async () => (await run(section, 'verify')).report?.error, { timeout: 240_000, interval: 1_000 })
    .toMatch(/the labels of the PodMonitor monitoring\/istio-proxies-sample-app .*"release":"other".* do not match/)
})

test('a selector that no labels meet is an error before anything is written', async () => {
  const selector = { matchLabels: { 'app.kubernetes.io/managed-by': 'Helm' } }
  const patch = JSON.stringify({ spec: { podMonitorSelector: selector } })
  await kubectl('-n', 'monitoring', 'patch', 'prometheus', 'main', '--type=merge', '-p', patch)
  const { report } = await run(operator)
  expect(report?.error).toContain('no labels make the podMonitorSelector of the Prometheus monitoring/main select')
})

test('an empty section removes the monitors and the rules', async () => {
  expect((await run('observability: {}\n')).report?.error).toBeUndefined()
  expect(await kubectl('get', 'podmonitors,servicemonitors,prometheusrules,telemetries', ...ours)).toBe('')
})
