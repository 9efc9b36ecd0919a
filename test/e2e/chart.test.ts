// The built bundle promotes a canary whose DestinationRule comes from somebody else, such as a Helm chart.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runner, type Inputs } from './runner.ts'
import { applyObjects, deploySampleApp, embeddedMesh, liveWeights, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, 'healthy')
  machine = runner(testCluster.runner)
})
afterAll(() => machine.remove())

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])

const chartRule = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'backend-chart', namespace: 'sample-app', labels: { 'app.kubernetes.io/managed-by': 'Helm' } },
  spec: {
    host: 'backend',
    trafficPolicy: { connectionPool: { tcp: { maxConnections: 100 } } },
    subsets: [
      { name: 'old', labels: { app: 'backend', version: 'v1' } },
      { name: 'new', labels: { app: 'backend', version: 'v2' } },
    ],
  },
}

/** Every DestinationRule of the namespace with its resource version, which each write changes. */
const rules = () =>
  kubectl(
    'get',
    'destinationrules',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion};{end}',
  )

async function run(inputs: Inputs) {
  const { code, log, outputs } = await machine.main({
    ...testCluster.inputs,
    namespace: 'sample-app',
    name: 'shop',
    'istio-version': '1.31.0',
    profile: 'demo',
    canary: '{ service: backend, stable: old, canary: new, guard: off, checks: { tolerance: 10 }, warmup: 0 }',
    steps: '{ by: 50, to: 50 }',
    interval: '8s',
    workloads: 'all',
    ...inputs,
  })
  expect(code, log).toBe(0)
  return outputs
}

test('the rule of the chart says which pods are which version, stays as it is, and the promotion ends at 100', async () => {
  await run({ stages: 'install, inject' })
  await applyObjects(testCluster, [chartRule])
  const before = await rules()
  const { verdict, weight } = await run({ stages: 'policies, promote' })
  expect({ verdict, weight }).toEqual({ verdict: 'promoted', weight: '100' })
  expect(await liveWeights(testCluster)).toEqual({ old: 0, new: 100 })
  expect(await rules()).toBe(before)
})
