import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject, VirtualService, Workload } from '../../../src/cluster/objects.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { outputsOf } from '../../../src/report/outputs.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { Stage, StageContext } from '../../../src/stages/context.ts'
import { recordingMoves } from '../../../src/stages/moved-objects.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'
import { configOf, to, virtualService, workload } from '../fixtures.ts'

const route = (name: string, generation: number): VirtualService =>
  virtualService([{ route: [to('v1', 100), to('v2', 0)] }], { name, generation })
const deployment = (version: string, replicas: number, image: string): Workload => {
  const labels = { app: 'backend', version }
  const one = workload('Deployment', `backend-${version}`)
  return {
    ...one,
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'app', image }] } },
    },
  }
}

const service: KubeObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  ...{ spec: { selector: { app: 'backend' }, ports: [{ port: 80 }] } },
}

const unchanged: Stage = () => Promise.resolve({ changed: false })

/** What a stage that makes these changes leaves in the report and in the output `changed`. */
async function changesOf(
  work: (stored: Map<string, unknown>) => void,
  { more = '', stage = unchanged, read = (cluster: Cluster) => cluster } = {},
) {
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const fake = recordingCluster([
    service,
    route('backend', 1),
    route('backend-gateway', 1),
    deployment('v1', 2, 'a:1'),
    deployment('v2', 2, 'a:2'),
  ])
  const config = configOf(`namespace: shop\n${more}canary: { service: backend, after: adopt }\n`)
  const context = { config, cluster: read(fake.cluster), recorder } as unknown as StageContext
  await recordingMoves(async (given) => {
    work(fake.stored)
    return stage(given)
  })(context).catch(() => undefined)
  const report = recorder.current()
  return {
    all: report.changes,
    names: report.changes.map(({ kind, name }) => `${kind} ${name}`).sort(),
    changed: outputsOf(report, {})['changed'],
  }
}

describe('the output changed', () => {
  test('counts each route that a promotion moved, and also those of one that was rolled back or failed', async () => {
    const move = (stored: Map<string, unknown>) => {
      stored.set('VirtualService shop/backend', route('backend', 5))
      stored.set('VirtualService shop/backend-gateway', route('backend-gateway', 5))
    }
    const expected = { names: ['VirtualService backend', 'VirtualService backend-gateway'], changed: 2 }
    expect(await changesOf(move)).toMatchObject(expected)
    expect(await changesOf(move, { stage: () => Promise.reject(new Error('the canary failed')) })).toMatchObject(
      expected,
    )
  })

  test('counts the Deployments that `adopt` changed', async () => {
    const adopted = await changesOf((stored) => {
      stored.set('Deployment shop/backend-v1', deployment('v1', 2, 'a:2'))
      stored.set('Deployment shop/backend-v2', deployment('v2', 0, 'a:2'))
    })
    expect(adopted).toMatchObject({ names: ['Deployment backend-v1', 'Deployment backend-v2'], changed: 2 })
  })

  test('does not count what an autoscaler or nobody changed', async () => {
    expect((await changesOf(() => undefined)).changed).toBe(0)
    expect(
      (await changesOf((stored) => stored.set('Deployment shop/backend-v1', deployment('v1', 7, 'a:1')))).changed,
    ).toBe(0)
  })

  test('is 0 in a dry run', async () => {
    const move = (stored: Map<string, unknown>) => stored.set('VirtualService shop/backend', route('backend', 5))
    expect((await changesOf(move, { more: 'dryRun: true\n' })).changed).toBe(0)
  })

  test('has only what moved, which is not what was planned', async () => {
    const { all } = await changesOf((stored) => stored.set('VirtualService shop/backend', route('backend', 5)))
    expect(all).toEqual([expect.objectContaining({ name: 'backend', moved: true })])
  })

  test('does not make a stage fail whose routes cannot be read', async () => {
    const read = (cluster: Cluster): Cluster => ({ ...cluster, list: () => Promise.reject(new Error('forbidden')) })
    expect((await changesOf(() => undefined, { read })).changed).toBe(0)
  })
})
