import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { kindOf, type Kind, type KubeObject } from '../../../../src/cluster/objects.ts'
import { supported } from '../../../../src/istioctl/support.ts'
import table from '../../../../src/policies/manifests/crd-fields.json' with { type: 'json' }
import { fieldFaults } from '../../../../src/policies/manifests/manifest-schema.ts'
import { policyKinds } from '../../../../src/policies/policy-kinds.ts'
import { YamlError } from '../../../../src/yaml/faults.ts'
import { parseAll } from '../../../../src/yaml/parse.ts'

const object = (kind: Kind, spec: unknown): KubeObject & { spec: unknown } => ({
  apiVersion: kind.endsWith('Route') ? 'gateway.networking.k8s.io/v1' : 'networking.istio.io/v1',
  kind,
  metadata: { name: 'a' },
  spec,
})
const faults = (kind: Kind, spec: unknown, istioVersion?: string) =>
  fieldFaults(kind, object(kind, spec), istioVersion).map(({ says }) => says)
const http = (route: object) => faults('VirtualService', { hosts: ['a'], http: [route] })
const rule = (trafficPolicy: object, istioVersion?: string) =>
  faults('DestinationRule', { host: 'a', trafficPolicy }, istioVersion)

test('the table of fields is made for the versions of Istio that get fixes, and has every kind of policies', () => {
  // Otherwise run `node dev/crd-fields.ts` with the new versions.
  expect(table.istio).toEqual(supported.map((minor) => `1.${minor}`))
  expect(Object.keys(table.kinds)).toEqual(policyKinds.toSorted())
})

test('every object that mesh-canary compiles has only fields that the CRDs have', () => {
  const objects = globSync('test/golden/*.yaml')
    .filter((file) => !file.endsWith('.mesh.yaml'))
    .flatMap((file) => parseAll(readFileSync(file, 'utf8')))
    .flatMap((document) => (document instanceof YamlError || !document.value ? [] : (document.value as KubeObject)))
  expect(objects.length).toBeGreaterThan(30)
  expect(objects.flatMap((each) => fieldFaults(kindOf(each)!, each))).toEqual([])
})

describe('a field that no supported version has is an error with the nearest name', () => {
  test.each([
    [
      'a route',
      http({ retrys: {} }),
      'spec.http[0].retrys: there is no such field in Istio 1.30 and 1.31; did you mean `retries`?',
    ],
    [
      'a match',
      http({ match: [{ uri: { prefx: '/' } }] }),
      'spec.http[0].match[0].uri.prefx: there is no such field in',
    ],
    ['a destination', http({ route: [{ destination: { host: 'a', subsets: 'b' } }] }), 'did you mean `subset`?'],
    ['old headers', http({ appendHeaders: { a: 'b' } }), 'spec.http[0].appendHeaders: there is no such field'],
    ['a rule', rule({ outlierDetection: { consecutive5xxError: 1 } }), 'did you mean `consecutive5xxErrors`?'],
    [
      'a subset',
      faults('DestinationRule', { host: 'a', subsets: [{ name: 'b', label: {} }] }),
      'did you mean `labels`?',
    ],
    [
      'an HTTPRoute',
      faults('HTTPRoute', { rules: [{ backendRef: [] }] }),
      'no such field in the Gateway API; did you mean',
    ],
    ['a policy', faults('PeerAuthentication', { mtls: { mod: 'STRICT' } }), 'spec.mtls.mod: there is no such field'],
  ])('in %s', (_, found, expected) => {
    expect(found).toEqual([expect.stringContaining(expected)])
  })

  test('beside the spec and in the metadata', () => {
    const wrong = { ...object('Sidecar', {}), metadata: { name: 'a', label: {} }, specs: {} }
    expect(fieldFaults('Sidecar', wrong).map(({ path }) => path)).toEqual([['metadata', 'label'], ['specs']])
  })
})

test('all faults of an object are reported', () => {
  expect(http({ timout: '1s', retries: { attempts: '3' }, route: [{ weight: 1 }] })).toHaveLength(3)
})

test('labels, headers and the parts that Envoy reads may have any key', () => {
  expect(http({ headers: { request: { set: { 'x-any': 'b' } } } })).toEqual([])
  expect(faults('DestinationRule', { host: 'a', subsets: [{ name: 'b', labels: { 'any/key': 'c' } }] })).toEqual([])
  const patch = { operation: 'MERGE', value: { any: [{ thing: 1 }] } }
  expect(faults('EnvoyFilter', { configPatches: [{ applyTo: 'CLUSTER', patch }] })).toEqual([])
})

test('fields that are deprecated, or null, are accepted', () => {
  expect(http({ corsPolicy: { allowOrigin: ['*'] }, mirror: null })).toEqual([])
  expect(rule({ loadBalancer: { simple: 'LEAST_CONN' }, outlierDetection: { consecutiveErrors: 5 } })).toEqual([])
})

describe('a value of another type says what is expected', () => {
  test.each([
    [
      'a number in quotes',
      http({ route: [{ destination: { host: 'a' }, weight: '9' }] }),
      'expected a whole number (without',
    ],
    ['a number as text', http({ timeout: 10 }), 'spec.http[0].timeout: expected a text (in quotes where'],
    [
      'a word out of a list',
      rule({ tls: { mode: 'STRICT' } }),
      'expected one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL',
    ],
    ['a truth value', http({ match: [{ ignoreUriCase: 'yes' }] }), 'expected true or false (without quotes)'],
    ['one instead of several', http({ match: { uri: { prefix: '/' } } }), 'spec.http[0].match: expected a list'],
  ])('%s', (_, found, expected) => {
    expect(found).toEqual([expect.stringContaining(expected)])
  })
})

describe('a field that only some versions have', () => {
  const keepAlive = { connectionPool: { http: { http2KeepAlive: { interval: '1s' } } } }
  test('is accepted without a version, and with one that has it', () => {
    for (const version of [undefined, 'latest', '1.31.2', '1.31.x', '>=1.31'])
      expect(rule(keepAlive, version)).toEqual([])
  })

  test('is an error when the config asks for an older one', () => {
    expect(rule(keepAlive, '1.30.x')).toEqual([
      'spec.trafficPolicy.connectionPool.http.http2KeepAlive: needs Istio 1.31, but `istio.version` allows 1.30; remove the field, or ask for 1.31',
    ])
  })

  test('may be one of a version that is newer than the table', () => {
    expect(rule({ fromTheFuture: {} }, '1.40.0')).toEqual([])
  })
})
