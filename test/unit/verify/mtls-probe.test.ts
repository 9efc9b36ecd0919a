import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Pod, Service } from '../../../src/cluster/objects.ts'
import { protocolOf } from '../../../src/cluster/service-ports.ts'
import { modeOf, portsOf, type Mode, type PeerAuthentication } from '../../../src/verify/mtls-modes.ts'
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

describe('the mode in force for a port', () => {
  test.each<[string, PeerAuthentication[], Mode]>([
    ['is PERMISSIVE without a policy', [], 'PERMISSIVE'],
    ["is the mesh's", [policy('istio-system', { mtls: { mode: 'STRICT' } })], 'STRICT'],
    [
      "is the namespace's before the mesh's",
      [policy('istio-system', { mtls: { mode: 'STRICT' } }), policy('shop', { mtls: { mode: 'DISABLE' } })],
      'DISABLE',
    ],
    [
      "is the mesh's where the namespace leaves it open",
      [policy('istio-system', { mtls: { mode: 'STRICT' } }), policy('shop', { mtls: { mode: 'UNSET' } })],
      'STRICT',
    ],
    [
      "is the workload's before the namespace's",
      [
        policy('shop', { mtls: { mode: 'STRICT' } }),
        policy('shop', { selector: ofBackend, mtls: { mode: 'PERMISSIVE' } }),
      ],
      'PERMISSIVE',
    ],
    [
      "is the port's before the workload's",
      [policy('shop', { selector: ofBackend, mtls: { mode: 'STRICT' }, portLevelMtls: { 8080: { mode: 'DISABLE' } } })],
      'DISABLE',
    ],
    [
      "is the workload's where only another port has its own",
      [policy('shop', { selector: ofBackend, mtls: { mode: 'STRICT' }, portLevelMtls: { 9090: { mode: 'DISABLE' } } })],
      'STRICT',
    ],
    [
      'is not that of another workload',
      [policy('shop', { selector: { matchLabels: { app: 'frontend' } }, mtls: { mode: 'STRICT' } })],
      'PERMISSIVE',
    ],
    ['is not that of another namespace', [policy('other', { mtls: { mode: 'STRICT' } })], 'PERMISSIVE'],
    [
      'is that of the oldest of two',
      [
        policy('shop', { mtls: { mode: 'DISABLE' } }, '2026-02-01T00:00:00Z'),
        policy('shop', { mtls: { mode: 'STRICT' } }),
      ],
      'STRICT',
    ],
  ])('%s', (_, policies, mode) => {
    expect(modeOf(pod(), 8080, policies)).toBe(mode)
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

describe('the ports to ask', () => {
  test.each<[string, Service[], object[]]>([
    ['are those that the application declares', [], [{ number: 8080, name: 'web', protocol: 'unknown' }]],
    [
      "speak what the Service says, by the target's name",
      [service([{ name: 'http', port: 80, targetPort: 'web' }])],
      [{ number: 8080, name: 'http', protocol: 'http' }],
    ],
    [
      "speak what the Service says, by the target's number",
      [service([{ name: 'tcp', port: 80, targetPort: 8080 }])],
      [{ number: 8080, name: 'tcp', protocol: 'tcp' }],
    ],
    [
      'are those of a Service without a target',
      [service([{ name: 'http', port: 3000 }])],
      [
        { number: 3000, name: 'http', protocol: 'http' },
        { number: 8080, name: 'web', protocol: 'unknown' },
      ],
    ],
    [
      'are not those of a headless Service, which needs none',
      [{ ...service([]), spec: { selector: { app: 'backend' } } } as unknown as Service],
      [{ number: 8080, name: 'web', protocol: 'unknown' }],
    ],
    [
      'are not those of another Service',
      [service([{ name: 'http', port: 3000 }], { app: 'frontend' })],
      [{ number: 8080, name: 'web', protocol: 'unknown' }],
    ],
  ])('%s', (_, services, ports) => {
    expect(portsOf(withPorts, services)).toEqual(ports)
  })
})

// A fake, for what a pod's port answers here is the point; test/e2e/verify.test.ts asks real ones.
describe('a plaintext request', () => {
  const reach = (message: string) =>
    Promise.reject(new ApiError(503, `error trying to reach service: ${message} (HTTP 503)`))
  const asked = (answer: () => Promise<unknown>, mode: Mode, pods: Pod[] = [withPorts], port = 'http') =>
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
      }),
      'shop',
      new AbortController().signal,
      0,
    )

  test.each<[string, () => Promise<unknown>, Mode, object]>([
    [
      'that is reset is refused, as STRICT wants it',
      () => reach('read tcp: connection reset by peer'),
      'STRICT',
      { seen: 'refused', ok: true },
    ],
    [
      'that is cut off is refused',
      () => reach('Get "http://10.0.0.1:8080/": EOF'),
      'STRICT',
      { seen: 'refused', ok: true },
    ],
    [
      'that is reset is wrong under PERMISSIVE',
      () => reach('read tcp: connection reset by peer'),
      'PERMISSIVE',
      {
        seen: 'refused',
        ok: false,
        note: expect.stringContaining('the pod refused a plaintext request although the mode is PERMISSIVE') as string,
      },
    ],
    [
      'that is answered is right under PERMISSIVE',
      () => Promise.resolve('hello'),
      'PERMISSIVE',
      { seen: 'answered', ok: true },
    ],
    [
      'that is answered is wrong under STRICT',
      () => Promise.resolve('hello'),
      'STRICT',
      {
        seen: 'answered',
        ok: false,
        note: expect.stringContaining('the pod answered a plaintext request although the mode is STRICT') as string,
      },
    ],
    [
      'that gets a 404 is answered',
      () => Promise.reject(new ApiError(404, 'GET /: HTTP 404 not found')),
      'PERMISSIVE',
      { seen: 'answered', ok: true },
    ],
    [
      'that gets bytes other than HTTP is answered',
      () => reach('malformed HTTP response "welcome"'),
      'DISABLE',
      { seen: 'answered', ok: true },
    ],
    [
      'to a port where nothing listens tells nothing',
      () => reach('dial tcp: connection refused'),
      'STRICT',
      { seen: 'unclear', note: expect.stringContaining('connection refused') as string },
    ],
    [
      'that the application forbids is answered, and so wrong under STRICT',
      () => Promise.reject(new ApiError(403, 'access to / is forbidden (HTTP 403)')),
      'STRICT',
      {
        seen: 'answered',
        ok: false,
        note: expect.stringContaining('the pod answered a plaintext request although the mode is STRICT') as string,
      },
    ],
    [
      'that the account may not make tells nothing',
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
    expect(await asked(answer, mode)).toEqual([{ pod: 'backend-1', port: 8080, expected: mode, ...row }])
  })

  test('is not made to a port that does not speak HTTP', async () => {
    const [row] = await asked(() => Promise.reject(new Error('asked')), 'STRICT', [withPorts], 'tcp-mysql')
    expect(row).toMatchObject({
      seen: 'skipped',
      note: 'the port is named tcp-mysql, so it does not speak plain HTTP, and an HTTP request would prove nothing',
    })
    expect(row?.ok).toBeUndefined()
  })

  test('is not made to a pod without a sidecar, nor to one that is not ready', async () => {
    const bare = pod({ spec: { containers: withPorts.spec.containers.slice(0, 1), initContainers: [] } })
    const unready = { ...withPorts, status: { conditions: [] } }
    expect(await asked(() => Promise.resolve('hello'), 'STRICT', [bare, unready])).toEqual([])
  })
})
