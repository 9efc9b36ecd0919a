import { expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { PlannedChange } from '../../../src/policies/plan.ts'
import { heldPromotionFaults } from '../../../src/stages/held-promotions.ts'
import { leaseHeldBy } from '../canary/ownership/fake-leases.ts'
import { clusterWith, to, virtualService } from '../fixtures.ts'

const split = (v1: number, v2: number, more = {}) => ({
  ...virtualService([{ route: [to('v1', v1), to('v2', v2)] }]),
  ...more,
})
const before = split(75, 25)

/** The faults of a change while this holder has the Lease of a promotion that moves `before`. */
const faultsOf = (change: Partial<PlannedChange>, holder = 'run 7 (deadbeef)', saved: KubeObject[] = [before]) =>
  heldPromotionFaults(
    clusterWith({
      list: () => Promise.resolve([leaseHeldBy(holder)]),
      get: () => Promise.resolve({ data: { 'routes.json': JSON.stringify(saved) } }),
    }),
    'shop',
    [{ action: 'change', before, object: split(90, 10), diff: [], ...change }],
  )

test('a run that would write other weights while another one promotes is refused, and the fault names that run', async () => {
  expect(await faultsOf({})).toEqual([
    'policies: run 7 promotes backend, and this run would change the weights of the VirtualService shop/backend; ' +
      'wait for its end, or return the traffic to stable first (stage rollback)',
  ])
})

test('so is a run that would delete the split, or replace it by a route to the whole host', async () => {
  expect(await faultsOf({ action: 'delete', object: before })).toMatchObject([expect.stringContaining('delete the')])
  const whole = virtualService([{ route: [{ destination: { host: 'backend' } }] }])
  expect(await faultsOf({ object: whole })).toHaveLength(1)
})

test('so is a run that would write the weights of a route that appeared during the promotion', async () => {
  expect(await faultsOf({}, 'run 7 (deadbeef)', [virtualService([], { name: 'earlier' })])).toHaveLength(1)
})

const ofReviews = (v1: number, v2: number) =>
  virtualService([{ route: [to('v1', v1, 'reviews'), to('v2', v2, 'reviews')] }])

test.each<[string, Partial<PlannedChange>, string?, KubeObject[]?]>([
  ['keeps the weights', { object: split(75, 25, { metadata: { ...before.metadata, labels: { team: 'a' } } }) }],
  ['changes nothing', { action: 'unchanged', object: before }],
  ['meets a Lease that nobody holds', {}, ''],
  [
    'changes another route',
    { before: ofReviews(75, 25), object: ofReviews(90, 10) },
    'run 7 (deadbeef)',
    [virtualService([], { name: 'other' })],
  ],
])('a run that %s is not refused', async (_, change, holder, saved) => {
  expect(await faultsOf(change, holder, saved)).toEqual([])
})
