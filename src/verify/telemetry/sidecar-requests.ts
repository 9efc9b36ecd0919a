// What the sidecars of a namespace count of requests: the proof compares it with what Prometheus has, and sees by it which
// services a request has called.
import pMap from 'p-map'
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import { counterDeltas, labelsOf, parseCounters, type Reading, type SeriesLabels } from '../../envoy/counters.ts'
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

/** The series that grew, with their values after it; undefined if the pod's counters could not be read before and after. */
export function grown(before: Readings, after: Readings, pod: string): Reading | undefined {
  const [from, to] = [before.get(pod), after.get(pod)]
  if (!from || !to) return undefined
  const deltas = counterDeltas(from, to)
  return new Map([...to].filter(([series]) => (deltas.get(series) ?? 0) > 0))
}

/** Those of one reporter: `source` counts what the pod sent, and `destination` what it got. */
export function reportedBy(reporter: 'source' | 'destination', reading: Reading): Reading {
  return new Map([...reading].filter(([series]) => labelsOf(series)['reporter'] === reporter))
}

/** The services that the pod called: those of its namespace by their name, and others as `name.namespace`. */
export function calledServices(reading: Reading, namespace: string): string[] {
  const names = [...reportedBy('source', reading).keys()].map((series) => calledService(labelsOf(series), namespace))
  return [...new Set(names.filter((name) => name !== undefined))]
}

/** Undefined if the sidecar knows none, as for addresses outside the mesh. */
function calledService(labels: SeriesLabels, own: string): string | undefined {
  const name = labels['destination_service_name'] ?? ''
  if (name === '' || name === 'unknown' || name.endsWith('Cluster')) return undefined
  const host = labels['destination_service'] ?? ''
  const [ofHost = own] = host.startsWith(`${name}.`) ? host.slice(name.length + 1).split('.') : []
  // The sidecar knows the namespace by the pod that it chose, so a call that reached none leaves it open.
  const { destination_service_namespace: stated = 'unknown' } = labels
  const namespace = stated === 'unknown' ? ofHost : stated
  return namespace === own ? name : `${name}.${namespace}`
}
