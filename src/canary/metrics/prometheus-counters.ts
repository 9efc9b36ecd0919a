// Reads the sidecars' counters from Prometheus instead of the sidecars.
import type { Pod } from '../../cluster/objects.ts'
import { seriesOf, type MetricNames, type Reading } from '../../envoy/counters.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { mayBeOfNamespace, podNameLabels, podNameIn } from '../../observability/metrics/series-labels.ts'
import type { Prometheus, PromSample } from '../../observability/metrics/prometheus-client.ts'

/** Reads all pods in one query. A pod that Prometheus knows nothing about has served nothing. */
export function prometheusReader(query: Prometheus, metrics: MetricNames, hosts: string[]): CounterReader {
  const last = new Map<string, Reading>()
  return async (pods) => {
    const samples = await query(counterQuery(metrics, hosts, pods))
    const readings = readingsIn(samples, pods)
    for (const pod of pods) {
      const id = podId(pod)
      // A failed scrape hides series for a while: they keep their last value.
      last.set(id, new Map([...(last.get(id) ?? []), ...(readings.get(id) ?? [])]))
    }
    return new Map(pods.map((pod) => [podId(pod), last.get(podId(pod))!]))
  }
}

export function counterQuery({ requests, duration }: MetricNames, hosts: string[], pods: Pod[]): string {
  const names = anyOf(pods.map(({ metadata }) => metadata.name))
  const served = podNameLabels.map(
    (label) => `{__name__=~"${requests}|${duration}_bucket",reporter="destination",${label}=~${names}}`,
  )
  return [...served, `{__name__="${requests}",reporter="source",destination_service=~${anyOf(hosts)}}`].join(' or ')
}

/** When the oldest of the pods' counters was scraped, in seconds. */
export function scrapeTimeQuery({ requests }: MetricNames, pods: Pod[]): string {
  const names = anyOf(pods.map(({ metadata }) => metadata.name))
  const served = podNameLabels.map((label) => `{__name__="${requests}",reporter="destination",${label}=~${names}}`)
  return `min(timestamp(${served.join(' or ')}))`
}

/** The value of a matcher. The dot is the only special character in the names of pods and hosts. */
function anyOf(names: string[]): string {
  return `"${names.map((name) => name.replaceAll('.', '\\\\.')).join('|')}"`
}

function readingsIn(samples: PromSample[], pods: Pod[]): Map<string, Reading> {
  const byName = new Map(pods.map((pod) => [pod.metadata.name, pod]))
  const readings = new Map<string, Map<string, number>>()
  for (const { labels: all, value } of samples) {
    const { __name__: metric = '', ...labels } = all
    const pod = byName.get(requiredPodName(labels, metric))
    if (!pod || !mayBeOfNamespace(labels, pod.metadata.namespace)) continue
    const reading = readings.get(podId(pod)) ?? new Map<string, number>()
    readings.set(podId(pod), reading.set(seriesOf(metric, labels), value))
  }
  return readings
}

function requiredPodName(labels: PromSample['labels'], metric: string): string {
  const name = podNameIn(labels)
  if (name !== undefined) return name
  throw new Error(
    `Prometheus stores ${metric} without a label that names the pod; ` +
      `make the scrape config of the sidecars add one of ${podNameLabels.join(', ')}`,
  )
}
