// STRICT and sidecars in clusters that others use too: what would break callers or would not take effect is an error that
// names it, before anything is written.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { deployEchoApp, eventually } from './echo.ts'
import { runner, type ActionRun, type Inputs } from './runner.ts'
import { applyObjects, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'policies', ...args])
const apply = (...items: object[]) => applyObjects(testCluster, items)

function deployment(name: string, namespace: string, script: string, template: object = {}, container: object = {}) {
  const own = {
    name: 'node',
    image: 'docker.io/mesh-canary/sample-app:1',
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', `process.on('SIGTERM', () => process.exit()); ${script}`],
    ...container,
  }
  const metadata = { labels: { app: name }, ...template }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: { selector: { matchLabels: { app: name } }, template: { metadata, spec: { containers: [own] } } },
  }
}
const peerAuthentication = (name: string, spec: object) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name, namespace: 'policies' },
  spec,
})

const poll = `
  setInterval(() => fetch(process.env.ECHO_URL).then((answer) => console.log(answer.status), () => console.log('failed')), 500)`
const poller = deployment(
  'poller',
  'jobs',
  poll,
  {},
  { env: [{ name: 'ECHO_URL', value: 'http://echo.policies:8080/' }] },
)

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  expect((await runAction({ 'istio-version': '1.31.0', profile: 'demo' })).code).toBe(0)
  await deployEchoApp(testCluster)
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'jobs' } })
})
afterEach(() => kubectl('delete', 'peerauthentications', '--all'))
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'policies', 'jobs', '--wait=false'])
  machine.remove()
})

/** Runs the action without the input `metrics`, which needs a canary. */
function runAction(inputs: Inputs): Promise<ActionRun> {
  const { mirror = '', overlays = '' } = testCluster.inputs
  return machine.main({ mirror, overlays, namespace: 'policies', ...inputs })
}

async function refusal(inputs: Inputs): Promise<string> {
  const { code, report } = await runAction(inputs)
  expect(code).toBe(1)
  return report?.error ?? ''
}

const policyNames = () => kubectl('get', 'peerauthentications', '-o', 'name')

describe('a caller without a sidecar', () => {
  const lastAnswers = async () =>
    (await testCluster.run(['kubectl', '-n', 'jobs', 'logs', 'deploy/poller', '--tail=4'])).trim().split('\n')

  beforeAll(async () => {
    await apply(poller)
    await testCluster.run(['kubectl', '-n', 'jobs', 'rollout', 'status', 'deploy/poller', '--timeout=90s'])
    await eventually(async () => expect(await lastAnswers()).toEqual(Array(4).fill('200')))
  })
  afterAll(() => testCluster.run(['kubectl', '-n', 'jobs', 'delete', 'deploy/poller', '--wait']))

  test('is named, and STRICT is not written', async () => {
    const error = await refusal({ mtls: 'strict', stages: 'policies' })
    expect(error).toMatch(
      /STRICT would cut off callers that send plaintext \(within \d+ s: [1-9]\d* requests to echo\)/,
    )
    expect(error).toMatch(/pods without a sidecar that know the address: jobs\/poller-/)
    expect(await policyNames()).toBe('')
    expect(await lastAnswers()).toEqual(Array(4).fill('200'))
  })

  test('is served on if its port stays open', async () => {
    const open = '{ mode: strict, workloads: { echo: { selector: { app: echo }, ports: { 8080: permissive } } } }'
    const { code, log } = await runAction({ mtls: open, stages: 'policies, verify' })
    expect(code, log).toBe(0)
    expect(await lastAnswers()).toEqual(Array(4).fill('200'))
  })

  test('is cut off if the user accepts that', async () => {
    const { code, log } = await runAction({
      mtls: '{ mode: strict, plaintextCallers: cut-off }',
      stages: 'policies, verify',
    })
    expect(code, log).toBe(0)
    await eventually(async () => expect(await lastAnswers()).toEqual(Array(4).fill('failed')))
  })
})

describe('somebody else’s policy', () => {
  test('for the whole namespace that is older is an error with both names, and nothing is written', async () => {
    await apply(peerAuthentication('legacy', { mtls: { mode: 'PERMISSIVE' } }))
    expect(await refusal({ mtls: 'strict' })).toMatch(
      /the PeerAuthentication policies\/legacy, .* so the PeerAuthentication policies\/default would have no effect/,
    )
    expect((await policyNames()).trim().split('\n')).toEqual(['peerauthentication.security.istio.io/legacy'])
  })

  test('for a workload that comes later fails the verification, which names it', async () => {
    await apply(
      peerAuthentication('default', { mtls: { mode: 'STRICT' } }),
      peerAuthentication('theirs', {
        selector: { matchLabels: { app: 'echo', version: 'v2' } },
        mtls: { mode: 'PERMISSIVE' },
      }),
    )
    expect(await refusal({ mtls: 'strict', stages: 'verify' })).toMatch(
      /policies\/echo-v2-\S+:8080: the config asks for STRICT, but the mode is PERMISSIVE: the PeerAuthentication policies\/theirs/,
    )
  })
})

test('a probe that STRICT would refuse is an error before the workload gets its sidecar', async () => {
  const serve = "require('http').createServer((q, r) => r.end('ok')).listen(8080)"
  const annotations = { 'sidecar.istio.io/rewriteAppHTTPProbers': 'false' }
  const readinessProbe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 }
  await apply(deployment('probed', 'policies', serve, { labels: { app: 'probed' }, annotations }, { readinessProbe }))
  try {
    expect(await refusal({ mtls: 'strict', workloads: 'deploy/probed' })).toContain(
      'mtls: STRICT refuses the readinessProbe of Deployment policies/probed (container node, httpGet 8080)',
    )
  } finally {
    await kubectl('delete', 'deploy/probed', '--wait=false')
  }
})

describe('workloads that would get no sidecar are an error before anything restarts:', () => {
  const label = (...pairs: string[]) =>
    testCluster.run(['kubectl', 'label', 'namespace', 'policies', '--overwrite', ...pairs])
  const generations = () => kubectl('get', 'deploy', '-o', 'jsonpath={.items[*].metadata.generation}')
  afterAll(() => label('istio-injection=enabled', 'istio.io/rev-'))

  test.each<[string, string[], string, RegExp]>([
    ['opted out', ['istio-injection=enabled'], 'deploy/outside', /Deployment policies\/outside cannot get a sidecar/],
    ['in a namespace with injection disabled', ['istio-injection=disabled'], 'all', /istio-injection=disabled/],
    [
      'in a namespace of a missing revision',
      ['istio-injection-', 'istio.io/rev=retired'],
      'all',
      /asks for sidecars by istio.io\/rev=retired, but no injector/,
    ],
  ])('%s', async (_, labels, workloads, message) => {
    await label(...labels)
    await kubectl('delete', 'pods', '-l', 'app=caller', '--wait=false')
    const before = await generations()
    expect(await refusal({ workloads })).toMatch(message)
    expect(await generations()).toBe(before)
  })
})
