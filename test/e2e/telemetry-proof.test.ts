// The proof of the stage verify on the real mesh, with the real Prometheus, Jaeger and VictoriaLogs: a request's metric,
// trace and log line arrive, and each planted mistake is named. The tests build on each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importAddons } from '../mesh/index.ts'
import { runner, type Inputs } from './runner.ts'
import { deploySampleApp, embeddedMesh, type TestCluster } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-proof-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])
const manifest = (name: string) => join(import.meta.dirname, 'observability', name)

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await importAddons('prometheus', 'jaeger', 'victoria-logs')
  await kubectl('apply', '-f', manifest('victoria-logs.yaml'))
  await deploySampleApp(testCluster)
  expect(await errorOf(run('', { stages: 'install, inject' }))).toBeUndefined()
})
afterAll(async () => {
  await kubectl('delete', '-f', manifest('faulty-prometheus.yaml'), '--ignore-not-found', '--wait=false')
  await kubectl('delete', 'namespace', 'monitoring', 'observability', '--ignore-not-found', '--wait=false')
  machine.remove()
  rmSync(folder, { recursive: true, force: true })
})

function run(section: string, more: Inputs = {}) {
  const file = join(folder, 'mesh.yaml')
  const head = 'name: proved\nnamespace: sample-app\nistio: { version: 1.31.0, profile: minimal }\nworkloads: all\n'
  writeFileSync(file, head + section)
  const { mirror, overlays } = testCluster.inputs
  return machine.main({ ...(mirror ? { mirror } : {}), ...(overlays ? { overlays } : {}), config: file, ...more })
}

async function errorOf(started: ReturnType<typeof run>): Promise<string | undefined> {
  return (await started).report?.error
}

const stages = 'policies, observe, verify'
const everything = `observability:
  metrics: { prometheus: install }
  traces: { collector: install }
  logs:
    collector: install
    endpoint: http://victoria-logs.monitoring:9428/insert/opentelemetry/v1/logs
    query: monitoring/victoria-logs:9428
  proof: { service: frontend, through: backend }
`

test('a run proves that the metric, the trace of each hop and the log line of a request arrive', async () => {
  const { report, summary } = await run(everything, { stages })
  expect(report?.error).toBeUndefined()
  expect(report?.telemetry?.map(({ what, ok }) => ({ what, ok }))).toEqual([
    { what: 'metrics', ok: true },
    { what: 'traces', ok: true },
    { what: 'logs', ok: true },
  ])
  expect(report?.telemetry?.[1]?.text).toMatch(/backend \(server\), frontend \(server\), frontend → backend \(client\)/)
  expect(summary).toContain('| metrics | ✓ |')
})

test('a second run changes nothing, and proves it again', async () => {
  const { report, outputs } = await run(everything, { stages })
  expect({ error: report?.error, changed: outputs['changed'] }).toEqual({ error: undefined, changed: '0' })
  expect(report?.telemetry?.every(({ ok }) => ok === true)).toBe(true)
})

test('where nothing says how to read it back, nothing is called proved', async () => {
  const section = 'observability: { traces: { collector: "observability/jaeger:4317", sampling: 100% } }\n'
  const { report, log } = await run(section, { stages: 'verify' })
  expect(report?.error).toBeUndefined()
  expect(report?.telemetry).toEqual([{ what: 'traces', text: expect.stringContaining('traces.query') as string }])
  expect(log).toContain('traces: not known, spans go to observability/jaeger:4317')
})

describe('under STRICT', () => {
  const exposed = 'expose: { frontend: { port: 3000, hosts: ["*"] } }\n'
  beforeAll(async () => {
    expect(await errorOf(run(`mtls: strict\n${exposed}${everything}`, { stages: 'policies' }))).toBeUndefined()
  })
  afterAll(async () => {
    expect(await errorOf(run(`mtls: permissive\n${everything}`, { stages: 'policies' }))).toBeUndefined()
  })

  test.each([
    [
      'past the first sidecar',
      '',
      /hop: backend \(server\), frontend → backend \(client\); the request went past the sidecar of frontend/,
    ],
    [
      'through the gateway that exposes the service',
      exposed,
      /frontend \(server\).*the gateway in front of it sends no span/,
    ],
  ])('the request goes %s', async (_way, expose, hops) => {
    // The API server may keep a connection from the time before STRICT, which the sidecar still serves.
    const proved = async () => {
      const { report } = await run(expose + everything, { stages: 'verify' })
      return report?.error ?? report?.telemetry?.map(({ ok, text }) => `${ok} ${text}`).join('\n')
    }
    await expect.poll(proved, { timeout: 120_000, interval: 1_000 }).toMatch(hops)
    expect(await proved()).not.toMatch(/^(false|undefined)/m)
  })
})

describe('a mistake is named', () => {
  const proof = (sections: string, settings = '') =>
    `observability: { ${sections}, proof: { service: frontend, timeout: 8s, ${settings} } }\n`
  const verify = (section: string) => errorOf(run(section, { stages: 'verify' }))
  const prometheus = (port: number) => `metrics: { prometheus: { service: "monitoring/faulty-prometheus:${port}" } }`
  const traces = 'traces: { collector: install }'

  beforeAll(async () => {
    await kubectl('apply', '-f', manifest('faulty-prometheus.yaml'))
    await kubectl('-n', 'monitoring', 'rollout', 'status', 'deploy/faulty-prometheus', '--timeout=120s')
  })

  test('a target that is down, with why', async () => {
    const error = await verify(proof(prometheus(9091)))
    expect(error).toMatch(
      /Prometheus cannot scrape sample-app\/frontend-\S+: its target http:\/\/\S+:15099\/stats\/prometheus/,
    )
    // The sidecar takes connections to every port of the pod, and answers for those that nobody listens on.
    expect(error).toContain('is down: server returned HTTP status 503')
  })

  test('relabelling rules that drop the target', async () => {
    const error = await verify(proof(prometheus(9092)))
    expect(error).toMatch(
      /has discovered sample-app\/frontend-\S+, but the relabelling rules of the job sidecars drop it/,
    )
  })

  test('relabelling rules that drop the series', async () => {
    expect(await verify(proof(prometheus(9093)))).toMatch(
      /the `metric_relabel_configs` of the job keep \d+ of its \d+ samples, and drop istio_requests_total/,
    )
  })

  test('a sampling of 0%', async () => {
    const error = await verify(proof('traces: { collector: install, sampling: 0% }'))
    expect(error).toContain('observability.traces: observability.traces.sampling is 0%')
  })

  /** Changes the collector's Service, runs verify until the sidecars follow the change, and puts the Service back. */
  async function errorWith(change: () => Promise<unknown>, expected: string): Promise<void> {
    const service = await kubectl('-n', 'observability', 'get', 'service', 'jaeger', '-o', 'json')
    const { metadata, spec } = JSON.parse(service) as {
      metadata: { labels: object; annotations: object }
      spec: object
    }
    await change()
    try {
      await expect.poll(() => verify(proof(traces)), { timeout: 120_000, interval: 500 }).toContain(expected)
    } finally {
      const { labels, annotations } = metadata
      const before = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'jaeger', namespace: 'observability', labels, annotations },
        spec,
      }
      writeFileSync(join(folder, 'jaeger.json'), JSON.stringify(before))
      await kubectl('delete', 'service', 'jaeger', '-n', 'observability', '--ignore-not-found')
      await kubectl('apply', '--server-side', '-f', join(folder, 'jaeger.json'))
    }
  }
  const patchPort = (port: object) => () =>
    kubectl('-n', 'observability', 'patch', 'service', 'jaeger', '-p', JSON.stringify({ spec: { ports: [port] } }))

  test("a provider's port that is not named grpc-…", () =>
    errorWith(
      patchPort({ name: 'otlp', port: 4317 }),
      'the port 4317 of the Service observability/jaeger is named otlp, so Istio does not speak gRPC there',
    ))

  test("a collector's port that speaks HTTP", () =>
    errorWith(patchPort({ port: 4317, targetPort: 4318 }), 'which does not speak gRPC, and probably HTTP'))

  test('a provider whose Service is missing', () =>
    errorWith(
      () => kubectl('-n', 'observability', 'delete', 'service', 'jaeger'),
      'the Service observability/jaeger does not exist',
    ))

  test('an application that does not forward the trace headers', async () => {
    const program = `
      const http = require('node:http')
      http
        .createServer(({ url }, answer) =>
          url === '/healthz' ? answer.end() : http.get('http://backend:3001/', (got) => got.pipe(answer)),
        )
        .listen(3000)`
    const container = { name: 'frontend', command: ['node', '-e', program] }
    const patch = JSON.stringify({ spec: { template: { spec: { containers: [container] } } } })
    await kubectl('-n', 'sample-app', 'patch', 'deploy', 'frontend', '-p', patch)
    await kubectl('-n', 'sample-app', 'rollout', 'status', 'deploy/frontend', '--timeout=120s')
    // Nothing else calls the backend now, so the run sees that this request does, without being told.
    const forgotten = /none for the call of backend.*: frontend-\S+ does not forward the trace headers/
    await expect.poll(() => verify(proof(traces)), { timeout: 120_000, interval: 500 }).toMatch(forgotten)
  })
})

test('an empty section removes all of it', async () => {
  expect(await errorOf(run('observability: {}\n', { stages }))).toBeUndefined()
  const ours = ['-A', '-l', 'app.kubernetes.io/managed-by=mesh-canary,app.kubernetes.io/component=observability']
  const left = () => kubectl('get', 'namespaces,deployments,services,configmaps,telemetries', ...ours, '-o', 'name')
  await expect.poll(left, { timeout: 60_000, interval: 1_000 }).toBe('')
})
