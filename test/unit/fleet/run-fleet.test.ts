// A run over a fleet whose clusters cannot be reached.
import { expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { runFleet, type FleetHost } from '../../../src/fleet/run-fleet.ts'
import { tempFolder } from '../fixtures.ts'

/** A host that keeps its lines. */
function listening(): { host: FleetHost; lines: string[] } {
  const nothing = () => undefined
  const lines: string[] = []
  const hooks = { onConnected: nothing, onRecoveryIntents: nothing, onFaultIntent: nothing }
  const host: FleetHost = {
    signal: new AbortController().signal,
    tempDir: tempFolder(),
    outputFolder: tempFolder(),
    runName: 'test',
    info: (line) => lines.push(line),
    warning: (line) => lines.push(line),
    group: (_, work) => work(),
    mask: nothing,
    readGuardProgram: () => '',
    onIstioctl: nothing,
    onKindCluster: nothing,
    ...hooks,
    inCluster: () => hooks,
  }
  return { host, lines }
}

const config = (stages: string) =>
  loadConfig({
    INPUT_CANARY: 'service: backend',
    INPUT_CLUSTERS: '{ eu: { kubeconfig: eu.yaml }, us: { kubeconfig: us.yaml, wave: 2 } }',
    INPUT_STAGES: stages,
  })

test.each(['rollback', 'promote'])(
  'the stage %s is tried in all clusters, and each error names its cluster',
  async (stage) => {
    const report = await runFleet(config(stage), listening().host)
    expect(report).toMatchObject({
      outcome: 'failure',
      clusters: [
        { name: 'eu', wave: 1 },
        { name: 'us', wave: 2 },
      ],
    })
    expect(report.error).toMatch(
      /^eu: kubeconfig: .*eu\.yaml does not exist.*\nus: kubeconfig: .*us\.yaml does not exist/,
    )
  },
)
