import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import { emptyReport, promotionReport } from '../../../src/report/report.ts'
import { createRedactor } from '../../../src/runtime/redaction.ts'
import { startTelemetry } from '../../../src/run-telemetry/start.ts'
import type { Telemetry, TelemetryStart } from '../../../src/run-telemetry/telemetry.ts'
import { FakeCluster } from '../canary/fake-cluster.ts'
import { Collector, plain } from './collector.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const collectors: Collector[] = []

afterEach(() => {
  vi.unstubAllEnvs()
  collectors.splice(0).forEach((each) => each.stop())
})

async function collectorWith(answer?: Parameters<typeof Collector.start>[0]): Promise<Collector> {
  const collector = await Collector.start(answer)
  collectors.push(collector)
  return collector
}

async function promotedOnFake() {
  const cluster = new FakeCluster()
  return { promotion: await cluster.promote(), progress: cluster.progress }
}

const startedAt = Date.now()
const report = emptyReport('shop', new Date(startedAt), false)
const end = (telemetry: Telemetry) => telemetry.end(report, { at: Date.now(), isCancelled: false })

/** The telemetry of a run with these variables. */
function telemetryWith(
  variables: Record<string, string>,
  secrets: string[] = [],
  more: Partial<TelemetryStart> = {},
): Promise<Telemetry> {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
  const { redact } = createRedactor(secrets)
  return startTelemetry(process.env, { startedAt, namespace: 'shop', redact, ...more })
}

/** The telemetry of a run that sends JSON to the address. */
function telemetryTo(address: string, more: Record<string, string> = {}): Promise<Telemetry> {
  return telemetryWith({ OTEL_EXPORTER_OTLP_ENDPOINT: address, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', ...more })
}

describe('a collector receives', () => {
  test('the run and its stages as one trace, whose ID the report states', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryTo(collector.address)
    telemetry.stageStarted('install', startedAt)
    telemetry.stageEnded({ at: startedAt + 10, outcome: 'done', result: 'success' })
    const { traceId, warnings } = await end(telemetry)
    expect(warnings).toBeUndefined()
    const [stage, root] = collector.spans()
    expect([stage?.name, root?.name]).toEqual(['install', expect.stringMatching(/^RUN /)])
    expect([stage?.traceId, root?.traceId]).toEqual([traceId, traceId])
    expect(stage?.parentSpanId).toBe(root?.spanId)
    expect(collector.resource()).toMatchObject({
      'service.name': 'mesh-canary',
      'service.version': expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
      'telemetry.sdk.language': 'nodejs',
    })
  })

  test('the name of the cluster of a fleet, in the trace and in the metrics', async () => {
    const collector = await collectorWith()
    const variables = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.address,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    }
    const telemetry = await telemetryWith(variables, [], { cluster: 'eu' })
    const { progress } = await promotedOnFake()
    progress.forEach((each) => telemetry.promotionsSeen(each))
    await end(telemetry)
    const root = collector.spans().find(({ name }) => name.startsWith('RUN '))!
    expect(plain(root.attributes)).toMatchObject({ 'k8s.cluster.name': 'eu' })
    expect(collector.points('mesh_canary.weight')).toMatchObject([{ 'k8s.cluster.name': 'eu', value: 100 }])
  })

  test('what the variables for headers and resources say', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryTo(collector.address, {
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20hunter2',
      OTEL_SERVICE_NAME: 'delivery',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=preview',
    })
    await end(telemetry)
    expect(collector.received.find(({ path }) => path === '/v1/traces')?.headers).toMatchObject({
      authorization: 'Bearer hunter2',
    })
    expect(collector.resource()).toMatchObject({
      'service.name': 'delivery',
      'deployment.environment.name': 'preview',
    })
  })

  test('protobuf by default', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryWith({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.address })
    expect(await end(telemetry)).toEqual({ traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string })
    expect(collector.received.map(({ headers }) => headers['content-type'])).toContain('application/x-protobuf')
  })

  test("the run below the pipeline's own span", async () => {
    const collector = await collectorWith()
    const [trace, span] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
    const telemetry = await telemetryTo(collector.address, { TRACEPARENT: `00-${trace}-${span}-01` })
    expect((await end(telemetry)).traceId).toBe(trace)
    expect(collector.spans()).toMatchObject([{ traceId: trace, parentSpanId: span }])
  })

  test('no span of a trace that the pipeline does not sample', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryTo(collector.address, {
      TRACEPARENT: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
    })
    expect(await end(telemetry)).toEqual({})
    expect(collector.spans()).toEqual([])
  })

  test('what is sent through a proxy', async () => {
    const proxy = await collectorWith()
    const telemetry = await telemetryTo('http://collector.example:4318', { http_proxy: proxy.address, no_proxy: '' })
    expect((await end(telemetry)).warnings).toBeUndefined()
    expect(proxy.received.map(({ path }) => path)).toContain('http://collector.example:4318/v1/traces')
  })

  test('the weight, the requests and the evidence of a promotion', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryTo(collector.address)
    const { promotion, progress } = await promotedOnFake()
    progress.forEach((each) => telemetry.promotionsSeen(each))
    await end(telemetry)
    const { checks, requestsObserved } = promotionReport(promotion)
    const of = { 'k8s.namespace.name': 'shop', 'mesh_canary.service': 'backend' }
    const ofCanary = { ...of, 'mesh_canary.version.name': 'v2', 'mesh_canary.version.role': 'canary' }
    const ofStable = { ...of, 'mesh_canary.version.name': 'v1', 'mesh_canary.version.role': 'stable' }
    expect(collector.points('mesh_canary.weight')).toEqual([{ ...ofCanary, value: 100 }])
    expect(collector.points('mesh_canary.requests')).toEqual([
      { ...ofCanary, value: requestsObserved },
      { ...ofStable, value: expect.any(Number) as number },
    ])
    expect(collector.points('mesh_canary.request.failures')).toMatchObject([{ value: 0 }, { value: 0 }])
    const [check] = checks
    const ofCheck = { ...ofCanary, 'mesh_canary.check.name': check!.check }
    expect(collector.points('mesh_canary.check.evidence')).toEqual(
      expect.arrayContaining([
        { ...ofCheck, 'mesh_canary.check.direction': 'fail', value: check!.failEvidence },
        { ...ofCheck, 'mesh_canary.check.direction': 'pass', value: check!.passEvidence },
      ]),
    )
    expect(collector.points('mesh_canary.check.threshold')).toHaveLength(2 * checks.length)
  })

  test('no secret', async () => {
    const collector = await collectorWith()
    const telemetry = await telemetryWith(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.address,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        GITHUB_WORKFLOW: 'with hunter2',
      },
      ['hunter2'],
    )
    telemetry.stageStarted('verify', startedAt)
    telemetry.stageEnded({ at: startedAt, outcome: 'failed', result: 'failure', error: 'hunter2 is wrong' })
    await end(telemetry)
    expect(JSON.stringify(collector.received)).not.toContain('hunter2')
    expect(plain(collector.spans().at(-1)!.attributes)).toMatchObject({ 'cicd.pipeline.name': 'with ***' })
  })
})

describe('a collector that does not take the telemetry leads to one warning with the cause:', () => {
  const isOneWarning = (cause: RegExp) => ({ warnings: [expect.stringMatching(cause) as string] })

  test('there is none', async () => {
    const collector = await collectorWith()
    const { address } = collector
    collector.stop()
    // Too short for another attempt.
    const telemetry = await telemetryTo(address, { OTEL_EXPORTER_OTLP_TIMEOUT: '500' })
    expect(await end(telemetry)).toEqual(
      isOneWarning(/^not all telemetry of this run reached http.*ECONNREFUSED; the result of the run does not depend/),
    )
  })

  test('it never answers', async () => {
    const telemetry = await telemetryTo((await collectorWith(() => undefined)).address)
    expect(await telemetry.end(report, { at: Date.now(), isCancelled: true })).toEqual(
      isOneWarning(/timed out after 2 s/),
    )
  })

  test.each([
    ['denies access', 401, /access denied \(HTTP 401\); check the credentials in OTEL_EXPORTER_OTLP_HEADERS/],
    ['has another path', 404, /HTTP 404; check the path of .*, or set OTEL_(TRACES|METRICS)_EXPORTER=none/],
    ['fails', 500, /HTTP 500/],
  ])('it %s', async (_, status, cause) => {
    const collector = await collectorWith((__, response) => response.writeHead(status).end('hunter2'))
    const telemetry = await telemetryTo(collector.address, { OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hunter3' })
    const result = await end(telemetry)
    expect(result).toEqual(isOneWarning(cause))
    expect(JSON.stringify(result)).not.toMatch(/hunter/)
  })

  test('it takes no metrics, but has the trace', async () => {
    const collector = await collectorWith(({ url }, response) =>
      response.writeHead(url === '/v1/metrics' ? 404 : 200).end('{}'),
    )
    const telemetry = await telemetryTo(collector.address)
    telemetry.promotionsSeen((await promotedOnFake()).progress.at(-1)!)
    const { traceId, ...rest } = await end(telemetry)
    expect(rest).toEqual(isOneWarning(/\/v1\/metrics: HTTP 404;.*set OTEL_METRICS_EXPORTER=none/))
    expect(collector.spans()).toContainEqual(expect.objectContaining({ traceId }))
  })

  test.each(['http/json', 'http/protobuf'])('it answers with a page (%s)', async (protocol) => {
    const collector = await collectorWith((_, response) => response.end('<html>Sign in</html>'))
    const telemetry = await telemetryTo(collector.address, { OTEL_EXPORTER_OTLP_PROTOCOL: protocol })
    expect(await end(telemetry)).toEqual(isOneWarning(/its answer is not one of OTLP; check the address/))
  })

  test('it does not speak HTTP', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('\0\0\x12\x04\0\0'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const telemetry = await telemetryTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect(await end(telemetry)).toEqual(isOneWarning(/does not answer with HTTP \(HPE_\w+\).*4318: 4317 is for gRPC/))
    server.close()
  })
})

describe('a variable that cannot be used leads to a warning, and the run goes on:', () => {
  test.each([
    ['an unknown protocol', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /this run sends no telemetry: .*"grpc"/],
    [
      'a certificate that is missing',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://127.0.0.1:1', OTEL_EXPORTER_OTLP_CERTIFICATE: 'missing.pem' },
      /this run sends no telemetry: .*missing\.pem/,
    ],
  ])('%s', async (_, variables, warning) => {
    const telemetry = await telemetryTo('http://127.0.0.1:1', variables)
    telemetry.stageStarted('install', startedAt)
    expect(await end(telemetry)).toEqual({ warnings: [expect.stringMatching(warning)] })
  })

  test('and no variable means no telemetry', async () => {
    expect(await end(await telemetryWith({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }))).toEqual({})
  })
})
