import { describe, expect, test } from 'vitest'
import { selectorFaults, selectorsOf } from '../../../../src/canary/workload/selectors.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { DestinationRule, KubeObject } from '../../../../src/cluster/objects.ts'
import { clusterWith, configOf, pod } from '../../fixtures.ts'

type Labels = Record<string, string>
const service = (name: string, selector?: Labels, ports: object[] = [{ port: 80 }]): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  ...{ spec: { ...(selector ? { selector } : {}), ports } },
})
const rule = (subsets: Record<string, Labels | undefined>, host = 'cart', more: object = {}): DestinationRule => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'cart', namespace: 'shop' },
  spec: {
    host,
    subsets: Object.entries(subsets).map(([name, labels]) => ({ name, ...(labels ? { labels } : {}) })),
    ...more,
  },
})
const clusterOf = (objects: KubeObject[], refused?: string) =>
  clusterWith({
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(objects.find((each) => each.kind === kind && each.metadata.name === name)),
    list: (kind: string) =>
      kind === refused
        ? Promise.reject(new ApiError(403, 'forbidden'))
        : Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
const cart = service('cart', { app: 'cart' })
const canary = 'canary: { service: cart, stable: blue, canary: green }'
const found = (objects: KubeObject[], yaml = canary, rules?: DestinationRule[], refused?: string) => {
  const config = configOf(`namespace: shop\n${yaml}`)
  return selectorsOf(clusterOf(objects, refused), config, config.canary!, rules)
}
const colours = { blue: { slot: 'blue' }, green: { slot: 'green' } }
const byColour = { stable: { app: 'cart', slot: 'blue' }, canary: { app: 'cart', slot: 'green' } }
const byVersion = { stable: { app: 'cart', version: 'blue' }, canary: { app: 'cart', version: 'green' } }

describe('the pods of a version have', () => {
  test.each<[string, () => Promise<object>, object]>([
    ['the label version without any other statement', () => found([cart]), byVersion],
    ['the labels of a DestinationRule in the cluster', () => found([cart, rule(colours)]), byColour],
    [
      'those labels also when the rule gives the full host and repeats the selector',
      () =>
        found([
          cart,
          rule(
            { blue: { app: 'cart', slot: 'blue' }, green: { app: 'cart', slot: 'green' } },
            'cart.shop.svc.cluster.local',
          ),
        ]),
      byColour,
    ],
    ['the labels of the rules that the run will write', () => found([cart], canary, [rule(colours)]), byColour],
    [
      'the labels of the config',
      () =>
        found([cart], `${canary}\nservices: { cart: { subsets: { blue: { slot: blue }, green: { slot: green } } } }`),
      byColour,
    ],
    ['the label version if the rule is for another host', () => found([cart, rule(colours, 'basket')]), byVersion],
    [
      'the label version if the rule is for some callers only',
      () => found([cart, rule(colours, 'cart', { workloadSelector: { matchLabels: { app: 'web' } } })]),
      byVersion,
    ],
    [
      'the label version if the account may not read rules',
      () => found([cart, rule(colours)], canary, undefined, 'DestinationRule'),
      byVersion,
    ],
    [
      'no labels that istiod adds to endpoints',
      () =>
        found([
          cart,
          rule({
            blue: { slot: 'blue', 'topology.istio.io/network': 'net-1' },
            green: { slot: 'green', 'topology.kubernetes.io/zone': 'zone-a', 'topology.istio.io/cluster': 'east' },
          }),
        ]),
      byColour,
    ],
    [
      'the selectors of their own Services',
      () =>
        found(
          [service('cart-a', { app: 'cart-a' }), service('cart-b', { app: 'cart-b' })],
          'canary: { service: cart, stable: { service: cart-a }, canary: { service: cart-b } }',
        ),
      { stable: { app: 'cart-a' }, canary: { app: 'cart-b' } },
    ],
  ])('%s', async (_, selectors, expected) => {
    expect(await selectors()).toEqual(expected)
  })
})

describe('it is an error when', () => {
  test.each<[string, () => Promise<object>, string]>([
    [
      'the Service selects only the pods of stable',
      () => found([service('cart', { app: 'cart', version: 'blue' })]),
      'the Service shop/cart selects only pods with version=blue, but the subset green has the label version=green: ' +
        'none of its pods can be behind the Service, so its requests get a 503; remove version from the selector',
    ],
    [
      'the Service contradicts a label that a rule states',
      () => found([service('cart', { app: 'cart', slot: 'green' }), rule(colours)]),
      'selects only pods with slot=green, but the subset blue has the label slot=blue',
    ],
    [
      'a subset without labels has the pods of both versions',
      () => found([cart, rule({ blue: undefined, green: { slot: 'green' } })]),
      'the subset blue (app=cart) also selects the pods of green, so the weights do not decide',
    ],
    [
      'the versions differ by their zone only',
      () =>
        found([
          cart,
          rule({ blue: { 'topology.kubernetes.io/zone': 'a' }, green: { 'topology.kubernetes.io/zone': 'b' } }),
        ]),
      'also selects the pods of',
    ],
    [
      "stable's own Service has the pods of the canary, too",
      () =>
        found(
          [service('cart-a', { app: 'cart' }), service('cart-b', { app: 'cart', slot: 'b' })],
          'canary: { service: cart, stable: { service: cart-a }, canary: { service: cart-b } }',
        ),
      'the service cart-a (app=cart) also selects the pods of cart-b',
    ],
    ['the Service is missing', () => found([]), 'the Service shop/cart does not exist'],
    ['the Service has no selector', () => found([service('cart')]), 'the Service shop/cart has no selector'],
  ])('%s', async (_, selectors, message) => {
    await expect(selectors()).rejects.toThrow(message)
  })
})

test('a Service that forwards to a port which no container of the canary names is a fault of the canary', async () => {
  const named = service('cart', { app: 'cart' }, [{ name: 'http', port: 80, targetPort: 'web' }])
  const of = (version: string, port: string) =>
    pod({
      metadata: { name: version, labels: { app: 'cart', version } },
      spec: { containers: [{ name: 'app', ports: [{ name: port, containerPort: 8080 }] }] },
    })
  const config = configOf(`namespace: shop\n${canary}`)
  const faults = (port: string) =>
    selectorFaults(clusterOf([named, of('blue', 'web'), of('green', port)]), config, config.canary!, 'canary')
  expect(await faults('web')).toEqual([])
  expect(await faults('http')).toEqual([
    'canary.canary: the pods of green (app=cart,version=green): the Service forwards to the port web, which no container of its pods names, so they get no requests; name the container port, or correct `targetPort`',
  ])
})
