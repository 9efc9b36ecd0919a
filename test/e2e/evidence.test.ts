// The sources of evidence on the real mesh: the gRPC status, and the Prometheus of the section `observability` instead of
// the sidecars.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importAddons } from '../mesh/index.ts'
import { runner } from './runner.ts'
import { deploySampleApp, embeddedMesh, liveWeights, sampleApp, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
})
afterAll(async () => {
  machine.remove()
  await kubectl('delete', 'namespace', 'grpc', 'observability', '--ignore-not-found', '--wait')
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])
const here = (name: string) => resolve(import.meta.dirname, name)

describe('gRPC', () => {
  test('a v2 that answers 200 with the status Internal is rolled back', async () => {
    await kubectl('delete', 'namespace', 'grpc', '--ignore-not-found', '--wait')
    await kubectl('apply', '-f', here('grpc.yaml'))
    const { outputs, report } = await machine.run({
      ...testCluster.inputs,
      namespace: 'grpc',
      istio: '{ version: 1.31.0, profile: demo }',
      workloads: 'all',
      services: '{ echo: { port: 50051, subsets: { v1: { version: v1 }, v2: { version: v2 } } } }',
      canary: '{ service: echo, steps: [20, 100], interval: 20s }',
    })
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/success rate|no worse than stable/)
    expect(report?.promotions[0]?.steps.map(({ stable }) => stable.failures)).toEqual([0])
  })
})

describe('a canary with metrics from the installed Prometheus', () => {
  /** Has a value while stable serves. Without a value, no step would pass. */
  const query =
    'sum(increase(istio_requests_total{reporter="destination",namespace="$namespace",destination_version="$stable"}[30s]))'
  const checks = `{ successRate: 99%, p99: 500ms, tolerance: 10, queries: { traffic: { query: '${query}', min: 0, every: 2s } } }`
  const original = readFileSync(`${sampleApp}/mesh.yaml`, 'utf8')
  const configs = {
    sidecars: original,
    Prometheus: `${original.replace(/^ {2}checks: .*$/m, `  warmup: 0\n  checks: ${checks}\n  prometheus: { counters: true }`)}
observability: { metrics: { prometheus: install } }
`,
  }

  beforeAll(async () => {
    await deploySampleApp(testCluster, 'failing')
    await importAddons('prometheus')
  })

  /** Always the same file, because another one would be another owner. */
  const inputsFor = (source: keyof typeof configs) => ({
    ...testCluster.inputs,
    config: machine.file('mesh.yaml', configs[source]),
    interval: '5s',
    // Prometheus has the counters under the standard names of Istio's sidecars.
    ...(source === 'Prometheus' ? { metrics: '' } : {}),
  })

  test('gets no traffic if Prometheus cannot be reached, and the error says so', async () => {
    const { code, log } = await machine.run({
      ...inputsFor('Prometheus'),
      canary: '{ service: backend, prometheus: { service: prometheus/nobody:9090, counters: true } }',
    })
    expect(code).toBe(1)
    expect(log).toMatch(/Prometheus \(service prometheus\/nobody:9090\): .*not found/)
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })

  test.each(['Prometheus', 'sidecars'] as const)(
    'is rolled back if it is bad, by the counters of %s',
    async (source) => {
      const { outputs } = await machine.run(inputsFor(source))
      expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
      expect(outputs['reason']).toMatch(/success rate|no worse than stable/)
      expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
    },
  )

  test('is promoted if it is healthy', async () => {
    await kubectl('-n', 'sample-app', 'delete', 'deployment', 'backend-v2')
    await kubectl(
      '-n',
      'sample-app',
      'wait',
      '--for=delete',
      'pod',
      '--selector=app=backend,version=v2',
      '--timeout=60s',
    )
    await kubectl('apply', '-k', `${sampleApp}/v2/healthy`)
    await kubectl('-n', 'sample-app', 'rollout', 'status', 'deploy/backend-v2', '--timeout=120s')
    const { outputs, report } = await machine.run(inputsFor('Prometheus'))
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(report?.promotions[0]?.userRequests.total).toBeGreaterThan(100)
    expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
  })
})

describe('a canary with metrics from the sidecars', () => {
  /** The requests for pods that the API server has counted since it started. */
  async function apiRequests(): Promise<{ counters: number; lists: number }> {
    const lines = (await kubectl('get', '--raw', '/metrics'))
      .split('\n')
      .filter((line) => line.startsWith('apiserver_request_total{') && line.includes('resource="pods"'))
    const sum = (...parts: string[]) =>
      lines
        .filter((line) => parts.every((part) => line.includes(part)))
        .reduce((total, line) => total + Number(line.split('} ')[1]), 0)
    return { counters: sum('subresource="proxy"'), lists: sum('subresource=""', 'verb="LIST"') }
  }

  test('needs one request to each sidecar for a sample, and no second list of the pods', async () => {
    await deploySampleApp(testCluster, 'healthy')
    const first = { ...testCluster.inputs, config: `${sampleApp}/mesh.yaml`, interval: '5s' }
    expect((await machine.run({ ...first, steps: '10' })).outputs['weight']).toBe('10')
    const before = await apiRequests()
    // With a line for each sample.
    const { outputs, log } = await machine.run({ ...first, stages: 'promote', explain: 'true' })
    const after = await apiRequests()
    expect(outputs['verdict']).toBe('promoted')
    const samples = log.split('\n').filter((line) => /^at weight \d+: canary/.test(line)).length
    const pods = 4
    expect(samples).toBeGreaterThan(10)
    // The run reads the counters once before the first sample.
    expect(after.counters - before.counters).toBeLessThanOrEqual((samples + 1) * pods)
    expect(after.lists - before.lists).toBeLessThan(samples / 2)
  })
})
