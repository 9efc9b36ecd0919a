// The built bundle, on the real cluster, answers each bad input with one clear error and changes nothing.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runner, type Inputs } from './runner.ts'
import { deploySampleApp, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let mirror: ChildProcess
let mirrorUrl: string

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster)
  await untilNoNamespaceEnds()
  machine = runner(testCluster.runner)
  const [program = '', ...args] = testCluster.runner.enter!([
    process.execPath,
    join(import.meta.dirname, 'lying-mirror.ts'),
  ])
  mirror = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [port] = (await once(mirror.stdout!, 'data')) as [Buffer]
  mirrorUrl = `http://127.0.0.1:${port.toString().trim()}/bad-sum`
})
afterAll(() => {
  mirror.kill()
  machine.remove()
})

const file = (name: string, text: string) => machine.file(name, text)

const app = { namespace: 'sample-app' }
const canary = 'service: backend'

/** The mistake, the inputs, and the words that the error must contain: key, value or line, what to do. */
const cases: [string, () => Inputs, string[]][] = [
  ['an unknown input', () => ({ ...app, namspace: 'x' }), ['input namspace', 'did you mean `namespace`?']],
  [
    'an unknown key in the file',
    () => ({ config: file('key.yaml', 'namespace: sample-app\nservices:\n  backend:\n    retrys: { attempts: 1 }\n') }),
    ['key.yaml:4', 'services.backend.retrys', 'did you mean `retries`?'],
  ],
  [
    'malformed YAML',
    () => ({ config: file('malformed.yaml', 'namespace: sample-app\nservices:\n  backend: {port: 3001\n') }),
    ['malformed.yaml:', 'not valid YAML'],
  ],
  [
    'a weight outside 0–100',
    () => ({ ...app, services: 'backend:\n  subsets: { v1: { version: v1 } }\n  traffic: { v1: 130 }' }),
    ['line 3', 'services.backend.traffic.v1', '130', 'from 0 to 100'],
  ],
  [
    'steps that do not rise',
    () => ({ ...app, canary, steps: '5, 50, 25' }),
    ['input steps', 'canary.steps', '5, 50, 25', 'rising'],
  ],
  [
    'a duration without its unit',
    () => ({ ...app, canary, interval: '30' }),
    ['input interval', 'canary.interval', '"30"', '30s'],
  ],
  [
    'a kubeconfig that does not parse',
    () => ({ ...app, mtls: 'strict', kubeconfig: 'clusters: [ {name: x\n  token: SECRET' }),
    ['kubeconfig', 'does not parse'],
  ],
  [
    'a kubeconfig that is not there',
    () => ({ ...app, mtls: 'strict', kubeconfig: '/nowhere/config' }),
    ['kubeconfig', '/nowhere/config', 'does not exist'],
  ],
  [
    'a context that does not exist',
    () => ({ ...app, mtls: 'strict', context: 'production' }),
    ['context', '"production"', 'does not exist', 'the kubeconfig has'],
  ],
  [
    'an API server that does not answer',
    () => ({ ...app, mtls: 'strict', kubeconfig: file('dead', kubeconfigOf('https://127.0.0.1:1')) }),
    ['kubeconfig', 'https://127.0.0.1:1', 'does not answer', 'ECONNREFUSED'],
  ],
  [
    'an Istio version that the mirror lacks',
    () => ({ mirror: testCluster.inputs['mirror']!, 'istio-version': '1.31.77' }),
    ['istio.version', '1.31.77', '404'],
  ],
  [
    'a checksum that does not match',
    () => ({ mirror: mirrorUrl, 'istio-version': '1.31.0' }),
    ['istio.mirror', 'checksum', '0000', 'nothing was unpacked'],
  ],
  [
    'a namespace that does not exist',
    () => ({ namespace: 'sample-ap', mtls: 'strict' }),
    ['namespace', 'sample-ap', 'did you mean `sample-app`?'],
  ],
  [
    'a workload that does not exist',
    () => ({ ...app, workloads: 'deploy/mysql, deploy/backnd' }),
    ['workloads', 'Deployment sample-app/backnd', 'did you mean `backend`?'],
  ],
  [
    'a canary subset that selects no pod',
    () => ({ ...app, canary: 'service: backend\nstable: v1\ncanary: v9' }),
    ['canary.canary', 'v9 selects no pod', 'version=v9'],
  ],
  [
    'a service port that does not exist',
    () => ({ ...app, services: 'backend: { port: 8080, timeout: 5s }' }),
    ['services.backend.port', 'no port 8080', '3001'],
  ],
  [
    'a service that does not exist',
    () => ({ ...app, services: 'bakend: { timeout: 5s }' }),
    ['services.bakend', 'sample-app/bakend', 'did you mean `backend`?'],
  ],
]

function kubeconfigOf(server: string): string {
  return JSON.stringify({
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    clusters: [{ name: 'x', cluster: { server } }],
    users: [{ name: 'x', user: { token: 'none' } }],
  })
}

/** An earlier test file may have left a namespace that Kubernetes still deletes; its pods would change the snapshot. */
async function untilNoNamespaceEnds(): Promise<void> {
  const phases = 'jsonpath={range .items[?(@.status.phase=="Terminating")]}namespace/{.metadata.name} {end}'
  const ending = (await testCluster.run(['kubectl', 'get', 'namespaces', '-o', phases])).split(' ').filter(Boolean)
  if (ending.length > 0) await testCluster.run(['kubectl', 'wait', '--for=delete', '--timeout=120s', ...ending])
}

/** All objects that a run could change, with their generations. Istio's kinds count only if Istio is installed. */
async function snapshot(): Promise<string> {
  const get = (kinds: string) =>
    testCluster.run([
      'kubectl',
      'get',
      kinds,
      '-A',
      '-o',
      'jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}@{.metadata.generation}{.metadata.labels}{"\\n"}{end}',
    ])
  const known = await testCluster.run(['kubectl', 'api-resources', '--api-group=networking.istio.io', '-o', 'name'])
  const kinds = 'namespaces,configmaps,pods,services,deployments,customresourcedefinitions'
  return get(
    known.includes('virtualservices') ? `${kinds},virtualservices,destinationrules,peerauthentications` : kinds,
  )
}

test.each(cases)('a run with %s fails with one clear error, and changes nothing', async (_, inputs, expectedWords) => {
  const before = await snapshot()
  const { code, log } = await machine.main(inputs())
  const errors = log.split('\n').filter((line) => line.startsWith('::error'))
  expect(errors).toHaveLength(1)
  for (const word of expectedWords) expect(errors[0]).toContain(word)
  expect(log).not.toContain('SECRET')
  expect(code).toBe(1)
  expect(await snapshot()).toBe(before)
})
