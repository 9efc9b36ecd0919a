// A fake, because the tests choose when a count can be read.
import { expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { watchProxyUpdates } from '../../../src/mesh/propagation.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, pod } from '../fixtures.ts'

const busy = () => Promise.reject(new ApiError(429, 'too many requests'))
const gone = () => Promise.reject(new ApiError(404, 'pods "backend-1" not found'))
const count = (value: number) => () => Promise.resolve(`envoy_listener_manager_lds_update_success{} ${value}`)

/** `answers`: one for each reading of the only proxy; the last one repeats. The change comes after `before` readings. */
async function watched(before: number, ...answers: (() => Promise<string>)[]) {
  const clock = new FakeClock()
  let reads = 0
  const cluster = clusterWith({
    list: () => Promise.resolve([pod()]),
    pod: () => answers[Math.min(reads++, answers.length - 1)]!(),
  })
  const wait = await watchProxyUpdates(cluster, 'shop', undefined, clock)
  expect(reads).toBe(before)
  const start = clock.time
  return { updated: await wait(), waitedMs: clock.time - start }
}

test.each<[string, number, (() => Promise<string>)[], object]>([
  ['a count that grows shows the update', 1, [count(6), count(6), count(7)], { updated: true, waitedMs: 200 }],
  ['a count that stays shows none', 1, [count(6)], { updated: false, waitedMs: 5_000 }],
  ['a count is read again before the change', 2, [busy, count(6), count(7)], { updated: true, waitedMs: 0 }],
  [
    'without a count before the change, none after it shows an update',
    6,
    [busy, busy, busy, busy, busy, busy, count(7)],
    { updated: false, waitedMs: 5_000 },
  ],
  ['a proxy that cannot be read is not updated', 1, [count(6), busy], { updated: false, waitedMs: 5_000 }],
  ['a pod that is gone needs no update', 1, [count(6), gone], { updated: true, waitedMs: 0 }],
])('%s', async (_, before, answers, result) => {
  expect(await watched(before, ...answers)).toEqual(result)
})
