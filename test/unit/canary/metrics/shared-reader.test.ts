import { expect, test } from 'vitest'
import type { CounterReader } from '../../../../src/canary/metrics/counter-reader.ts'
import { sharedReader, sharedSidecarReaders } from '../../../../src/canary/metrics/shared-reader.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { clusterWith, pod } from '../../fixtures.ts'

const named = (name: string) => pod({ metadata: { name, uid: name } })
const [a, b, c] = [named('a'), named('b'), named('c')]
const reading = new Map([['istio_requests_total{a="b"}', 1]])

/** Records what it is asked to read: the pods, and those with durations. */
function recorder(
  answer: CounterReader = (pods) => Promise.resolve(new Map(pods.map(({ metadata }) => [metadata.name, reading]))),
) {
  const reads: { pods: string[]; withDurations: string[] }[] = []
  const read: CounterReader = (pods, needsDurations = () => true) => {
    const names = (some: readonly Pod[]) => some.map(({ metadata }) => metadata.name)
    reads.push({ pods: names(pods), withDurations: names(pods.filter(needsDurations)) })
    return answer(pods, needsDurations)
  }
  return { read: sharedReader(read), reads }
}

test('promotions that sample at the same moment read each pod once, and each gets the pods that it asked for', async () => {
  const { read, reads } = recorder()
  const answers = await Promise.all([read([a, b], (each) => each === a), read([b, c], (each) => each === c)])
  expect(reads).toEqual([{ pods: ['a', 'b', 'c'], withDurations: ['a', 'c'] }])
  expect(answers.map((each) => [...each.keys()])).toEqual([
    ['a', 'b'],
    ['b', 'c'],
  ])
})

test('the next sample is a reading of its own, with the durations that any promotion has needed', async () => {
  const { read, reads } = recorder()
  await read([a], () => true)
  await read([a], () => false)
  expect(reads).toEqual([
    { pods: ['a'], withDurations: ['a'] },
    { pods: ['a'], withDurations: ['a'] },
  ])
})

test('a pod that does not answer is missing', async () => {
  const { read } = recorder(() => Promise.resolve(new Map([['a', reading]])))
  expect([...(await read([a, b])).keys()]).toEqual(['a'])
})

test('all that asked hear of a missing right, and can ask again', async () => {
  let refuses = true
  const { read } = recorder(() => (refuses ? Promise.reject(new Error('forbidden')) : Promise.resolve(new Map())))
  await Promise.all([read([a]), read([b])].map((each) => expect(each).rejects.toThrow('forbidden')))
  refuses = false
  expect((await read([a])).size).toBe(0)
})

test('a reading that has no time for all reads the canaries first, and the next one begins where it ended', async () => {
  const { read, reads } = recorder((pods) =>
    Promise.resolve(new Map(pods.slice(0, 2).map(({ metadata }) => [metadata.name, reading]))),
  )
  const services = ['a', 'b', 'c'].map((name) => [named(`${name}-canary`), named(`${name}-stable`)])
  const canariesRead = async () => {
    const answers = await Promise.all(services.map((pods) => read(pods)))
    return answers.flatMap((each) => [...each.keys()])
  }
  expect(await canariesRead()).toEqual(['a-canary', 'b-canary'])
  expect(await canariesRead()).toEqual(['a-canary', 'c-canary'])
  expect(await canariesRead()).toEqual(['b-canary', 'c-canary'])
  expect(reads[1]!.pods).toEqual(['c-canary', 'a-canary', 'b-canary', 'c-stable', 'a-stable', 'b-stable'])
})

const metrics = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }

test('the promotions of a wave divide what the rate of requests allows, and the next wave counts anew', async () => {
  const cluster = Object.assign(clusterWith({ pod: () => Promise.resolve('') }), { requestsPerSecond: 20 })
  const readers = sharedSidecarReaders(cluster, 10_000, () => undefined)
  const start = async () => {
    const reader = readers(metrics)
    await reader([a])
    return reader
  }
  const first = await start()
  expect(first.mostOfEachKind!()).toBe(20)
  const wave = [first]
  for (let i = 1; i < 30; i++) wave.push(await start())
  expect(first.mostOfEachKind!()).toBe(2)
  await Promise.all(wave.map((reader) => reader([b])))
  // A rollout of an engine may begin late, beside all that run.
  expect((await start()).mostOfEachKind!()).toBe(2)
  readers.beginWave()
  const next = await start()
  expect(next.mostOfEachKind!()).toBe(20)
})
