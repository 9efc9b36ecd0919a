import { describe, expect, test } from 'vitest'
import { compile } from '../../../src/policies/compile/index.ts'
import type { Weights } from '../../../src/policies/compile/names.ts'
import type { DestinationRule, KubeObject, VirtualService } from '../../../src/cluster/objects.ts'
import { configOf } from '../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const labels = { 'app.kubernetes.io/managed-by': 'mesh-canary' }

function compiled(yaml: string, live: Record<string, Weights> = {}) {
  const { objects } = compile(configOf(`namespace: shop\n${yaml}`), live)
  const of = <T>(kind: string) => objects.filter((object) => object.kind === kind) as T[]
  return {
    objects,
    destinationRules: of<DestinationRule>('DestinationRule'),
    virtualServices: of<VirtualService>('VirtualService'),
    peerAuthentication: of<KubeObject>('PeerAuthentication')[0],
  }
}

/** The weights in the VirtualService of the service, by subset. */
function weightsIn(yaml: string, live?: Record<string, Weights>): Weights | undefined {
  const [object] = compiled(yaml, live).virtualServices
  return (
    object &&
    Object.fromEntries(object.spec.http![0]!.route!.map(({ destination, weight }) => [destination.subset!, weight!]))
  )
}

test('all policies of a service become one VirtualService and one DestinationRule', () => {
  const all = compiled(`
mtls: strict
services:
  backend:
    port: 3001
    retries: { attempts: 3, perTryTimeout: 500ms }
    timeout: 10s
    circuitBreaker: { maxConnections: 100, maxPendingRequests: 50, consecutive5xxErrors: 5, ejectFor: 30s, interval: 1500ms, maxEjectionPercent: 0 }
    subsets: { v1: { version: v1 }, v2: { version: v2, track: canary } }
    traffic: { v1: 80, v2: 20 }
`)
  const destination = { host, port: { number: 3001 } }
  expect(all.objects).toHaveLength(3)
  expect(all).toMatchObject({
    peerAuthentication: {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: { name: 'default', namespace: 'shop', labels },
      spec: { mtls: { mode: 'STRICT' } },
    },
    destinationRules: [
      {
        apiVersion: 'networking.istio.io/v1',
        kind: 'DestinationRule',
        metadata: { name: 'backend', namespace: 'shop', labels },
        spec: {
          host,
          trafficPolicy: {
            connectionPool: { tcp: { maxConnections: 100 }, http: { http1MaxPendingRequests: 50 } },
            outlierDetection: {
              consecutive5xxErrors: 5,
              interval: '1500ms',
              baseEjectionTime: '30s',
              maxEjectionPercent: 0,
            },
          },
          subsets: [
            { name: 'v1', labels: { version: 'v1' } },
            { name: 'v2', labels: { version: 'v2', track: 'canary' } },
          ],
        },
      },
    ],
    virtualServices: [
      {
        apiVersion: 'networking.istio.io/v1',
        kind: 'VirtualService',
        metadata: { name: 'backend', namespace: 'shop', labels },
        spec: {
          hosts: [host],
          http: [
            {
              name: 'mesh-canary',
              match: [{ port: 3001 }],
              route: [
                { destination: { ...destination, subset: 'v1' }, weight: 80 },
                { destination: { ...destination, subset: 'v2' }, weight: 20 },
              ],
              timeout: '10s',
              // The policy lists 503 itself, because the default list of Istio omits it.
              retries: {
                attempts: 3,
                perTryTimeout: '500ms',
                retryOn: 'gateway-error,connect-failure,refused-stream,unavailable,cancelled',
              },
            },
            // Calls to another port stay there, and follow the same weights.
            {
              name: 'mesh-canary-other-ports',
              route: [
                { destination: { host, subset: 'v1' }, weight: 80 },
                { destination: { host, subset: 'v2' }, weight: 20 },
              ],
            },
          ],
        },
      },
    ],
  })
})

test('policies for one port leave the calls to the other ports to Istio', () => {
  const [{ spec } = { spec: {} }] = compiled('services: { backend: { port: 3001, timeout: 5s } }').virtualServices
  expect(spec).toEqual({
    hosts: [host],
    http: [
      {
        name: 'mesh-canary',
        match: [{ port: 3001 }],
        route: [{ destination: { host, port: { number: 3001 } } }],
        timeout: '5s',
      },
    ],
  })
})

describe('the compiler', () => {
  test.each<[string, string, number, number]>([
    ['with no policy at all', 'services: { backend: {} }', 0, 0],
    ['with only a timeout', 'services: { backend: { timeout: 1s } }', 0, 1],
    ['with only a circuit breaker', 'services: { backend: { circuitBreaker: { maxConnections: 1 } } }', 1, 0],
    ['with only subsets', 'services: { backend: { subsets: { v1: {} } } }', 1, 0],
    ['with two services', 'services: { a: { timeout: 1s }, b: { timeout: 1s } }', 0, 2],
  ])('writes only the objects that the config asks for, %s', (_, yaml, rules, services) => {
    const { destinationRules, virtualServices, peerAuthentication } = compiled(yaml)
    expect([destinationRules.length, virtualServices.length]).toEqual([rules, services])
    expect(peerAuthentication).toBeUndefined()
  })

  test('writes a route without weights for a service without a split', () => {
    expect(compiled('services: { backend: { timeout: 1s } }').virtualServices[0]!.spec.http).toEqual([
      { name: 'mesh-canary', route: [{ destination: { host } }], timeout: '1s' },
    ])
  })

  test.each([
    ['in the form of Istio from 1.24 on', '1.31.0', { warmup: { duration: '60s', minimumPercent: 20, aggression: 2 } }],
    ['in the form of older versions', '1.23.x', { warmupDurationSecs: '60s' }],
  ])('starts new pods slowly, %s', (_, version, form) => {
    const { destinationRules } = compiled(
      `istio: { version: ${version} }\n` +
        'services: { backend: { loadBalancer: { warmup: { duration: 1m, minimumPercent: 20%, aggression: 2 } } } }',
    )
    expect(destinationRules[0]?.spec['trafficPolicy']).toEqual({ loadBalancer: { simple: 'LEAST_REQUEST', ...form } })
  })

  test('ejects no pod for a circuit breaker that only limits connections', () => {
    expect(
      compiled('services: { backend: { circuitBreaker: { maxConnections: 1 } } }').destinationRules[0]!.spec
        .trafficPolicy,
    ).toEqual({ connectionPool: { tcp: { maxConnections: 1 } } })
  })

  test('turns retries off for retries of 0, without further settings', () => {
    expect(
      compiled('services: { backend: { retries: { attempts: 0 } } }').virtualServices[0]!.spec.http![0]!['retries'],
    ).toEqual({ attempts: 0 })
  })
})

describe('the compiled weights', () => {
  const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'
  const split = `services: { backend: { ${subsets}, traffic: { v1: 80, v2: 20 } } }`
  const canary = 'canary: { service: backend }'

  test.each<[string, string, Record<string, Weights> | undefined, Weights | undefined]>([
    ['are the stated ones, whatever is in force', split, { backend: { v1: 1, v2: 99 } }, { v1: 80, v2: 20 }],
    [
      'are those in force when the config states none',
      `services: { backend: { ${subsets} } }`,
      { backend: { v1: 30, v2: 70 } },
      { v1: 30, v2: 70 },
    ],
    [
      'are absent when the config states none and none are in force',
      `services: { backend: { ${subsets} } }`,
      undefined,
      undefined,
    ],
    [
      'ignore those in force of another service',
      `services: { backend: { ${subsets} } }`,
      { other: { v1: 30, v2: 70 } },
      undefined,
    ],
    ['send everything to stable for a first canary', canary, undefined, { v1: 100, v2: 0 }],
    ['are the stated ones for a first canary', `${canary}\n${split}`, undefined, { v1: 80, v2: 20 }],
    [
      'are those in force for a canary under way or promoted, if the config states none',
      canary,
      { backend: { v1: 0, v2: 100 } },
      { v1: 0, v2: 100 },
    ],
    [
      'send everything to the new stable for a second canary after the first was promoted',
      'canary: { service: backend, stable: v2, canary: v3 }',
      { backend: { v1: 0, v2: 100 } },
      { v2: 100, v3: 0 },
    ],
    [
      'send everything to stable for a first canary when its route exists already',
      canary,
      { backend: { v1: 100 } },
      { v1: 100, v2: 0 },
    ],
    [
      'send everything to stable for a first canary when the config states that',
      `${canary}\nservices: { backend: { ${subsets}, traffic: { v1: 100 } } }`,
      undefined,
      { v1: 100, v2: 0 },
    ],
    [
      'ignore those in force of a subset that is no longer defined',
      `services: { backend: { ${subsets} } }`,
      { backend: { v0: 0, v1: 30, v2: 70 } },
      { v1: 30, v2: 70 },
    ],
  ])('%s', (_, yaml, live, weights) => {
    expect(weightsIn(yaml, live)).toEqual(weights)
  })
})

describe('the subsets of a canary', () => {
  const subsetsOf = (yaml: string) => compiled(yaml).destinationRules[0]!.spec.subsets

  test('get the label `version` when the service does not define them', () => {
    expect(subsetsOf('canary: { service: backend, stable: blue, canary: green }')).toEqual([
      { name: 'blue', labels: { version: 'blue' } },
      { name: 'green', labels: { version: 'green' } },
    ])
  })

  test('keep the labels that the service defines', () => {
    expect(
      subsetsOf('canary: { service: backend }\nservices: { backend: { subsets: { v2: { track: next } } } }'),
    ).toEqual([
      { name: 'v1', labels: { version: 'v1' } },
      { name: 'v2', labels: { track: 'next' } },
    ])
  })
})
