import { expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Right } from '../../../src/cluster/client.ts'
import { missingRights, rightOn, rightsOn } from '../../../src/cluster/rights.ts'
import { clusterWith } from '../fixtures.ts'

test('the missing rights are named once, with the subresource', async () => {
  const asked: object[] = []
  const cluster = clusterWith({
    isAllowed: (right: Right) => {
      asked.push(right)
      return Promise.resolve(right.verb === 'list')
    },
  })
  const rights = [
    ...rightsOn('VirtualService', 'list', 'patch'),
    ...rightsOn('VirtualService', 'patch'),
    rightOn('Pod', 'get', { subresource: 'proxy' }),
  ]
  expect(await missingRights(cluster, 'shop', rights)).toEqual(['patch virtualservices', 'get pods/proxy'])
  expect(asked).toEqual([
    { group: 'networking.istio.io', resource: 'virtualservices', verb: 'list', namespace: 'shop' },
    { group: 'networking.istio.io', resource: 'virtualservices', verb: 'patch', namespace: 'shop' },
    { group: '', resource: 'pods', subresource: 'proxy', verb: 'get', namespace: 'shop' },
  ])
})

test.each([
  [403, 'bind the ClusterRole system:basic-user to it'],
  [0, 'run again'],
])('a question that fails with %i is an error that says which', async (status, remedy) => {
  const cluster = clusterWith({ isAllowed: () => Promise.reject(new ApiError(status, 'no answer')) })
  await expect(missingRights(cluster, 'shop', rightsOn('Lease', 'create'))).rejects.toThrow(
    `the API server does not tell whether this account may create leases in the namespace shop: no answer; ${remedy}`,
  )
})
