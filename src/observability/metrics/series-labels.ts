// The labels under which the scrapers of Prometheus keep whose series it is. Pure.
import type { SeriesLabels } from '../../envoy/counters.ts'

export const podNameLabels = ['pod', 'kubernetes_pod_name', 'pod_name', 'k8s_pod_name']
const namespaceLabels = ['namespace', 'kubernetes_namespace', 'k8s_namespace_name']

/** The name of the pod; undefined if no label names one. */
export function podNameIn(labels: SeriesLabels): string | undefined {
  return firstOf(podNameLabels, labels)
}

/** True unless a label names another namespace. */
export function mayBeOfNamespace(labels: SeriesLabels, namespace: string | undefined): boolean {
  const named = firstOf(namespaceLabels, labels)
  return named === undefined || named === namespace
}

function firstOf(names: readonly string[], labels: SeriesLabels): string | undefined {
  return names.map((name) => labels[name]).find((value) => value !== undefined)
}
