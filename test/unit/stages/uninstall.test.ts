// The stage uninstall with an API in Tyk (a stand-in, test/tyk.ts): it goes only if the routes go that it leads to.
import { expect, onTestFinished, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { applyTyk } from '../../../src/edge/tyk/apply.ts'
import { planTyk } from '../../../src/edge/tyk/plan.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { uninstall } from '../../../src/stages/uninstall.ts'
import { startTyk } from '../../tyk.ts'
import { configOf } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const namespace = (labels: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'shop', uid: 'u1', labels },
})

const controlPlane = (revision: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    name: `istiod-${revision}`,
    namespace: 'istio-system',
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels: { 'install.operator.istio.io/owning-resource': 'unknown', app: 'istiod', 'istio.io/rev': revision },
  },
  spec: { template: { spec: { containers: [{ name: 'discovery', image: 'docker.io/istio/pilot:1.31.0' }] } } },
})

async function setUp(objects: KubeObject[], revision: string) {
  const tyk = await startTyk('secret')
  onTestFinished(() => void tyk.server.close())
  const { cluster } = recordingCluster(objects)
  const config = configOf(
    `name: shop\nnamespace: shop\ndryRun: true\nistio: { version: 1.31.0, takeOver: true, revision: ${revision} }\n` +
      'expose: { frontend: { port: 3000, hosts: [shop.example.com] } }\n' +
      `edge: { tyk: { url: "${tyk.url}", secret: secret, keyless: true } }`,
  )
  await applyTyk(await planTyk(cluster, config))
  const recorder = createRecorder(emptyReport('shop', new Date(0), true))
  const host = { signal: new AbortController().signal, info: () => undefined, warning: () => undefined }
  const context = (dryRun: boolean) => ({ config: { ...config, dryRun }, cluster, recorder, host })
  const run = (dryRun: boolean) => uninstall(context(dryRun) as unknown as StageContext)
  return { run, removed: () => recorder.current().removed ?? [], stored: tyk.stored }
}

const api = 'Tyk API shop frontend (mesh-canary)'

test('an uninstall that refuses leaves the API of Tyk', async () => {
  const { run, stored, removed } = await setUp(
    [namespace({ 'istio.io/rev': 'a' }), controlPlane('a'), controlPlane('b')],
    'a',
  )
  await expect(run(false)).rejects.toThrow('is still used by namespace shop')
  expect({ removed: removed(), apis: stored.size }).toEqual({ removed: [], apis: 1 })
})

test('removes the API of Tyk with the mesh, and not with one control plane of several', async () => {
  const one = await setUp([namespace(), controlPlane('a')], 'a')
  await one.run(true)
  expect(one.removed()).toContain(api)
  const two = await setUp([namespace({ 'istio.io/rev': 'b' }), controlPlane('a'), controlPlane('b')], 'a')
  await two.run(true)
  expect(two.removed()).toEqual(['control plane a'])
})
