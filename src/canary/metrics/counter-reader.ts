// How a promotion reads counters, whatever the source is: the sidecars themselves, or Prometheus.
import type { Pod } from '../../cluster/objects.ts'
import type { Reading } from '../../envoy/counters.ts'

/**
 * Reads the counters of these pods. The key is the pod's id; a pod that does not answer is missing. `needsDurations`: false
 * for a pod whose durations nobody needs, which are most of what a sidecar sends.
 * Rejects when no counters can be read at all. `mostOfEachKind`: how many pods of each kind a sample may ask for, where others
 * share the reader and the rate of requests.
 */
export type CounterReader = {
  (pods: Pod[], needsDurations?: (pod: Pod) => boolean): Promise<Map<string, Reading>>
  mostOfEachKind?: () => number
}

/** Tells a pod from its replacement of the same name. */
export function podId({ metadata }: Pod): string {
  return metadata.uid ?? metadata.name
}
