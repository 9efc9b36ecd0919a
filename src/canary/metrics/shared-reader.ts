// One reading of the sidecars for all promotions of a run: they sample at the same moment, and each asks for the callers of
// its namespace, which are the same pods.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { MetricNames, Reading } from '../../envoy/counters.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { sidecarReader } from './sidecars.ts'

/** Canaries, stable pods and callers. */
const kinds = 3

/**
 * Makes a reader for each promotion of a run; those with the same names of metrics share one. `longestMs`: how long one reading
 * may take.
 */
export function sharedSidecarReaders(
  cluster: Cluster,
  longestMs: number,
  note: (line: string) => void,
): (metrics: MetricNames) => CounterReader {
  const { requestsPerSecond = Infinity } = cluster
  const shared = new Map<string, CounterReader>()
  const promotions = new WaveCount()
  const mostOfEachKind = () => {
    const inTime = Math.floor((requestsPerSecond * longestMs) / 1_000 / kinds / promotions.count)
    return Math.max(1, Math.min(inTime, requestsPerSecond))
  }
  return (metrics) => {
    const key = JSON.stringify(metrics)
    const read = shared.get(key) ?? sharedReader(sidecarReader(cluster, metrics, { longestMs, note }))
    shared.set(key, read)
    const countReading = promotions.add()
    const mine: CounterReader = (pods, needsDurations) => {
      countReading()
      return read(pods, needsDurations)
    }
    return Object.assign(mine, { mostOfEachKind })
  }
}

/** Counts the promotions of a wave: they start one after the other, and sample together only when the last one has started. */
class WaveCount {
  count = 0
  private isComplete = false

  /** Returns what to call before each reading; the first one is still part of the start. */
  add(): () => void {
    if (this.isComplete) this.count = 0
    this.isComplete = false
    this.count++
    let hasStarted = false
    return () => {
      this.isComplete ||= hasStarted
      hasStarted = true
    }
  }
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
