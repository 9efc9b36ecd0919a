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

/** The weights that the service's VirtualService states, by subset. */
function weightsIn(yaml: string, live?: Record<string, Weights>): Weights | undefined {
  const [object] = compiled(yaml, live).virtualServices
  return (
    object &&
    Object.fromEntries(object.spec.http![0]!.route!.map(({ destination, weight }) => [destination.subset!, weight!]))
  )
}

test('all policies of a service are one VirtualService and one DestinationRule', () => {
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
              route: [
                { destination: { ...destination, subset: 'v1' }, weight: 80 },
                { destination: { ...destination, subset: 'v2' }, weight: 20 },
              ],
              timeout: '10s',
              // Named outright: Istio's own list leaves a 503 out.
              retries: {
                attempts: 3,
                perTryTimeout: '500ms',
                retryOn: 'gateway-error,connect-failure,refused-stream,unavailable,cancelled',
              },
            },
          ],
        },
      },
    ],
  })
})

describe('nothing is written that was not asked for', () => {
  test.each<[string, string, number, number]>([
    ['no policy at all', 'services: { backend: {} }', 0, 0],
    ['only a timeout', 'services: { backend: { timeout: 1s } }', 0, 1],
    ['only a circuit breaker', 'services: { backend: { circuitBreaker: { maxConnections: 1 } } }', 1, 0],
    ['only subsets', 'services: { backend: { subsets: { v1: {} } } }', 1, 0],
    ['two services', 'services: { a: { timeout: 1s }, b: { timeout: 1s } }', 0, 2],
  ])('%s', (_, yaml, rules, services) => {
    const { destinationRules, virtualServices, peerAuthentication } = compiled(yaml)
    expect([destinationRules.length, virtualServices.length]).toEqual([rules, services])
    expect(peerAuthentication).toBeUndefined()
  })

  test('a service without a split is routed whole, without weights', () => {
    expect(compiled('services: { backend: { timeout: 1s } }').virtualServices[0]!.spec.http).toEqual([
      { name: 'mesh-canary', route: [{ destination: { host } }], timeout: '1s' },
    ])
  })

  test('a breaker that only limits connections ejects nobody', () => {
    expect(
      compiled('services: { backend: { circuitBreaker: { maxConnections: 1 } } }').destinationRules[0]!.spec
        .trafficPolicy,
    ).toEqual({ connectionPool: { tcp: { maxConnections: 1 } } })
  })

  test('retries of 0 turn them off, with nothing beside it', () => {
    expect(
      compiled('services: { backend: { retries: { attempts: 0 } } }').virtualServices[0]!.spec.http![0]!['retries'],
    ).toEqual({ attempts: 0 })
  })
})

describe('weights', () => {
  const subsets = 'subsets: { v1: { version: v1 }, v2: { version: v2 } }'
  const split = `services: { backend: { ${subsets}, traffic: { v1: 80, v2: 20 } } }`
  const canary = 'canary: { service: backend }'

  test.each<[string, string, Record<string, Weights> | undefined, Weights | undefined]>([
    ['those stated outright, over those in force', split, { backend: { v1: 1, v2: 99 } }, { v1: 80, v2: 20 }],
    [
      'those in force, when none are stated',
      `services: { backend: { ${subsets} } }`,
      { backend: { v1: 30, v2: 70 } },
      { v1: 30, v2: 70 },
    ],
    ['none, when none are stated and none in force', `services: { backend: { ${subsets} } }`, undefined, undefined],
    [
      'those in force of another service do not count',
      `services: { backend: { ${subsets} } }`,
      { other: { v1: 30, v2: 70 } },
      undefined,
    ],
    ['of a canary for the first time: all on stable', canary, undefined, { v1: 100, v2: 0 }],
    ['of a canary for the first time, stated outright', `${canary}\n${split}`, undefined, { v1: 80, v2: 20 }],
    [
      'of a canary under way or promoted: those in force, whatever is stated',
      `${canary}\n${split}`,
      { backend: { v1: 0, v2: 100 } },
      { v1: 0, v2: 100 },
    ],
    [
      'of a second canary, after the first was promoted: all on the new stable, the old one is gone',
      'canary: { service: backend, stable: v2, canary: v3 }',
      { backend: { v1: 0, v2: 100 } },
      { v2: 100, v3: 0 },
    ],
    [
      'of a canary for the first time, where the stable subset is routed to already',
      canary,
      { backend: { v1: 100 } },
      { v1: 100, v2: 0 },
    ],
    [
      'of a canary for the first time, with all on stable outright',
      `${canary}\nservices: { backend: { ${subsets}, traffic: { v1: 100 } } }`,
      undefined,
      { v1: 100, v2: 0 },
    ],
    [
      'those in force of a subset that is not defined any more do not count',
      `services: { backend: { ${subsets} } }`,
      { backend: { v0: 0, v1: 30, v2: 70 } },
      { v1: 30, v2: 70 },
    ],
  ])('%s', (_, yaml, live, weights) => {
    expect(weightsIn(yaml, live)).toEqual(weights)
  })
})

describe("a canary's subsets", () => {
  const subsetsOf = (yaml: string) => compiled(yaml).destinationRules[0]!.spec.subsets

  test('that the service does not define are those of the label version', () => {
    expect(subsetsOf('canary: { service: backend, stable: blue, canary: green }')).toEqual([
      { name: 'blue', labels: { version: 'blue' } },
      { name: 'green', labels: { version: 'green' } },
    ])
  })

  test('that the service defines are its own', () => {
    expect(
      subsetsOf('canary: { service: backend }\nservices: { backend: { subsets: { v2: { track: next } } } }'),
    ).toEqual([
      { name: 'v1', labels: { version: 'v1' } },
      { name: 'v2', labels: { track: 'next' } },
    ])
  })
})
