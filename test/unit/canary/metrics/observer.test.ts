// Readings are made up here, look by look; that real sidecars answer so is for the end-to-end tests.
import { expect, test } from 'vitest'
import type { Reading } from '../../../../src/canary/metrics/counters.ts'
import { createObserver, type Sample, type Observer } from '../../../../src/canary/metrics/observer.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { clusterWith, container, live, planOf, pod } from '../../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const of = (version: string, name: string, more: Partial<Pod['metadata']> = {}, status?: Pod['status']) =>
  pod({ metadata: { name, uid: name, labels: { version }, ...more }, status })
const client = (name: string) => pod({ metadata: { name, uid: name, labels: { app: name } } })

const served = (count: number, more = '') => ({
  [`istio_requests_total{reporter="destination",response_code="200"${more}}`]: count,
})
const called = (count: number, code = '200', flags = '-', version = 'v2') => ({
  [`istio_requests_total{reporter="source",destination_service="${host}",destination_version="${version}",response_code="${code}",response_flags="${flags}"}`]:
    count,
})

/** Pods and their counters, to be changed between looks; `asked` are the pods of the last look. */
class Mesh {
  pods: Pod[] = []
  counters: Record<string, Record<string, number>> = {}
  isFresh = true
  asked: string[] = []
  notes: string[] = []

  observe(plan = '', groups = { stable: { version: 'v1' }, canary: { version: 'v2' } }): Promise<Observer> {
    const read = (pods: Pod[]): Promise<Map<string, Reading>> => {
      this.asked = pods.map(({ metadata }) => metadata.name)
      return Promise.resolve(
        new Map(
          this.asked.flatMap((name) =>
            this.counters[name] ? [[name, new Map(Object.entries(this.counters[name]))]] : [],
          ),
        ),
      )
    }
    const pods = [
      live(
        () => this.pods,
        () => this.isFresh,
      ),
    ]
    return createObserver(
      clusterWith({}),
      pods,
      { namespace: 'shop', host, ...groups, plan: planOf(plan) },
      (line) => this.notes.push(line),
      read,
    )
  }
}

function mesh(pods: Pod[], counters: Mesh['counters']): Mesh {
  return Object.assign(new Mesh(), { pods, counters })
}

const counts = ({ evidence: { canary, stable, users } }: Sample) => ({
  canary: [canary.requests, canary.failures],
  stable: [stable.requests, stable.failures],
  users: [users.requests, users.failures],
})

test('what each version served since the last look is added up over its pods, and what they served before is the baseline', async () => {
  const world = mesh([of('v1', 'a'), of('v1', 'b'), of('v2', 'c'), of('v3', 'd'), client('e')], {
    a: served(100),
    b: served(50),
    c: served(7),
    d: served(9),
    e: called(40),
  })
  const { sample, baseline } = await world.observe()
  expect(baseline.requests).toBe(150)
  world.counters = {
    a: served(110),
    b: served(55),
    c: served(10),
    d: served(99),
    e: { ...called(58), ...called(3, '503') },
  }
  const seen = await sample()
  expect(counts(seen)).toEqual({ canary: [3, 0], stable: [15, 0], users: [21, 3] })
  expect(seen.evidence).toMatchObject({ ready: true, complete: true })
  expect(counts(await sample())).toEqual({ canary: [0, 0], stable: [0, 0], users: [0, 0] })
})

test('a pod that comes later counts from zero, one that only answers later from its first answer', async () => {
  const world = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(100) })
  const { sample } = await world.observe()
  world.counters = { a: served(100), b: served(70), c: served(5) }
  world.pods = [...world.pods, of('v2', 'c')]
  expect(counts(await sample()).canary).toEqual([5, 0])
  world.counters = { ...world.counters, b: served(72) }
  expect(counts(await sample()).canary).toEqual([2, 0])
})

test('a pod that was not running at the start counts from zero', async () => {
  const world = mesh([of('v2', 'b', {}, { phase: 'Pending', conditions: [] })], {})
  const { sample } = await world.observe()
  world.pods = [of('v2', 'b')]
  world.counters = { b: served(5) }
  expect(counts(await sample()).canary).toEqual([5, 0])
})

test('what a pod served while it did not answer is not lost', async () => {
  const world = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(1), b: served(1) })
  const { sample } = await world.observe()
  world.counters = { a: served(1) }
  expect((await sample()).evidence).toMatchObject({ complete: false, canary: { requests: 0 } })
  world.counters = { a: served(1), b: served(31) }
  expect((await sample()).evidence).toMatchObject({ complete: true, canary: { requests: 30 } })
})

test.each<[string, Pod]>([
  ['is ending', of('v2', 'b', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
  ['is pending', of('v2', 'b', {}, { phase: 'Pending', conditions: [] })],
  ['failed', of('v2', 'b', {}, { phase: 'Failed', conditions: [] })],
  ['is done', of('v2', 'b', {}, { phase: 'Succeeded', conditions: [] })],
  ['has no sidecar', { ...of('v2', 'b'), spec: { containers: [{ name: 'app' }] } }],
])('a pod that %s is not asked', async (_, other) => {
  const world = mesh([of('v2', 'a'), other], { a: served(0) })
  const { sample } = await world.observe()
  expect((await sample()).evidence.complete).toBe(true)
  expect(world.asked).toEqual(['a'])
})

test.each<[string, Partial<Mesh>, boolean]>([
  ['a stable pod does not answer', { counters: { b: served(0) } }, true],
  ['a canary pod does not answer', { counters: { a: served(0) } }, false],
  ['there is no canary pod', { pods: [of('v1', 'a')] }, false],
  ['the API server cannot be read', { isFresh: false }, false],
])('when %s, the look is complete: %s', async (_, change, complete) => {
  const world = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(0), b: served(0) })
  const { sample } = await world.observe()
  Object.assign(world, change)
  expect((await sample()).evidence.complete).toBe(complete)
})

test("a pod of the same labels in a client's namespace is a client", async () => {
  const world = mesh([of('v2', 'a'), of('v2', 'b', { namespace: 'other' })], { a: served(1), b: served(1) })
  const { sample, canaries } = await world.observe()
  world.counters = { a: served(2), b: { ...served(5), ...called(4) } }
  expect(counts(await sample())).toMatchObject({ canary: [1, 0], users: [4, 0] })
  expect(canaries().map(({ metadata }) => metadata.name)).toEqual(['a'])
})

test("a canary's pod that crashes is a fault, one of stable is not", async () => {
  const crashing = {
    phase: 'Running',
    containerStatuses: [container('app', { ready: false, state: { waiting: { reason: 'CrashLoopBackOff' } } })],
  }
  const faultOf = async (pods: Pod[]) => (await (await mesh(pods, {}).observe()).sample()).evidence.fault
  expect(await faultOf([of('v2', 'a', {}, crashing)])).toBe('container app of a crashes in a loop')
  expect(await faultOf([of('v1', 'a', {}, crashing), of('v2', 'b')])).toBeUndefined()
})

test('requests that never got to the canary count against it, those cut off once', async () => {
  const world = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), b: served(0), c: called(0) })
  const { sample } = await world.observe()
  const cut = { 'istio_requests_total{reporter="destination",response_code="0",response_flags="DC"}': 2 }
  world.counters = {
    a: served(10),
    b: { ...served(10), ...cut },
    c: { ...called(10, '200', '-', 'v1'), ...called(10), ...called(3, '503', 'UF,URX'), ...called(2, '504', 'UT') },
  }
  expect(counts(await sample())).toEqual({ canary: [15, 5], stable: [10, 0], users: [25, 5] })
})

test('also when no sidecar of the canary answers', async () => {
  const world = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), c: called(0) })
  const { sample } = await world.observe()
  world.counters = { a: served(0), c: { ...called(0), ...called(3, '503', 'UF') } }
  expect((await sample()).evidence).toMatchObject({ complete: false, canary: { requests: 3, failures: 3 } })
})

test('by the name of the workload, where the versions have no label to tell them apart', async () => {
  const owned = (name: string, workload: string, color: string) =>
    of('', name, {
      labels: { color, 'pod-template-hash': '5d9f' },
      ownerReferences: [{ kind: 'ReplicaSet', name: `${workload}-5d9f`, uid: 'r', controller: true }],
    })
  const world = mesh([owned('a', 'backend', 'blue'), owned('b', 'backend-next', 'green'), client('c')], {
    a: served(0),
    b: served(0),
    c: {},
  })
  const { sample } = await world.observe('', { stable: { color: 'blue' }, canary: { color: 'green' } } as never)
  const refused = (workload: string) =>
    `istio_requests_total{reporter="source",destination_service="${host}",destination_workload="${workload}",destination_version="latest",response_code="503",response_flags="UF"}`
  world.counters = { ...world.counters, c: { [refused('backend-next')]: 3, [refused('backend')]: 1 } }
  expect(counts(await sample())).toMatchObject({ canary: [3, 3], stable: [1, 1] })
})

test('a client that never called the service is asked seldom, and nothing of what it calls then is lost', async () => {
  const world = mesh([of('v2', 'a'), client('busy'), client('idle')], {
    a: served(0),
    busy: called(5),
    idle: served(1000),
  })
  const { sample } = await world.observe()
  await sample()
  let users = 0
  const asked: string[] = []
  world.counters = { ...world.counters, idle: called(4) }
  for (let looks = 0; looks < 10; looks++) {
    users += (await sample()).evidence.users.requests
    asked.push(...world.asked)
  }
  expect(asked.filter((name) => name === 'busy')).toHaveLength(10)
  expect(asked.filter((name) => name === 'idle').length).toBeLessThanOrEqual(2)
  expect(users).toBe(4)
})

test('of more pods than may be asked always the same, and it is said once', async () => {
  const pods = Array.from({ length: 5 }, (_, index) => of('v1', `s${index}`))
  const world = mesh(
    [...pods, of('v2', 'c')],
    Object.fromEntries(['s0', 's1', 's2', 's3', 's4', 'c'].map((name) => [name, served(10)])),
  )
  const { sample } = await world.observe('maxPods: 2')
  expect(world.asked).toEqual(['c', 's0', 's1'])
  // One of the sample goes; the one in its place served before it was looked at.
  world.pods = [...pods.slice(1), of('v2', 'c')]
  expect(counts(await sample()).stable).toEqual([0, 0])
  expect(world.asked).toEqual(['c', 's1', 's2'])
  world.counters = { ...world.counters, s2: served(13) }
  expect(counts(await sample()).stable).toEqual([3, 0])
  expect(world.notes).toEqual(['5 pods of stable: the sidecars of 2 of them are asked (`maxPods`)'])
})
