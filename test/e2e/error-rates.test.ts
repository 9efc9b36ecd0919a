// Both errors of a verdict on the real mesh: at ten requests a second a canary that fails a few of them never gets all
// users, however few of its requests were seen, and a plan that the traffic cannot support says so.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runner, type ActionRun } from './runner.ts'
import { deploySampleApp, embeddedMesh, liveWeights, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])

async function setVariable(name: string, variable: string): Promise<void> {
  await kubectl('set', 'env', `deploy/${name}`, variable)
  await kubectl('rollout', 'status', `deploy/${name}`, '--timeout=120s')
}

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await deploySampleApp(testCluster, 'healthy')
  await setVariable('frontend', 'STEADY_RPS=10')
  const ready = await promote({}, 'install, inject, policies, verify')
  expect(ready.code, ready.log).toBe(0)
})
afterAll(() => machine.remove())

/** No request is retried, so that every failure reaches a user. */
function promote(canary: object, stages = 'promote'): Promise<ActionRun> {
  const config = join(machine.home, 'mesh.yaml')
  const subsets = { v1: { version: 'v1' }, v2: { version: 'v2' } }
  writeFileSync(
    config,
    JSON.stringify({
      namespace: 'sample-app',
      istio: { version: '1.31.0', profile: 'demo' },
      workloads: 'all',
      services: { backend: { port: 3001, retries: { attempts: 0 }, subsets } },
      canary: { service: 'backend', guard: 'off', warmup: 0, ...canary },
    }),
  )
  return machine.main({ ...testCluster.inputs, config, stages })
}

test('a plan that ten requests a second cannot support warns, and ends with what is missing', async () => {
  const { outputs, log, report } = await promote({ steps: [50, 100], interval: '6s', progressDeadline: '5s' })
  expect(report?.warnings.join('\n'), log).toMatch(
    /canary: backend gets [\d.]+ requests a second, which is too few for this plan: .* set `progressDeadline: \d+m`/,
  )
  expect(outputs['verdict']).toBe('inconclusive')
  expect(outputs['reason']).toMatch(/at least \d+ more good requests are needed|fewer than the 10 that a step needs/)
})

test('a canary that fails 3% of its requests is not promoted', async () => {
  await setVariable('backend-v2', 'FAIL_RATE=0.03')
  const { outputs, log, report } = await promote({ steps: [50, 100], interval: '15s', progressDeadline: '40s' })
  expect(outputs['weight'], log).toBe('0')
  expect(outputs['verdict']).toMatch(/^(rolled-back|inconclusive)$/)
  expect(report?.promotions[0]?.steps.map(({ weight }) => weight)).toEqual([50])
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
})
