// A real HTTP server on the loopback interface stands in for the API server, because these tests check the requests.
import http, { type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createClient, urgent, type Cluster } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { connection } from '../../../src/cluster/connect.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { serve, tempFolder, type ReceivedRequest } from '../fixtures.ts'

// The tests record the pauses between attempts and do not wait for them.
const pauses: number[] = []

beforeEach(() => {
  pauses.length = 0
  vi.spyOn(systemClock, 'sleep').mockImplementation((ms) => Promise.resolve(void pauses.push(ms)))
})

afterEach(() => {
  vi.restoreAllMocks()
})

function configOf(server: string): KubeConfig {
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server, skipTLSVerify: true }, { name: 'u', token: 'token-of-ci' })
  return config
}

const clusterAt = (server: string): Cluster => createClient({ config: configOf(server), server })

type Answer = [status: number, body: unknown] | ((response: ServerResponse) => unknown)

/** A cluster that gives these answers one after the other, and repeats the last one. */
async function clusterAnswering(
  ...answers: Answer[]
): Promise<{ cluster: Cluster; requests: ReceivedRequest[]; address: string }> {
  let count = 0
  const { address, requests } = await serve((_, response) => {
    const answer = answers[Math.min(count++, answers.length - 1)]!
    if (typeof answer === 'function') return void answer(response)
    response.writeHead(answer[0]).end(typeof answer[1] === 'string' ? answer[1] : JSON.stringify(answer[1]))
  })
  return { cluster: clusterAt(address), requests, address }
}

async function errorOf(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ApiError)
  return error as ApiError
}

const service = { metadata: { name: 'backend' } }
const backend = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'backend', namespace: 'shop' } }
const get = (cluster: Cluster) => cluster.get('Service', 'shop', 'backend')

describe('the client', () => {
  test.each([429, 500, 502, 503, 504])('repeats a request after status %d', async (status) => {
    const { cluster, requests } = await clusterAnswering([status, 'busy'], [200, service])
    expect(await get(cluster)).toEqual(service)
    expect(requests).toHaveLength(2)
    expect(pauses).toEqual([200])
  })

  test.each([400, 403, 409, 422])('does not repeat a request after status %d, which is final', async (status) => {
    const { cluster, requests } = await clusterAnswering([status, { message: 'no' }])
    expect((await errorOf(get(cluster))).status).toBe(status)
    expect(requests).toHaveLength(1)
  })

  test('repeats a request once after 401 with new credentials, as the token may have expired', async () => {
    const { cluster, requests } = await clusterAnswering([401, { message: 'expired' }], [200, service])
    expect(await get(cluster)).toEqual(service)
    expect(requests).toHaveLength(2)
    const never = await clusterAnswering([401, { message: 'no' }])
    expect((await errorOf(get(never.cluster))).status).toBe(401)
    expect(never.requests).toHaveLength(2)
  })

  test('returns undefined for an object that does not exist, without a retry', async () => {
    const { cluster, requests } = await clusterAnswering([404, { message: 'services "backend" not found' }])
    expect(await get(cluster)).toBeUndefined()
    expect(requests).toHaveLength(1)
  })

  test('repeats a request when the connection breaks before or within the answer', async () => {
    const { cluster, requests } = await clusterAnswering(
      (response) => response.destroy(),
      (response) => response.writeHead(200, { 'content-length': '99' }).write('{', () => response.destroy()),
      [200, service],
    )
    expect(await get(cluster)).toEqual(service)
    expect(requests).toHaveLength(3)
  })

  test('retries four times with growing pauses and then reports the last answer', async () => {
    const { cluster, requests } = await clusterAnswering([503, { message: 'etcd is down' }])
    expect(await errorOf(get(cluster))).toMatchObject({ status: 503, message: 'etcd is down (HTTP 503)' })
    expect(requests).toHaveLength(5)
    expect(pauses).toEqual([200, 400, 800, 1_600])
  })

  test.each([
    ['7', 7_000],
    ['0', 200],
    ['3600', 60_000],
    ['soon', 200],
  ])('repeats a list when a busy server asks for it, with retry-after: %s', async (header, pause) => {
    const busy = (response: ServerResponse) => response.writeHead(429, { 'retry-after': header }).end('busy')
    const { cluster, requests } = await clusterAnswering(busy, [200, { items: [] }])
    expect(await cluster.list('Service', 'shop')).toEqual([])
    expect(requests).toHaveLength(2)
    expect(pauses[0]).toBe(pause)
  })

  test.each([
    ['a write', (cluster: Cluster) => cluster.merge('Service', 'shop', 'backend', {})],
    ['what a promotion lists', (cluster: Cluster) => urgent(cluster).list('Service', 'shop')],
    ['what a promotion applies', (cluster: Cluster) => urgent(cluster).apply(backend)],
  ])('repeats %s after a second at the latest: a guard or a rollback cannot wait longer', async (_, send) => {
    const busy = (response: ServerResponse) => response.writeHead(429, { 'retry-after': '60' }).end('busy')
    const { cluster, requests } = await clusterAnswering(busy, [200, { ...service, items: [] }])
    await send(cluster)
    expect(requests).toHaveLength(2)
    expect(pauses).toEqual([1_000])
  })

  test('lets a list wait for a busy server that does not say for how long', async () => {
    const { address } = await serve(({ url }, response) => {
      if (url.includes('/proxy/')) return void response.writeHead(429).end('busy')
      response.writeHead(200).end(JSON.stringify({ items: [] }))
    })
    const cluster = clusterAt(address)
    await errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats'))
    await cluster.list('Service', 'shop')
    expect(pauses).toHaveLength(1)
  })

  test('asks no pod whose turn would come after its caller has given up', async () => {
    const { cluster, requests } = await clusterAnswering((response) =>
      response.writeHead(429, { 'retry-after': '30' }).end('busy'),
    )
    const ask = () => errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats', 3_000))
    expect((await ask()).status).toBe(429)
    expect((await ask()).message).toContain('the API server is busy')
    expect(requests).toHaveLength(1)
  })

  test('lets the requests that can wait pause for a busy server, but not a read of one object', async () => {
    const { address } = await serve(({ url }, response) => {
      if (url.includes('/proxy/')) return void response.writeHead(429, { 'retry-after': '2' }).end('busy')
      response.writeHead(200).end(JSON.stringify({ ...service, items: [] }))
    })
    const cluster = clusterAt(address)
    expect((await errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats'))).status).toBe(429)
    await get(cluster)
    expect(pauses).toEqual([])
    await cluster.list('Service', 'shop')
    expect(pauses).toHaveLength(1)
    expect(pauses[0]).toBeGreaterThan(1_000)
  })

  test('pauses nothing when a program behind the API server is busy', async () => {
    const { address } = await serve(({ url }, response) => {
      if (url.includes('/proxy/')) return void response.writeHead(429, { 'retry-after': '30' }).end('slow down')
      response.writeHead(200).end(JSON.stringify({ items: [] }))
    })
    const cluster = clusterAt(address)
    await errorOf(cluster.service('monitoring', 'prometheus', 9090, '/api/v1/query', 1_000))
    await errorOf(cluster.pod('shop', 'backend-1', 3001, '/'))
    await cluster.list('Service', 'shop')
    expect(pauses).toEqual([])
  })

  test('pauses nothing when a PodDisruptionBudget refuses an eviction', async () => {
    const { address } = await serve(({ url }, response) => {
      if (url.includes('/eviction')) return void response.writeHead(429, { 'retry-after': '10' }).end('budget')
      response.writeHead(200).end(JSON.stringify({ items: [] }))
    })
    const cluster = clusterAt(address)
    expect(await cluster.evict('shop', 'backend-1', undefined)).toBe(false)
    await cluster.list('Service', 'shop')
    expect(pauses).toEqual([])
  })

  test('sends so many of the requests that can wait per second as its limit allows', async () => {
    const { address } = await serve((_, response) =>
      response.writeHead(200).end(JSON.stringify({ ...service, items: [] })),
    )
    const limits = { request: 15_000, credentials: 30_000, requestsPerSecond: 2 }
    const cluster = createClient({ config: configOf(address), server: address }, limits)
    for (let i = 0; i < 6; i++) await cluster.list('Service', 'shop')
    const paused = pauses.length
    expect(paused).toBeGreaterThan(0)
    await get(cluster)
    expect(pauses).toHaveLength(paused)
  })

  test('does not retry for the counters of a pod, because the next sample comes soon', async () => {
    const { cluster, requests } = await clusterAnswering([503, 'no endpoints'])
    expect((await errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats'))).status).toBe(503)
    expect(requests).toHaveLength(1)
  })
})

describe('an error of the API server', () => {
  test('has its message and its list of causes', async () => {
    const status = {
      kind: 'Status',
      message: 'Apply failed with 2 conflicts',
      details: { causes: [{ message: 'conflict with "argocd"' }, { message: 'conflict with "helm"' }] },
    }
    const { cluster } = await clusterAnswering([409, status])
    expect(await errorOf(cluster.apply(backend))).toMatchObject({
      name: 'ApiError',
      status: 409,
      message: 'Apply failed with 2 conflicts (HTTP 409)',
      causes: ['conflict with "argocd"', 'conflict with "helm"'],
    })
  })

  test.each<[string, unknown, string]>([
    ['a Status without details', { message: 'forbidden' }, 'forbidden (HTTP 403)'],
    ['JSON of another shape', { problem: 'x' }, 'GET /api/v1/namespaces/shop/services/backend (HTTP 403)'],
    [
      'long text, shortened',
      `denied by proxy ${'x'.repeat(500)}`,
      `GET /api/v1/namespaces/shop/services/backend: HTTP 403 denied by proxy ${'x'.repeat(184)}`,
    ],
    ['an empty body', '', 'GET /api/v1/namespaces/shop/services/backend: HTTP 403 '],
    ['null', 'null', 'GET /api/v1/namespaces/shop/services/backend: HTTP 403 null'],
  ])('is reported from %s', async (_, body, message) => {
    const { cluster } = await clusterAnswering([403, body])
    expect(await errorOf(get(cluster))).toMatchObject({ message, causes: [] })
  })

  test('does not contain the token', async () => {
    const { cluster } = await clusterAnswering([401, { message: 'Unauthorized' }])
    expect((await errorOf(get(cluster))).message).not.toContain('token-of-ci')
  })
})

test('an answer that is not JSON is reported as a wrong address, not as a parser error', async () => {
  const { cluster, requests, address } = await clusterAnswering([200, '<html>Please log in</html>'])
  expect(await errorOf(get(cluster))).toMatchObject({
    status: 0,
    message: `${address} answers /api/v1/namespaces/shop/services/backend with something other than JSON; check that it is the address of an API server`,
  })
  expect(requests).toHaveLength(1)
})

test('missing credentials are reported and requested again with the next request', async () => {
  const { address, requests } = await serve((_, response) => response.end(JSON.stringify(service)))
  const config = configOf(address)
  const credentials = vi.spyOn(config, 'applyToHTTPSOptions').mockRejectedValueOnce(new Error('exec: aws: not found'))
  const cluster = createClient({ config, server: address })
  expect(await errorOf(get(cluster))).toMatchObject({
    status: 401,
    message: "cannot get the kubeconfig's credentials: exec: aws: not found",
  })
  expect(requests).toHaveLength(0)
  expect(await get(cluster)).toEqual(service)
  expect(await get(cluster)).toEqual(service)
  expect(credentials).toHaveBeenCalledTimes(2)
})

/** A kubeconfig for the address, whose credentials a shell script makes. */
function withProgram(address: string, script: string): KubeConfig {
  const config = new KubeConfig()
  config.loadFromClusterAndUser(
    { name: 'a', server: address, skipTLSVerify: true },
    { name: 'ci', exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] } },
  )
  return config
}

test.each([
  ['echo "denied for s3cr3t-token" >&2; exit 1', 'fails with 23 characters of errors, which may hold secrets'],
  ['exit 1', 'fails and prints no reason'],
  ['echo s3cr3t-token', 'prints no ExecCredential'],
  ['echo {}', 'prints no ExecCredential'],
])('a credential program is named without what it prints: %s', async (script, problem) => {
  const { address } = await serve((_, response) => response.end(JSON.stringify(service)))
  const { message } = await errorOf(get(createClient({ config: withProgram(address, script), server: address })))
  expect(message).toContain(`the program \`sh\`, which makes the credentials of the user ci, ${problem}`)
  expect(message).not.toContain('s3cr3t')
})

test('a kubeconfig with an http address works, as for kubectl proxy', async () => {
  const { address } = await serve((_, response) => response.end(JSON.stringify(service)))
  const kubeconfig = JSON.stringify({
    'current-context': 'proxy',
    clusters: [{ name: 'proxy', cluster: { server: address } }],
    contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'nobody' } }],
    users: [{ name: 'nobody', user: {} }],
  })
  expect(await get(createClient(connection(kubeconfig, undefined, tempFolder())))).toEqual(service)
})

describe('the client reports a server', () => {
  test('that refuses the connection, with address and cause', async () => {
    expect(await errorOf(get(clusterAt('http://127.0.0.1:1')))).toMatchObject({
      status: 0,
      message: 'the API server http://127.0.0.1:1 does not answer (ECONNREFUSED)',
    })
  })

  test.each<[string, (cluster: Cluster) => Promise<unknown>, string, number]>([
    ['after 15 s, and retries', get, '15 s, `limits.request`', 5],
    [
      'after 5 s for the counters of a pod, without a retry',
      (cluster) => cluster.pod('shop', 'backend-1', 15090, '/stats'),
      '5 s',
      1,
    ],
  ])('that does not answer %s', async (_, send, seconds, times) => {
    // The real time limit divided by 1,000; the message still names the real one.
    const request = http.request.bind(http) as (
      url: URL,
      options: RequestOptions,
      done: (response: IncomingMessage) => void,
    ) => http.ClientRequest
    vi.spyOn(http, 'request').mockImplementation(((
      url: URL,
      options: RequestOptions,
      done: (response: IncomingMessage) => void,
    ) => request(url, { ...options, timeout: options.timeout! / 1_000 }, done)) as typeof http.request)
    const { cluster, requests, address } = await clusterAnswering(() => undefined)
    expect(await errorOf(send(cluster))).toMatchObject({
      status: 0,
      message: `the API server ${address} does not answer (no answer within ${seconds})`,
    })
    expect(requests.length).toBeLessThanOrEqual(times)
    expect(pauses).toHaveLength(times - 1)
  })
})

test('the client gives up on a pod that sends one byte now and then without end', async () => {
  let drip: NodeJS.Timeout | undefined
  const { cluster } = await clusterAnswering((response) => {
    response.writeHead(200)
    drip = setInterval(() => response.write('#'), 20)
  })
  const error = await errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats', 200))
  clearInterval(drip)
  expect([error.status, error.message]).toEqual([0, expect.stringMatching(/\/stats did not end within 0.6 s$/)])
})

describe('the client sends', () => {
  const object: KubeObject = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'backend', namespace: 'shop' },
  }
  const place = '/apis/networking.istio.io/v1/namespaces/shop/virtualservices/backend'
  const patch = [{ op: 'test' as const, path: '/metadata/resourceVersion', value: '7' }]

  test.each<[string, (cluster: Cluster) => Promise<unknown>, string, string, string | undefined, unknown]>([
    ['get', get, 'GET', '/api/v1/namespaces/shop/services/backend', undefined, undefined],
    [
      'get of a cluster-wide object',
      (cluster) => cluster.get('Namespace', undefined, 'shop'),
      'GET',
      '/api/v1/namespaces/shop',
      undefined,
      undefined,
    ],
    [
      'apply',
      (cluster) => cluster.apply(object),
      'PATCH',
      `${place}?fieldManager=mesh-canary&force=false`,
      'application/apply-patch+yaml',
      object,
    ],
    [
      'apply by force',
      (cluster) => cluster.apply(object, true),
      'PATCH',
      `${place}?fieldManager=mesh-canary&force=true`,
      'application/apply-patch+yaml',
      object,
    ],
    [
      'dry run of an apply',
      (cluster) => cluster.apply(object, false, true),
      'PATCH',
      `${place}?fieldManager=mesh-canary&force=false&dryRun=All`,
      'application/apply-patch+yaml',
      object,
    ],
    [
      'apply of the other Gateway',
      (cluster) => cluster.apply({ ...object, apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway' }),
      'PATCH',
      '/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/backend?fieldManager=mesh-canary&force=false',
      'application/apply-patch+yaml',
      { ...object, apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway' },
    ],
    [
      'remove',
      (cluster) => cluster.remove('VirtualService', 'shop', 'backend', 'u1'),
      'DELETE',
      place,
      'application/json',
      { propagationPolicy: 'Background', preconditions: { uid: 'u1' } },
    ],
    [
      'JSON patch',
      (cluster) => cluster.patch('VirtualService', 'shop', 'backend', patch),
      'PATCH',
      `${place}?fieldManager=mesh-canary`,
      'application/json-patch+json',
      patch,
    ],
    [
      'merge patch',
      (cluster) => cluster.merge('Namespace', undefined, 'shop', { a: 1 }),
      'PATCH',
      '/api/v1/namespaces/shop?fieldManager=mesh-canary',
      'application/merge-patch+json',
      { a: 1 },
    ],
  ])('%s', async (_, send, method, url, type, body) => {
    const { cluster, requests } = await clusterAnswering([200, {}])
    await send(cluster)
    expect(requests).toHaveLength(1)
    expect(requests[0]).toMatchObject({ method, url, body: body === undefined ? '' : JSON.stringify(body) })
    expect(requests[0]!.headers['content-type']).toBe(type)
    expect(requests[0]!.headers.authorization).toBe('Bearer token-of-ci')
  })

  test('a delete, and reports whether the object existed', async () => {
    const { cluster } = await clusterAnswering([200, {}], [404, { message: 'not found' }])
    expect(await cluster.remove('VirtualService', 'shop', 'backend')).toBe(true)
    expect(await cluster.remove('VirtualService', 'shop', 'backend')).toBe(false)
  })

  test('a list, and adds the kind that the server omits from its items', async () => {
    const { cluster, requests } = await clusterAnswering([200, { items: [{ metadata: { name: 'a' } }] }])
    expect(await cluster.list('Pod', 'shop', { labelSelector: 'app in (a,b)' })).toEqual([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } },
    ])
    expect(new URL(requests[0]!.url, 'http://x').searchParams.get('labelSelector')).toBe('app in (a,b)')
  })

  test('a list of a kind that the server does not know, which is an error and not an empty list', async () => {
    const { cluster } = await clusterAnswering([404, '404 page not found'])
    expect((await errorOf(cluster.list('VirtualService', 'shop'))).status).toBe(404)
  })

  test('a request for the counters of a pod with its path and query unchanged', async () => {
    const { cluster, requests } = await clusterAnswering([200, 'istio_requests_total{} 1\n'])
    expect(await cluster.pod('shop', 'backend-1', 15090, '/stats/prometheus?usedonly&filter=istio.request')).toBe(
      'istio_requests_total{} 1\n',
    )
    expect(requests[0]!.url).toBe(
      '/api/v1/namespaces/shop/pods/backend-1:15090/proxy/stats/prometheus?usedonly&filter=istio.request',
    )
  })

  test('a request for the last log lines of the previous container', async () => {
    const { cluster, requests } = await clusterAnswering([200, 'bye\n'])
    expect(await cluster.log('shop', 'backend-1', 'app', 20, true)).toBe('bye\n')
    expect(requests[0]!.url).toBe('/api/v1/namespaces/shop/pods/backend-1/log?container=app&tailLines=20&previous=true')
  })

  test('a request for the version below the path of the server', async () => {
    const { address, requests } = await serve((_, response) => response.end('{"gitVersion":"v1.36.1"}'))
    expect(await clusterAt(`${address}/k8s/clusters/c-1/`).version()).toBe('v1.36.1')
    expect(requests[0]!.url).toBe('/k8s/clusters/c-1/version')
  })

  test('a request whose answer is cut inside a character of several bytes, and decodes it', async () => {
    const [head, tail] = [Buffer.from('"ü"').subarray(0, 2), Buffer.from('"ü"').subarray(2)]
    const { cluster } = await clusterAnswering((response) => response.write(head, () => response.end(tail)))
    expect(await cluster.log('shop', 'backend-1', 'app', 1)).toBe('"ü"')
  })
})
