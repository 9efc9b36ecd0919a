import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { liveWeights, readLive } from '../../../src/policies/live.ts'
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

  test('fails when the account may not list them', async () => {
    await expect(readLive(listing(new ApiError(403, 'forbidden')), 'shop')).rejects.toThrow('forbidden')
  })
})
