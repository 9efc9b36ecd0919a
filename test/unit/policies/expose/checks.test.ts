// A fake cluster that can only be read: each case decides which kinds the account may not read or the server does not
// know.
import { expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import { kindOf, type KubeObject } from '../../../../src/cluster/objects.ts'
import { stagesOf } from '../../../../src/config/stages.ts'
import { exposeClusterFaults } from '../../../../src/policies/expose/checks.ts'
import { clusterWith, configOf, fileWith } from '../../fixtures.ts'

const object = (apiVersion: string, kind: string, name: string, namespace: string, more: object = {}): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name, namespace },
  ...more,
})
const service = (name: string, ...ports: number[]) =>
  object('v1', 'Service', name, 'shop', { spec: { ports: ports.map((port) => ({ port })) } })
const labelled = (kind: string, label: string, namespace = 'istio-system') =>
  object(kind === 'Pod' ? 'v1' : 'apps/v1', kind, label, namespace, {
    metadata: { name: label, namespace, labels: { istio: label } },
  })
const secret = (namespace: string, ...keys: string[]) =>
  object('v1', 'Secret', 'cert', namespace, { data: Object.fromEntries(keys.map((key) => [key, 'x'])) })
const edge = (...from: (string | undefined)[]) =>
  object('gateway.networking.k8s.io/v1', 'Gateway', 'edge', 'infra', {
    spec: {
      listeners: from.map((each) => (each === undefined ? {} : { allowedRoutes: { namespaces: { from: each } } })),
    },
  })

const there = [
  service('web', 8080),
  service('two', 80, 81),
  labelled('Pod', 'pilot'),
  labelled('Pod', 'ingressgateway'),
]

/** `answers`: the status with which lists and gets of a kind fail. */
function faults(yaml: string, objects: KubeObject[] = there, answers: Record<string, number> = {}): Promise<string[]> {
  const config = configOf(`namespace: shop\n${yaml}`)
  const answerFor = (kind: string, namespace: string | undefined) => {
    const status = answers[kind] ?? answers[`${kind} ${namespace ?? '*'}`]
    if (status !== undefined) throw new ApiError(status, `HTTP ${status}`)
    return objects.filter(
      (each) => kindOf(each) === kind && (namespace === undefined || each.metadata.namespace === namespace),
    )
  }
  const cluster = clusterWith({
    get: async (kind: string, namespace: string, name: string) =>
      Promise.resolve(answerFor(kind, namespace).find(({ metadata }) => metadata.name === name)),
    list: async (kind: string, namespace?: string) => Promise.resolve(answerFor(kind, namespace)),
  })
  return exposeClusterFaults(cluster, config, stagesOf(config))
}

const web = (more = '') => `expose: { web: { port: 8080${more} } }`
const api = (gateway: string, more = '') => `${web(`, api: gateway-api, gateway: ${gateway}`)}${more}`
const crdsMissing =
  'the cluster does not serve gateway.networking.k8s.io/v1, which an HTTPRoute needs; install the CRDs of the Gateway API (https://gateway-api.sigs.k8s.io), which istioctl does not install, or use `api: istio`'

test.each<[string, string, KubeObject[] | undefined, Record<string, number>, string[]]>([
  ['a config without faults', web(), undefined, {}, []],
  ['a missing port for a Service with one port', 'expose: { web: {} }', undefined, {}, []],
  [
    'a Service that does not exist',
    'expose: { wep: {} }',
    undefined,
    {},
    ['expose.wep: the Service shop/wep does not exist; did you mean `web`?; deploy it first, or correct the name'],
  ],
  [
    'a Service that does not exist but has policies, which the preflight reports',
    'expose: { wep: {} }\nservices: { wep: { timeout: 1s } }',
    undefined,
    {},
    [],
  ],
  [
    'a port that the Service does not have',
    'expose: { web: { port: 80 } }',
    undefined,
    {},
    ['expose.web.port: the Service shop/web has no port 80; it has 8080'],
  ],
  [
    'a missing port for a Service with several ports',
    'expose: { two: {} }',
    undefined,
    {},
    [
      'expose.two.port: it is not set, and the Service shop/two has more than one; set one of the ports of the Service shop/two: 80, 81',
    ],
  ],
  [
    'a Service without ports',
    'expose: { out: {} }',
    [...there, object('v1', 'Service', 'out', 'shop', { spec: { externalName: 'a.test' } })],
    {},
    ['expose.out: the Service shop/out has no port, so nothing can reach it; add one'],
  ],
  [
    'a port that is stated under services instead',
    'expose: { two: {} }\nservices: { two: { port: 81 } }',
    undefined,
    {},
    [],
  ],

  [
    'a gateway label that no Service has',
    web(', gateway: ingresgateway'),
    undefined,
    {},
    [
      'expose.web.gateway: no pod and no Deployment of any namespace has the label istio=ingresgateway; did you mean `ingressgateway`?; correct the name, or install a gateway: the profile `default` has one',
    ],
  ],
  [
    'a gateway label that selects istiod',
    web(', gateway: pilot'),
    [service('web', 8080), labelled('Pod', 'pilot')],
    {},
    [
      'expose.web.gateway: no pod and no Deployment of any namespace has the label istio=pilot; correct the name, or install a gateway: the profile `default` has one',
    ],
  ],
  ['a gateway without pods', web(), [service('web', 8080), labelled('Deployment', 'ingressgateway')], {}, []],
  ['a gateway that the profile installs', `${web()}\nistio: { profile: demo }`, [service('web', 8080)], {}, []],
  [
    'a gateway that the profile does not install',
    `${web()}\nistio: { profile: minimal }`,
    [service('web', 8080)],
    {},
    ['expose.web.gateway: no pod and no Deployment'],
  ],
  [
    'a gateway that a value may install',
    `${web()}\nistio: { profile: minimal, set: gateways.enabled=true }`,
    [service('web', 8080)],
    {},
    [],
  ],
  ['pods that the account may not read', web(', gateway: x'), undefined, { 'Pod *': 403 }, []],

  [
    'a certificate that exists',
    web(', tls: { secret: cert }'),
    [...there, secret('istio-system', 'tls.crt', 'tls.key')],
    {},
    [],
  ],
  [
    'a certificate that does not exist',
    web(', tls: { secret: cert }'),
    undefined,
    {},
    [
      'expose.web.tls.secret: the Secret istio-system/cert does not exist, and the gateway ingressgateway reads certificates only in its own namespace, istio-system; create it: kubectl -n istio-system create secret tls cert --cert=… --key=…',
    ],
  ],
  [
    'a certificate in the namespace of the application',
    web(', tls: { secret: cert }'),
    [...there, secret('shop', 'tls.crt', 'tls.key')],
    {},
    [
      'expose.web.tls.secret: the Secret istio-system/cert does not exist, and the gateway ingressgateway reads certificates only in its own namespace, istio-system; there is one in shop, but the gateway cannot read it; create it: kubectl',
    ],
  ],
  [
    'a certificate without its key',
    web(', tls: { secret: cert }'),
    [...there, secret('istio-system', 'ca.crt', 'tls.crt')],
    {},
    [
      'expose.web.tls.secret: the Secret istio-system/cert has no tls.key; it has ca.crt, tls.crt; create it again: kubectl',
    ],
  ],
  [
    'a certificate that the account may not read',
    web(', tls: { secret: cert }'),
    undefined,
    { 'Secret istio-system': 403 },
    [],
  ],
  [
    'a certificate for a gateway that is not installed yet',
    `${web(', tls: { secret: cert }')}\nistio: {}`,
    [service('web', 8080)],
    {},
    [],
  ],

  [
    'a cluster without the Gateway API',
    'expose: { web: { port: 8080, api: gateway-api, gateway: infra/edge }, two: { port: 80, api: gateway-api, gateway: infra/other } }',
    undefined,
    { 'Gateway.gateway.networking.k8s.io': 404, HTTPRoute: 404 },
    [`expose.web.api, expose.two.api: ${crdsMissing}`],
  ],
  [
    'a Gateway API without HTTPRoutes',
    api('infra/edge'),
    [...there, edge('All')],
    { HTTPRoute: 404 },
    [`expose.web.api: ${crdsMissing}`],
  ],
  ['a Gateway that exists', api('infra/edge'), [...there, edge('Same', 'All')], {}, []],
  [
    'a Gateway that does not exist',
    api('infra/egde'),
    [...there, edge('All')],
    {},
    [
      'expose.web.gateway: the Gateway infra/egde (gateway.networking.k8s.io) does not exist; did you mean `edge`?; create it first, or correct the name; write a Gateway of another namespace as namespace/name',
    ],
  ],
  [
    'a Gateway in another namespace',
    api('edge'),
    [...there, edge('All')],
    {},
    ['expose.web.gateway: the Gateway shop/edge (gateway.networking.k8s.io) does not exist; create it first'],
  ],
  [
    'a Gateway that accepts only routes of its own namespace',
    api('infra/edge'),
    [...there, edge('Same', undefined)],
    {},
    [
      'expose.web.gateway: the Gateway infra/edge (gateway.networking.k8s.io) takes routes of its own namespace only, and this one is in shop; give one of its listeners `allowedRoutes',
    ],
  ],
  [
    'Gateways that the account may not read',
    api('infra/edge'),
    undefined,
    { 'Gateway.gateway.networking.k8s.io': 403 },
    [],
  ],
  [
    'an HTTPRoute without a port',
    'expose: { web: { api: gateway-api, gateway: infra/edge } }',
    [...there, edge('All')],
    {},
    ['expose.web.port: it is not set, and an HTTPRoute needs it; set one of the ports of the Service shop/web: 8080'],
  ],
])('the exposure check of %s reports exactly the expected faults', async (_, yaml, objects, answers, beginnings) => {
  const found = await faults(yaml, objects, answers)
  expect(found.map((fault, i) => fault.slice(0, beginnings[i]?.length))).toEqual(beginnings)
})

test('the exposure check accepts a Gateway from the manifests of the user', async () => {
  const file = fileWith(
    'apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: own }\nspec: { gatewayClassName: istio, listeners: [] }\n',
    'gateway.yaml',
  )
  expect(await faults(api('own', `\npolicies: ${file}`))).toEqual([])
  expect(await faults(api('owm', `\npolicies: ${file}`))).toHaveLength(1)
})

test('the exposure check fails on an error other than "forbidden"', async () => {
  await expect(faults(web(), there, { 'Deployment *': 500 })).rejects.toThrow('HTTP 500')
})
