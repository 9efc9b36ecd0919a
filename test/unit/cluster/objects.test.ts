import { expect, test } from 'vitest'
import { matches } from '../../../src/cluster/labels.ts'
import { apiVersionOf, kindOf, pathOf, type Kind } from '../../../src/cluster/objects.ts'

test.each<[Kind, string | undefined, string | undefined, string, string]>([
  ['Pod', 'shop', 'a', 'v1', '/api/v1/namespaces/shop/pods/a'],
  ['Pod', 'shop', undefined, 'v1', '/api/v1/namespaces/shop/pods'],
  ['Namespace', undefined, 'shop', 'v1', '/api/v1/namespaces/shop'],
  ['Namespace', undefined, undefined, 'v1', '/api/v1/namespaces'],
  ['Deployment', 'shop', 'a', 'apps/v1', '/apis/apps/v1/namespaces/shop/deployments/a'],
  [
    'PeerAuthentication',
    'shop',
    'default',
    'security.istio.io/v1',
    '/apis/security.istio.io/v1/namespaces/shop/peerauthentications/default',
  ],
])('%s %s/%s has its apiVersion and path', (kind, namespace, name, version, path) => {
  expect(apiVersionOf(kind)).toBe(version)
  expect(pathOf(kind, namespace, name)).toBe(path)
})

test.each([
  ['networking.istio.io/v1beta1', 'Gateway', 'Gateway'],
  ['gateway.networking.k8s.io/v1', 'Gateway', 'Gateway.gateway.networking.k8s.io'],
  ['v1', 'Service', 'Service'],
  ['serving.knative.dev/v1', 'Service', undefined],
  ['networking.istio.io/v1', 'Nonsense', undefined],
])('a %s %s is the kind %s', (apiVersion, kind, known) => {
  expect(kindOf({ apiVersion, kind })).toBe(known)
})

test.each<[Record<string, string>, Record<string, string> | undefined, boolean]>([
  [{ app: 'a' }, { app: 'a', version: 'v1' }, true],
  [{ app: 'a', version: 'v2' }, { app: 'a', version: 'v1' }, false],
  [{ app: 'a' }, {}, false],
  [{ app: 'a' }, undefined, false],
  [{}, undefined, true],
])('the selector %j matches the labels %j: %j', (selector, labels, taken) => {
  expect(matches(selector, labels)).toBe(taken)
})
