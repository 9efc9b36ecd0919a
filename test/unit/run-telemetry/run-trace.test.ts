import { SpanStatusCode } from '@opentelemetry/api'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { describe, expect, test, vi } from 'vitest'
import type { PromotionProgress } from '../../../src/canary/active-promotion.ts'
import { emptyReport, promotionReport, type Report } from '../../../src/report/report.ts'
import { withRedaction } from '../../../src/run-telemetry/redacted-spans.ts'
import { RunTrace } from '../../../src/run-telemetry/run-trace.ts'
import { createRedactor } from '../../../src/runtime/redaction.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import { FakeCluster } from '../canary/fake-cluster.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const startedAt = Date.UTC(2026, 0, 1)
const report: Report = emptyReport('shop', new Date(startedAt), false)

/** A trace whose spans stay in memory. */
function memoryTrace(secrets: string[] = []) {
  const exporter = withRedaction(new InMemorySpanExporter(), createRedactor(secrets).redact)
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const pipeline = { 'cicd.pipeline.name': 'Deploy' }
  const trace = new RunTrace(provider.getTracer('test'), { startedAt, namespace: 'shop', pipeline })
  return { trace, spans: () => exporter.getFinishedSpans() }
}

/** Seconds since the epoch. */
const seconds = ([whole, nanos]: readonly number[]) => whole! + nanos! / 1e9
const start = ({ startTime }: ReadableSpan) => seconds(startTime)
const duration = ({ duration }: ReadableSpan) => seconds(duration)
const parentOf = (span: ReadableSpan, spans: readonly ReadableSpan[]) =>
  spans.find((each) => each.spanContext().spanId === span.parentSpanContext?.spanId)?.name

/** What a promotion on the fake cluster says while it runs. */
async function promoted(cluster = new FakeCluster()) {
  const promotion = await cluster.promote()
  const { plan, namespace } = promotion
  return { progress: cluster.progress, promotion, ended: { plan, namespace, state: promotion } }
}

describe('a stage is a span', () => {
  test('with the duration and the outcome that the report states', () => {
    const { trace, spans } = memoryTrace()
    trace.stageStarted('install', startedAt + 500)
    trace.stageEnded({ at: startedAt + 2_750, outcome: 'unchanged', result: 'success' })
    trace.end(report, 'success', startedAt + 3_000)
    const [stage, root] = spans()
    expect(stage).toMatchObject({
      name: 'install',
      attributes: {
        'cicd.pipeline.task.name': 'install',
        'cicd.pipeline.task.run.result': 'success',
        'mesh_canary.stage.outcome': 'unchanged',
        'k8s.namespace.name': 'shop',
      },
      status: { code: SpanStatusCode.UNSET },
    })
    expect([start(stage!), duration(stage!), parentOf(stage!, spans())]).toEqual([
      startedAt / 1000 + 0.5,
      2.25,
      'RUN Deploy',
    ])
    expect([start(root!), duration(root!)]).toEqual([startedAt / 1000, 3])
  })

  test('that says why it failed', () => {
    const { trace, spans } = memoryTrace()
    trace.stageStarted('verify', startedAt)
    trace.stageEnded({ at: startedAt + 1, outcome: 'failed', result: 'failure', error: 'the pod backend crashes' })
    expect(spans()).toMatchObject([
      {
        status: { code: SpanStatusCode.ERROR, message: 'the pod backend crashes' },
        attributes: { 'error.type': '_OTHER', 'cicd.pipeline.task.run.result': 'failure' },
      },
    ])
  })
})

describe('the root says how the run ended:', () => {
  test.each([
    ['success', SpanStatusCode.UNSET, { outcome: 'success', verdict: 'promoted', reason: 'all passed', weight: 100 }],
    ['failure', SpanStatusCode.ERROR, { outcome: 'failure', verdict: 'rolled-back', reason: 'too slow', weight: 0 }],
    [
      'cancellation',
      SpanStatusCode.ERROR,
      { outcome: 'failure', verdict: 'rolled-back', reason: 'cancelled', weight: 0 },
    ],
  ] as const)('%s', (result, code, ending) => {
    const { trace, spans } = memoryTrace()
    trace.end({ ...report, ...ending, error: 'why' }, result, startedAt + 1)
    const { verdict, reason, weight } = ending
    expect(spans()).toMatchObject([
      {
        name: 'RUN Deploy',
        status: { code },
        attributes: {
          'cicd.pipeline.result': result,
          'mesh_canary.verdict': verdict,
          'mesh_canary.reason': reason,
          'mesh_canary.weight': weight,
          'mesh_canary.dry_run': false,
          'k8s.namespace.name': 'shop',
        },
      },
    ])
  })
})

describe('a promotion is a span below its stage', () => {
  test('whose spans are the steps of the report', async () => {
    const { progress, promotion, ended } = await promoted()
    const { trace, spans } = memoryTrace()
    trace.stageStarted('promote', startedAt)
    progress.forEach((each) => trace.promotionsSeen(each))
    trace.promotionsEnded([ended], promotion.startedAt + 600_000)
    trace.stageEnded({ at: startedAt + 1, outcome: 'done', result: 'success' })
    const all = spans()
    const whole = all.find(({ name }) => name === 'promotion of backend')!
    const steps = all.filter((span) => parentOf(span, all) === whole.name)
    const expected = promotionReport(promotion).steps
    expect(expected.map(({ weight }) => weight)).toEqual([5, 25, 50, 100])
    expect(
      steps.map((span) => ({
        weight: span.attributes['mesh_canary.weight'],
        startSeconds: start(span) - start(whole),
        seconds: duration(span),
        outcome: span.attributes['mesh_canary.step.outcome'],
        requests: span.attributes['mesh_canary.canary.requests'],
      })),
    ).toEqual(
      expected.map(({ weight, startSeconds, seconds, outcome, canary }) => ({
        weight,
        startSeconds: expect.closeTo(startSeconds, 3) as number,
        seconds: expect.closeTo(seconds, 3) as number,
        outcome,
        requests: canary.requests,
      })),
    )
    expect(steps.map(({ name }) => name)).toEqual(['weight 5%', 'weight 25%', 'weight 50%', 'weight 100%'])
    expect(parentOf(whole, all)).toBe('promote')
    expect(whole.attributes).toMatchObject({ 'mesh_canary.verdict': 'promoted', 'mesh_canary.canary.version': 'v2' })
  })

  test('whose steps are sent while it runs: a killed run has sent all but the last', async () => {
    const { progress } = await promoted()
    const { trace, spans } = memoryTrace()
    trace.stageStarted('promote', startedAt)
    const atLastStep = progress.findIndex(([promotion]) => promotion?.state.steps.length === 4)
    progress.slice(0, atLastStep + 1).forEach((each) => trace.promotionsSeen(each))
    expect(spans().map(({ name }) => name)).toEqual(['weight 5%', 'weight 25%', 'weight 50%'])
  })

  test('that a rollback marks as failed, with its reason', async () => {
    const cluster = new FakeCluster()
    cluster.failureShare = 1
    const { ended, promotion } = await promoted(cluster)
    const { trace, spans } = memoryTrace()
    trace.promotionsEnded([ended], promotion.startedAt + 60_000)
    expect(spans()).toMatchObject([
      { name: 'weight 5%', status: { code: SpanStatusCode.ERROR } },
      {
        name: 'promotion of backend',
        status: { code: SpanStatusCode.ERROR, message: promotion.reason },
        attributes: { 'error.type': 'rolled-back', 'mesh_canary.verdict': 'rolled-back', 'mesh_canary.weight': 0 },
      },
    ])
  })

  test('that ends with its stage when something else has broken the stage', async () => {
    const { progress } = await promoted()
    const early = progress.find(([promotion]) => promotion?.state.steps.length === 2) as PromotionProgress[]
    const { trace, spans } = memoryTrace()
    trace.stageStarted('promote', startedAt)
    trace.promotionsSeen(early)
    trace.stageEnded({ at: startedAt + 60_000, outcome: 'failed', result: 'failure', error: 'no API server' })
    expect(spans()).toMatchObject([
      { name: 'weight 5%' },
      { name: 'promotion of backend', attributes: { 'error.type': 'abandoned' } },
      { name: 'promote' },
    ])
  })
})

test('no span holds a secret', () => {
  const { trace, spans } = memoryTrace(['hunter2'])
  trace.stageStarted('policies', startedAt)
  trace.stageEnded({ at: startedAt, outcome: 'failed', result: 'failure', error: 'https://a:hunter2@mirror' })
  trace.end({ ...report, reason: 'the token hunter2 expired', error: 'hunter2' }, 'failure', startedAt)
  expect(spans()).toHaveLength(2)
  const sent = spans().map(({ name, attributes, status, events }) => ({ name, attributes, status, events }))
  expect(JSON.stringify(sent)).not.toContain('hunter2')
  expect(JSON.stringify(sent)).toContain('https://a:***@mirror')
})
