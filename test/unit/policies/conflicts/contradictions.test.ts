import { managedByLabel } from '../../../../src/cluster/labels.ts'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { KubeObject, VirtualService } from '../../../../src/cluster/objects.ts'
import { contradictions } from '../../../../src/policies/conflicts/contradictions.ts'
import { desired } from '../../../../src/policies/desired.ts'
import type { LiveRoutes } from '../../../../src/policies/live-routes.ts'
import { configLabel, ownerAnnotation, ownerId } from '../../../../src/policies/owned-objects.ts'
import { configOf, fileWith, ownerNamed, to, virtualService } from '../../fixtures.ts'
import { recordingCluster, policy } from '../recording-cluster.ts'

const nothingLive: LiveRoutes = { virtualServices: [], destinationRules: [] }
const ours = { [managedByLabel]: 'mesh-canary' }
const name = 'github.test/acme/shop mesh.yaml'
const owner = ownerNamed(name)
const mine = { ...ours, [configLabel]: ownerId(name) }
/** Labels, and the annotation that our own objects have besides. */
const marks = (labels: Record<string, string>) =>
  labels === mine ? { labels, annotations: { [ownerAnnotation]: name } } : { labels }
/** The faults of a config in a cluster that holds the live objects and others. */
const faultsOf = (yaml: string, live: LiveRoutes, by = owner, others: KubeObject[] = []) =>
  contradictions(
    recordingCluster([...live.virtualServices, ...live.destinationRules, ...others]).cluster,
    configOf(`namespace: shop\n${yaml}`),
    live,
    by,
  )

describe('the check for versions that get traffic but are not defined', () => {
  const splitting = (...weights: [string, number][]): LiveRoutes => ({
    ...nothingLive,
    virtualServices: [
      virtualService([{ route: weights.map(([subset, weight]) => to(subset, weight)) }], { labels: ours }),
    ],
  })
  const second = 'canary: { service: backend, stable: v2, canary: v3 }'

  test.each<[string, string, LiveRoutes, string[]]>([
    [
      'reports the version',
      'services: { backend: { subsets: { v2: {} } } }',
      splitting(['v1', 30], ['v2', 70]),
      ['v1 gets 30%'],
    ],
    [
      'reports each of several versions',
      'services: { backend: { timeout: 1s } }',
      splitting(['v1', 30], ['v2', 70]),
      ['v1 gets 30%', 'v2 gets 70%'],
    ],
    ['reports the version before a canary', second, splitting(['v1', 20], ['v2', 80]), ['v1 gets 20%']],
    [
      'reports the version before a canary, even if the config states the traffic',
      `${second}\nservices: { backend: { subsets: { v2: {} }, traffic: { v2: 100 } } }`,
      splitting(['v1', 20], ['v2', 80]),
      ['v1 gets 20%'],
    ],
    [
      'reports nothing if the config states the traffic',
      'services: { backend: { subsets: { v2: {} }, traffic: { v2: 100 } } }',
      splitting(['v1', 30], ['v2', 70]),
      [],
    ],
    ['reports nothing for a version with weight 0', second, splitting(['v1', 0], ['v2', 100]), []],
    ['reports nothing if there is no split yet', second, nothingLive, []],
  ])('%s', async (_, yaml, live, named) => {
    const faults = await faultsOf(yaml, live)
    expect(faults).toHaveLength(named.length)
    named.forEach((name, i) =>
      expect(faults[i]).toContain(
        `services.backend.subsets: the subset ${name} of the traffic now, but is not defined here`,
      ),
    )
  })
})

describe('the check for another object with the same host', () => {
  const service = 'services: { backend: { timeout: 1s, subsets: { v1: {} } } }'
  const route = [{ route: [to('v1', 100)] }]
  /** A manifest of the user, under a name of its own. */
  const manifest = () =>
    `policies: ${fileWith(`# the user's own
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: routes }
spec: { hosts: [backend, other], http: [{ route: [{ destination: { host: backend } }] }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: rules }
spec: { host: backend }
`)}`
  const services = (name: string, labels = {}, more = {}): LiveRoutes => {
    const object = virtualService(route, { name, ...marks(labels) })
    return { ...nothingLive, virtualServices: [{ ...object, spec: { ...object.spec, ...more } }] }
  }
  const rules = (name: string, host: string, labels = {}, more = {}): LiveRoutes => ({
    ...nothingLive,
    destinationRules: [
      {
        apiVersion: 'networking.istio.io/v1',
        kind: 'DestinationRule',
        metadata: { name, namespace: 'shop', ...marks(labels) },
        spec: { host, ...more },
      },
    ],
  })
  const other = { ...ours, [configLabel]: '00000000' }
  const canary = () => 'canary: { service: backend }'
  const subsets = (...names: string[]) => ({ subsets: names.map((name) => ({ name, labels: { version: name } })) })

  test.each<[string, () => string, LiveRoutes, RegExp | undefined]>([
    [
      'reports a VirtualService of somebody else with another name',
      () => service,
      services('theirs'),
      /^services\.backend: the host backend\.shop\.svc\.cluster\.local already has the VirtualService shop\/theirs, which mesh-canary does not manage, and of two for one host the mesh follows the older; move its policies into `services\.backend` and delete it$/,
    ],
    [
      'reports a VirtualService of somebody else with the same name, which can be handed over',
      () => service,
      services('backend'),
      /VirtualService shop\/backend, which mesh-canary does not manage, .* and delete it, or label it app\.kubernetes\.io\/managed-by=mesh-canary to hand it over$/,
    ],
    [
      'reports a DestinationRule of somebody else that lacks a subset of a canary',
      canary,
      rules('chart', 'backend', {}, subsets('v1')),
      /^canary: the host .* DestinationRule shop\/chart, which mesh-canary does not manage, .*; add the subsets v1 and v2 with their labels to it, and it is used as it is$/,
    ],
    [
      'uses a DestinationRule of somebody else that has the subsets of a canary',
      canary,
      rules('backend', 'backend', {}, { ...subsets('v1', 'v2'), trafficPolicy: { tls: { mode: 'DISABLE' } } }),
      undefined,
    ],
    [
      'reports a VirtualService of somebody else that does not split for a canary',
      canary,
      services('theirs'),
      /^canary: .*; give its routes v1 and v2 as destinations with weights, and the promotion moves those$/,
    ],
    [
      'reports a DestinationRule of somebody else',
      () => service,
      rules('theirs', 'backend.shop'),
      /^services\.backend: the host .* DestinationRule shop\/theirs, which mesh-canary does not manage/,
    ],
    [
      'reports a VirtualService of somebody else when only a manifest is for the host',
      manifest,
      services('theirs'),
      /^policies: .*mesh\.yaml:2: the host backend\.shop\.svc\.cluster\.local already has the VirtualService shop\/theirs, which mesh-canary does not manage, .*; move its policies into .*mesh\.yaml:2 and delete it$/,
    ],
    [
      'reports a VirtualService of somebody else for one of several hosts',
      manifest,
      services('theirs', {}, { hosts: ['x', 'other.shop.svc.cluster.local'] }),
      /^policies: .*mesh\.yaml:2: the host other\.shop\.svc\.cluster\.local already has/,
    ],
    [
      'reports a DestinationRule of somebody else when only a manifest is for the host',
      manifest,
      rules('theirs', 'backend'),
      /^policies: .*mesh\.yaml:7: the host .* DestinationRule shop\/theirs, which mesh-canary does not manage/,
    ],
    [
      'reports the VirtualService of another config',
      manifest,
      services('theirs', other),
      /which another config of mesh-canary wrote \(mesh-canary\.io\/config=00000000\), .*; remove the host from one of the two, give both the same `name`, or delete that object$/,
    ],
    [
      'reports a VirtualService that was handed over under another name',
      () => service,
      services('theirs', ours),
      /which was handed over, but under another name than the one this run writes, .* and delete it$/,
    ],
    ['accepts a VirtualService that was handed over', () => service, services('backend', ours), undefined],
    ['accepts our own VirtualService', () => service, services('backend', mine), undefined],
    ['accepts our own VirtualService that this run deletes', () => service, services('before', mine), undefined],
    ['accepts a VirtualService for another host', manifest, services('theirs', {}, { hosts: ['frontend'] }), undefined],
    [
      'accepts a VirtualService for a gateway, where Istio merges several',
      () => service,
      services('theirs', {}, { gateways: ['istio-system/public'] }),
      undefined,
    ],
    [
      'reports a VirtualService for a gateway and the mesh',
      () => service,
      services('theirs', {}, { gateways: ['istio-system/public', 'mesh'] }),
      /which mesh-canary does not manage/,
    ],
    [
      'accepts a DestinationRule for some callers only',
      () => service,
      rules('theirs', 'backend', {}, { workloadSelector: { matchLabels: { app: 'x' } } }),
      undefined,
    ],
    [
      'accepts a VirtualService when the run writes only subsets',
      () => 'services: { backend: { subsets: { v1: {} } } }',
      { ...services('theirs'), ...rules('backend', 'backend', mine) },
      undefined,
    ],
  ])('%s', async (_, yaml, live, sentence) => {
    const faults = await faultsOf(yaml(), live)
    expect(faults).toHaveLength(sentence ? 1 : 0)
    if (sentence) expect(faults[0]).toMatch(sentence)
  })

  test('reports an object that an earlier run without a name wrote, because no run prunes it', async () => {
    const nameless = { ...ownerNamed('inputs', 'shop', 'inputs'), prunes: false }
    expect(
      await faultsOf(manifest(), services('before', { ...ours, [configLabel]: ownerId('inputs') }), nameless),
    ).toEqual([expect.stringContaining('VirtualService shop/before, which an earlier version of mesh-canary wrote')])
  })
})

test('the check for names reports an object of any kind that somebody else owns under a planned name', async () => {
  expect(await faultsOf('mtls: strict', nothingLive, owner, [policy('PeerAuthentication', 'default', {})])).toEqual([
    expect.stringMatching(
      /^policies: PeerAuthentication shop\/default exists already, and mesh-canary does not manage it; .* to hand it over$/,
    ),
  ])
  expect(
    await faultsOf('mtls: strict', nothingLive, owner, [policy('PeerAuthentication', 'default', {}, marks(mine))]),
  ).toEqual([])
})

describe('the manifests of the user', () => {
  test('are checked before the run writes anything', async () => {
    expect(await faultsOf(`policies: ${fileWith('kind: Deployment\napiVersion: apps/v1')}`, nothingLive)).toEqual([
      expect.stringMatching(/^policies: .*mesh\.yaml:1: the kind Deployment/),
    ])
  })

  test('may delegate from one VirtualService to another, which has no hosts', async () => {
    const delegate = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: delegate }\nspec: { http: [{ route: [{ destination: { host: backend } }] }] }`
    const live = {
      ...nothingLive,
      virtualServices: [{ ...virtualService([], { name: 'theirs' }), spec: { http: [] } } as unknown as VirtualService],
    }
    expect(await faultsOf(`services: { backend: { timeout: 1s } }\npolicies: ${fileWith(delegate)}`, live)).toEqual([])
  })

  const split = (...weights: [string, number][]) =>
    fileWith(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: backend }
spec: { hosts: [backend], http: [{ route: [${weights.map(([subset, weight]) => `{ destination: { host: backend, subset: ${subset} }, weight: ${weight} }`).join(', ')}] }] }`)
  const both = (file: string) => `services: { backend: { timeout: 5s } }\npolicies: ${file}`
  /** The objects that the previous run left. */
  const live: LiveRoutes = {
    ...nothingLive,
    virtualServices: [virtualService([{ route: [to('v1', 80), to('v2', 20)] }], marks(mine))],
  }

  const promoted: LiveRoutes = {
    ...nothingLive,
    virtualServices: [virtualService([{ route: [to('v1', 0), to('v2', 100)] }], marks(mine))],
  }

  test('may state the weights from before a promotion, with and without policies in the config', async () => {
    const file = split(['v1', 100], ['v2', 0])
    expect(await faultsOf(`policies: ${file}\ncanary: { service: backend }`, promoted)).toEqual([])
    expect(await faultsOf(`${both(file)}\ncanary: { service: backend }`, promoted)).toEqual([])
  })

  test('may not leave out a version that got the traffic by a promotion', async () => {
    expect(
      await faultsOf(`policies: ${split(['v1', 100], ['v3', 0])}\ncanary: { service: backend, canary: v3 }`, promoted),
    ).toEqual([expect.stringContaining('the subset v2 gets 100% of the traffic now')])
  })

  test('may define the subsets that get the traffic', async () => {
    const rule = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: backend }
spec: { host: backend, subsets: [{ name: v0, labels: { version: v0 } }] }`
    const file = split(['v0', 50], ['v1', 50], ['v2', 0])
    const withRule = fileWith(readFileSync(file, 'utf8') + rule)
    const live = {
      ...nothingLive,
      virtualServices: [virtualService([{ route: [to('v0', 50), to('v1', 0), to('v2', 50)] }], marks(mine))],
    }
    expect(await faultsOf(`policies: ${withRule}\ncanary: { service: backend }`, live)).toEqual([])
  })

  test.each([
    [
      'the same',
      [
        ['v1', 80],
        ['v2', 20],
      ],
    ],
    [
      'another one',
      [
        ['v2', 60],
        ['v3', 40],
      ],
    ],
  ] as [string, [string, number][]][])(
    'may state %s split for a service of the config, and the plan has exactly these weights',
    async (_, weights) => {
      const yaml = both(split(...weights))
      expect(await faultsOf(yaml, live)).toEqual([])
      const [object] = desired(configOf(`namespace: shop\n${yaml}`), live).objects
      expect(object).toMatchObject({
        spec: {
          http: [
            {
              timeout: '5s',
              route: weights.map(([subset, weight]) => ({ destination: { host: 'backend', subset }, weight })),
            },
          ],
        },
      })
    },
  )
})
