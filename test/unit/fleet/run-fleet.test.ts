// A run over a fleet whose clusters cannot be reached.
import { expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { runFleet } from '../../../src/fleet/run-fleet.ts'
import { fakeHost } from '../fixtures.ts'

const config = (stages: string) =>
  loadConfig({
    INPUT_CANARY: 'service: backend',
    INPUT_CLUSTERS: '{ eu: { kubeconfig: eu.yaml }, us: { kubeconfig: us.yaml, wave: 2 } }',
    INPUT_STAGES: stages,
  })

test.each(['rollback', 'promote'])(
  'the stage %s is tried in all clusters, and each error names its cluster',
  async (stage) => {
    const report = await runFleet(config(stage), fakeHost())
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
