import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { configTemplate } from '../../../src/cli/config-template.ts'
import type { DiscoveredCluster } from '../../../src/cli/service-candidates.ts'
import type { DestinationRule, KubeObject, Service, Workload } from '../../../src/cluster/objects.ts'
import { defaultRevision } from '../../../src/mesh/labels.ts'
import { compile } from '../../../src/policies/compile/index.ts'
import { configOf, virtualService } from '../fixtures.ts'

const sampleApp = resolve(import.meta.dirname, '../../../examples/sample-app')

function sample(
  ...files: string[]
): Pick<DiscoveredCluster, 'namespace' | 'workloads' | 'services' | 'live' | 'peerAuthentications'> {
  const objects = files.flatMap((file) =>
    loadAll(readFileSync(join(sampleApp, file), 'utf8')).map((each) => each as KubeObject),
  )
  return {
    namespace: 'sample-app',
    workloads: objects.filter(({ kind }) => kind === 'Deployment') as Workload[],
    services: objects.filter(({ kind }) => kind === 'Service') as Service[],
    live: { virtualServices: [], destinationRules: [] },
    peerAuthentications: [],
  }
}

function deployment(name: string, labels: Record<string, string>, env: Record<string, string> = {}): Workload {
  const containers = [{ name, env: Object.entries(env).map(([name, value]) => ({ name, value })) }]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'shop' },
    spec: { selector: {}, template: { metadata: { labels }, spec: { containers } } },
  }
}
const service = (name: string, ...ports: Service['spec']['ports']): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports },
})
const http = { name: 'http', port: 80 }
const shop = (more: Partial<DiscoveredCluster> = {}): DiscoveredCluster => ({
  namespace: 'shop',
  workloads: [],
  services: [],
  live: { virtualServices: [], destinationRules: [] },
  peerAuthentications: [],
  ...more,
})

test('the template for the sample app has its services, versions, order and canary', () => {
  const discovered = sample('app.yaml', 'v2/healthy/backend.yaml')
  const { text, summary } = configTemplate(discovered)
  expect(summary).toBe('4 workloads, 2 services that speak HTTP, and a canary of backend (v1 to v2)')
  expect(configOf(text)).toMatchObject({
    namespace: 'sample-app',
    istio: { version: '1.31.0', profile: 'default' },
    workloads: ['backend', 'backend-v2', 'frontend', 'mysql'].map((name) => ({ kind: 'Deployment', name })),
    mtls: { mode: 'permissive' },
    services: {
      backend: { port: 3001, subsets: { v1: { version: 'v1' }, v2: { version: 'v2' } } },
      frontend: { port: 3000 },
    },
    canary: {
      service: 'backend',
      stable: { by: 'subset', name: 'v1' },
      canary: { by: 'subset', name: 'v2' },
      steps: [5, 25, 50, 100],
    },
  })
  // A service of which only the port is known gets no objects.
  expect(compile(configOf(text), {}).objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    'PeerAuthentication default',
    'DestinationRule backend',
    'VirtualService backend',
  ])
})

test('the same namespace gives the same text in any order of its objects', () => {
  const discovered = sample('app.yaml', 'v2/healthy/backend.yaml')
  expect(
    configTemplate({
      ...discovered,
      workloads: discovered.workloads.toReversed(),
      services: discovered.services.toReversed(),
    }),
  ).toEqual(configTemplate(discovered))
})

test('with one Deployment behind the service, it releases that by its image, and none yet', () => {
  const { text, summary } = configTemplate(sample('app.yaml'))
  expect(summary).toBe('3 workloads, 2 services that speak HTTP, and releases of backend by its image')
  expect(configOf(text).canary).toMatchObject({ service: 'backend', image: 'current', after: 'adopt' })
  expect(compile(configOf(text), {}).objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    'PeerAuthentication default',
    'DestinationRule backend',
    'VirtualService backend',
  ])
})

test.each([
  ['a StatefulSet', (each: Workload): Workload => ({ ...each, kind: 'StatefulSet' })],
  [
    'a Deployment of an operator',
    (each: Workload): Workload => ({
      ...each,
      metadata: { ...each.metadata, ownerReferences: [{ kind: 'WebApp', name: 'web', uid: '1', controller: true }] },
    }),
  ],
])('with %s of one version, the canary is a comment to uncomment later', (_, change) => {
  const discovered = sample('app.yaml')
  const { text } = configTemplate({ ...discovered, workloads: discovered.workloads.map(change) })
  expect(configOf(text).canary).toBeUndefined()
  expect(text).toContain('# canary:\n#   service: backend\n#   stable: v1\n#   canary: v2\n')
  const uncommented = text.replace(/^# (?=canary:|  (service|stable|canary|steps|interval|checks):)/gm, '')
  expect(configOf(uncommented).canary).toMatchObject({ service: 'backend', stable: { name: 'v1' } })
})

test('what cannot be read is not taken for absent: its section is a comment that says why', () => {
  const { text } = configTemplate({
    ...sample('app.yaml'),
    istio: 'deployments is forbidden:\nUser "ci" cannot list',
    peerAuthentications: 'peerauthentications is forbidden',
  })
  expect(configOf(text)).not.toHaveProperty('istio')
  expect(configOf(text)).not.toHaveProperty('mtls')
  expect(text).toContain('cannot be read:\n# deployments is forbidden: User "ci" cannot list\n')
  expect(text).toContain('cannot be read:\n# peerauthentications is forbidden\n# mtls: permissive\n')
  expect(text).not.toContain('The cluster has none')
})

test('an existing control plane and existing mutual TLS stay as they are', () => {
  const peer: KubeObject = {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default' },
  }
  const { text } = configTemplate({
    ...sample('app.yaml'),
    istio: { version: '1.30.2', revision: defaultRevision },
    peerAuthentications: [peer],
  })
  expect(configOf(text)).not.toHaveProperty('istio')
  expect(configOf(text)).not.toHaveProperty('mtls')
  expect(text).toContain('# istio: { version: 1.30.2, profile: default }')
  expect(text).toContain('the PeerAuthentication default already exists')
  expect(configTemplate(shop({ istio: { version: '1.31.0', revision: 'canary' } })).text).toContain(
    '# istio: { version: 1.31.0, revision: canary, profile: default }',
  )
})

describe('a service that already has policies', () => {
  const versions = [
    deployment('backend', { app: 'backend', version: 'v1' }),
    deployment('backend-v2', { app: 'backend', version: 'v2' }),
  ]
  const rule: DestinationRule = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'pool', namespace: 'shop' },
    spec: { host: 'backend.shop.svc.cluster.local' },
  }

  test('is a comment that names the policies, and so is its canary, because two objects would conflict', () => {
    const { text } = configTemplate(
      shop({
        workloads: versions,
        services: [service('backend', http)],
        live: { virtualServices: [virtualService([])], destinationRules: [rule] },
      }),
    )
    expect(configOf(text)).toMatchObject({ services: {} })
    expect(configOf(text).canary).toBeUndefined()
    expect(text).toContain('# backend already has policies (the VirtualService backend, the DestinationRule pool)')
    expect(
      configOf(text.replace('services: {}', 'services:').replace(/^  # (?=backend:|  )/gm, '  ')).services,
    ).toMatchObject({ backend: { port: 80, subsets: { v1: { version: 'v1' } } } })
  })

  test('does not affect the policies of the other services', () => {
    const { text } = configTemplate(
      shop({
        workloads: [...versions, deployment('web', { app: 'web' })],
        services: [service('backend', http), service('web', http)],
        live: { virtualServices: [virtualService([])], destinationRules: [] },
      }),
    )
    expect(Object.keys(configOf(text).services!)).toEqual(['web'])
  })
})

describe('the versions', () => {
  const two = (a: string, b: string) =>
    configTemplate(
      shop({
        workloads: [deployment('a', { app: 'web', version: a }), deployment('b', { app: 'web', version: b })],
        services: [service('web', http)],
      }),
    ).text
  test.each([
    ['1.9.0', '1.10.0', 'v1-9-0', 'v1-10-0'],
    ['v10', 'v9', 'v9', 'v10'],
    ['true', 'V2_x', 'vtrue', 'v2-x'],
    ['1', '2', 'v1', 'v2'],
  ])('%s and %s become the subsets %s and %s, and the higher one is the canary', (a, b, stable, canary) => {
    const config = configOf(two(a, b))
    expect(config.canary).toMatchObject({ stable: { name: stable }, canary: { name: canary } })
    expect(
      Object.values(config.services!['web']!.subsets!)
        .map(({ version }) => version)
        .sort(),
    ).toEqual([a, b].sort())
  })
})

describe('the order of the workloads', () => {
  const order = (...workloads: Workload[]) => {
    const services = [
      service('web', http),
      service('api', http),
      service('store', http),
      service('db', { name: 'tcp-db', port: 3306 }),
    ]
    const list = configOf(configTemplate(shop({ workloads, services })).text).workloads
    return list === 'all' ? list : list?.map(({ name }) => name)
  }
  const app = (name: string, env: Record<string, string> = {}) => deployment(name, { app: name }, env)

  test('follows the calls that their variables name: callers first, plain TCP last', () => {
    expect(
      order(
        app('api', { STORE_URL: 'http://store:80/' }),
        app('db'),
        app('store', { DB: 'db:3306' }),
        app('web', { BACKEND_HOST: 'api', DB: 'db.shop.svc:3306' }),
      ),
    ).toEqual(['web', 'api', 'store', 'db'])
  })

  test('ignores a variable that only contains the name', () => {
    expect(
      order(app('api'), app('store', { MODE: 'api', TITLE: 'api-like', PATH_OF: '/srv/apis' }), app('web')),
    ).toEqual(['api', 'store', 'web'])
  })

  test('ends even if the workloads call each other in a circle', () => {
    expect(
      order(
        app('api', { STORE_URL: 'http://store/' }),
        app('store', { API_URL: 'http://api/' }),
        app('web', { API_URL: 'http://api/' }),
      ),
    ).toEqual(['web', 'api', 'store'])
  })
})

test('an empty namespace gives a valid config', () => {
  const { text, summary } = configTemplate(shop())
  expect(summary).toBe('0 workloads, 0 services that speak HTTP')
  expect(configOf(text)).toMatchObject({ namespace: 'shop', mtls: { mode: 'permissive' }, services: {} })
  expect(configOf(configTemplate(shop({ namespace: '123' })).text).namespace).toBe('123')
})
