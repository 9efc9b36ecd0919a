// The tests make up the readings of each sample. The end-to-end tests show that real sidecars answer like this.
import { expect, test } from 'vitest'
import { createObserver, type Observer, type Sample } from '../../../../src/canary/metrics/observer.ts'
import type { Cluster } from '../../../../src/cluster/client.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import type { Reading } from '../../../../src/envoy/counters.ts'
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

/** Pods and their counters, which a test changes between samples. `sampledPods`: the pods that the last sample read. */
class FakeMesh {
  limits: Pick<Cluster, 'requestsPerSecond'> = {}
  pods: Pod[] = []
  counters: Record<string, Record<string, number>> = {}
  isFresh = true
  sampledPods: string[] = []
  notes: string[] = []
  warnings: string[] = []
  mostOfEachKind: () => number = () => Infinity

  observe(plan = '', selectors = { stable: { version: 'v1' }, canary: { version: 'v2' } }): Promise<Observer> {
    const read = (pods: Pod[]): Promise<Map<string, Reading>> => {
      this.sampledPods = pods.map(({ metadata }) => metadata.name)
      return Promise.resolve(
        new Map(
          this.sampledPods.flatMap((name) =>
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
      Object.assign(clusterWith({}), this.limits),
      pods,
      { namespace: 'shop', host, ...selectors, plan: planOf(plan), warn: (line) => this.warnings.push(line) },
      (line) => this.notes.push(line),
      this.limits.requestsPerSecond === undefined ? Object.assign(read, { mostOfEachKind: this.mostOfEachKind }) : read,
    )
  }
}

function mesh(pods: Pod[], counters: FakeMesh['counters']): FakeMesh {
  return Object.assign(new FakeMesh(), { pods, counters })
}

const counts = ({ observed: { canary, stable, users } }: Sample) => ({
  canary: [canary.requests, canary.failures],
  stable: [stable.requests, stable.failures],
  users: [users.requests, users.failures],
})

test('the observer adds up what each version served since the last sample, and uses what stable served before as the baseline', async () => {
  const fake = mesh([of('v1', 'a'), of('v1', 'b'), of('v2', 'c'), of('v3', 'd'), client('e')], {
    a: served(100),
    b: served(50),
    c: served(7),
    d: served(9),
    e: called(40),
  })
  const observer = await fake.observe()
  expect(observer.baseline.requests).toBe(150)
  fake.counters = {
    a: served(110),
    b: served(55),
    c: served(10),
    d: served(99),
    e: { ...called(58), ...called(3, '503') },
  }
  const first = await observer.sample()
  expect(counts(first)).toEqual({ canary: [3, 0], stable: [15, 0], users: [21, 3] })
  expect(first.observed).toMatchObject({ ready: true, complete: true })
  expect(counts(await observer.sample())).toEqual({ canary: [0, 0], stable: [0, 0], users: [0, 0] })
})

test('the observer counts a new pod from zero, and a pod that answers late from its first answer', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(100) })
  const observer = await fake.observe()
  fake.counters = { a: served(100), b: served(70), c: served(5) }
  fake.pods = [...fake.pods, of('v2', 'c')]
  expect(counts(await observer.sample()).canary).toEqual([5, 0])
  fake.counters = { ...fake.counters, b: served(72) }
  expect(counts(await observer.sample()).canary).toEqual([2, 0])
})

test('the observer counts a pod that started after the first sample from zero', async () => {
  const fake = mesh([of('v2', 'b', {}, { phase: 'Pending', conditions: [] })], {})
  const observer = await fake.observe()
  fake.pods = [of('v2', 'b')]
  fake.counters = { b: served(5) }
  expect(counts(await observer.sample()).canary).toEqual([5, 0])
})

test('the observer counts what a pod served while it did not answer', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(1), b: served(1) })
  const observer = await fake.observe()
  fake.counters = { a: served(1) }
  expect((await observer.sample()).observed).toMatchObject({ complete: false, canary: { requests: 0 } })
  fake.counters = { a: served(1), b: served(31) }
  expect((await observer.sample()).observed).toMatchObject({ complete: true, canary: { requests: 30 } })
})

test.each<[string, Pod]>([
  ['is ending', of('v2', 'b', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
  ['is pending', of('v2', 'b', {}, { phase: 'Pending', conditions: [] })],
  ['failed', of('v2', 'b', {}, { phase: 'Failed', conditions: [] })],
  ['has completed', of('v2', 'b', {}, { phase: 'Succeeded', conditions: [] })],
  ['has no sidecar', { ...of('v2', 'b'), spec: { containers: [{ name: 'app' }] } }],
])('the observer does not read a pod that %s', async (_, other) => {
  const fake = mesh([of('v2', 'a'), other], { a: served(0) })
  const observer = await fake.observe()
  expect((await observer.sample()).observed.complete).toBe(true)
  expect(fake.sampledPods).toEqual(['a'])
})

test.each<[string, Partial<FakeMesh>, boolean]>([
  ['a stable pod does not answer', { counters: { b: served(0) } }, true],
  ['a canary pod does not answer', { counters: { a: served(0) } }, false],
  ['there is no canary pod', { pods: [of('v1', 'a')] }, false],
  ['the API server cannot be read', { isFresh: false }, false],
])('when %s, the completeness of the sample is %s', async (_, change, complete) => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(0), b: served(0) })
  const observer = await fake.observe()
  Object.assign(fake, change)
  expect((await observer.sample()).observed.complete).toBe(complete)
})

test("the observer treats a pod with the same labels in a client's namespace as a client", async () => {
  const fake = mesh([of('v2', 'a'), of('v2', 'b', { namespace: 'other' })], { a: served(1), b: served(1) })
  const observer = await fake.observe()
  fake.counters = { a: served(2), b: { ...served(5), ...called(4) } }
  expect(counts(await observer.sample())).toMatchObject({ canary: [1, 0], users: [4, 0] })
  expect(observer.canaries().map(({ metadata }) => metadata.name)).toEqual(['a'])
})

test('the observer reports a crashing pod of the canary as a fault, but not one of stable', async () => {
  const crashing = {
    phase: 'Running',
    containerStatuses: [container('app', { ready: false, state: { waiting: { reason: 'CrashLoopBackOff' } } })],
  }
  const faultOf = async (pods: Pod[]) => (await (await mesh(pods, {}).observe()).sample()).observed.fault
  expect(await faultOf([of('v2', 'a', {}, crashing)])).toBe('container app of a crashes in a loop')
  expect(await faultOf([of('v1', 'a', {}, crashing), of('v2', 'b')])).toBeUndefined()
})

test('the observer counts requests that never reached the canary as its failures, and interrupted requests only once', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), b: served(0), c: called(0) })
  const observer = await fake.observe()
  const cut = { 'istio_requests_total{reporter="destination",response_code="0",response_flags="DC"}': 2 }
  fake.counters = {
    a: served(10),
    b: { ...served(10), ...cut },
    c: { ...called(10, '200', '-', 'v1'), ...called(10), ...called(3, '503', 'UF,URX'), ...called(2, '504', 'UT') },
  }
  expect(counts(await observer.sample())).toEqual({ canary: [15, 5], stable: [10, 0], users: [25, 5] })
})

test('the observer counts requests that never reached the canary also when no sidecar of the canary answers', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), c: called(0) })
  const observer = await fake.observe()
  fake.counters = { a: served(0), c: { ...called(0), ...called(3, '503', 'UF') } }
  expect((await observer.sample()).observed).toMatchObject({ complete: false, canary: { requests: 3, failures: 3 } })
})

test('the observer attributes such requests by workload name when no label distinguishes the versions', async () => {
  const owned = (name: string, workload: string, color: string) =>
    of('', name, {
      labels: { color, 'pod-template-hash': '5d9f' },
      ownerReferences: [{ kind: 'ReplicaSet', name: `${workload}-5d9f`, uid: 'r', controller: true }],
    })
  const fake = mesh([owned('a', 'backend', 'blue'), owned('b', 'backend-next', 'green'), client('c')], {
    a: served(0),
    b: served(0),
    c: {},
  })
  const observer = await fake.observe('', { stable: { color: 'blue' }, canary: { color: 'green' } } as never)
  const rejectedCalls = (workload: string) =>
    `istio_requests_total{reporter="source",destination_service="${host}",destination_workload="${workload}",destination_version="latest",response_code="503",response_flags="UF"}`
  fake.counters = { ...fake.counters, c: { [rejectedCalls('backend-next')]: 3, [rejectedCalls('backend')]: 1 } }
  expect(counts(await observer.sample())).toMatchObject({ canary: [3, 3], stable: [1, 1] })
})

test('the observer says that a caller does not answer, and reads it again in the next sample', async () => {
  const counters = { a: served(0), gateway: called(5) }
  const fake = mesh([of('v2', 'a'), client('gateway'), client('new')], counters)
  const observer = await fake.observe()
  const readAndSilent = async () => {
    const { observed } = await observer.sample()
    return [fake.sampledPods.includes('gateway'), observed.callersSilent ?? false]
  }
  expect(await readAndSilent()).toEqual([true, false])
  fake.counters = { a: served(0) }
  expect([await readAndSilent(), await readAndSilent()]).toEqual([
    [true, true],
    [true, true],
  ])
  // It would delay every sample.
  fake.counters = counters
  for (let i = 0; i < 9; i++) expect(await readAndSilent()).toEqual([false, true])
  expect(await readAndSilent()).toEqual([true, false])
})

test('the observer reads a client that never called the service ever less often, and counts all its later calls', async () => {
  const counters = { a: served(0), busy: called(5), idle: served(1000) }
  const fake = mesh([of('v2', 'a'), client('busy'), client('idle')], counters)
  const observer = await fake.observe()
  const readOf = async () => {
    const { users } = (await observer.sample()).observed
    return { users: users.requests, idle: fake.sampledPods.includes('idle'), busy: fake.sampledPods.includes('busy') }
  }
  const before = []
  for (let i = 0; i < 36; i++) before.push(await readOf())
  expect(before.every(({ busy }) => busy)).toBe(true)
  expect(before.flatMap(({ idle }, i) => (idle ? [i] : []))).toEqual([0, 2, 5, 10, 19, 29])
  fake.counters = { ...counters, idle: called(4) }
  const after = []
  for (let i = 0; i < 10; i++) after.push(await readOf())
  expect(after.reduce((sum, { users }) => sum + users, 0)).toBe(4)
})

test('the observer always reads the same pods when there are more than maxPods, and reports that once', async () => {
  const pods = Array.from({ length: 5 }, (_, index) => of('v1', `s${index}`))
  const fake = mesh(
    [...pods, of('v2', 'c')],
    Object.fromEntries(['s0', 's1', 's2', 's3', 's4', 'c'].map((name) => [name, served(10)])),
  )
  const observer = await fake.observe('maxPods: 2')
  expect(fake.sampledPods).toEqual(['c', 's0', 's1'])
  // One of the chosen pods is deleted. Its replacement served requests before the first reading.
  fake.pods = [...pods.slice(1), of('v2', 'c')]
  expect(counts(await observer.sample()).stable).toEqual([0, 0])
  expect(fake.sampledPods).toEqual(['c', 's1', 's2'])
  fake.counters = { ...fake.counters, s2: served(13) }
  expect(counts(await observer.sample()).stable).toEqual([3, 0])
  expect(fake.notes).toEqual(['there are 4 stable pods: only the sidecars of 2 of them are read (`maxPods`)'])
})

test('the observer reads no more pods of a kind than requests that it may send in a second', async () => {
  const pods = Array.from({ length: 5 }, (_, index) => of('v1', `s${index}`))
  const fake = mesh([...pods, of('v2', 'c')], { c: served(10), s0: served(10), s1: served(10), s2: served(10) })
  fake.limits = { requestsPerSecond: 3 }
  const observer = await fake.observe('maxPods: 4')
  await observer.sample()
  expect(fake.sampledPods).toEqual(['c', 's0', 's1', 's2'])
  expect(fake.notes.join()).toContain('only the sidecars of 3 of them are read (`limits.requestsPerSecond`)')
})

test('the observer reads fewer pods when other promotions share the rate of requests, and never more again', async () => {
  const fake = mesh([of('v1', 's0'), of('v1', 's1'), of('v2', 'c')], { c: served(1), s0: served(1), s1: served(1) })
  let most = 2
  fake.mostOfEachKind = () => most
  const observer = await fake.observe()
  const read = []
  for (most of [1, 2]) {
    await observer.sample()
    read.push(fake.sampledPods)
  }
  expect(read).toEqual([
    ['c', 's0'],
    ['c', 's0'],
  ])
})

test('the observer counts a pod that made room for another from its next reading on', async () => {
  const fake = mesh(
    ['a', 'b', 'c'].map((name) => of('v2', name)),
    { a: served(0), b: served(0), c: served(0) },
  )
  let most = 3
  fake.mostOfEachKind = () => most
  const observer = await fake.observe()
  most = 2
  await observer.sample()
  fake.counters = { ...fake.counters, c: served(9_000) }
  await observer.sample()
  fake.pods = fake.pods.slice(1)
  expect(counts(await observer.sample()).canary).toEqual([0, 0])
  fake.counters = { ...fake.counters, c: served(9_010) }
  expect(counts(await observer.sample()).canary).toEqual([10, 0])
})

test('a caller that made room for another is not silent', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b'), ...['x', 'y', 'z'].map(client)], {})
  const serveTo = (count: number) => {
    const [own, calls] = [served(count), called(count)]
    fake.counters = { a: own, b: own, x: calls, y: calls, z: calls }
  }
  serveTo(0)
  const observer = await fake.observe('maxPods: 2')
  const all = fake.pods
  const isSilent = async (count: number, pods: Pod[]) => {
    serveTo(count)
    fake.pods = pods
    return [(await observer.sample()).observed.callersSilent ?? false, fake.sampledPods.slice(2)]
  }
  expect(await isSilent(10, all)).toEqual([false, ['x', 'y']])
  expect(await isSilent(20, all.toSpliced(2, 1))).toEqual([false, ['y', 'z']])
  expect(await isSilent(30, all)).toEqual([false, ['x', 'y']])
})

test('the observer finds the callers among more clients than maxPods', async () => {
  const names = Array.from({ length: 7 }, (_, index) => `idle${index}`)
  const silent: FakeMesh['counters'] = Object.fromEntries(names.map((name) => [name, {}]))
  const pods = [of('v1', 'a'), of('v2', 'b'), ...names.map(client), client('caller')]
  const fake = mesh(pods, { ...silent, a: served(0), b: served(0), caller: called(5) })
  const observer = await fake.observe('maxPods: 2')
  for (let samples = 0; samples < 4; samples++) await observer.sample()
  fake.counters = { ...fake.counters, caller: called(9) }
  expect((await observer.sample()).observed.users.requests).toBe(4)
})

/** Two samples of ten requests to each version. In the second one, a user fails after three tries of a gRPC call. */
async function failedUser(plan: string, { silent = false } = {}): Promise<[requests: number, failures: number]> {
  const fake = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), b: served(0), c: called(0) })
  const observer = await fake.observe(plan)
  const calls = (count: number) => ({ ...called(count, '200', '-', 'v1'), ...called(count) })
  fake.counters = { a: served(10), b: served(10), c: calls(10) }
  await observer.sample()
  const unavailable = (reporter: string) =>
    `istio_requests_total{reporter="${reporter}",destination_service="${host}",destination_version="v2",response_code="200",grpc_response_status="13"}`
  const c = { ...calls(20), [unavailable('source')]: 1 }
  fake.counters = { a: served(20), b: { ...served(20), [unavailable('destination')]: 3 }, ...(silent ? {} : { c }) }
  const { canary } = (await observer.sample()).observed
  return [canary.requests, canary.failures]
}

test('the observer counts what the callers counted once it has seen that they make all calls', async () => {
  expect(await failedUser('')).toEqual([11, 1])
})

test('the observer counts what the versions counted while a caller is silent', async () => {
  expect(await failedUser('', { silent: true })).toEqual([13, 3])
})

test('the observer counts what the versions counted with Prometheus, which scrapes the callers at another time', async () => {
  expect(await failedUser('prometheus: { address: "http://prometheus.test", counters: true }')).toEqual([13, 3])
})

test('the observer shows what reached the canary even if no caller counts it', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b'), client('c')], { a: served(0), b: served(0), c: called(0) })
  const observer = await fake.observe()
  fake.counters = { a: served(50), b: served(0), c: called(50, '200', '-', 'v1') }
  await observer.sample()
  fake.counters = { ...fake.counters, b: served(2) }
  expect(await observer.sample()).toMatchObject({ canaryTries: 2, observed: { canary: { requests: 0 } } })
})

test('the observer says from the first such sample on that a Telemetry hides which requests failed', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(0), b: served(0) })
  const observer = await fake.observe()
  expect((await observer.sample()).observed).not.toHaveProperty('unreadable')
  fake.counters['b'] = { 'istio_requests_total{reporter="destination",response_code="5xx"}': 50 }
  const unreadable =
    'the counters of the sidecars carry response_code "5xx", so they do not tell which requests failed: ' +
    'let the Telemetry keep the tag response_code as Istio sets it, and run again'
  expect((await observer.sample()).observed).toMatchObject({ complete: true, unreadable })
  expect((await observer.sample()).observed).toMatchObject({ unreadable })
  expect(fake.warnings).toEqual([])
})

test('the observer warns once of such a Telemetry where the plan promotes without a count', async () => {
  const fake = mesh([of('v1', 'a'), of('v2', 'b')], { a: served(0), b: served(0) })
  const observer = await fake.observe('checks: { minRequests: 0 }')
  fake.counters['b'] = { 'istio_requests_total{reporter="destination",response_code="5xx"}': 50 }
  expect((await observer.sample()).observed).not.toHaveProperty('unreadable')
  expect((await observer.sample()).observed).not.toHaveProperty('unreadable')
  expect(fake.warnings).toEqual([
    expect.stringMatching(
      /^the counters of the sidecars carry response_code "5xx".*; with `minRequests: 0` this run goes on/,
    ),
  ])
})
