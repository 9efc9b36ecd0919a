// Runs a complete example workflow with act: checkout, the action from `./`, outputs, post step.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { load } from 'js-yaml'
import { meshEnv } from '../mesh/index.ts'
import { act } from './act.ts'
import { deploySampleApp, embeddedMesh, liveWeights, type TestCluster } from './world.ts'

let testCluster: TestCluster

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, 'healthy')
})

test('the example workflow delivers v2, passes its outputs to the next step, and leaves no kubeconfig behind', async () => {
  const kubeconfig = readFileSync(meshEnv()['KUBECONFIG']!, 'utf8')
  const { mirror = '', overlays = '', metrics = '' } = testCluster.inputs
  const { code, log } = await act(testCluster, {
    repository: resolve(import.meta.dirname, '../..'),
    workflow: '.github/workflows/delivery.yml',
    secrets: { KUBECONFIG: kubeconfig },
    vars: { CANARY_INTERVAL: '4s', ISTIO_MIRROR: mirror, ISTIO_OVERLAYS: overlays, MESH_METRICS: metrics },
  })

  expect(log).toContain('verdict: promoted, weight: 100, reason: every step passed its checks')
  expect(code).toBe(0)
  expect(log).toMatch(/client version: 1\.31\.0/)
  expect(log).toMatch(/Success - Post/)
  expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
  const { users } = load(kubeconfig) as { users: { user: { token: string } }[] }
  expect(users[0]!.user.token).toMatch(/^\S{16,}$/)
  expect(log).not.toContain(users[0]!.user.token)
})
