// The label that marks our own objects, and how selectors match labels. Pure.
import type { Pod, Workload } from './objects.ts'

/** On every object that mesh-canary creates. */
export const managedByLabel = 'app.kubernetes.io/managed-by'
export const manager = 'mesh-canary'
export const managedBy = { [managedByLabel]: manager }
/** On the record of how the last promotion of a service ended: the service. */
export const outcomeLabel = 'mesh-canary.io/outcome'

/** True when the labels hold every pair of the selector. */
export function matches(selector: Record<string, string>, labels: Record<string, string> = {}): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value)
}

/** True when the pod has the labels of the workload's template too: a selector may hold nothing but expressions. */
export function belongs({ spec }: Workload, pod: Pod): boolean {
  return matches({ ...spec.template.metadata?.labels, ...spec.selector.matchLabels }, pod.metadata.labels)
}
