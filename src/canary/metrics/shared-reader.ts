// One reading of the sidecars for all promotions of a run: they sample at the same moment, and each asks for the callers of
// its namespace, which are the same pods.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { MetricNames, Reading } from '../../envoy/counters.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { sidecarReader } from './sidecars.ts'

/** Canaries, stable pods and callers. */
const kinds = 3

/** `beginWave`: the promotions before have ended, and share the rate of requests with nobody. */
export type SidecarReaders = ((metrics: MetricNames) => CounterReader) & { beginWave: () => void }

/**
 * Makes a reader for each promotion of a run; those with the same names of metrics share one. `longestMs`: how long one reading
 * may take.
 */
export function sharedSidecarReaders(
  cluster: Cluster,
  longestMs: number,
  note: (line: string) => void,
): SidecarReaders {
  const { requestsPerSecond = Infinity } = cluster
  const shared = new Map<string, CounterReader>()
  let promotions = 0
  const mostOfEachKind = () => {
    const inTime = Math.floor((requestsPerSecond * longestMs) / 1_000 / kinds / promotions)
    return Math.max(1, Math.min(inTime, requestsPerSecond))
  }
  const readerFor = (metrics: MetricNames): CounterReader => {
    const key = JSON.stringify(metrics)
    const read = shared.get(key) ?? sharedReader(sidecarReader(cluster, metrics, { longestMs, note }))
    shared.set(key, read)
    promotions++
    return Object.assign((...asked: Parameters<CounterReader>) => read(...asked), { mostOfEachKind })
  }
  return Object.assign(readerFor, { beginWave: () => void (promotions = 0) })
}

/** `asks`: the pods of each promotion, its canaries first. */
type Batch = { asks: Pod[][]; answers: Promise<Map<string, Reading>> }

/** What is asked for at the same moment becomes one reading, in which each pod is read once. */
export function sharedReader(read: CounterReader): CounterReader {
  /** The pods whose durations any of the promotions needs. */
  const withDurations = new Set<string>()
  let next: Batch | undefined
  let firstAsk = 0

  function openBatch(): Batch {
    const asks: Pod[][] = []
    const answers = new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      next = undefined
      const first = firstAsk % asks.length
      const readings = await read(mixed([...asks.slice(first), ...asks.slice(0, first)]), (pod) =>
        withDurations.has(podId(pod)),
      )
      // Where the time is too short for all, the next reading begins with those that this one has not reached.
      const reached = asks.filter(([pod]) => pod && readings.has(podId(pod))).length
      if (asks.length > 1) firstAsk = first + Math.max(1, reached)
      return readings
    })
    return { asks, answers }
  }

  return async (pods, needsDurations = () => true) => {
    next ??= openBatch()
    const batch = next
    batch.asks.push(pods)
    pods.filter(needsDurations).forEach((pod) => withDurations.add(podId(pod)))
    const answers = await batch.answers
    return new Map(pods.map(podId).flatMap((id) => (answers.has(id) ? [[id, answers.get(id)!]] : [])))
  }
}

/** The first pod of each, then the second of each and so on, each pod once. */
function mixed(asks: Pod[][]): Pod[] {
  const longest = Math.max(0, ...asks.map((pods) => pods.length))
  const inTurn = Array.from({ length: longest }, (_, i) => asks.flatMap((pods) => pods[i] ?? [])).flat()
  return [...new Map(inTurn.map((pod) => [podId(pod), pod])).values()]
}
