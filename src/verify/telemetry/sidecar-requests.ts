// What the sidecars of a namespace count of requests: the proof compares it with what Prometheus has, and sees by it which
// services a request has called.
import pMap from 'p-map'
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { counterDeltas, labelsOf, parseCounters, type Reading } from '../../metrics/counters.ts'
import { istioMetricNames } from '../proxy-counters.ts'

/** By the name of the pod. A pod whose counters could not be read is absent. */
export type Readings = ReadonlyMap<string, Reading>

/** Istio's request counters, with Istio's own names. */
export async function readRequests(cluster: Cluster, pods: readonly Pod[]): Promise<Readings> {
  const read = async ({ metadata: { namespace = '', name } }: Pod): Promise<[string, Reading][]> => {
    const text = await cluster
      .pod(namespace, name, 15090, '/stats/prometheus?usedonly&filter=istio')
      .catch(() => undefined)
    if (text === undefined) return []
    const counters = parseCounters(text.replaceAll(/^envoy_istio_/gm, 'istio_'), istioMetricNames)
    return [[name, new Map([...counters].filter(([series]) => series.startsWith(`${istioMetricNames.requests}{`)))]]
  }
  return new Map((await pMap(pods, read, { concurrency: 16 })).flat())
}

/** The series that grew, with their values after it. */
export function grown(before: Readings, after: Readings, pod: string): Reading {
  const [from = new Map<string, number>(), to = new Map<string, number>()] = [before.get(pod), after.get(pod)]
  const deltas = counterDeltas(from, to)
  return new Map([...to].filter(([series]) => (deltas.get(series) ?? 0) > 0))
}

/** Those of one reporter: `source` counts what the pod sent, and `destination` what it got. */
export function reportedBy(reporter: 'source' | 'destination', reading: Reading): Reading {
  return new Map([...reading].filter(([series]) => labelsOf(series)['reporter'] === reporter))
}

/** The services that the pod called. */
export function calledServices(reading: Reading): string[] {
  const names = [...reportedBy('source', reading).keys()].map(
    (series) => labelsOf(series)['destination_service_name'] ?? '',
  )
  return [...new Set(names.filter((name) => name !== '' && name !== 'unknown' && !name.endsWith('Cluster')))]
}
