import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { liveWeights, readLive } from '../../../src/policies/live.ts'
import { clusterWith, configOf, to, virtualService } from '../fixtures.ts'

test('a route for a few, which names only the canary, is not taken for the weights in force', () => {
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

describe('what is in the cluster', () => {
  const listing = (error: ApiError) => clusterWith({ list: () => Promise.reject(error) })

  test('is nothing where Istio is not installed yet', async () => {
    expect(
      await readLive(listing(new ApiError(404, 'the server could not find the requested resource')), 'shop'),
    ).toEqual({ virtualServices: [], destinationRules: [] })
  })

  test('is not guessed where it may not be read', async () => {
    await expect(readLive(listing(new ApiError(403, 'forbidden')), 'shop')).rejects.toThrow('forbidden')
  })
})
