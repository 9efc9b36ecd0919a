// The Gateway API on the real mesh: the CRDs in the version of Istio's go.mod, a Gateway for which istiod creates a
// proxy, and the HTTPRoute of `expose`. The cluster has no CRDs of the Gateway API before and after these tests.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goModule } from '../mesh/index.ts'
import type { Split } from '../../src/policies/routes.ts'
import { deployEchoApp, clientProgram, eventually, statuses, versions, type EchoResponse } from './echo.ts'
import { runner, type ActionRun, type Inputs } from './runner.ts'
import { applyObjects, callInMesh, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let crds: string

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  crds = join(await goModule('sigs.k8s.io/gateway-api'), 'config/crd/standard')
  await testCluster.run(['kubectl', 'delete', '-f', crds, '--ignore-not-found', '--wait'])
  expect(await action({ 'istio-version': '1.31.0', profile: 'demo' })).toMatchObject({ code: 0 })
  await deployEchoApp(testCluster)
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'policies', '--ignore-not-found', '--wait'])
  await testCluster.run(['kubectl', 'delete', '-f', crds, '--ignore-not-found', '--wait'])
  // istiod continues to watch kinds whose CRDs are gone, so it has to restart.
  await testCluster.run([
    'kubectl',
    '-n',
    'istio-system',
    'delete',
    'pods',
    '-l',
    'app=istiod',
    '--grace-period=1',
    '--wait',
  ])
  await testCluster.run(['kubectl', '-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=120s'])
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'policies', ...args])
const apply = (object: object) => applyObjects(testCluster, [object])

/** Runs the action without the input `metrics`, which needs a canary. */
async function action(inputs: Inputs): Promise<ActionRun> {
  const { mirror = '', overlays = '' } = testCluster.inputs
  return machine.main({ mirror, overlays, ...inputs })
}

const exposed = (gateway: string): Promise<ActionRun> =>
  action({
    namespace: 'policies',
    stages: 'policies',
    services: 'echo: { timeout: 1s }',
    expose: `echo: { port: 8080, hosts: [shop.test], api: gateway-api, gateway: ${gateway} }`,
  })

const written = () => kubectl('get', 'virtualservices,destinationrules,gateways.networking.istio.io', '-o', 'name')

test('a run without the CRDs fails with that reason, and changes nothing', async () => {
  const { code, log } = await exposed('edge')
  expect(code).toBe(1)
  expect(log).toContain(
    'expose.echo.api: the cluster does not serve gateway.networking.k8s.io/v1, which an HTTPRoute needs; install the CRDs of the Gateway API',
  )
  expect(await written()).toBe('')
})

describe('with the CRDs and a Gateway', () => {
  beforeAll(async () => {
    await testCluster.run(['kubectl', 'apply', '--server-side', '-f', crds])
    await testCluster.run(['kubectl', 'wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
    await apply({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      // This cluster gives LoadBalancers no address.
      metadata: {
        name: 'edge',
        namespace: 'policies',
        annotations: { 'networking.istio.io/service-type': 'ClusterIP' },
      },
      spec: { gatewayClassName: 'istio', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
    })
    await kubectl('wait', '--for=condition=Programmed', 'gateway.gateway.networking.k8s.io/edge', '--timeout=120s')
    await kubectl('rollout', 'status', 'deploy/edge-istio', '--timeout=120s')
  })

  const requestThroughGateway = async (host: string, path = '/', times = 1) => {
    const address = await kubectl('get', 'service', 'edge-istio', '-o', 'jsonpath={.spec.clusterIP}')
    return JSON.parse(
      await testCluster.run([
        process.execPath,
        '-e',
        clientProgram({ url: `http://${address}${path}`, headers: { host }, times }),
      ]),
    ) as EchoResponse[]
  }

  test('an unknown Gateway is an error that names the existing one, and the run changes nothing', async () => {
    const { code, log } = await exposed('egde')
    expect(code).toBe(1)
    expect(log).toContain(
      'expose.echo.gateway: the Gateway policies/egde (gateway.networking.k8s.io) does not exist; did you mean `edge`?',
    )
    expect(await written()).toBe('')
  })

  test('a request to the host reaches the service within its timeout, and one to another host gets a 404', async () => {
    expect(await exposed('edge')).toMatchObject({ code: 0 })
    await eventually(async () =>
      expect(await requestThroughGateway('shop.test')).toMatchObject([{ status: 200, host: 'shop.test' }]),
    )
    expect(statuses(await requestThroughGateway('shop.test', '/?wait=2500'))).toEqual([504])
    expect(statuses(await requestThroughGateway('other.test'))).toEqual([404])
    expect((await exposed('edge')).outputs['changed']).toBe('0')
  })

  test('a promotion moves the weights of Services in their HTTPRoute, and a rollback returns them', async () => {
    const service = (version: string) =>
      apply({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: `echo-${version}`, namespace: 'policies' },
        spec: { selector: { app: 'echo', version }, ports: [{ name: 'http', port: 8080 }] },
      })
    for (const version of ['v1', 'v2']) await service(version)
    await apply({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'split', namespace: 'policies' },
      spec: {
        parentRefs: [{ name: 'edge' }],
        hostnames: ['split.test'],
        rules: [
          {
            backendRefs: [
              { name: 'echo-v1', port: 8080 },
              { name: 'echo-v2', port: 8080, weight: 0 },
            ],
          },
        ],
      },
    })
    const split: Split = {
      namespace: 'policies',
      service: 'echo',
      stable: { by: 'service', name: 'echo-v1' },
      canary: { by: 'service', name: 'echo-v2' },
    }
    const answeredBy = async (version: string) =>
      eventually(async () =>
        expect(versions(await requestThroughGateway('split.test', '/', 10))).toEqual(Array(10).fill(version)),
      )
    await answeredBy('v1')
    await callInMesh(testCluster, 'setWeight', split, 100)
    await answeredBy('v2')
    expect(await callInMesh(testCluster, 'readWeight', split)).toBe(100)
    expect(await callInMesh(testCluster, 'resetToStable', split)).not.toEqual([])
    await answeredBy('v1')
    await kubectl('delete', 'httproute', 'split')
  })

  test('a run warns if another owner has the host in the other API, at the gateway and in the mesh', async () => {
    const requestInMesh = async (path: string) =>
      JSON.parse(
        await kubectl(
          'exec',
          'deploy/caller',
          '-c',
          'node',
          '--',
          'node',
          '-e',
          clientProgram({ url: `http://echo:8080${path}` }),
        ),
      ) as EchoResponse[]
    expect(await exposed('edge')).toMatchObject({ code: 0 })
    await eventually(async () => expect(statuses(await requestInMesh('/?wait=1500'))).toEqual([504]))
    await apply({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'theirs', namespace: 'policies' },
      spec: {
        hosts: ['shop.test'],
        gateways: ['istio-system/theirs'],
        http: [{ route: [{ destination: { host: 'echo' } }] }],
      },
    })
    await apply({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'theirs', namespace: 'policies' },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name: 'echo', port: 8080 }],
        rules: [{ backendRefs: [{ name: 'echo', port: 8080 }] }],
      },
    })
    // The HTTPRoute overrides the timeout of 1 s that the VirtualService sets.
    await eventually(async () => expect(statuses(await requestInMesh('/?wait=1500'))).toEqual([200]))
    const { code, report } = await exposed('edge')
    expect(code).toBe(0)
    for (const clash of [
      'the VirtualService policies/theirs, which mesh-canary does not manage, claims the host shop.test of the HTTPRoute policies/echo too',
      'the HTTPRoute policies/theirs, which mesh-canary does not manage, claims the host echo.policies.svc.cluster.local of the VirtualService policies/echo too: inside the mesh Istio follows the HTTPRoute, and the VirtualService has no effect',
    ])
      expect(report?.warnings).toContainEqual(expect.stringContaining(clash))
    await kubectl('delete', 'virtualservices,httproutes', 'theirs')
  })
})
