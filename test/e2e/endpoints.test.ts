// Versions and their endpoints on the real mesh: labels and visibility that a user's DestinationRule states, a stable
// version that loses its pods, and a Service whose requests nobody can count.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from './echo.ts'
import { runner, type Inputs } from './runner.ts'
import { applyObjects, embeddedMesh, keepsConnections, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const { mirror = '', overlays = '' } = testCluster.inputs
  const installed = await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'minimal' })
  expect(installed.code, installed.log).toBe(0)
  await kubectl('delete', 'namespace', 'depot', 'yard', '--ignore-not-found', '--wait')
  await apply(
    ...['depot', 'yard'].map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'istio-injection': 'enabled' } },
    })),
    service('shelf', { name: 'http', port: 3001 }),
    service('crate', { port: 3001 }),
    ...['shelf', 'crate'].flatMap((app) => ['blue', 'green'].map((slot) => server(app, slot))),
    caller('depot', 'picker', 'http://shelf:3001/'),
    caller('depot', 'packer', 'http://crate:3001/'),
    caller('yard', 'driver', 'http://shelf.depot:3001/'),
  )
  const deployments = ['shelf-blue', 'shelf-green', 'crate-blue', 'crate-green', 'picker', 'packer']
  for (const name of deployments) await ready('depot', name)
  await ready('yard', 'driver')
})
afterAll(async () => {
  await kubectl('delete', 'namespace', 'depot', 'yard', '--wait=false')
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])
const ready = (namespace: string, name: string) =>
  kubectl('-n', namespace, 'rollout', 'status', `deploy/${name}`, '--timeout=120s')
const apply = (...items: object[]) => applyObjects(testCluster, items)

const service = (name: string, port: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'depot' },
  spec: { selector: { app: name }, ports: [port] },
})

/** Answers every request with its slot; no pod has a label `version`. */
const server = (app: string, slot: string) =>
  deployment(
    'depot',
    `${app}-${slot}`,
    { app, slot },
    `
    require('node:http').createServer(${keepsConnections}, (_, response) => response.end('${slot}')).listen(3001)
    process.on('SIGTERM', () => process.exit())`,
  )

/** Sends ten requests a second, and logs how many it has sent and how many of them failed. */
const caller = (namespace: string, app: string, url: string) =>
  deployment(
    namespace,
    app,
    { app },
    `
    let [sent, failed] = [0, 0]
    setInterval(() => fetch('${url}').then(({ ok }) => (sent++, ok || failed++), () => (sent++, failed++)), 100)
    setInterval(() => console.log(sent, failed), 500)
    process.on('SIGTERM', () => process.exit())`,
  )

function deployment(namespace: string, name: string, labels: Record<string, string>, program: string): object {
  const container = {
    name: 'app',
    image: 'docker.io/mesh-canary/sample-app:1',
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', program],
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } },
    },
  }
}

/** What the caller has counted since its pod started. */
async function calls(namespace: string, name: string): Promise<{ sent: number; failed: number }> {
  const [sent = 0, failed = 0] = (await kubectl('-n', namespace, 'logs', `deploy/${name}`, '-c', 'app', '--tail', '1'))
    .trim()
    .split(' ')
    .map(Number)
  return { sent, failed }
}

async function weights(name: string): Promise<string> {
  return kubectl('-n', 'depot', 'get', 'virtualservice', name, '-o', 'jsonpath={.spec.http[0].route[*].weight}')
}

/** The inputs of a config in the namespace `depot`; `files` are manifests beside it. */
function inputs(config: string, more: Inputs = {}, files: Record<string, object> = {}): Inputs {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(machine.home, name), JSON.stringify(content))
  const file = join(machine.home, 'mesh.yaml')
  writeFileSync(file, `name: depot\nnamespace: depot\n${config}`)
  return { metrics: testCluster.inputs['metrics'] ?? '', config: file, ...more }
}

const rule = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'shelf' },
  spec: {
    host: 'shelf',
    exportTo: ['.', 'yard'],
    subsets: ['blue', 'green'].map((slot) => ({ name: slot, labels: { slot } })),
  },
}
/** `steps`: of the canary, with other keys of it. */
const shelf = (steps: string) =>
  inputs(
    `policies: ${join(machine.home, 'shelf.json')}
canary: { service: shelf, stable: blue, canary: green, clients: [yard], guard: 5s, progressDeadline: 10s, interval: 4s, steps: ${steps} }
`,
    {},
    { 'shelf.json': rule },
  )

test("a canary uses the labels of a user's DestinationRule, and is visible to the namespaces that see its subsets", async () => {
  const before = await calls('yard', 'driver')
  const { code, outputs, log, report } = await machine.run(shelf('[30], until: 30'))
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'held', weight: '30' })
  expect(report?.promotions[0]?.userRequests.failed).toBe(0)
  const after = await calls('yard', 'driver')
  expect(after.sent).toBeGreaterThan(before.sent)
  expect(after.failed).toBe(before.failed)
  expect(JSON.parse(await kubectl('-n', 'depot', 'get', 'virtualservice,destinationrule', '-o', 'json'))).toMatchObject(
    {
      items: [
        { kind: 'VirtualService', spec: { exportTo: ['.', 'yard'] } },
        { kind: 'DestinationRule', spec: { exportTo: ['.', 'yard'], subsets: rule.spec.subsets } },
      ],
    },
  )
})

test('a stable version that loses its pods gets no traffic back until it has a pod again', async () => {
  expect(await weights('shelf')).toBe('70 30')
  let isScaled: Promise<unknown> | undefined
  const { code, outputs, log } = await machine.run(shelf('[30, 60, 100]'), {
    onLine: (line) => {
      if (line.includes('weight: blue 40, green 60'))
        isScaled ??= kubectl('-n', 'depot', 'scale', 'deploy/shelf-blue', '--replicas=0')
    },
  })
  await isScaled
  expect(code).toBe(1)
  expect(outputs).toMatchObject({ verdict: 'inconclusive', weight: '60' })
  // Whichever shows first: the pod is gone, or requests fail.
  expect(log).toMatch(
    /no ready pod of blue, which serves beside the canary, is behind the Service shelf|of users failed before they reached any version/,
  )
  expect(log).toContain('and rolling back to stable failed: no ready pod of blue is behind the Service depot/shelf')
  expect(await weights('shelf')).toBe('40 60')

  const refused = await machine.run({ ...shelf('[30]'), stages: 'rollback' })
  expect(refused.code).toBe(1)
  expect(refused.log).toContain('scale blue up, or repair its pods; then run the stage rollback again')
  expect(await weights('shelf')).toBe('40 60')

  await kubectl('-n', 'depot', 'scale', 'deploy/shelf-blue', '--replicas=1')
  await ready('depot', 'shelf-blue')
  // By the guard of the run, which has waited for the pod.
  await eventually(async () => expect(await weights('shelf')).toMatch(/^100( 0)?$/))
})

test('a Service whose port names no protocol ends inconclusive, and the reason names the port', async () => {
  const subsets = '{ blue: { slot: blue }, green: { slot: green } }'
  const { code, outputs } = await machine.run(
    inputs(`services: { crate: { subsets: ${subsets} } }
canary: { service: crate, stable: blue, canary: green, guard: off, progressDeadline: 6s, interval: 4s, steps: [30] }
`),
  )
  expect(code).toBe(1)
  expect(outputs).toMatchObject({ verdict: 'inconclusive', weight: '0' })
  expect(outputs['reason']).toContain(
    'no request reached the canary within 6 s (`progressDeadline`): the ports of the Service depot/crate do not name their protocol, so Istio may treat them as TCP, and then sidecars count no requests: 3001; name the port http-… or grpc-…, or set its appProtocol',
  )
})
