// One reading of the sidecars for all promotions of a run: they sample at the same moment, and each asks for the callers of
// its namespace, which are the same pods.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { MetricNames, Reading } from '../../metrics/counters.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { sidecarReader } from './sidecars.ts'

/** The readers of one run, by the names of the metrics. `longestMs`: how long one reading may take. */
export function sharedSidecarReaders(cluster: Cluster, longestMs?: number): (metrics: MetricNames) => CounterReader {
  const readers = new Map<string, CounterReader>()
  return (metrics) => {
    const key = JSON.stringify(metrics)
    const limit = longestMs === undefined ? {} : { longestMs }
    const reader = readers.get(key) ?? sharedReader(sidecarReader(cluster, metrics, limit))
    readers.set(key, reader)
    return reader
  }
}

type Batch = { pods: Map<string, Pod>; answers: Promise<Map<string, Reading>> }

/** What is asked for at the same moment becomes one reading, in which each pod is read once. */
export function sharedReader(read: CounterReader): CounterReader {
  /** The pods whose durations any of the promotions needs. */
  const withDurations = new Set<string>()
  let next: Batch | undefined

  function openBatch(): Batch {
    const pods = new Map<string, Pod>()
    const answers = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      next = undefined
      return read([...pods.values()], (pod) => withDurations.has(podId(pod)))
    })
    return { pods, answers }
  }

  return async (pods, needsDurations = () => true) => {
    next ??= openBatch()
    const batch = next
    for (const pod of pods) {
      batch.pods.set(podId(pod), pod)
      if (needsDurations(pod)) withDurations.add(podId(pod))
    }
    const answers = await batch.answers
    return new Map(pods.map(podId).flatMap((id) => (answers.has(id) ? [[id, answers.get(id)!]] : [])))
  }
}
