// Bypasses of a canary's split on the real mesh: those that the run finds before the first weight, and those that only the
// traffic shows.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { runner, type ActionRun } from './runner.ts'
import { applyObjects, deploySampleApp, embeddedMesh, liveWeights, metricNames, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await deploySampleApp(testCluster, 'healthy')
  await testCluster.run(['kubectl', 'delete', 'namespace', partner, '--ignore-not-found', '--wait'])
  await apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: partner, labels: { 'istio-injection': 'enabled' } },
  })
  const { code, log } = await runAction({}, 'install, inject, policies')
  expect(code, log).toBe(0)
})
let leftovers: string[][] = []
afterEach(async () => {
  for (const each of leftovers) await testCluster.run(['kubectl', 'delete', ...each, '--ignore-not-found', '--wait'])
  leftovers = []
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', partner, '--ignore-not-found', '--wait=false'])
  machine.remove()
})

const partner = 'partner-app'
const host = 'backend.sample-app.svc.cluster.local'
const istio = { apiVersion: 'networking.istio.io/v1' }
const split = { v1: { version: 'v1' }, v2: { version: 'v2' } }

/** Creates objects, which the end of the test deletes. */
async function create(...objects: { kind: string; metadata: { name: string; namespace: string } }[]): Promise<void> {
  await apply(...objects)
  leftovers.push(...objects.map(({ kind, metadata }) => ['-n', metadata.namespace, kind, metadata.name]))
}

const apply = (...items: object[]) => applyObjects(testCluster, items)

/** A Deployment that calls the backend 30 times a second. */
const client = (namespace: string, name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name, ...labels } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name,
            image: 'docker.io/mesh-canary/sample-app:1',
            imagePullPolicy: 'IfNotPresent',
            command: ['node', 'frontend.js'],
            env: [
              { name: 'BACKEND_URL', value: `http://${host}:3001/` },
              { name: 'STEADY_RPS', value: '30' },
            ],
          },
        ],
      },
    },
  },
})

async function createClient(...[namespace, name, labels]: Parameters<typeof client>): Promise<void> {
  await create(client(namespace, name, labels))
  await testCluster.run(['kubectl', '-n', namespace, 'rollout', 'status', `deploy/${name}`, '--timeout=60s'])
}

function runAction(canary: object, stages = 'policies, promote', sections: object = {}): Promise<ActionRun> {
  const config = join(machine.home, 'mesh.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      name: 'bypasses',
      namespace: 'sample-app',
      istio: { version: '1.31.0', profile: 'demo' },
      workloads: ['deploy/frontend', 'deploy/backend', 'deploy/backend-v2', 'deploy/mysql'],
      services: { backend: { port: 3001, subsets: split } },
      canary: {
        service: 'backend',
        steps: [5, 100],
        interval: '8s',
        warmup: 0,
        checks: { tolerance: 30 },
        progressDeadline: '20s',
        guard: 'off',
        metrics: metricNames,
        ...canary,
      },
      ...sections,
    }),
  )
  const { mirror = '', overlays = '' } = testCluster.inputs
  return machine.main({ mirror, overlays, config, stages })
}

describe('before the first weight, a run refuses', () => {
  const sidecar = {
    ...istio,
    kind: 'Sidecar',
    metadata: { name: 'narrow', namespace: partner },
    spec: { egress: [{ hosts: ['istio-system/*'] }] },
  }
  const override = {
    ...istio,
    kind: 'VirtualService',
    metadata: { name: 'backend-for-us', namespace: partner },
    spec: { hosts: [host], http: [{ timeout: '3s', route: [{ destination: { host } }] }] },
  }
  const secondService = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'items', namespace: 'sample-app' },
    spec: { selector: { app: 'backend' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  }

  test.each([
    [
      'a VirtualService of another namespace',
      override,
      /the VirtualService partner-app\/backend-for-us goes to all pods/,
    ],
    [
      "the callers' Sidecar that hides the service",
      sidecar,
      /the Sidecar partner-app\/narrow hides backend from its callers/,
    ],
    [
      'a second Service for both versions',
      secondService,
      /the Service sample-app\/items selects pods of both v1 and v2/,
    ],
  ])('%s', async (_, object, message) => {
    // A caller with a sidecar.
    await createClient(partner, 'buyer')
    await create(object)
    const { code, report } = await runAction({ clients: [partner] })
    expect(code).toBe(1)
    expect(report?.error).toMatch(message)
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })
})

test('a caller without a sidecar ends the promotion inconclusive, and its requests are named', async () => {
  await createClient('sample-app', 'outsider', { 'sidecar.istio.io/inject': 'false' })
  const { code, outputs, log, report } = await runAction({})
  expect(code).toBe(1)
  expect(outputs, log).toMatchObject({ verdict: 'inconclusive', weight: '0' })
  expect(outputs['reason']).toMatch(
    /^[\d.]+% of the requests came in plain text from callers without a sidecar, to which no weight applies/,
  )
  expect(report?.warnings).toEqual([])
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
})

test("testers' route to v2 is accepted, and a promotion and a rollback end as without it", async () => {
  const routes = [{ match: { headers: { tester: 'yes' } }, to: 'v2' }]
  const sections = { services: { backend: { port: 3001, subsets: split, routes } } }
  const promoted = await runAction({ steps: [50, 100] }, 'policies, promote', sections)
  expect(promoted.outputs, promoted.log).toMatchObject({ verdict: 'promoted', weight: '100' })
  const back = await runAction({}, 'rollback', sections)
  expect(back.outputs, back.log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
})
