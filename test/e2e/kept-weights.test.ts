// Weights in a user's own manifest on the real mesh: a promotion moves them, and later runs of the policies keep them.
// The runs build on each other.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runner, type Inputs } from './runner.ts'
import { deploySampleApp, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await deploySampleApp(testCluster, 'healthy')
})
afterAll(() => {
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

const file = (name: string, text: string) => machine.file(name, text)

const run = (more: Inputs) =>
  machine.run({ ...testCluster.inputs, 'istio-version': '1.31.0', profile: 'demo', ...more })

describe('weights of 90/10 in a manifest', () => {
  const config = (weights = '') =>
    file(
      'mesh.yaml',
      `name: kept
namespace: sample-app
workloads: [deploy/frontend, deploy/backend, deploy/backend-v2, deploy/mysql]
services: { backend: { timeout: 10s${weights} } }
policies: ${file(
        'routes.yaml',
        `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: backend-routes }
spec:
  hosts: [backend]
  http:
    - name: primary
      retries: { attempts: 1 }
      route:
        - { destination: { host: backend, subset: v1 }, weight: 90 }
        - { destination: { host: backend, subset: v2 }, weight: 10 }
`,
      )}
canary: { service: backend, steps: [50, 100], interval: 4s, warmup: 0, checks: { tolerance: 10 }, routes: [primary] }
`,
    )
  const weights = async () =>
    JSON.parse(
      await kubectl(
        ...['-n', 'sample-app', 'get', 'virtualservice', 'backend', '-o'],
        'jsonpath=[{.spec.http[0].route[0].weight},{.spec.http[0].route[1].weight}]',
      ),
    ) as number[]

  test('are written by the first run, and moved to 0/100 by its promotion', async () => {
    const { report, outputs, log } = await run({ config: config() })
    expect(report?.error, log).toBeUndefined()
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(report?.promotions[0]?.steps.map(({ weight }) => weight)).toEqual([50, 100])
    expect(await weights()).toEqual([0, 100])
  })

  test('are kept by a second identical run, which changes nothing', async () => {
    const { report, outputs, log } = await run({ config: config() })
    expect(report?.error, log).toBeUndefined()
    expect(outputs).toMatchObject({ verdict: 'skipped', changed: '0' })
    expect(log).toContain('spec.http[0].route: kept: 0/100 (file says 90/10)')
    expect(await weights()).toEqual([0, 100])
  })

  test('are kept by a config without a canary too, when another policy changes', async () => {
    const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'
    const text = `name: kept\nnamespace: sample-app\nservices: { backend: { timeout: 9s, ${subsets} } }\n`
    const other = file('policies.yaml', `${text}policies: ${join(machine.home, 'routes.yaml')}\n`)
    const { report, outputs, log } = await run({ config: other, stages: 'policies', metrics: '' })
    expect(report?.error, log).toBeUndefined()
    expect(outputs['changed']).toBe('1')
    expect(report?.plan?.[0]?.diff).toEqual(
      expect.arrayContaining(['+ spec.http[0].timeout: 9s', '  spec.http[0].route: kept: 0/100 (file says 90/10)']),
    )
    expect(await weights()).toEqual([0, 100])
  })

  test('do not return to the canary after a rollback', async () => {
    expect((await run({ config: config(), stages: 'rollback' })).outputs['verdict']).toBe('rolled-back')
    const { report, log } = await run({ config: config(), stages: 'policies' })
    expect(report?.error, log).toBeUndefined()
    expect(log).toContain('kept: 100/0 (file says 90/10)')
    expect(await weights()).toEqual([100, 0])
  })

  test('are written again with `weights: from-file`', async () => {
    const { report, log } = await run({ config: config(', weights: from-file'), stages: 'policies' })
    expect(report?.error, log).toBeUndefined()
    expect(await weights()).toEqual([90, 10])
  })
})
