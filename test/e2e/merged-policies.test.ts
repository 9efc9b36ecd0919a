// Policies of a service beside a user's own routes on the real mesh, with requests that show their effect.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clientProgram, deployEchoApp, eventually, statuses, versions, type EchoResponse } from './echo.ts'
import { runner, type Inputs } from './runner.ts'
import { embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  expect(await run({})).toMatchObject({ code: 0 })
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'policies', '--ignore-not-found', '--wait=false'])
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', ...args])

const file = (name: string, text: string) => machine.file(name, text)

/** Runs the action without the input `metrics`, which needs a canary. */
function run(more: Inputs) {
  const { mirror = '', overlays = '' } = testCluster.inputs
  return machine.run({ mirror, overlays, 'istio-version': '1.31.0', profile: 'demo', ...more })
}

describe('the policies of a service', () => {
  const service = (ports: number[]) => `apiVersion: v1
kind: Service
metadata: { name: echo, namespace: policies }
spec:
  selector: { app: echo }
  ports: [${ports.map((port) => `{ name: http-${port}, port: ${port}, targetPort: 8080 }`).join(', ')}]
`
  const call = async (url: string, headers: Record<string, string> = {}, times = 1) =>
    JSON.parse(
      await kubectl(
        ...['-n', 'policies', 'exec', 'deploy/caller', '-c', 'node', '--', 'node', '-e'],
        clientProgram({ url, headers, times }),
      ),
    ) as EchoResponse[]
  const apply = async (text: string) => {
    const config = file('echo.yaml', `name: echo\nnamespace: policies\n${text}`)
    const { report, log } = await run({ config, stages: 'policies' })
    expect(report?.error, log).toBeUndefined()
  }

  beforeAll(async () => {
    await deployEchoApp(testCluster)
    await kubectl('apply', '-f', file('service.yaml', service([8080, 8081])))
  })

  test('for one port leave the other ports alone, except for the split', async () => {
    await apply('services: { echo: { port: 8080, timeout: 500ms } }')
    await eventually(async () => expect(statuses(await call('http://echo:8080/?wait=900'))).toEqual([504]))
    expect(statuses(await call('http://echo:8081/?wait=900'))).toEqual([200])
    const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }, traffic: { v2: 100 }'
    await apply(`services: { echo: { port: 8080, timeout: 500ms, ${subsets} } }`)
    await eventually(async () =>
      expect(new Set(versions(await call('http://echo:8081/', {}, 10)))).toEqual(new Set(['v2'])),
    )
    expect(new Set(versions(await call('http://echo:8080/', {}, 10)))).toEqual(new Set(['v2']))
    expect(statuses(await call('http://echo:8081/?wait=900'))).toEqual([200])
  })

  test('reach every route of the user, in the order of the file', async () => {
    const rules = file(
      'echo-routes.yaml',
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo-routes }
spec:
  hosts: [echo]
  http:
    - match: [{ headers: { x-tester: { exact: "1" } } }]
      route: [{ destination: { host: echo, subset: v2 } }]
    - route: [{ destination: { host: echo, subset: v1 } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo-rules }
spec: { host: echo, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] }
`,
    )
    await apply(`services: { echo: { timeout: 500ms } }\npolicies: ${rules}`)
    const tester = { 'x-tester': '1' }
    await eventually(async () => {
      expect(versions(await call('http://echo:8080/', tester, 5))).toEqual(Array(5).fill('v2'))
      expect(versions(await call('http://echo:8080/', {}, 5))).toEqual(Array(5).fill('v1'))
    })
    expect(statuses(await call('http://echo:8080/?wait=900', tester))).toEqual([504])
    expect(statuses(await call('http://echo:8080/?wait=900'))).toEqual([504])
  })

  test('that expose a host which an older Gateway serves are refused', async () => {
    const taken = file(
      'taken.yaml',
      `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: taken, namespace: default }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [taken.example.test] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: taken, namespace: default }
spec: { hosts: [taken.example.test], gateways: [taken], http: [{ route: [{ destination: { host: frontend } }] }] }
`,
    )
    await kubectl('apply', '-f', taken)
    const config = file(
      'exposed.yaml',
      'name: exposed\nnamespace: policies\nexpose: { echo: { port: 8080, hosts: [taken.example.test] } }\n',
    )
    const { code, report } = await run({ config, stages: 'policies' })
    await kubectl('delete', '-f', taken)
    expect(code).not.toBe(0)
    expect(report?.error).toContain(
      'expose.echo.hosts: the VirtualService default/taken is older and already serves the host taken.example.test at the same gateway',
    )
  })
})
