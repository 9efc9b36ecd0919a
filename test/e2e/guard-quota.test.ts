// The guard in a namespace with quotas, limits and the restricted Pod Security Standard, which the real API server holds
// its pod to.
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { deployEchoApp } from './echo.ts'
import { runner, type ActionRun } from './runner.ts'
import { applyObjects, embeddedMesh, metricNames, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'policies', ...args])
const apply = (...items: object[]) => applyObjects(testCluster, items, 'policies')
const quota = (hard: object) => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'team' },
  spec: { hard },
})
const limitRange = (min: object) => ({
  apiVersion: 'v1',
  kind: 'LimitRange',
  metadata: { name: 'team' },
  spec: { limits: [{ type: 'Container', min }] },
})

const shop = `
  process.on('SIGTERM', () => process.exit())
  setInterval(() => fetch('http://echo:8080/').then((answer) => answer.text(), () => undefined), 20)`
const shopper = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'shopper' },
  spec: {
    selector: { matchLabels: { app: 'shopper' } },
    template: {
      metadata: { labels: { app: 'shopper' } },
      spec: {
        containers: [
          {
            name: 'node',
            image: 'docker.io/mesh-canary/sample-app:1',
            imagePullPolicy: 'IfNotPresent',
            command: ['node', '-e', shop],
          },
        ],
      },
    },
  },
}
const services = { echo: { port: 8080, subsets: { v1: { version: 'v1' }, v2: { version: 'v2' } } } }

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const { mirror = '', overlays = '' } = testCluster.inputs
  const installed = await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'demo' })
  expect(installed.code, installed.log).toBe(0)
  await deployEchoApp(testCluster)
  await apply(shopper)
  await kubectl('rollout', 'status', 'deploy/shopper', '--timeout=90s')
  expect((await run('policies', {})).code).toBe(0)
  const level = 'pod-security.kubernetes.io/enforce=restricted'
  await testCluster.run(['kubectl', 'label', 'namespace', 'policies', level])
})
afterEach(async () => {
  await kubectl('delete', 'resourcequotas,limitranges', '--all')
  await run('rollback', {})
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'policies', '--wait=false'])
  machine.remove()
})

function run(stages: string, guard: object): Promise<ActionRun> {
  const config = join(machine.home, 'mesh.yaml')
  const canary = {
    service: 'echo',
    steps: [50, 100],
    interval: '4s',
    warmup: 0,
    checks: { tolerance: 10 },
    guard: { after: '10s', ...guard },
    metrics: metricNames,
  }
  writeFileSync(config, JSON.stringify({ namespace: 'policies', services, canary }))
  return machine.main({ config, stages })
}

test('a promotion runs under a full set of quotas and the restricted Pod Security Standard', async () => {
  await apply(
    quota({
      'requests.cpu': '50',
      'requests.memory': '100Gi',
      'limits.cpu': '50',
      'limits.memory': '100Gi',
      pods: '50',
    }),
  )
  const { outputs, log } = await run('promote', {})
  expect(outputs['verdict'], log).toBe('promoted')
})

test('an exhausted quota is reported at once, in the words of the API server', async () => {
  const pods = (await kubectl('get', 'pods', '-o', 'name')).trim().split('\n').length
  await apply(quota({ pods: String(pods) }))
  const { outputs, report, log } = await run('promote', {})
  expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
  expect(outputs['reason']).toMatch(
    /the API server refuses the pod of the guard Job: .*exceeded quota: team, requested: pods=1.*`guard.resources`/,
  )
  expect(report?.seconds).toBeLessThan(60)
})

test('a limit range is reported at once, and `guard.resources` meets it', async () => {
  await apply(limitRange({ memory: '96Mi', cpu: '50m' }))
  const refused = await run('promote', {})
  expect(refused.outputs['reason']).toMatch(/minimum (cpu|memory) usage per Container is .*set `guard.resources`/)
  const resources = { requests: { cpu: '50m', memory: '96Mi' } }
  const { outputs, log } = await run('promote', { resources })
  expect(outputs['verdict'], log).toBe('promoted')
})
