// Which pods are evicted, and when.
import { beforeEach, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Pod } from '../../../src/cluster/objects.ts'
import { createPodKiller, type PodKill } from '../../../src/experiments/faults/pod-kill.ts'
import { clusterWith, pod } from '../fixtures.ts'

let evicted: string[]
let notes: string[]
let forbids = false
beforeEach(() => {
  ;[evicted, notes, forbids] = [[], [], false]
})

const cluster = clusterWith({
  evict: (_: string, name: string) => {
    if (!forbids) evicted.push(name)
    return Promise.resolve(!forbids)
  },
})
const pods = (count: number, first = 0): Pod[] =>
  Array.from({ length: count }, (_, i) => pod({ metadata: { name: `p${first + i}`, uid: `u${first + i}` } }))
const killer = (more: Partial<PodKill> = {}, maxAffected = 50) =>
  createPodKiller(cluster, 'shop', { workload: { kind: 'Deployment', name: 'p' }, ...more }, maxAffected, (line) =>
    notes.push(line),
  )

test('one pod is evicted, once', async () => {
  const { evict } = killer()
  expect(await evict(pods(3), 1_000)).toEqual(['p0'])
  expect(await evict(pods(3), 60_000)).toEqual([])
})

test('a share is rounded down, and is at least one', async () => {
  await killer({ share: 50 }).evict(pods(5), 0)
  expect(evicted).toEqual(['p0', 'p1'])
  evicted = []
  await killer({ share: 1 }).evict(pods(5), 0)
  expect(evicted).toEqual(['p0'])
})

test('evictions are repeated after each pause', async () => {
  const { evict } = killer({ every: 10_000 })
  for (let now = 0; now <= 25_000; now += 1_000) await evict(pods(3, evicted.length), now)
  expect(evicted).toEqual(['p0', 'p1', 'p2'])
})

test('pods that are not back yet count as affected', async () => {
  const { evict } = killer({ every: 10_000, count: 2 })
  await evict(pods(4), 0)
  expect(evicted).toHaveLength(2)
  expect(await evict(pods(2, 2), 10_000)).toEqual([])
  expect(await evict(pods(3, 2), 11_000)).toHaveLength(1)
})

test('a refusal is noted once, and tried again', async () => {
  forbids = true
  const { evict } = killer()
  await evict(pods(2), 0)
  await evict(pods(2), 1_000)
  expect(notes).toHaveLength(1)
  forbids = false
  expect(await evict(pods(2), 2_000)).toEqual(['p0'])
})

test('an eviction that fails after another one is repeated, and no other one', async () => {
  let calls = 0
  const failing = clusterWith({
    evict: () => (++calls === 2 ? Promise.reject(new ApiError(500, 'away')) : Promise.resolve(true)),
  })
  const settings = { workload: { kind: 'Deployment', name: 'p' }, count: 2 } as const
  const { evict } = createPodKiller(failing, 'shop', settings, 50, (line) => notes.push(line))
  expect(await evict(pods(4), 0)).toEqual(['p0'])
  expect(notes).toContain('the pod p1 could not be evicted: away')
  expect(await evict(pods(4), 20_000)).toEqual(['p1'])
  expect(await evict(pods(4), 21_000)).toEqual([])
})

test('it is the fault that is asked for only when a budget lets the last of the pods go', async () => {
  const { evict, isComplete } = killer({ count: 2 }, 100)
  const states: boolean[] = []
  for (let now = 0; now < 5_000; now += 1_000) {
    forbids = now > 0 && now < 3_000
    await evict(pods(evicted.length === 0 ? 1 : 4), now)
    states.push(isComplete())
  }
  expect(states).toEqual([false, false, false, true, true])
  expect(evicted).toEqual(['p0', 'p1'])
})

test('a pod that a late watch still shows as ready is not evicted again', async () => {
  const { evict } = killer({ every: 1_000 })
  for (let now = 0; now < 3_000; now += 1_000) await evict(pods(4), now)
  expect(evicted).toEqual(['p0', 'p1'])
})
