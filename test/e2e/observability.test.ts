// The section `observability` on the real mesh, with the real Prometheus, Jaeger and VictoriaLogs: what the built bundle
// installs works and shows the application's own requests, a second run changes nothing, and nothing is left at the end.
// The tests build on each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { load } from 'js-yaml'
import type { ConfigMap } from '../../src/cluster/objects.ts'
import { importAddons } from '../mesh/index.ts'
import { runner, type Inputs } from './runner.ts'
import { delivererKubeconfig, deploySampleApp, embeddedMesh, type TestCluster } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-observability-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await importAddons('prometheus', 'jaeger', 'victoria-logs')
  await kubectl('apply', '-f', join(import.meta.dirname, 'observability/victoria-logs.yaml'))
  await deploySampleApp(testCluster, 'failing')
  expect(await outcome('', { stages: 'install, inject' })).toBe('success')
  await addProviderOfOthers()
})
afterAll(async () => {
  await kubectl('delete', 'namespace', 'monitoring', 'observability', '--ignore-not-found', '--wait=false')
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
})

function run(section: string, more: Inputs = {}) {
  const file = join(folder, 'mesh.yaml')
  writeFileSync(
    file,
    'name: observed\nnamespace: sample-app\nistio: { version: 1.31.0, profile: minimal }\nworkloads: all\n' + section,
  )
  const { mirror, overlays } = testCluster.inputs
  return machine.main({ ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, ...more })
}

async function outcome(section: string, more: Inputs = {}): Promise<string> {
  const { report } = await run(section, more)
  return report?.error ?? report?.outcome ?? 'no report'
}

async function meshConfig(): Promise<{ extensionProviders: { name: string }[] }> {
  const map = JSON.parse(await kubectl('-n', 'istio-system', 'get', 'configmap', 'istio', '-o', 'json')) as ConfigMap
  return load(map.data!['mesh']!) as { extensionProviders: { name: string }[] }
}

const theirs = { name: 'theirs', zipkin: { service: 'zipkin.elsewhere.svc.cluster.local', port: 9411 } }

/** The mesh config has a provider of somebody else before the first run. */
async function addProviderOfOthers(): Promise<void> {
  const mesh = { ...(await meshConfig()), extensionProviders: [theirs] }
  const patch = JSON.stringify({ data: { mesh: JSON.stringify(mesh) } })
  await kubectl('-n', 'istio-system', 'patch', 'configmap', 'istio', '--type=merge', '-p', patch)
}

const everything = `observability:
  metrics: { prometheus: install }
  dashboards: { configMaps: true }
  alerts: true
  traces: { collector: install }
  logs: { collector: install, endpoint: "http://victoria-logs.monitoring:9428/insert/opentelemetry/v1/logs" }
`
const stages = 'policies, observe, verify'

/** An answer of a Service through the API server. */
async function ask<T>(service: string, path: string): Promise<T> {
  const [namespace, name] = service.split('/')
  return JSON.parse(await kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/services/${name}/proxy${path}`)) as T
}

type Instant = { data: { result: { metric: Record<string, string>; value: [number, string] }[] } }
const query = (promql: string) =>
  ask<Instant>('observability/prometheus:9090', `/api/v1/query?query=${encodeURIComponent(promql)}`)

test('a dry run shows the objects and writes none', async () => {
  const { code, log, report } = await run(everything, { stages, 'dry-run': 'true' })
  expect({ code, error: report?.error }).toEqual({ code: 0, error: undefined })
  expect(log).toContain('Deployment prometheus: create')
  expect(log).toContain('+ extensionProviders[mesh-canary-traces].opentelemetry.port: 4317')
  expect(await kubectl('get', 'namespace', 'observability', '--ignore-not-found')).toBe('')
  expect((await meshConfig()).extensionProviders).toEqual([theirs])
})

test('a run installs Prometheus and Jaeger, and adds to the mesh config', async () => {
  expect(await outcome(everything, { stages })).toBe('success')
  expect((await meshConfig()).extensionProviders).toEqual([
    theirs,
    expect.objectContaining({ name: 'mesh-canary-traces' }),
    expect.objectContaining({ name: 'mesh-canary-logs' }),
  ])
})

test('a second run changes nothing', async () => {
  const { outputs, report } = await run(everything, { stages })
  expect({ error: report?.error, changed: outputs['changed'] }).toEqual({ error: undefined, changed: '0' })
  expect(report?.stages.find(({ name }) => name === 'observe')?.outcome).toBe('unchanged')
})

test("Prometheus has the application's requests, from both ends, and istiod", async () => {
  await expect
    .poll(async () => (await query('sum by (reporter) (istio_requests_total{namespace="sample-app"})')).data.result, {
      timeout: 60_000,
      interval: 1_000,
    })
    .toHaveLength(2)
  const found = async (promql: string) => (await query(promql)).data.result.length
  await expect.poll(() => found('pilot_xds'), { timeout: 60_000, interval: 1_000 }).toBe(1)
  expect(await found('istio_agent_cert_expiry_seconds{namespace="sample-app"}')).toBeGreaterThan(0)
  expect((await query('up == 0')).data.result).toEqual([])
})

type Traces = { data: { traceID: string; processes: Record<string, { serviceName: string }> }[] }

/** The trace of a request through the whole application. */
async function trace(): Promise<Traces['data'][number] | undefined> {
  const found = await ask<Traces>('observability/jaeger:16686', '/api/traces?service=frontend.sample-app&limit=20')
  return found.data.find(({ processes }) =>
    Object.values(processes).some(({ serviceName }) => serviceName === 'backend.sample-app'),
  )
}

test('Jaeger has a trace with a span of each hop, and its log line has the id of that trace', async () => {
  await expect.poll(trace, { timeout: 60_000, interval: 1_000 }).toBeDefined()
  const { traceID } = (await trace())!
  const logs = () =>
    kubectl(
      'get',
      '--raw',
      '/api/v1/namespaces/monitoring/services/victoria-logs:9428/proxy/select/logsql/query?limit=5&query=' +
        encodeURIComponent(`trace_id:${traceID}`),
    )
  await expect.poll(logs, { timeout: 60_000, interval: 1_000 }).toContain(traceID)
})

test('an installation that changes the control plane keeps the providers', async () => {
  expect(await outcome(everything, { stages: 'install', set: 'meshConfig.accessLogEncoding=JSON' })).toBe('success')
  const names = (await meshConfig()).extensionProviders.map(({ name }) => name)
  expect(names).toEqual(['mesh-canary-traces', 'mesh-canary-logs'])
  expect(await meshConfig()).toMatchObject({ accessLogEncoding: 'JSON' })
})

test('logs of errors alone go to stdout, with the id of the trace', async () => {
  const section = 'observability: { traces: { collector: install }, logs: { collector: stdout, onlyErrors: true } }\n'
  expect(await outcome(section, { stages })).toBe('success')
  const since = `--since-time=${new Date().toISOString()}`
  const logged = async () => {
    const log = await kubectl('-n', 'sample-app', 'logs', 'deploy/backend-v2', '-c', 'istio-proxy', since)
    const lines = log.split('\n').filter((line) => line.startsWith('{') && line.includes('trace_id'))
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  await expect.poll(logged, { timeout: 30_000, interval: 1_000 }).not.toHaveLength(0)
  const errors = await logged()
  expect(errors[0]).toMatchObject({
    trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    'k8s.pod.name': expect.stringMatching(/^backend-v2-/) as string,
    'service.name': 'backend-v2',
  })
  expect(errors.filter((each) => each['http.response.status_code'] !== 500)).toEqual([])
})

test('an empty section removes all of it, and leaves what is of others', async () => {
  expect(await outcome('observability: {}\n', { stages })).toBe('success')
  expect(await meshConfig()).not.toHaveProperty('extensionProviders')
  await expect
    .poll(() => kubectl('get', 'namespace', 'observability', '--ignore-not-found'), { timeout: 60_000 })
    .toBe('')
  const left = ['roles,rolebindings,telemetries', '-A', '-l', 'app.kubernetes.io/managed-by=mesh-canary', '-o', 'name']
  expect(await kubectl('get', ...left)).toBe('')
})

test('the rights of deploy/rbac/observe.yaml suffice', async () => {
  const kubeconfig = await delivererKubeconfig(testCluster, folder, 'sample-app', 'observe.yaml')
  expect(await outcome(everything, { stages, kubeconfig })).toBe('success')
  const { report } = await run(everything, { stages, kubeconfig })
  expect(report?.stages.find(({ name }) => name === 'observe')?.outcome).toBe('unchanged')
  expect(await outcome('observability: {}\n', { stages, kubeconfig })).toBe('success')
  expect(await meshConfig()).not.toHaveProperty('extensionProviders')
  expect(await kubectl('-n', 'observability', 'get', 'deployments,services,serviceaccounts', '-o', 'name')).toBe(
    'serviceaccount/default\n',
  )
})
