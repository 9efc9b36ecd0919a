import { describe, expect, test } from 'vitest'
import type { DestinationRule, KubeObject, VirtualService } from '../../../src/cluster/objects.ts'
import { overwriteFaults } from '../../../src/engines/overwrites.ts'
import { ownerOf, withOwnerMarks } from '../../../src/policies/owned-objects.ts'
import { configOf } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'
import { backendService, canary, ofKind, rollout, running, serviceRoutes, subsetRoutes } from './fixtures.ts'

const argo = [backendService, ...subsetRoutes(50), rollout()]
const deployments = [running('backend', 'shop:1'), running('backend-primary', 'shop:1')]
const flagger = [backendService, serviceRoutes(50), canary(), ...deployments]

function faultsOf(config: string, objects: KubeObject[]): Promise<string[]> {
  const live = {
    virtualServices: ofKind(objects, 'VirtualService') as VirtualService[],
    destinationRules: ofKind(objects, 'DestinationRule') as DestinationRule[],
  }
  return overwriteFaults(recordingCluster(objects).cluster, configOf(`name: shop\nnamespace: shop\n${config}`), live)
}

describe('policies of a service that a controller moves are refused, also without a canary in the config', () => {
  test.each<[string, string, KubeObject[], RegExp]>([
    [
      'a timeout, over the routes of a Rollout',
      'services: { backend: { timeout: 3s } }',
      argo,
      /Argo Rollouts moves the traffic of backend \(Rollout shop\/backend\).*VirtualService shop\/backend/,
    ],
    [
      'subsets, over the labels that Argo Rollouts writes',
      'services: { backend: { subsets: { stable: { version: v1 }, canary: { version: v2 } } } }',
      argo,
      /DestinationRule shop\/backend/,
    ],
    [
      'limits of the Service behind, which Flagger writes',
      'services: { backend-primary: { circuitBreaker: { maxConnections: 10 } } }',
      flagger,
      /Flagger moves the traffic of backend, .*\(Canary shop\/backend\).*DestinationRule shop\/backend-primary/,
    ],
    [
      'a route of a gateway to all of its pods',
      'expose: { backend: { hosts: ["shop.example.com"] } }',
      argo,
      /expose\.backend: Argo Rollouts moves the traffic of backend .*would bypass its weights/,
    ],
  ])('%s', async (_, config, objects, expected) => {
    expect((await faultsOf(config, objects)).join('\n')).toMatch(expected)
  })

  test('but not those of other services, nor policies that route nothing', async () => {
    expect(await faultsOf('mtls: strict\nservices: { front: { timeout: 3s } }', argo)).toEqual([])
    expect(await faultsOf('services: { backend: { timeout: 3s } }', argo.slice(0, -1))).toEqual([])
  })
})

describe('routes by which a controller moves traffic', () => {
  const config = 'mtls: strict\ncanary: { service: backend, engine: argo-rollouts }'
  const owner = ownerOf(configOf(`name: shop\nnamespace: shop\n${config}`))
  const owned = (objects: KubeObject[]) =>
    objects.map((each) =>
      each.kind === 'VirtualService' || each.kind === 'DestinationRule' ? withOwnerMarks(each, owner) : each,
    )

  test('are not deleted because the config does not ask for them any more', async () => {
    expect(await faultsOf(config, owned(argo))).toEqual([
      expect.stringMatching(/DestinationRule shop\/backend/),
      expect.stringMatching(/would delete it.*`kubectl -n shop label virtualservice backend mesh-canary\.io\/config-`/),
    ])
  })

  test('go if the controller uses others by now', async () => {
    const [virtualService, rule] = subsetRoutes()
    const named = (object: KubeObject) => ({ ...object, metadata: { ...object.metadata, name: 'earlier' } })
    expect(await faultsOf(config, [...owned([named(virtualService), named(rule)]), ...argo])).toEqual([])
  })

  test('go with the Rollout that this config generated', async () => {
    expect(
      await faultsOf(
        'mtls: strict',
        owned(argo).map((each) => withOwnerMarks(each, owner)),
      ),
    ).toEqual([])
  })
})

test('what this config generates for a controller is no policy of somebody else', async () => {
  const config = 'canary: { service: backend, engine: { type: argo-rollouts, generate: true }, interval: 10s }'
  expect(await faultsOf(config, [...argo, ...deployments])).toEqual([])
})
