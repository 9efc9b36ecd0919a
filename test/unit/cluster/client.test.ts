// A real HTTP server on the loopback interface stands in for the API server: what is tested is what goes over the wire.
import http, { type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { client, type Cluster } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { serve, type Asked } from '../fixtures.ts'

// The pauses between attempts are noted and not waited for.
const { pauses } = vi.hoisted(() => ({ pauses: [] as number[] }))
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => Promise.resolve(pauses.push(ms)) }))

beforeEach(() => {
  pauses.length = 0
})

afterEach(() => {
  vi.restoreAllMocks()
})

function configOf(server: string): KubeConfig {
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server, skipTLSVerify: true }, { name: 'u', token: 'token-of-ci' })
  return config
}

const clusterAt = (server: string): Cluster => client({ config: configOf(server), server })

type Answer = [status: number, body: unknown] | ((response: ServerResponse) => unknown)

/** A cluster that answers each request with the next of these, the last one over and over. */
async function answering(...answers: Answer[]): Promise<{ cluster: Cluster; asked: Asked[]; address: string }> {
  let count = 0
  const { address, asked } = await serve((_, response) => {
    const answer = answers[Math.min(count++, answers.length - 1)]!
    if (typeof answer === 'function') return void answer(response)
    response.writeHead(answer[0]).end(typeof answer[1] === 'string' ? answer[1] : JSON.stringify(answer[1]))
  })
  return { cluster: clusterAt(address), asked, address }
}

async function errorOf(promise: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await promise.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ApiError)
  return error as ApiError
}

const service = { metadata: { name: 'backend' } }
const get = (cluster: Cluster) => cluster.get('Service', 'shop', 'backend')

describe('asking again', () => {
  test.each([429, 500, 502, 503, 504])('when the server says %d', async (status) => {
    const { cluster, asked } = await answering([status, 'busy'], [200, service])
    expect(await get(cluster)).toEqual(service)
    expect(asked).toHaveLength(2)
    expect(pauses).toEqual([200])
  })

  test.each([400, 403, 409, 422])('not when it says %d, which will not change', async (status) => {
    const { cluster, asked } = await answering([status, { message: 'no' }])
    expect((await errorOf(get(cluster))).status).toBe(status)
    expect(asked).toHaveLength(1)
  })

  test('once when it says 401, with credentials made anew: a token may have expired', async () => {
    const { cluster, asked } = await answering([401, { message: 'expired' }], [200, service])
    expect(await get(cluster)).toEqual(service)
    expect(asked).toHaveLength(2)
    const never = await answering([401, { message: 'no' }])
    expect((await errorOf(get(never.cluster))).status).toBe(401)
    expect(never.asked).toHaveLength(2)
  })

  test('not when the object is not there, which is an answer', async () => {
    const { cluster, asked } = await answering([404, { message: 'services "backend" not found' }])
    expect(await get(cluster)).toBeUndefined()
    expect(asked).toHaveLength(1)
  })

  test('when the connection breaks, before the answer or in the middle of it', async () => {
    const { cluster, asked } = await answering(
      (response) => response.destroy(),
      (response) => response.writeHead(200, { 'content-length': '99' }).write('{', () => response.destroy()),
      [200, service],
    )
    expect(await get(cluster)).toEqual(service)
    expect(asked).toHaveLength(3)
  })

  test('four times at most, each time a little later, and then the last answer stands', async () => {
    const { cluster, asked } = await answering([503, { message: 'etcd is down' }])
    expect(await errorOf(get(cluster))).toMatchObject({ status: 503, message: 'etcd is down (HTTP 503)' })
    expect(asked).toHaveLength(5)
    expect(pauses).toEqual([200, 400, 800, 1_600])
  })

  test('not for counters of a pod: the next look comes soon enough', async () => {
    const { cluster, asked } = await answering([503, 'no endpoints'])
    expect((await errorOf(cluster.pod('shop', 'backend-1', 15090, '/stats'))).status).toBe(503)
    expect(asked).toHaveLength(1)
  })
})

describe('what the server refused', () => {
  test('is told in its own words, with the causes one by one', async () => {
    const status = {
      kind: 'Status',
      message: 'Apply failed with 2 conflicts',
      details: { causes: [{ message: 'conflict with "argocd"' }, { message: 'conflict with "helm"' }] },
    }
    const { cluster } = await answering([409, status])
    expect(
      await errorOf(
        cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'backend', namespace: 'shop' } }),
      ),
    ).toMatchObject({
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
      'a text, cut',
      `denied by proxy ${'x'.repeat(500)}`,
      `GET /api/v1/namespaces/shop/services/backend: HTTP 403 denied by proxy ${'x'.repeat(184)}`,
    ],
    ['nothing', '', 'GET /api/v1/namespaces/shop/services/backend: HTTP 403 '],
    ['null', 'null', 'GET /api/v1/namespaces/shop/services/backend: HTTP 403 null'],
  ])('as %s', async (_, body, message) => {
    const { cluster } = await answering([403, body])
    expect(await errorOf(get(cluster))).toMatchObject({ message, causes: [] })
  })

  test('never shows the token', async () => {
    const { cluster } = await answering([401, { message: 'Unauthorized' }])
    expect((await errorOf(get(cluster))).message).not.toContain('token-of-ci')
  })
})

test('what is no API server is told as such, not as a fault of a parser', async () => {
  const { cluster, asked, address } = await answering([200, '<html>Please log in</html>'])
  expect(await errorOf(get(cluster))).toMatchObject({
    status: 0,
    message: `${address} answers /api/v1/namespaces/shop/services/backend with something other than JSON; check that it is the address of an API server`,
  })
  expect(asked).toHaveLength(1)
})

test('credentials that cannot be had are told, and asked for again by the next request', async () => {
  const { address, asked } = await serve((_, response) => response.end(JSON.stringify(service)))
  const config = configOf(address)
  const credentials = vi.spyOn(config, 'applyToHTTPSOptions').mockRejectedValueOnce(new Error('exec: aws: not found'))
  const cluster = client({ config, server: address })
  expect(await errorOf(get(cluster))).toMatchObject({
    status: 401,
    message: "cannot get the kubeconfig's credentials: exec: aws: not found",
  })
  expect(asked).toHaveLength(0)
  expect(await get(cluster)).toEqual(service)
  expect(await get(cluster)).toEqual(service)
  expect(credentials).toHaveBeenCalledTimes(2)
})

describe('a server that does not answer', () => {
  test('is named, with the reason', async () => {
    expect(await errorOf(get(clusterAt('http://127.0.0.1:1')))).toMatchObject({
      status: 0,
      message: 'the API server http://127.0.0.1:1 does not answer (ECONNREFUSED)',
    })
  })

  test.each<[string, (cluster: Cluster) => Promise<unknown>, string, number]>([
    ['after 15 s, and asked again', get, '15 s, `limits.request`', 5],
    ['after 5 s, for counters of a pod', (cluster) => cluster.pod('shop', 'backend-1', 15090, '/stats'), '5 s', 1],
  ])('is given up %s', async (_, ask, seconds, times) => {
    // The real time limit, a thousand times shorter: what it was is in the message.
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
    const { cluster, asked, address } = await answering(() => undefined)
    expect(await errorOf(ask(cluster))).toMatchObject({
      status: 0,
      message: `the API server ${address} does not answer (no answer within ${seconds})`,
    })
    expect(asked.length).toBeLessThanOrEqual(times)
    expect(pauses).toHaveLength(times - 1)
  })
})

describe('what goes over the wire', () => {
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
  ])('%s', async (_, ask, method, url, type, body) => {
    const { cluster, asked } = await answering([200, {}])
    await ask(cluster)
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ method, url, body: body === undefined ? '' : JSON.stringify(body) })
    expect(asked[0]!.headers['content-type']).toBe(type)
    expect(asked[0]!.headers.authorization).toBe('Bearer token-of-ci')
  })

  test('a removal tells whether there was anything to remove', async () => {
    const { cluster } = await answering([200, {}], [404, { message: 'not found' }])
    expect(await cluster.remove('VirtualService', 'shop', 'backend')).toBe(true)
    expect(await cluster.remove('VirtualService', 'shop', 'backend')).toBe(false)
  })

  test('a list, whose items get back the kind that the server leaves out', async () => {
    const { cluster, asked } = await answering([200, { items: [{ metadata: { name: 'a' } }] }])
    expect(await cluster.list('Pod', 'shop', { labelSelector: 'app in (a,b)' })).toEqual([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } },
    ])
    expect(new URL(asked[0]!.url, 'http://x').searchParams.get('labelSelector')).toBe('app in (a,b)')
  })

  test('a list of kinds that the server does not know is an error, not an empty list', async () => {
    const { cluster } = await answering([404, '404 page not found'])
    expect((await errorOf(cluster.list('VirtualService', 'shop'))).status).toBe(404)
  })

  test('counters of a pod, with the path and the question as they are', async () => {
    const { cluster, asked } = await answering([200, 'istio_requests_total{} 1\n'])
    expect(await cluster.pod('shop', 'backend-1', 15090, '/stats/prometheus?usedonly&filter=istio.request')).toBe(
      'istio_requests_total{} 1\n',
    )
    expect(asked[0]!.url).toBe(
      '/api/v1/namespaces/shop/pods/backend-1:15090/proxy/stats/prometheus?usedonly&filter=istio.request',
    )
  })

  test("a container's last lines, before its restart", async () => {
    const { cluster, asked } = await answering([200, 'bye\n'])
    expect(await cluster.log('shop', 'backend-1', 'app', 20, true)).toBe('bye\n')
    expect(asked[0]!.url).toBe('/api/v1/namespaces/shop/pods/backend-1/log?container=app&tailLines=20&previous=true')
  })

  test("the server's version, below whatever path the server has", async () => {
    const { address, asked } = await serve((_, response) => response.end('{"gitVersion":"v1.36.1"}'))
    expect(await clusterAt(`${address}/k8s/clusters/c-1/`).version()).toBe('v1.36.1')
    expect(asked[0]!.url).toBe('/k8s/clusters/c-1/version')
  })

  test('letters of more than one byte, cut in the middle by the network', async () => {
    const [head, tail] = [Buffer.from('"ü"').subarray(0, 2), Buffer.from('"ü"').subarray(2)]
    const { cluster } = await answering((response) => response.write(head, () => response.end(tail)))
    expect(await cluster.log('shop', 'backend-1', 'app', 1)).toBe('"ü"')
  })
})
