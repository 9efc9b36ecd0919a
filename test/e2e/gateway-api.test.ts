// The Gateway API on the real mesh: its CRDs, as Istio's own go.mod pins them, a Gateway that istiod makes a proxy for,
// and the HTTPRoute of `expose`. The cluster is without the CRDs before and after.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goModule } from '../mesh/index.ts'
import type { Split } from '../../src/policies/routes.ts'
import { deployEcho, program, soon, statuses, versions, type Answer } from './echo.ts'
import { runner, type ActionRun, type Inputs } from './runner.ts'
import { call, embedded, type World } from './world.ts'

let world: World
let machine: ReturnType<typeof runner>
let crds: string

beforeAll(async () => {
  world = await embedded()
  machine = runner(world.runner)
  crds = join(await goModule('sigs.k8s.io/gateway-api'), 'config/crd/standard')
  await world.run(['kubectl', 'delete', '-f', crds, '--ignore-not-found', '--wait'])
  expect(await action({ 'istio-version': '1.31.0', profile: 'demo' })).toMatchObject({ code: 0 })
  await deployEcho(world)
})
afterAll(async () => {
  await world.run(['kubectl', 'delete', 'namespace', 'policies', '--ignore-not-found', '--wait'])
  await world.run(['kubectl', 'delete', '-f', crds, '--ignore-not-found', '--wait'])
  // istiod goes on watching kinds that it has seen once.
  await world.run(['kubectl', '-n', 'istio-system', 'delete', 'pods', '-l', 'app=istiod', '--grace-period=1', '--wait'])
  await world.run(['kubectl', '-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=120s'])
  machine.remove()
})

const kubectl = (...args: string[]) => world.run(['kubectl', '-n', 'policies', ...args])
const apply = (object: object) => world.run(['sh', '-c', 'echo "$0" | kubectl apply -f -', JSON.stringify(object)])

/** There is no canary here whose metrics could be named. */
async function action(inputs: Inputs): Promise<ActionRun> {
  const { mirror = '', overlays = '' } = world.inputs
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

test('without the CRDs the run says so, and nothing is touched', async () => {
  const { code, log } = await exposed('edge')
  expect(code).toBe(1)
  expect(log).toContain(
    'expose.echo.api: the cluster does not serve gateway.networking.k8s.io/v1, which an HTTPRoute needs; install the CRDs of the Gateway API',
  )
  expect(await written()).toBe('')
})

describe('with the CRDs and a Gateway', () => {
  beforeAll(async () => {
    await world.run(['kubectl', 'apply', '--server-side', '-f', crds])
    await world.run(['kubectl', 'wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
    await apply({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      // Nothing here would give a LoadBalancer an address.
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

  const knock = async (host: string, path = '/', times = 1) => {
    const address = await kubectl('get', 'service', 'edge-istio', '-o', 'jsonpath={.spec.clusterIP}')
    return JSON.parse(
      await world.run([process.execPath, '-e', program({ url: `http://${address}${path}`, headers: { host }, times })]),
    ) as Answer[]
  }

  test('a Gateway of another name is an error that names the one there is, and nothing is touched', async () => {
    const { code, log } = await exposed('egde')
    expect(code).toBe(1)
    expect(log).toContain(
      'expose.echo.gateway: the Gateway policies/egde (gateway.networking.k8s.io) does not exist; did you mean `edge`?',
    )
    expect(await written()).toBe('')
  })

  test('a request to the host reaches the service, within its timeout, and another host nobody', async () => {
    expect(await exposed('edge')).toMatchObject({ code: 0 })
    await soon(async () => expect(await knock('shop.test')).toMatchObject([{ status: 200, host: 'shop.test' }]))
    expect(statuses(await knock('shop.test', '/?wait=2500'))).toEqual([504])
    expect(statuses(await knock('other.test'))).toEqual([404])
    expect((await exposed('edge')).outputs['changed']).toBe('0')
  })

  test('a canary of Services is moved in the HTTPRoute that weighs them, and put back', async () => {
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
      soon(async () => expect(versions(await knock('split.test', '/', 10))).toEqual(Array(10).fill(version)))
    await answeredBy('v1')
    await call(world, 'moveTraffic', split, 100)
    await answeredBy('v2')
    expect(await call(world, 'readSplit', split)).toBe(100)
    expect(await call(world, 'putAllBack', split)).not.toEqual([])
    await answeredBy('v1')
    await kubectl('delete', 'httproute', 'split')
  })

  test('a host that somebody else has in the other API as well is a warning, at the gateway and in the mesh', async () => {
    const call = async (path: string) =>
      JSON.parse(
        await kubectl(
          'exec',
          'deploy/caller',
          '-c',
          'node',
          '--',
          'node',
          '-e',
          program({ url: `http://echo:8080${path}` }),
        ),
      ) as Answer[]
    expect(await exposed('edge')).toMatchObject({ code: 0 })
    await soon(async () => expect(statuses(await call('/?wait=1500'))).toEqual([504]))
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
    // The VirtualService's timeout of 1 s is what the HTTPRoute takes away.
    await soon(async () => expect(statuses(await call('/?wait=1500'))).toEqual([200]))
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
