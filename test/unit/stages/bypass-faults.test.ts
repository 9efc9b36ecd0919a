import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { desired } from '../../../src/policies/desired.ts'
import { renderedBypassFaults } from '../../../src/stages/bypass-faults.ts'
import { configOf, fileWith, tempFolder } from '../fixtures.ts'

/** The faults of a rendering whose policies are this file. */
function faultsOf(manifest: string, canary = 'service: backend'): string[] {
  const file = join(tempFolder(), 'routes.yaml')
  writeFileSync(file, manifest)
  const config = configOf(`namespace: shop\npolicies: ${file}\ncanary: { ${canary} }`)
  return renderedBypassFaults(config, desired(config)).map((each) => each.replace(file, 'routes.yaml'))
}

const object = (http: string, more = '') =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: items }\nspec: { hosts: [backend], ${more} http: [${http}] }\n`
const whole = 'route: [{ destination: { host: backend } }]'

describe('without a cluster, a plan refuses', () => {
  test.each<[string, string, RegExp]>([
    [
      'a route beside the default one, and names its file and line',
      object(`{ match: [{ uri: { prefix: /api } }], ${whole} }, { ${whole} }`),
      /^canary: the route number 1 \(match \[.*\]\) of the VirtualService shop\/\w+ \(routes.yaml:1\) goes to all pods of backend/,
    ],
    [
      'a route for some paths',
      object(`{ match: [{ uri: { prefix: /v1/ } }], ${whole} }, { ${whole} }`),
      /goes to all pods/,
    ],
    [
      'a gateway without a split',
      object(`{ ${whole} }`, 'gateways: [edge],'),
      /shop\/items \(routes.yaml:1\) goes to all pods/,
    ],
    [
      'a gateway that sends everybody to stable',
      object('{ route: [{ destination: { host: backend, subset: v1 } }] }', 'gateways: [edge],'),
      /sends every request to v1/,
    ],
  ])('%s', (_, manifest, message) => {
    const found = faultsOf(manifest)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })
})

test('without a cluster, a plan accepts a route that the split refines, and one that the canary names', () => {
  expect(faultsOf(object(`{ timeout: 3s, ${whole} }`))).toEqual([])
  const named = object(`{ name: api, match: [{ uri: { prefix: /v1/ } }], ${whole} }, { ${whole} }`)
  expect(faultsOf(named, 'service: backend, routes: [api, mesh-canary]')).toEqual([])
})

test('without a cluster, a plan accepts the policies of a version that is a Service of its own', () => {
  const to = (version: string, weight: number) => `{ destination: { host: backend-${version} }, weight: ${weight} }`
  const file = fileWith(object(`{ route: [${to('v1', 100)}, ${to('v2', 0)}] }`), 'routes.yaml')
  const config = configOf(
    `namespace: shop\npolicies: ${file}\nservices: { backend-v1: { timeout: 5s } }\n` +
      'canary: { service: backend, stable: { service: backend-v1 }, canary: { service: backend-v2 } }',
  )
  expect(renderedBypassFaults(config, desired(config))).toEqual([])
})

describe('a plan names the file of the route that bypasses the split, not of another one with the same match', () => {
  const named = (name: string, hosts: string, http: string) =>
    `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: ${name} }\nspec: { hosts: [${hosts}], http: [${http}] }\n`
  const harmless = named('a', 'orders', '{ route: [{ destination: { host: orders } }] }')
  const httpRoute =
    'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\n' +
    'spec: { rules: [{ matches: [{ path: { value: /api } }], backendRefs: [{ name: backend }] }] }\n'
  test.each([
    ['a VirtualService', named('b', 'shop.test', `{ ${whole} }`)],
    ['an HTTPRoute', httpRoute],
  ])('%s', (_, manifest) => {
    expect(faultsOf(`${harmless}---\n${manifest}`)).toEqual([
      expect.stringContaining('(routes.yaml:6) goes to all pods'),
    ])
  })
})
