import type { Pod, Workload } from './objects.ts'

/** On everything that we create. */
export const managedByLabel = 'app.kubernetes.io/managed-by'
export const manager = 'mesh-canary'

/** True when the labels hold every pair of the selector. */
export function matches(selector: Record<string, string>, labels: Record<string, string> = {}): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value)
}

/** True when the pod is of the workload's template; a selector alone may hold nothing but expressions. */
export function belongs({ spec }: Workload, pod: Pod): boolean {
  return matches({ ...spec.template.metadata?.labels, ...spec.selector.matchLabels }, pod.metadata.labels)
}
