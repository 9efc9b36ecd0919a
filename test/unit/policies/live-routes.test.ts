import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { desired } from '../../../src/policies/desired.ts'
import { liveWeights, readLive } from '../../../src/policies/live-routes.ts'
import { clusterWith, configOf, to, virtualService } from '../fixtures.ts'

test('the weights in force do not come from a route with a match that names only the canary', () => {
  const live = virtualService([
    { match: [{ headers: {} }], route: [to('v2', 100)] },
    { route: [to('v1', 95), to('v2', 5)] },
  ])
  expect(
    liveWeights(configOf('namespace: shop\ncanary: { service: backend }'), {
      virtualServices: [live],
      destinationRules: [],
    }),
  ).toEqual({ backend: { v1: 95, v2: 5 } })
})

describe('reading the live routes', () => {
  const listing = (error: ApiError) => clusterWith({ list: () => Promise.reject(error) })

  test('finds none where Istio is not installed yet', async () => {
    expect(
      await readLive(listing(new ApiError(404, 'the server could not find the requested resource')), 'shop'),
    ).toEqual({ virtualServices: [], destinationRules: [] })
  })

  test('adds the rules of the mesh for all hosts, and says if the account may not read them', async () => {
    const rules = ['*.local', 'db.istio-system'].map((host) => ({ metadata: { name: host }, spec: { host } }))
    const list = (answer: () => unknown) => (_: string, namespace: string) =>
      Promise.resolve(namespace === 'shop' ? [] : answer())
    expect(await readLive(clusterWith({ list: list(() => rules) }), 'shop')).toEqual({
      virtualServices: [],
      destinationRules: [rules[0]],
    })
    const forbidden = () => Promise.reject(new ApiError(403, 'forbidden'))
    const found = await readLive(clusterWith({ list: list(forbidden) }), 'shop')
    expect(found.lacksMeshRules).toBe(true)
    const config = configOf('namespace: shop\nservices: { backend: { loadBalancer: random } }')
    expect(desired(config, found).notes).toEqual([
      'this account may not read the DestinationRules of istio-system: if one there is for all hosts, its policies end for the services that get a DestinationRule of their own',
    ])
  })

  test('fails when the account may not list them', async () => {
    await expect(readLive(listing(new ApiError(403, 'forbidden')), 'shop')).rejects.toThrow('forbidden')
  })
})
