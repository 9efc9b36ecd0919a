import { expect, test } from 'vitest'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { retire } from '../../../src/stages/retire.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { configOf } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const istiod = (revision: string, namespace: string, creationTimestamp: string) =>
  ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: `istiod-${revision}`,
      namespace,
      creationTimestamp,
      labels: { app: 'istiod', 'istio.io/rev': revision },
    },
    spec: { template: { spec: { containers: [{ name: 'discovery', image: 'istio/pilot:1.31.0' }] } } },
  }) as KubeObject

test.each([
  ['istio-system', 'or set `istio.takeOver: true`', ['control plane old (1.31.0)']],
  // istioctl finds only istio-system, and would remove nothing.
  ['istio-old', 'remove it there', []],
])('an older control plane of others in %s: without takeOver it stays, %s', async (namespace, remedy, removed) => {
  const { cluster } = recordingCluster([
    istiod('old', namespace, '2026-01-01T00:00:00Z'),
    istiod('new', 'istio-system', '2026-02-01T00:00:00Z'),
  ])
  const run = async (takeOver: boolean) => {
    const warnings: string[] = []
    const recorder = createRecorder(emptyReport('shop', new Date(0), true))
    const istio = `{ version: 1.31.0, revision: new, removeOld: true, takeOver: ${takeOver} }`
    await retire({
      config: { ...configOf(`namespace: shop\nistio: ${istio}\n`), dryRun: true },
      host: { info: () => {}, warning: (line: string) => warnings.push(line) },
      cluster,
      mesh: { revision: 'new' },
      recorder,
    } as unknown as StageContext)
    return { warnings: warnings.join('\n'), removed: recorder.current().removed ?? [] }
  }
  const careful = await run(false)
  expect(careful.warnings).toMatch(new RegExp(`${remedy}$`))
  expect(careful.removed).toEqual([])
  expect((await run(true)).removed).toEqual(removed)
})
