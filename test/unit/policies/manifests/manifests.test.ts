import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readManifests } from '../../../../src/policies/manifests/manifests.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { renderedBypassFaults } from '../../../../src/stages/bypass-faults.ts'
import { configOf, tempFolder } from '../../fixtures.ts'

function folderWith(files: Record<string, string>): string {
  const folder = tempFolder()
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

const sidecar = (name: string, more = '') =>
  `apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata:\n  name: ${name}\n${more}`
const virtualService = (spec: string) =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v }\nspec: ${spec}\n`
const read = (text: string) => readManifests(['*.yaml'], 'shop', folderWith({ 'a.yaml': text }))

test('readManifests reads every document of every matching file once, with its file and line', () => {
  const folder = folderWith({
    'mesh/b.yaml': sidecar('b'),
    'mesh/deep/a.yaml': `# first\n${sidecar('a1')}---\n# nothing here\n---\n${sidecar('a2')}`,
    'mesh/c.txt': 'no',
    'other.yaml': 'no',
  })
  const found = readManifests(['mesh/**/*.yaml', 'mesh/b.yaml'], 'shop', folder)
  expect(found.map(({ object, source }) => [object.metadata.name, source])).toEqual([
    ['b', 'mesh/b.yaml:1'],
    ['a1', 'mesh/deep/a.yaml:2'],
    ['a2', 'mesh/deep/a.yaml:9'],
  ])
})

test('readManifests uses the namespace of the config when a document names none', () => {
  const text = [sidecar('a'), sidecar('b', '  namespace: shop\n'), sidecar('c', '  namespace: istio-system\n')].join(
    '---\n',
  )
  expect(read(text).map(({ object }) => object.metadata.namespace)).toEqual(['shop', 'shop', 'istio-system'])
})

test('readManifests removes server fields from an exported object and converts it to the version that we write', () => {
  const text = `
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata:
  name: g
  uid: u
  resourceVersion: "7"
  generation: 3
  creationTimestamp: 2026-01-01T00:00:00Z
  managedFields: [{ manager: kubectl }]
  labels: { team: shop }
  annotations: { kubectl.kubernetes.io/last-applied-configuration: "{}", note: x }
spec: { selector: { istio: ingressgateway } }
status: { conditions: [] }
`
  expect(read(text)[0]!.object).toEqual({
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: { name: 'g', namespace: 'shop', labels: { team: 'shop' }, annotations: { note: 'x' } },
    spec: { selector: { istio: 'ingressgateway' } },
  })
})

test('readManifests distinguishes a Gateway of the Gateway API from one of Istio', () => {
  expect(
    read(
      'apiVersion: gateway.networking.k8s.io/v1beta1\nkind: Gateway\nmetadata: { name: g }\n' +
        'spec: { gatewayClassName: istio, listeners: [] }',
    )[0]!.object.apiVersion,
  ).toBe('gateway.networking.k8s.io/v1')
})

describe('readManifests reports file, line and remedy for', () => {
  test.each([
    [
      'a document without a kind',
      `${sidecar('a')}---\napiVersion: v1\nmetadata: { name: b }\n`,
      'policies: a.yaml:6: the document has no `kind`',
    ],
    [
      'a document without an apiVersion',
      'kind: Sidecar\nmetadata: { name: b }\n',
      'policies: a.yaml:1: the Sidecar has no `apiVersion`; add it',
    ],
    [
      'a document without a name',
      'apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata:\n  labels: {}\n',
      'policies: a.yaml:3: the Sidecar has no `metadata.name`',
    ],
    [
      'a document without metadata',
      'apiVersion: networking.istio.io/v1\nkind: Sidecar\n',
      'policies: a.yaml:1: the Sidecar has no `metadata.name`',
    ],
    [
      'a kind of Kubernetes',
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: b }\n',
      'policies: a.yaml:2: the kind Deployment (apps/v1) belongs neither to Istio nor to the Gateway API; `policies` takes only their kinds, so deploy it with the application',
    ],
    [
      'a Secret',
      'apiVersion: v1\nkind: Secret\nmetadata: { name: b }\n',
      'policies: a.yaml:2: the kind Secret (v1) belongs neither to Istio nor',
    ],
    [
      'a misspelt kind',
      'apiVersion: networking.istio.io/v1\nkind: VirtalService\nmetadata: { name: b }\n',
      'policies: a.yaml:2: the kind VirtalService (networking.istio.io/v1) is unknown; did you mean `VirtualService`?',
    ],
    [
      'the wrong API group',
      'apiVersion: networking.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: b }\n',
      'policies: a.yaml:2: the kind PeerAuthentication does not belong to networking.istio.io/v1; write `apiVersion: security.istio.io/v1`',
    ],
    [
      'a namespace other than that of the config',
      sidecar('a', '  namespace: other\n'),
      'policies: a.yaml:5: the Sidecar a is for the namespace other, but a run writes only to its own namespace (shop) and to istio-system',
    ],
    ['a list instead of an object', '- a\n- b\n', 'policies: a.yaml:1: the document is not an object'],
    ['malformed YAML', `${sidecar('a')}---\nkind: {a\n`, 'policies: a.yaml:7: this is not valid YAML: '],
    [
      'text that YAML reads as an alias',
      `${sidecar('a')}---\nspec: { hosts: [*.test] }\n`,
      'policies: a.yaml:6: this is not valid YAML: a value that begins with `*` refers to an anchor that is not in this document; quote it',
    ],
    [
      'a VirtualService with an empty spec',
      virtualService(''),
      'policies: a.yaml:4: the VirtualService v: spec: expected a map of keys',
    ],
    [
      'a spec that is a string',
      sidecar('a', 'spec: x\n'),
      'policies: a.yaml:5: the Sidecar a: spec: expected a map of keys',
    ],
    [
      'routes that are not a list',
      virtualService('{ http: { route: [] } }'),
      'policies: a.yaml:4: the VirtualService v: spec.http: expected a list',
    ],
    [
      'a destination without a host',
      virtualService('{ hosts: [a], http: [{ route: [{ destination: { subset: v1 } }] }] }'),
      'policies: a.yaml:4: the VirtualService v: spec.http[0].route[0].destination.host: expected a text',
    ],
    [
      'a route without a destination',
      virtualService('\n  tcp:\n  - route:\n    - weight: 1'),
      'policies: a.yaml:7: the VirtualService v: spec.tcp[0].route[0].destination: expected a map of keys',
    ],
    [
      'a rule without a host',
      'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d }\nspec: { subsets: [] }\n',
      'policies: a.yaml:4: the DestinationRule d: spec.host: expected a text',
    ],
    [
      'a label that YAML reads as a number',
      'apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata:\n  name: a\n  labels:\n    version: 1\n',
      'policies: a.yaml:6: the Sidecar a: metadata.labels.version: expected a text (in quotes where YAML would read another type)',
    ],
    [
      'an HTTPRoute without a spec',
      'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\n',
      'the HTTPRoute r: spec: expected a map of keys',
    ],
    [
      'a duplicate key',
      'kind: Sidecar\nkind: Sidecar\n',
      'policies: a.yaml:2: this is not valid YAML: map keys must be unique; this key is already in the map',
    ],
  ])('%s', (_, text, fault) => {
    expect(() => read(text)).toThrow(fault)
  })

  // Root may read every file, but reading the first page of this one fails.
  test.runIf(process.platform === 'linux')('a file that cannot be read', () => {
    expect(() => readManifests(['/proc/self/mem'], 'shop')).toThrow(
      /^policies: \/proc\/self\/mem cannot be read \(EIO\); check the path/,
    )
  })

  test('all faults at once', () => {
    const folder = folderWith({ 'a.yaml': 'kind: Sidecar\n---\nkind: Pod\napiVersion: v1\n' })
    expect(() => readManifests(['*.yaml', 'mesh/*.yml'], 'shop', folder)).toThrow(
      /^policies: mesh\/\*\.yml matches no file; check the pattern.*\npolicies: a\.yaml:1: .*\npolicies: a\.yaml:3: .*$/,
    )
  })
})

test('readManifests unpacks lists, also typed ones and lists in lists, with the line of each item', () => {
  const text = `
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: Sidecar
  metadata: { name: a, namespace: shop, resourceVersion: "12" }
- apiVersion: networking.istio.io/v1beta1
  kind: SidecarList
  metadata: { resourceVersion: "" }
  items:
  - metadata: { name: b }
  - metadata: { name: c }
    spec: { egress: [{ hosts: ["./*"] }] }
---
kind: List
apiVersion: v1
items: []
`
  expect(read(text).map(({ object, source }) => [object.kind, object.metadata.name, source])).toEqual([
    ['Sidecar', 'a', 'a.yaml:5'],
    ['Sidecar', 'b', 'a.yaml:12'],
    ['Sidecar', 'c', 'a.yaml:13'],
  ])
})

test('readManifests resolves merge keys in the routes of a VirtualService', () => {
  const text = virtualService(`
  hosts: [cart]
  http:
  - &slow
    name: slow
    timeout: 20s
    match: [{ uri: { prefix: /export } }]
    route: [{ destination: { host: cart } }]
  - <<: *slow
    name: fast
    timeout: 1s
    match: [{ uri: { prefix: / } }]
`)
  expect(read(text)[0]!.object.spec!['http']).toEqual([
    {
      name: 'slow',
      timeout: '20s',
      match: [{ uri: { prefix: '/export' } }],
      route: [{ destination: { host: 'cart' } }],
    },
    { name: 'fast', timeout: '1s', match: [{ uri: { prefix: '/' } }], route: [{ destination: { host: 'cart' } }] },
  ])
})

describe('readManifests takes a field that is null for one that is not there', () => {
  const specOf = (text: string) => read(text)[0]!.object.spec
  test.each([
    ['a route', '{ hosts: [a], http: [{ route: , redirect: { uri: /b } }] }', { redirect: { uri: '/b' } }],
    [
      'a part of a match',
      '{ hosts: [a], http: [{ match: [{ headers: null, port: 80 }] }] }',
      { match: [{ port: 80 }] },
    ],
    ['all of a match', '{ hosts: [a], http: [{ match: [{ gateways: null }], timeout: ~ }] }', { match: [{}] }],
  ])('%s', (_, spec, route) => {
    expect(specOf(virtualService(spec))).toEqual({ hosts: ['a'], http: [route] })
  })

  test('in every kind, beside and below the spec', () => {
    const rule = 'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d, labels: null }\n'
    expect(specOf(`${rule}spec: { host: a, trafficPolicy: null }\n`)).toEqual({ host: 'a' })
    expect('spec' in read(sidecar('a', 'spec:\n'))[0]!.object).toBe(false)
  })

  test('but not where Istio passes the value on', () => {
    const plugin = 'apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: w }\n'
    expect(specOf(`${plugin}spec: { url: "oci://a", phase: null, pluginConfig: { limit: null } }\n`)).toEqual({
      url: 'oci://a',
      pluginConfig: { limit: null },
    })
  })

  test.each(['{ hosts: [null] }', '{ hosts: [a], http: [null] }'])('and not an item of a list: %s', (spec) => {
    expect(() => read(virtualService(spec))).toThrow(/^policies: a.yaml:4: .*\[0\]: expected /)
  })

  test('so an empty route or policy neither breaks a canary nor contradicts the config', () => {
    const rule =
      'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d }\nspec: { host: backend, trafficPolicy: null, subsets: null }\n'
    const route =
      'apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\nspec: { parentRefs: null, hostnames: null, rules: [{ matches: null, backendRefs: null }] }\n'
    const routes = virtualService(`
  hosts: [backend]
  http:
  - { match: [{ headers: null, uri: { prefix: /a } }], route: null, redirect: { uri: /b } }
  - { match: null, timeout: null, route: [{ destination: { host: backend } }] }`)
    const file = join(folderWith({ 'a.yaml': [rule, route, routes].join('---\n') }), 'a.yaml')
    const config = configOf(
      `namespace: shop\npolicies: ${file}\nservices: { backend: { timeout: 5s, circuitBreaker: { maxConnections: 3 } } }\ncanary: { service: backend }`,
    )
    expect(renderedBypassFaults(config, desired(config))).toEqual([])
  })
})

test('readManifests takes only YAML and JSON from a pattern, and any file that is named', () => {
  const folder = folderWith({ 'mesh/a.yaml': sidecar('a'), 'mesh/b.json': '{}', 'mesh/c.txt': sidecar('c') })
  writeFileSync(join(folder, 'mesh/b.json'), JSON.stringify(read(sidecar('b'))[0]!.object))
  const names = (...patterns: string[]) => readManifests(patterns, 'shop', folder).map(({ source }) => source)
  expect(names('mesh/*')).toEqual(['mesh/a.yaml:1', 'mesh/b.json:1'])
  expect(names('mesh/c.txt')).toEqual(['mesh/c.txt:1'])
  expect(() => names('mesh/*.txt')).toThrow('mesh/*.txt matches no file that ends in .yaml, .yml or .json; it matches')
  expect(() => names('mesh/')).toThrow('policies: mesh/ is a folder; write `mesh/*.yaml`')
})

describe('readManifests says that a file is a template', () => {
  test.each([
    [
      'of Helm',
      `# {{ not here }}\n${sidecar('{{ .Values.name }}')}`,
      5,
      '`{{`); render it first, for example with `helm',
    ],
    ['of Helm, in quotes', sidecar('a', '  labels: { team: "{{ .Values.team }}" }\n'), 5, '`{{`'],
    ['of Helm, around a whole file', `{{- if .Values.mesh }}\n${sidecar('a')}{{- end }}\n`, 1, '`{{`'],
    ['of envsubst', sidecar('${NAME}'), 4, '`${`); render it first, for example with `envsubst`'],
    ['of envsubst, in a host', virtualService('\n  hosts:\n  - web.${NAMESPACE}.svc.cluster.local'), 6, '`${`'],
    ['of envsubst, in a key', sidecar('a', '  labels:\n    ${LABEL}: b\n'), 6, '`${`'],
    ['of Jinja', `{% if mesh %}\n${sidecar('a')}{% endif %}\n`, 1, '`{%`'],
    ['of ERB', `<% if mesh %>\n${sidecar('a')}<% end %>\n`, 1, '`<%`'],
  ])('%s', (_, text, line, says) => {
    expect(() => read(text)).toThrow(new RegExp(`^policies: a\\.yaml:${line}: this is a template \\(.*$`))
    expect(() => read(text)).toThrow(says)
  })

  test('but not when Istio only passes the text on', () => {
    const text = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: f, annotations: { note: "{{ x }}" } }
spec: { configPatches: [{ applyTo: HTTP_FILTER, patch: { operation: MERGE, value: { code: "{{ 1 }} \${x}" } } }] }
---
${virtualService('{ hosts: [a], http: [{ directResponse: { status: 503, body: { string: "`${why}`" } } }] }')}`
    expect(read(text)).toHaveLength(2)
  })
})

describe('readManifests refuses', () => {
  const route = (kind: string) => `apiVersion: gateway.networking.k8s.io/v1\nkind: ${kind}\nmetadata: { name: r }\n`
  test.each([
    [
      'a TLSRoute',
      route('TLSRoute'),
      'a.yaml:2: the kind TLSRoute (gateway.networking.k8s.io/v1) is not supported: mesh-',
    ],
    [
      'a UDPRoute',
      route('UDPRoute'),
      'is not supported: mesh-canary splits the traffic of VirtualServices, HTTPRoutes',
    ],
    ['a ReferenceGrant', route('ReferenceGrant'), 'is not supported under `policies`; apply it with the application'],
    [
      'a file for kustomize',
      'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n',
      'is for kustomize; render it first, with `kustomize build`',
    ],
    [
      'the settings of a control plane',
      'apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {}\n',
      'describes a control plane and not a policy; remove it from `policies`, and see the section `istio`',
    ],
    [
      'a kind that Istio no longer has',
      'apiVersion: rbac.istio.io/v1alpha1\nkind: ServiceRole\nmetadata: { name: r }\n',
      'is not part of Istio any more; write an AuthorizationPolicy instead',
    ],
    ['a name that no object can have', sidecar('Cart_1'), 'a.yaml:4: the name "Cart_1" of the Sidecar is invalid'],
    ['a number as a name', sidecar('12'), 'a.yaml:4: the name 12 of the Sidecar is invalid'],
    [
      'a merge key below a key that it has too',
      sidecar('a', '  labels: &l { team: a }\n  annotations:\n    team: b\n    <<: *l\n'),
      'a.yaml:8: the merge key (`<<`) comes after the key `team`, which it has too',
    ],
    [
      'an item of a list in another namespace',
      `kind: List\napiVersion: v1\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Sidecar\n  metadata:\n    name: a\n    namespace: b\n`,
      'a.yaml:8: the Sidecar a is for the namespace b',
    ],
    ['a word in a List', 'kind: List\napiVersion: v1\nitems: [a]\n', 'a.yaml:3: the document is not an object'],
  ])('%s', (_, text, fault) => {
    expect(() => read(text)).toThrow(fault)
  })
})
