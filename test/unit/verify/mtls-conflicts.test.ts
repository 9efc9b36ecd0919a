import { describe, expect, test } from 'vitest'
import type { DestinationRule, Pod, Service, Workload } from '../../../src/cluster/objects.ts'
import { refusedCallers, undoneModes } from '../../../src/verify/mtls-conflicts.ts'
import type { MtlsFacts } from '../../../src/verify/mtls-facts.ts'
import type { PeerAuthentication } from '../../../src/verify/mtls-modes.ts'
import { refusedProbes } from '../../../src/verify/refused-probes.ts'
import { pod, workload } from '../fixtures.ts'

type Spec = NonNullable<PeerAuthentication['spec']>
const policy = (name: string, spec: Spec, creationTimestamp = '9999'): PeerAuthentication => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name, namespace: 'shop', creationTimestamp },
  spec,
})
const strict = policy('default', { mtls: { mode: 'STRICT' } })
const old = '2026-01-01T00:00:00Z'
const cart = { app: 'cart' }
const server = (parts: Parameters<typeof pod>[0] = {}, ports = [{ containerPort: 8080 }]): Pod =>
  pod({ metadata: { name: 'cart-1', labels: cart }, spec: { containers: [{ name: 'app', ports }] }, ...parts })
const service: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'cart', namespace: 'shop' },
  spec: { selector: cart, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
}
const facts = (more: Partial<MtlsFacts> & { others?: PeerAuthentication[] } = {}): MtlsFacts => {
  const { others = [], asked = [strict], ...rest } = more
  return {
    namespace: 'shop',
    asked,
    after: [...asked, ...others],
    before: others,
    destinationRules: [],
    pods: [server()],
    workloads: [],
    services: [service],
    ...rest,
  }
}

describe('a PeerAuthentication for workloads', () => {
  const exception = (name: string, spec: Spec) => policy(name, { selector: { matchLabels: cart }, ...spec }, old)

  test.each<[string, Spec]>([
    ['its workload', { mtls: { mode: 'PERMISSIVE' } }],
    ['a port of it', { portLevelMtls: { 8080: { mode: 'DISABLE' } } }],
  ])('that gives %s another mode is reported with its name, the ports and the remedy', (_, spec) => {
    expect(undoneModes(facts({ others: [exception('legacy-cart', spec)] }))).toEqual([
      expect.stringMatching(
        /^mtls: the PeerAuthentication shop\/legacy-cart sets (PERMISSIVE|DISABLE) for cart-1:8080, where this config asks for STRICT.*mtls.workloads/,
      ),
    ])
  })

  test('that hides an exception of this config is reported, because it is older', () => {
    const asked = [
      strict,
      policy('cart', { selector: { matchLabels: cart }, portLevelMtls: { 8080: { mode: 'DISABLE' } } }),
    ]
    const others = [exception('theirs', { mtls: { mode: 'PERMISSIVE' } })]
    expect(undoneModes(facts({ asked, others }))).toEqual([
      expect.stringContaining('where this config asks for DISABLE'),
    ])
  })

  test.each<[string, Partial<MtlsFacts> & { others?: PeerAuthentication[] }]>([
    ['another port', { others: [exception('metrics', { portLevelMtls: { 9090: { mode: 'DISABLE' } } })] }],
    [
      'pods that are not there',
      { others: [policy('db', { selector: { matchLabels: { app: 'db' } }, mtls: { mode: 'DISABLE' } }, old)] },
    ],
    [
      'what the config states too',
      {
        asked: [strict, policy('cart', { selector: { matchLabels: cart }, mtls: { mode: 'PERMISSIVE' } })],
        others: [exception('theirs', { mtls: { mode: 'PERMISSIVE' } })],
      },
    ],
    [
      'pods about which the config says nothing',
      {
        asked: [policy('db', { selector: { matchLabels: { app: 'db' } }, mtls: { mode: 'STRICT' } })],
        others: [exception('theirs', { mtls: { mode: 'PERMISSIVE' } })],
      },
    ],
  ])('for %s is no concern', (_, more) => {
    expect(undoneModes(facts(more))).toEqual([])
  })
})

describe('a DestinationRule', () => {
  const rule = (host: string, trafficPolicy: object, namespace = 'shop', more: object = {}): DestinationRule => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'plain', namespace },
    spec: { host, trafficPolicy, ...more },
  })
  const disable = { tls: { mode: 'DISABLE' } }

  test.each<[string, DestinationRule]>([
    ['by the short name', rule('cart', disable)],
    ['of another namespace', rule('cart.shop.svc.cluster.local', disable, 'web')],
    ['with a wildcard', rule('*.shop.svc.cluster.local', disable)],
    ['of the mesh', rule('*.local', disable, 'istio-system')],
    ['for the port', rule('cart', { portLevelSettings: [{ port: { number: 80 }, ...disable }] })],
    ['in a subset', rule('cart', {}, 'shop', { subsets: [{ name: 'v1', trafficPolicy: disable }] })],
    ['that encrypts without a certificate', rule('cart', { tls: { mode: 'SIMPLE' } })],
  ])('that makes callers send what STRICT refuses is reported: one %s', (_, each) => {
    expect(refusedCallers(facts({ destinationRules: [each] }))).toEqual([
      expect.stringMatching(
        /^mtls: the DestinationRule \S+\/plain .* cart.shop.svc.cluster.local:80, which STRICT refuses/,
      ),
    ])
  })

  test('that sends mutual TLS to a server that has it disabled is reported', () => {
    const asked = [policy('default', { mtls: { mode: 'DISABLE' } })]
    expect(
      refusedCallers(facts({ asked, destinationRules: [rule('cart', { tls: { mode: 'ISTIO_MUTUAL' } })] })),
    ).toHaveLength(1)
  })

  test.each<[string, Partial<MtlsFacts>]>([
    ['leaves mutual TLS on', { destinationRules: [rule('cart', { tls: { mode: 'ISTIO_MUTUAL' } })] }],
    ['is for another host', { destinationRules: [rule('api.example.com', disable)] }],
    [
      'is for another port',
      { destinationRules: [rule('cart', { portLevelSettings: [{ port: { number: 9090 }, ...disable }] })] },
    ],
    [
      'is hidden by a more specific one',
      {
        destinationRules: [
          rule('*.local', disable),
          { ...rule('cart', {}), metadata: { name: 'cart', namespace: 'shop' } },
        ],
      },
    ],
    [
      'is for pods without a sidecar',
      {
        pods: [
          server({
            metadata: { labels: { ...cart, 'sidecar.istio.io/inject': 'false' } },
            spec: { containers: [{ name: 'app' }], initContainers: [] },
          }),
        ],
        destinationRules: [rule('cart', disable)],
      },
    ],
    [
      'is for a port with an exception',
      {
        asked: [
          strict,
          policy('cart', { selector: { matchLabels: cart }, portLevelMtls: { 8080: { mode: 'DISABLE' } } }),
        ],
        destinationRules: [rule('cart', disable)],
      },
    ],
  ])('that %s is no concern', (_, more) => {
    expect(refusedCallers(facts(more))).toEqual([])
  })
})

describe('a probe of the kubelet that is not rewritten', () => {
  const http = { httpGet: { path: '/ready', port: 8080 } }
  const keep = { 'sidecar.istio.io/rewriteAppHTTPProbers': 'false' }
  const withTemplate = (container: object, annotations: Record<string, string> = keep): Workload => {
    const one = workload('Deployment', 'cart')
    const template = { metadata: { labels: cart, annotations }, spec: { containers: [{ name: 'app', ...container }] } }
    return { ...one, spec: { ...one.spec, template } }
  }
  const injected = (container: object, annotations: Record<string, string> = {}): Pod =>
    pod({ metadata: { labels: cart, annotations }, spec: { containers: [{ name: 'app', ...container }] } })
  const found = (each: Workload, pods: Pod[] = [], more: Parameters<typeof facts>[0] = {}, isInjected = true) =>
    refusedProbes(facts({ workloads: [each], pods, ...more }), () => isInjected)

  test.each<[string, object, string]>([
    ['readinessProbe', { readinessProbe: http }, 'httpGet 8080'],
    ['livenessProbe', { livenessProbe: { grpc: { port: 9000 } } }, 'grpc 9000'],
    [
      'startupProbe',
      { ports: [{ name: 'web', containerPort: 8080 }], startupProbe: { httpGet: { port: 'web' } } },
      'httpGet 8080',
    ],
  ])('fails under STRICT, before the workload gets its sidecar: its %s', (name, container, target) => {
    expect(found(withTemplate(container)).faults).toEqual([
      expect.stringMatching(
        new RegExp(`^mtls: STRICT refuses the ${name} of Deployment shop/cart \\(container app, ${target}\\)`),
      ),
    ])
  })

  test('fails in a pod that the mesh injected without a rewrite, whatever its annotations', () => {
    const plain = withTemplate({ readinessProbe: http }, {})
    expect(found(plain, [injected({ readinessProbe: http })]).faults).toHaveLength(1)
  })

  test('fails in a pod without a workload that this program knows', () => {
    expect(refusedProbes(facts({ pods: [injected({ readinessProbe: http })] }), () => false).faults).toEqual([
      expect.stringContaining('the readinessProbe of Pod shop/backend-1'),
    ])
  })

  test('by TCP never fails, which is a warning', () => {
    const { faults, warnings } = found(withTemplate({ readinessProbe: { tcpSocket: { port: 3306 } } }))
    expect(faults).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('whether the application runs or not')])
  })

  test.each<[string, Workload, Pod[]?, Parameters<typeof facts>[0]?, boolean?]>([
    ['is rewritten by default', withTemplate({ readinessProbe: http }, {})],
    [
      'is rewritten in the pod',
      withTemplate({}, {}),
      [injected({ readinessProbe: { httpGet: { path: '/app-health/app/readyz', port: 15020 } } })],
    ],
    ['runs a command', withTemplate({ readinessProbe: { exec: {} } })],
    ['asks another host', withTemplate({ readinessProbe: { httpGet: { port: 80, host: 'example.com' } } })],
    [
      'has a port that the sidecar leaves out',
      withTemplate({ readinessProbe: http }, { ...keep, 'traffic.sidecar.istio.io/excludeInboundPorts': '9090, 8080' }),
    ],
    [
      'has a port that the sidecar does not include',
      withTemplate({ readinessProbe: http }, { ...keep, 'traffic.sidecar.istio.io/includeInboundPorts': '9090' }),
    ],
    [
      'has a port with an exception',
      withTemplate({ readinessProbe: http }),
      [],
      {
        asked: [
          strict,
          policy('cart', { selector: { matchLabels: cart }, portLevelMtls: { 8080: { mode: 'PERMISSIVE' } } }),
        ],
      },
    ],
    [
      'passes under STRICT already',
      withTemplate({ readinessProbe: http }),
      [injected({ readinessProbe: http }, keep)],
      { before: [strict] },
    ],
    ['belongs to a workload that gets no sidecar', withTemplate({ readinessProbe: http }), [], {}, false],
  ])('is no concern if it %s', (_, each, pods = [], more = {}, isInjected = true) => {
    expect(found(each, pods, more, isInjected)).toEqual({ faults: [], warnings: [] })
  })
})
