import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { run } from '../../src/run.ts'
import type { Host } from '../../src/stages/context.ts'
import { tempFolder } from './fixtures.ts'

/** A host that shows nothing. Only what a run calls before it reaches a cluster is here. */
function silentHost(): Host {
  const nothing = () => undefined
  return {
    signal: new AbortController().signal,
    tempDir: tempFolder(),
    outputFolder: tempFolder(),
    runName: 'test',
    info: nothing,
    warning: nothing,
    group: (_, work) => work(),
    mask: nothing,
    readGuardProgram: () => '',
    onIstioctl: nothing,
    onKindCluster: nothing,
    onConnected: nothing,
    onRecoveryIntents: nothing,
  }
}

describe('a run never rejects: its report has the error', () => {
  test.each([
    ['that asks for ambient mode', '{ version: 1.31.0, profile: ambient }', /ambient/],
    ['whose overlay is missing', '{ version: 1.31.0, overlays: [missing.yaml] }', /missing\.yaml/],
    ['that states its revision in `set`', '{ version: 1.31.0, set: revision=next }', /istio\.revision/],
  ])('with an istio section %s', async (_, istio, error) => {
    const config = loadConfig({ INPUT_ISTIO: istio, INPUT_STAGES: 'plan', INPUT_MTLS: 'strict' })
    const report = await run(config, silentHost())
    expect(report).toMatchObject({ outcome: 'failure', stages: [] })
    expect(report.error).toMatch(error)
  })
})
