import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Pod, Service } from '../../../src/cluster/objects.ts'
import { protocolOf } from '../../../src/cluster/service-ports.ts'
import { effectiveMode, portsOf, type Mode, type PeerAuthentication } from '../../../src/verify/mtls-modes.ts'
import { probeMtls } from '../../../src/verify/mtls-probe.ts'
import { clusterWith, pod } from '../fixtures.ts'

type Spec = NonNullable<PeerAuthentication['spec']>
const policy = (namespace: string, spec: Spec, creationTimestamp = '2026-01-01T00:00:00Z'): PeerAuthentication => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'p', namespace, creationTimestamp },
  spec,
})
const ofBackend = { matchLabels: { app: 'backend' } }
const service = (ports: Service['spec']['ports'], selector: Record<string, string> = { app: 'backend' }): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector, ports },
})

describe('the mTLS mode in force for a port', () => {
  test.each<[string, PeerAuthentication[], Mode]>([
    ['is PERMISSIVE without a policy', [], 'PERMISSIVE'],
    ['is the one of the mesh', [policy('istio-system', { mtls: { mode: 'STRICT' } })], 'STRICT'],
    [
      'is the one of the namespace before the one of the mesh',
      [policy('istio-system', { mtls: { mode: 'STRICT' } }), policy('shop', { mtls: { mode: 'DISABLE' } })],
      'DISABLE',
    ],
    [
      'is the one of the mesh when the namespace says UNSET',
      [policy('istio-system', { mtls: { mode: 'STRICT' } }), policy('shop', { mtls: { mode: 'UNSET' } })],
      'STRICT',
    ],
    [
      'is the one of the workload before the one of the namespace',
      [
        policy('shop', { mtls: { mode: 'STRICT' } }),
        policy('shop', { selector: ofBackend, mtls: { mode: 'PERMISSIVE' } }),
      ],
      'PERMISSIVE',
    ],
    [
      'is the one of the port before the one of the workload',
      [policy('shop', { selector: ofBackend, mtls: { mode: 'STRICT' }, portLevelMtls: { 8080: { mode: 'DISABLE' } } })],
      'DISABLE',
    ],
    [
      'is the one of the workload when only another port has its own',
      [policy('shop', { selector: ofBackend, mtls: { mode: 'STRICT' }, portLevelMtls: { 9090: { mode: 'DISABLE' } } })],
      'STRICT',
    ],
    [
      'is not the one of another workload',
      [policy('shop', { selector: { matchLabels: { app: 'frontend' } }, mtls: { mode: 'STRICT' } })],
      'PERMISSIVE',
    ],
    ['is not the one of another namespace', [policy('other', { mtls: { mode: 'STRICT' } })], 'PERMISSIVE'],
    [
      'is the one of the older of two policies',
      [
        policy('shop', { mtls: { mode: 'DISABLE' } }, '2026-02-01T00:00:00Z'),
        policy('shop', { mtls: { mode: 'STRICT' } }),
      ],
      'STRICT',
    ],
  ])('%s', (_, policies, mode) => {
    expect(effectiveMode(pod(), 8080, policies).mode).toBe(mode)
  })
})

test.each([
  [{ name: 'http' }, 'http'],
  [{ name: 'http-web' }, 'http'],
  [{ name: 'grpc-api' }, 'http'],
  [{ name: 'httpx' }, 'unknown'],
  [{ name: 'https' }, 'tls'],
  [{ name: 'tcp-mysql' }, 'tcp'],
  [{ name: 'mysql' }, 'tcp'],
  [{ name: 'web' }, 'unknown'],
  [{}, 'unknown'],
  [{ name: 'tcp-x', appProtocol: 'http' }, 'http'],
  [{ appProtocol: 'kubernetes.io/h2c' }, 'http'],
  [{ name: 'dns', protocol: 'UDP' }, 'tcp'],
])('a port %j speaks %s', (port, protocol) => {
  expect(protocolOf(port)).toBe(protocol)
})

const withPorts = pod({
  spec: {
    containers: [
      {
        name: 'app',
        ports: [
          { name: 'web', containerPort: 8080 },
          { name: 'dns', containerPort: 53, protocol: 'UDP' },
        ],
      },
      { name: 'istio-proxy', ports: [{ name: 'http-envoy-prom', containerPort: 15090 }] },
    ],
  },
})

describe('the ports to probe', () => {
  test.each<[string, Service[], object[]]>([
    ['are the ones that the application declares', [], [{ number: 8080, name: 'web', protocol: 'unknown' }]],
    [
      'have the protocol of the Service port with their name as target',
      [service([{ name: 'http', port: 80, targetPort: 'web' }])],
      [{ number: 8080, name: 'http', protocol: 'http' }],
    ],
    [
      'have the protocol of the Service port with their number as target',
      [service([{ name: 'tcp', port: 80, targetPort: 8080 }])],
      [{ number: 8080, name: 'tcp', protocol: 'tcp' }],
    ],
    [
      'include those of a Service without a target port',
      [service([{ name: 'http', port: 3000 }])],
      [
        { number: 3000, name: 'http', protocol: 'http' },
        { number: 8080, name: 'web', protocol: 'unknown' },
      ],
    ],
    [
      'exclude those of a headless Service, which needs none',
      [{ ...service([]), spec: { selector: { app: 'backend' } } } as unknown as Service],
      [{ number: 8080, name: 'web', protocol: 'unknown' }],
    ],
    [
      'exclude those of another Service',
      [service([{ name: 'http', port: 3000 }], { app: 'frontend' })],
      [{ number: 8080, name: 'web', protocol: 'unknown' }],
    ],
  ])('%s', (_, services, ports) => {
    expect(portsOf(withPorts, services)).toEqual(ports)
  })
})

// A fake, because the tests choose the answer of the port. test/e2e/verify.test.ts probes real pods.
describe('the plaintext probe', () => {
  const reach = (message: string) =>
    Promise.reject(new ApiError(503, `error trying to reach service: ${message} (HTTP 503)`))
  const unauthorized = () => Promise.reject(new ApiError(401, 'Unauthorized (HTTP 401)'))
  const probe = (
    answer: () => Promise<unknown>,
    mode: Mode,
    pods: Pod[] = [withPorts],
    port = 'http',
    get: () => Promise<unknown> = () => Promise.resolve(undefined),
  ) =>
    probeMtls(
      clusterWith({
        list: (kind: string, namespace: string) =>
          Promise.resolve(
            kind === 'Pod'
              ? pods
              : kind === 'Service'
                ? [service([{ name: port, port: 8080 }])]
                : namespace === 'shop'
                  ? [policy('shop', { mtls: { mode } })]
                  : [],
          ),
        pod: answer,
        get,
      }),
      'shop',
      [],
      new AbortController().signal,
      0,
    )

  test.each<[string, () => Promise<unknown>, Mode, object]>([
    [
      'takes a reset connection as refused, which STRICT requires',
      () => reach('read tcp: connection reset by peer'),
      'STRICT',
      { seen: 'refused', ok: true },
    ],
    [
      'takes a connection that is cut off as refused',
      () => reach('Get "http://10.0.0.1:8080/": EOF'),
      'STRICT',
      { seen: 'refused', ok: true },
    ],
    [
      'takes a reset connection as a failure under PERMISSIVE',
      () => reach('read tcp: connection reset by peer'),
      'PERMISSIVE',
      {
        seen: 'refused',
        ok: false,
        note: expect.stringContaining('the pod refused a plaintext request although the mode is PERMISSIVE') as string,
      },
    ],
    [
      'takes an answer as a success under PERMISSIVE',
      () => Promise.resolve('hello'),
      'PERMISSIVE',
      { seen: 'answered', ok: true },
    ],
    [
      'takes an answer as a failure under STRICT',
      () => Promise.resolve('hello'),
      'STRICT',
      {
        seen: 'answered',
        ok: false,
        note: expect.stringContaining('the pod answered a plaintext request although the mode is STRICT') as string,
      },
    ],
    [
      'takes a 404 as an answer',
      () => Promise.reject(new ApiError(404, 'GET /: HTTP 404 not found')),
      'PERMISSIVE',
      { seen: 'answered', ok: true },
    ],
    [
      'takes bytes other than HTTP as an answer',
      () => reach('malformed HTTP response "welcome"'),
      'DISABLE',
      { seen: 'answered', ok: true },
    ],
    [
      'draws no conclusion when nothing listens on the port',
      () => reach('dial tcp: connection refused'),
      'STRICT',
      { seen: 'unclear', note: expect.stringContaining('connection refused') as string },
    ],
    [
      'takes a 403 of the application as an answer, a failure under STRICT',
      () => Promise.reject(new ApiError(403, 'access to / is forbidden (HTTP 403)')),
      'STRICT',
      {
        seen: 'answered',
        ok: false,
        note: expect.stringContaining('the pod answered a plaintext request although the mode is STRICT') as string,
      },
    ],
    ...(
      [
        [0, 'GET /api/v1/… did not end within 15 s'],
        [429, 'Too many requests, please try again later. (HTTP 429)'],
        [500, 'Internal error occurred: etcdserver: request timed out (HTTP 500)'],
        [503, 'the server is currently unable to handle the request (HTTP 503)'],
      ] as const
    ).map(([status, message]): [string, () => Promise<unknown>, Mode, object] => [
      `draws no conclusion from the API server's own ${status}`,
      () => Promise.reject(new ApiError(status, message)),
      'PERMISSIVE',
      { seen: 'unclear', note: expect.stringContaining(message) as string },
    ]),
    [
      'takes a 500 of the application as an answer',
      () => Promise.reject(new ApiError(500, 'GET /: HTTP 500 oops')),
      'PERMISSIVE',
      { seen: 'answered', ok: true },
    ],
    [
      'draws no conclusion when the account may not send it',
      () =>
        Promise.reject(
          new ApiError(
            403,
            'pods "x:8080" is forbidden: User "ci" cannot get resource "pods/proxy" in API group "" in the namespace "shop" (HTTP 403)',
          ),
        ),
      'STRICT',
      { seen: 'unclear', note: expect.stringContaining('forbidden') as string },
    ],
  ])('%s', async (_, answer, mode, row) => {
    expect(await probe(answer, mode)).toEqual([{ pod: 'backend-1', port: 8080, expected: mode, ...row }])
  })

  test("tells an application's 401 from that of the API server, which refuses the next request as well", async () => {
    expect(await probe(unauthorized, 'STRICT')).toMatchObject([{ seen: 'answered', ok: false }])
    expect(await probe(unauthorized, 'STRICT', [withPorts], 'http', unauthorized)).toMatchObject([{ seen: 'unclear' }])
  })

  test('has no row for a pod that is gone meanwhile', async () => {
    const gone = () => Promise.reject(new ApiError(404, 'pods "backend-1" not found (HTTP 404)'))
    expect(await probe(gone, 'STRICT')).toEqual([])
  })

  test('skips a port that does not speak HTTP', async () => {
    const [row] = await probe(() => Promise.reject(new Error('asked')), 'STRICT', [withPorts], 'tcp-mysql')
    expect(row).toMatchObject({
      seen: 'skipped',
      note: 'the port is named tcp-mysql, so it does not speak plain HTTP, and an HTTP request would prove nothing',
    })
    expect(row?.ok).toBeUndefined()
  })

  test('skips pods without a sidecar and pods that are not ready', async () => {
    const withoutSidecar = pod({ spec: { containers: withPorts.spec.containers.slice(0, 1), initContainers: [] } })
    const unready = { ...withPorts, status: { conditions: [] } }
    expect(await probe(() => Promise.resolve('hello'), 'STRICT', [withoutSidecar, unready])).toEqual([])
  })
})
