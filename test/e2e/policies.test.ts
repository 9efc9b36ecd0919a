// One test for each policy on the real mesh: the built bundle applies it, a client sends traffic, the test checks the
// effect.
import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  deployEchoApp,
  clientProgram,
  eventually,
  statuses,
  versions,
  type EchoResponse,
  type EchoRequest,
} from './echo.ts'
import { runner, type ActionRun, type Inputs } from './runner.ts'
import { delivererKubeconfig, embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
/** Path of a kubeconfig with only the rights of deploy/rbac/deliver.yaml, which applies all policies. */
let deliverer: string

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await runAction({ 'istio-version': '1.31.0', profile: 'demo' })
  await deployEchoApp(testCluster)
  deliverer = await delivererKubeconfig(testCluster, machine.home, 'policies')
})
/**
 * Each proxy drops a deleted policy at its own time. The next test starts once the proxies of the caller and of both
 * versions have done so. Responses of one version alone say nothing about the proxy of the other.
 */
afterEach(async () => {
  await kubectl(
    'delete',
    'virtualservices,destinationrules,gateways.networking.istio.io,serviceentries,sidecars,authorizationpolicies,requestauthentications,peerauthentications,telemetries',
    '--all',
  )
  await eventually(async () => {
    const answers = await call({ times: 12 })
    expect(new Set(versions(answers))).toEqual(new Set(['v1', 'v2']))
    expect(new Set(statuses(answers))).toEqual(new Set([200]))
    expect(statuses(await call({ url: await outside() }))).toEqual([200])
  })
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'policies', '--wait=false'])
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'policies', ...args])

/** Runs the action without the input `metrics`, which needs a canary. */
async function runAction(inputs: Inputs): Promise<ActionRun> {
  const { mirror = '', overlays = '' } = testCluster.inputs
  const run = await machine.main({ mirror, overlays, ...inputs })
  expect(run.code, run.log).toBe(0)
  return run
}

async function policies(inputs: Inputs): Promise<void> {
  const { outputs } = await runAction({ namespace: 'policies', stages: 'policies', kubeconfig: deliverer, ...inputs })
  expect(Number(outputs['changed'])).toBeGreaterThan(0)
}

/** An input with these keys for the service `echo`. */
const echo = (...keys: string[]): Inputs => ({ services: ['echo:', ...keys.map((key) => `  ${key}`)].join('\n') })
const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'

/** The address of a pod without a sidecar, which plays a host outside the mesh. */
const outside = async () =>
  `http://${await kubectl('get', 'pods', '-l', 'app=outside', '-o', 'jsonpath={.items[0].status.podIP}')}:8080/`

/** Sends requests from the pod of a Deployment. */
async function call(request: EchoRequest | string = {}, from = 'caller'): Promise<EchoResponse[]> {
  const options = typeof request === 'string' ? { url: `http://echo:8080${request}` } : request
  return JSON.parse(
    await kubectl('exec', `deploy/${from}`, '-c', 'node', '--', 'node', '-e', clientProgram(options)),
  ) as EchoResponse[]
}

/** The distinct statuses of several requests, because each pod applies a policy at its own time. */
const distinctStatuses = async (request: EchoRequest, from?: string) => [
  ...new Set(statuses(await call({ ...request, times: 8 }, from))),
]

/** How many requests for the path this version counted. The request comes from inside its pod, past the mesh. */
async function requestCount(version: string, path: string): Promise<number> {
  const [answer] = await call({ url: `http://127.0.0.1:8080/seen?path=${path}` }, `echo-${version}`)
  return answer?.count ?? -1
}

/** A program of the tests that prints its address, in the mesh's network until the test ends. */
async function startInMesh(file: string, argument: string): Promise<string> {
  const [program = '', ...args] = testCluster.runner.enter!([process.execPath, file, argument])
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill())
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return line
}

const until = () => new Date(Date.now() + 3_600_000).toISOString()

describe('between callers and a service,', () => {
  test('the proxy retries a 503, and the second try succeeds', async () => {
    await policies(echo('retries: { attempts: 0 }'))
    await eventually(async () => expect(statuses(await call(`/?once=${Date.now()}`))).toEqual([503]))
    await policies(echo('retries: { attempts: 2, perTryTimeout: 1s, budget: { percent: 50% } }'))
    await eventually(async () => expect(statuses(await call(`/?once=${Date.now()}`))).toEqual([200]))
  })

  test('a budget limits the load from retries, and the proxy counts the retries it refused', async () => {
    const failingRequests = (budget: string) =>
      policies(echo(subsets, 'traffic: { v1: 100 }', `retries: { attempts: 2${budget} }`))
    /** The number of tries for thirty concurrent requests that all fail. */
    const tries = async () => {
      const path = `/tries-${Date.now()}`
      expect(await call({ url: `http://echo:8080${path}?fail=v1`, times: 30, atOnce: true })).toMatchObject(
        Array(30).fill({ status: 503, version: 'v1' }),
      )
      return requestCount('v1', path)
    }
    const refusedRetries = async () =>
      Number(
        /upstream_rq_retry_overflow: (\d+)/.exec(
          await kubectl(
            'exec',
            'deploy/caller',
            '-c',
            'istio-proxy',
            '--',
            'pilot-agent',
            'request',
            'GET',
            'stats?filter=outbound.8080.v1.echo.*retry_overflow',
          ),
        )?.[1],
      )
    await failingRequests('')
    await eventually(async () => expect(await tries()).toBe(90))
    expect(await refusedRetries()).toBe(0)
    await failingRequests(', budget: { percent: 1%, minConcurrency: 1 }')
    await eventually(async () => expect(await tries()).toBeLessThan(90))
    expect(await refusedRetries()).toBeGreaterThan(0)
  })

  test('a slow request ends at its timeout', async () => {
    expect(statuses(await call('/?wait=2500'))).toEqual([200])
    await policies(echo('timeout: 1s'))
    await eventually(async () => {
      const [answer] = await call('/?wait=2500')
      expect(answer?.status).toBe(504)
      expect(answer?.ms).toBeGreaterThanOrEqual(1_000)
    })
  })

  test('the proxy ejects a failing pod, which then gets no requests', async () => {
    await policies(
      echo(
        'circuitBreaker: { consecutive5xxErrors: 3, interval: 500ms, ejectFor: 60s, maxEjectionPercent: 50 }',
        'retries: { attempts: 0 }',
      ),
    )
    expect(new Set(statuses(await call({ url: 'http://echo:8080/?fail=v2', times: 20 })))).toEqual(new Set([200, 503]))
    await eventually(async () => {
      const answers = await call({ url: 'http://echo:8080/?fail=v2', times: 20 })
      expect(statuses(answers)).toEqual(Array(20).fill(200))
      expect(new Set(versions(answers))).toEqual(new Set(['v1']))
    })
  })

  test('requests with the same header go to one pod, and those with different headers use both pods', async () => {
    await policies(echo('loadBalancer: { consistentHash: { header: x-user } }'))
    await eventually(async () => {
      const pods = new Set<string | undefined>()
      for (const user of ['anna', 'bert', 'carl', 'dora', 'emil', 'fred']) {
        const podsOfUser = new Set(versions(await call({ headers: { 'x-user': user }, times: 8 })))
        expect(podsOfUser.size).toBe(1)
        podsOfUser.forEach((pod) => pods.add(pod))
      }
      expect(pods.size).toBe(2)
    })
  })

  test('the traffic splits by weight', async () => {
    await policies(echo(subsets, 'traffic: { v1: 0, v2: 100 }'))
    await eventually(async () => expect(new Set(versions(await call({ times: 10 })))).toEqual(new Set(['v2'])))
    await policies(echo(subsets, 'traffic: { v1: 50, v2: 50 }'))
    await eventually(async () => expect(new Set(versions(await call({ times: 30 })))).toEqual(new Set(['v1', 'v2'])))
  })

  test('only requests with the header, cookie, user agent, query or method reach v2', async () => {
    const routes = [
      'headers: { x-beta: "1" }',
      'cookie: { group: b }',
      'userAgent: Firefox',
      'query: { beta: true }',
      'method: PUT, path: /items',
    ].map((match) => `  - { match: { ${match} }, to: v2 }`)
    await policies(echo(subsets, 'traffic: { v1: 100 }', 'routes:', ...routes))
    await eventually(async () => expect(versions(await call({ headers: { 'x-beta': '1' } }))).toEqual(['v2']))
    const of = async (request: EchoRequest) => versions(await call(request))[0]
    expect(await of({ headers: { cookie: 'a=1; group=b; c=2' } })).toBe('v2')
    expect(await of({ headers: { 'user-agent': 'Mozilla/5.0 (X11) Firefox/140.0' } })).toBe('v2')
    expect(await of({ url: 'http://echo:8080/?beta=true' })).toBe('v2')
    expect(await of({ url: 'http://echo:8080/items/7', method: 'PUT' })).toBe('v2')
    expect(versions(await call({ times: 10 }))).toEqual(Array(10).fill('v1'))
    expect(
      await of({
        headers: { 'x-beta': '2', cookie: 'group=bb', 'user-agent': 'curl' },
        url: 'http://echo:8080/items?beta=false',
      }),
    ).toBe('v1')
  })

  test('v2 counts a mirrored request, and v1 answers it', async () => {
    await policies(echo(subsets, 'traffic: { v1: 100 }', 'mirror: { to: v2 }'))
    const path = `/mirrored-${Date.now()}`
    await eventually(async () => {
      expect(versions(await call(path))).toEqual(['v1'])
      expect(await requestCount('v2', path)).toBeGreaterThan(0)
    })
  })

  test('an injected fault takes effect, and an expired one does not', async () => {
    await policies(echo(`fault: { delay: { time: 1s }, abort: { status: 418 }, until: "${until()}" }`))
    await eventually(async () => {
      const [answer] = await call()
      expect(answer?.status).toBe(418)
      expect(answer?.ms).toBeGreaterThanOrEqual(1_000)
    })
    await policies(echo('timeout: 10s', 'fault: { abort: { status: 418 }, until: 2026-01-01T00:00:00Z }'))
    await eventually(async () => expect(statuses(await call())).toEqual([200]))
  })
})

describe('for callers of a service,', () => {
  /** Sends a request without a sidecar, through the API server. */
  const plaintext = async (version: string) => {
    const [pod = ''] = (
      await kubectl('get', 'pods', '-l', `app=echo,version=${version}`, '-o', 'jsonpath={.items[*].metadata.name}')
    ).split(' ')
    return kubectl('get', '--raw', `/api/v1/namespaces/policies/pods/${pod}:8080/proxy/`).then(
      () => 'answered',
      () => 'refused',
    )
  }

  test('strict mutual TLS refuses plaintext, except at a port with an exception', async () => {
    expect(await plaintext('v1')).toBe('answered')
    await policies({
      mtls: '{ mode: strict, workloads: { v2: { selector: { app: echo, version: v2 }, ports: { 8080: permissive } } } }',
    })
    await eventually(async () =>
      expect([await plaintext('v1'), await plaintext('v2')]).toEqual(['refused', 'answered']),
    )
    expect(new Set(statuses(await call({ times: 10 })))).toEqual(new Set([200]))
  })

  test('only the named principal may send the named requests, and a deny rule applies to it too', async () => {
    const callers = '{ to: { app: echo }, principals: cluster.local/ns/policies/sa/caller, methods: GET, ports: 8080 }'
    const noAdmin = '{ action: deny, to: { app: echo }, paths: /admin*, ports: 8080 }'
    await policies({ authorization: `{ defaultDeny: true, rules: { callers: ${callers}, no-admin: ${noAdmin} } }` })
    await eventually(async () => {
      expect(await distinctStatuses({}, 'echo-v1')).toEqual([403])
      expect(await distinctStatuses({})).toEqual([200])
      expect(await distinctStatuses({ method: 'POST' })).toEqual([403])
      expect(await distinctStatuses({ url: 'http://echo:8080/admin/users' })).toEqual([403])
    })
  })

  test('the proxy refuses a missing or wrong token, and accepts a right one', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const token = (issuer: string) => {
      const text = `${part({ alg: 'RS256', kid: 'k' })}.${part({ iss: issuer, sub: 'anna', exp: Math.floor(Date.now() / 1000) + 3600 })}`
      return { authorization: `Bearer ${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}` }
    }
    const jwks = JSON.stringify({
      keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' }],
    })
    const config = join(machine.home, 'mesh.yaml')
    const jwt = `jwt: { users: { issuer: users.test, jwks: '${jwks}', selector: { app: echo }, ports: 8080 } }`
    writeFileSync(config, `namespace: policies\n${jwt}\n`)
    // When a run ends, new connections meet the new policies. A caller without a sidecar opens one for each request;
    // the open connections of a sidecar answer once more by the old policies.
    await policies({ config })
    expect(await distinctStatuses({}, 'outside')).toEqual([403])
    expect(await distinctStatuses({ headers: token('strangers.test') }, 'outside')).toEqual([401])
    expect(await distinctStatuses({ headers: token('users.test') }, 'outside')).toEqual([200])

    writeFileSync(config, 'namespace: policies\nservices: {}\n')
    await policies({ config })
    expect(await distinctStatuses({}, 'outside')).toEqual([200])
  })
})

describe('for requests to other hosts,', () => {
  test('registry-only blocks an unknown host, and allows a known one', async () => {
    const [known, unknown] = ['api.example.com', 'other.test'].map((host) => ({ headers: { host } }))
    const url = await outside()
    expect(statuses(await call({ url, ...unknown }))).toEqual([200])
    await policies({ egress: '{ mode: registry-only, hosts: { "*.example.com": { port: 8080, protocol: http } } }' })
    await eventually(async () => expect(statuses(await call({ url, ...unknown }))).toEqual([502]))
    await eventually(async () => expect(statuses(await call({ url, ...known }))).toEqual([200]))
    expect(statuses(await call())).toEqual([200])
  })

  test('a sidecar knows only the hosts of its scope', async () => {
    await policies({ egress: 'mode: registry-only', scope: 'hosts: [istio-system/*]' })
    // The sidecar has no listener for the port, so it closes the connection.
    await eventually(async () => expect(statuses(await call())).toEqual([0]))
    await policies({ egress: 'mode: registry-only', scope: 'hosts: [./*, istio-system/*]' })
    await eventually(async () => expect(statuses(await call())).toEqual([200]))
  })
})

describe('at the gateway,', () => {
  const gateway = () =>
    testCluster.run([
      'kubectl',
      '-n',
      'istio-system',
      'get',
      'service',
      'istio-ingressgateway',
      '-o',
      'jsonpath={.spec.clusterIP}',
    ])
  const requestThroughGateway = async (host: string, path = '/') =>
    JSON.parse(
      await testCluster.run([
        process.execPath,
        '-e',
        clientProgram({ url: `http://${await gateway()}${path}`, headers: { host } }),
      ]),
    ) as EchoResponse[]

  test('requests to the host reach the service with the routes and the split that it has in the mesh', async () => {
    await policies({
      ...echo(
        'port: 8080',
        subsets,
        'traffic: { v1: 100 }',
        'routes: [{ match: { query: { beta: 1 } }, to: v2 }]',
        'timeout: 1s',
      ),
      expose: 'echo: { hosts: [shop.test] }',
    })
    await eventually(async () =>
      expect(await requestThroughGateway('shop.test')).toMatchObject([
        { status: 200, version: 'v1', host: 'shop.test' },
      ]),
    )
    expect(versions(await requestThroughGateway('shop.test', '/?beta=1'))).toEqual(['v2'])
    expect(statuses(await requestThroughGateway('shop.test', '/?wait=2500'))).toEqual([504])
    expect(statuses(await requestThroughGateway('other.test'))).toEqual([404])
  })

  test('users of a stand-in for Tyk reach the service, because the run leads it to the gateway', async () => {
    const url = await startInMesh('test/tyk.ts', 'secret')
    await policies({ ...echo('port: 8080', subsets, 'traffic: { v1: 100 }'), expose: 'echo: { hosts: [shop.test] }' })
    const edge = await runAction({
      namespace: 'policies',
      stages: 'edge',
      kubeconfig: deliverer,
      expose: 'echo: { hosts: [shop.test] }',
      edge: `tyk: { url: "${url}", secret: secret, target: "http://${await gateway()}", keyless: true, listenPath: /shop/ }`,
    })
    expect(edge.report?.trafficChecks).toMatchObject([{ what: 'edge', ok: true }])
    const program = clientProgram({ url: `${url}/shop/`, headers: { host: 'shop.test' } })
    const answers = JSON.parse(await testCluster.run([process.execPath, '-e', program])) as EchoResponse[]
    expect(answers).toMatchObject([{ status: 200, version: 'v1', host: 'shop.test' }])
  })

  test('an account with rights on the namespace alone can expose a service, although it sees no gateway and no secret', async () => {
    await kubectl('create', 'role', 'deployer', '--verb=*', '--resource=*.*', '--resource=namespaces')
    await kubectl('create', 'rolebinding', 'deployer', '--role=deployer', '--serviceaccount=policies:default')
    const mayList =
      'kubectl auth can-i list pods --all-namespaces --as=system:serviceaccount:policies:default 2>&1 || true'
    expect(await testCluster.run(['sh', '-c', mayList])).toMatch(/no\s*$/)
    const admin = JSON.parse(await testCluster.run(['kubectl', 'config', 'view', '--raw', '-o', 'json'])) as {
      users: { name: string }[]
    }
    const user = { token: (await kubectl('create', 'token', 'default')).trim() }
    const kubeconfig = JSON.stringify({ ...admin, users: admin.users.map(({ name }) => ({ name, user })) })
    // Without istioctl, because its analysis of a Gateway lists the Secrets of istio-system.
    const { code, log } = await machine.main({
      namespace: 'policies',
      stages: 'policies',
      kubeconfig,
      expose: 'echo: { hosts: [shop.test], tls: { secret: echo-cert } }',
    })
    expect(code, log).toBe(0)
    expect(await kubectl('get', 'gateways.networking.istio.io', '-o', 'name')).toContain('echo-gateway')
  })

  test('HTTP redirects to HTTPS, which has the certificate of the secret', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-tls-'))
    try {
      execFileSync(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '1',
          '-subj',
          '/CN=shop.test',
          '-keyout',
          'key',
          '-out',
          'crt',
        ],
        { cwd: folder, stdio: 'ignore' },
      )
      await testCluster.run(['kubectl', '-n', 'istio-system', 'delete', 'secret', 'echo-cert', '--ignore-not-found'])
      const tooEarly = await machine.main({
        namespace: 'policies',
        expose: 'echo: { port: 8081, hosts: [shop.test], tls: { secret: echo-cert } }',
      })
      expect(tooEarly.code).toBe(1)
      expect(tooEarly.log).toContain('expose.echo.port: the Service policies/echo has no port 8081; it has 8080')
      expect(tooEarly.log).toContain(
        'expose.echo.tls.secret: the Secret istio-system/echo-cert does not exist, and the gateway ingressgateway reads certificates only in its own namespace',
      )
      await testCluster.run([
        'kubectl',
        '-n',
        'istio-system',
        'create',
        'secret',
        'tls',
        'echo-cert',
        `--cert=${folder}/crt`,
        `--key=${folder}/key`,
      ])
      await policies({ expose: 'echo: { port: 8080, hosts: [shop.test], tls: { secret: echo-cert } }' })
      await eventually(async () =>
        expect(await requestThroughGateway('shop.test')).toMatchObject([
          { status: 301, location: 'https://shop.test/' },
        ]),
      )
      const https = `require('node:https').get('https://${await gateway()}/', { servername: 'shop.test', headers: { host: 'shop.test' }, agent: false, rejectUnauthorized: false }, (response) => { console.log(response.statusCode, response.socket.getPeerCertificate().subject.CN); response.resume() })`
      await eventually(async () =>
        expect(await testCluster.run([process.execPath, '-e', https])).toMatch(/^200 shop\.test/),
      )
    } finally {
      rmSync(folder, { recursive: true })
      await testCluster.run(['kubectl', '-n', 'istio-system', 'delete', 'secret', 'echo-cert', '--ignore-not-found'])
    }
  })
})

test('the proxy logs requests if access logs are on, and not if they are off', async () => {
  const [silent, loud] = [`/silent-${Date.now()}`, `/loud-${Date.now()}`]
  const log = () => kubectl('logs', 'deploy/caller', '-c', 'istio-proxy', '--tail', '200')
  await policies({ telemetry: 'accessLogs: false' })
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  await call(silent)
  await policies({ telemetry: 'accessLogs: true' })
  await eventually(async () => {
    await call(loud)
    expect(await log()).toContain(loud)
  })
  expect(await log()).not.toContain(silent)
})

test('the proxy traces the configured share of requests if the mesh has a provider', async () => {
  // The platform team's part: it selects a provider of the profile demo, and runs the Service that this provider names.
  const provider = [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'jaeger-collector', namespace: 'istio-system' },
      spec: { ports: [{ name: 'grpc', port: 4317 }] },
    },
    {
      apiVersion: 'telemetry.istio.io/v1',
      kind: 'Telemetry',
      metadata: { name: 'provider', namespace: 'istio-system' },
      spec: { tracing: [{ providers: [{ name: 'jaeger' }] }] },
    },
  ]
    .map((object) => JSON.stringify(object))
    .join('\n---\n')
  const onProvider = (...verb: string[]) =>
    testCluster.run(['sh', '-c', `echo "$0" | kubectl ${verb.join(' ')} -f -`, provider])
  /** The flag "sampled" of each `traceparent` header that the service received. */
  const flags = async (times: number) => (await call({ times })).map(({ traceparent }) => traceparent?.slice(-2))
  const { report } = await runAction({ namespace: 'policies', stages: 'policies', telemetry: 'tracing: 100%' })
  expect(report?.warnings).toContainEqual(
    expect.stringMatching(
      /^telemetry.tracing: it samples 100% .* no tracing provider is set, so none is traced.* the mesh defines .*jaeger/,
    ),
  )
  await onProvider('apply')
  try {
    await eventually(async () => expect(await flags(10)).toEqual(Array(10).fill('01')))
    await policies({ telemetry: 'tracing: 50%' })
    await eventually(async () => expect(new Set(await flags(40))).toEqual(new Set(['01', '00'])))
    await policies({ telemetry: 'tracing: 0%' })
    await eventually(async () => expect(await flags(10)).toEqual(Array(10).fill('00')))
  } finally {
    await onProvider('delete', '--ignore-not-found')
  }
})
