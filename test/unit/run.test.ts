import { afterEach, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { run } from '../../src/run.ts'
import { fakeHost } from './fixtures.ts'
import { Collector, plain } from './run-telemetry/collector.ts'

describe('a run never rejects: its report has the error', () => {
  test.each([
    ['that asks for ambient mode', '{ version: 1.31.0, profile: ambient }', /ambient/],
    ['whose overlay is missing', '{ version: 1.31.0, overlays: [missing.yaml] }', /missing\.yaml/],
    ['that states its revision in `set`', '{ version: 1.31.0, set: revision=next }', /istio\.revision/],
  ])('with an istio section %s', async (_, istio, error) => {
    const config = loadConfig({ INPUT_ISTIO: istio, INPUT_STAGES: 'plan', INPUT_MTLS: 'strict' })
    const report = await run(config, fakeHost())
    expect(report).toMatchObject({ outcome: 'failure', stages: [] })
    expect(report.error).toMatch(error)
  })
})

describe('a run whose environment names a collector', () => {
  const failing = () =>
    loadConfig({ INPUT_ISTIO: '{ version: 1.31.0, overlays: [missing.yaml] }', INPUT_STAGES: 'plan' })
  let collector: Collector
  afterEach(() => {
    vi.unstubAllEnvs()
    collector.stop()
  })

  async function runWith(answer?: Parameters<typeof Collector.start>[0]) {
    collector = await Collector.start(answer)
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.address)
    vi.stubEnv('OTEL_EXPORTER_OTLP_PROTOCOL', 'http/json')
    return run(failing(), fakeHost())
  }

  test('sends a trace that says how it ended, and its report names that trace', async () => {
    const report = await runWith()
    const [root] = collector.spans()
    expect(root).toMatchObject({ traceId: report.traceId, status: { code: 2, message: report.error } })
    expect(plain(root!.attributes)).toMatchObject({ 'cicd.pipeline.result': 'failure' })
    expect(report.warnings).toEqual([])
  })

  test('ends the same if the collector fails, with one warning', async () => {
    const report = await runWith((_, response) => response.writeHead(500).end())
    expect(report.error).toMatch(/missing\.yaml/)
    expect(report.warnings).toEqual([expect.stringMatching(/\/v1\/traces: HTTP 500/)])
    expect(report).not.toHaveProperty('traceId')
  })
})
