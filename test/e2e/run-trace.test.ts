// A run's own trace, read back from a real Jaeger.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { importAddons } from '../mesh/index.ts'
import { runner, type ActionRun } from './runner.ts'
import { deploySampleApp, embeddedMesh, sampleApp, type TestCluster } from './world.ts'

type JaegerSpan = {
  spanID: string
  operationName: string
  references: { spanID: string }[]
  /** Microseconds. */
  startTime: number
  duration: number
  tags: { key: string; value: unknown }[]
}

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let config: string

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const twoSteps = readFileSync(`${sampleApp}/mesh.yaml`, 'utf8').replace('steps: [5, 25, 50, 100]', 'steps: [50, 100]')
  config = machine.file('mesh.yaml', twoSteps)
  await importAddons('jaeger')
  await kubectl('apply', '-f', resolve(import.meta.dirname, 'jaeger.yaml'))
  await deploySampleApp(testCluster, 'healthy')
  await kubectl('-n', 'tracing', 'rollout', 'status', 'deploy/jaeger', '--timeout=120s')
})
afterAll(async () => {
  machine.remove()
  await kubectl('delete', 'namespace', 'tracing', '--ignore-not-found', '--wait')
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

/** The spans that Jaeger has of a trace, which it stores some time after it has taken them. */
async function spansOf(traceId: string, name: string): Promise<JaegerSpan[]> {
  const path = `/api/v1/namespaces/tracing/services/jaeger:16686/proxy/api/traces/${traceId}`
  const read = async () => {
    const { data } = JSON.parse(await kubectl('get', '--raw', path)) as { data: { spans: JaegerSpan[] }[] }
    const spans = data.flatMap((trace) => trace.spans)
    expect(spans.map(({ operationName }) => operationName)).toContain(name)
    return spans
  }
  return vi.waitFor(read, { timeout: 60_000, interval: 500 })
}

const tag = ({ tags }: JaegerSpan, name: string) => tags.find(({ key }) => key === name)?.value
const seconds = ({ duration }: JaegerSpan) => duration / 1_000_000
const below = (parent: JaegerSpan, spans: JaegerSpan[]) =>
  spans
    .filter(({ references }) => references.some(({ spanID }) => spanID === parent.spanID))
    .sort((a, b) => a.startTime - b.startTime)

describe('the trace of a promotion in Jaeger', () => {
  let run: ActionRun
  let spans: JaegerSpan[]
  const span = (name: string) => spans.find(({ operationName }) => operationName === name)!

  beforeAll(async () => {
    const address = await kubectl('-n', 'tracing', 'get', 'service', 'jaeger', '-o', 'jsonpath={.spec.clusterIP}')
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://${address}:4318`,
      OTEL_METRICS_EXPORTER: 'none',
      GITHUB_WORKFLOW: 'Deploy',
    }
    run = await machine.run({ ...testCluster.inputs, config }, { env })
    expect(run.outputs['trace-id'], run.log).toMatch(/^[0-9a-f]{32}$/)
    spans = await spansOf(run.outputs['trace-id']!, 'RUN Deploy')
  })

  test('has the stages of the report', () => {
    const stages = below(span('RUN Deploy'), spans)
    expect(
      stages.map((each) => ({
        name: each.operationName,
        outcome: tag(each, 'mesh_canary.stage.outcome'),
        seconds: seconds(each),
      })),
    ).toEqual(run.report?.stages)
    expect(stages.map(({ operationName }) => operationName)).toContain('promote')
  })

  test('has the steps of the report', () => {
    const promotion = span('promotion of backend')
    expect(below(span('promote'), spans)).toEqual([promotion])
    expect(tag(promotion, 'k8s.deployment.name')).toBe('backend-v2')
    const steps = below(promotion, spans).map((each) => ({
      weight: tag(each, 'mesh_canary.weight'),
      startSeconds: (each.startTime - promotion.startTime) / 1_000_000,
      seconds: seconds(each),
      outcome: tag(each, 'mesh_canary.step.outcome'),
      requests: tag(each, 'mesh_canary.canary.requests'),
    }))
    const reported = run.report?.promotions[0]?.steps.map(({ weight, startSeconds, seconds, outcome, canary }) => ({
      weight,
      startSeconds,
      seconds,
      outcome,
      requests: canary.requests,
    }))
    expect(steps.length).toBeGreaterThan(0)
    expect(steps).toEqual(reported)
  })

  test('says how the run ended', () => {
    const root = span('RUN Deploy')
    const { outcome, verdict, reason, traceId } = run.report!
    expect(tag(root, 'cicd.pipeline.result')).toBe(outcome)
    expect([tag(root, 'mesh_canary.verdict'), tag(root, 'mesh_canary.reason')]).toEqual([verdict, reason])
    expect(tag(root, 'k8s.namespace.name')).toBe('sample-app')
    expect(run.summary).toContain(traceId)
  })
})

test('a collector that cannot be reached changes nothing but a warning', async () => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hunter2',
    OTEL_EXPORTER_OTLP_TIMEOUT: '500',
  }
  const inputs = { ...testCluster.inputs, config, stages: 'install, policies' }
  const { code, log, outputs, report } = await machine.run(inputs, { env })
  expect([code, report?.outcome], log).toEqual([0, 'success'])
  expect(report?.warnings.filter((line) => line.includes('telemetry'))).toEqual([
    expect.stringContaining('http://127.0.0.1:9/v1/traces: ECONNREFUSED'),
  ])
  expect(outputs).not.toHaveProperty('trace-id')
  expect(log).not.toContain('hunter2')
})
