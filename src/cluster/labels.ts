// The label that marks our own objects, the labels that istiod adds, and how selectors match labels. Pure.
import type { Pod, Service, Workload } from './objects.ts'

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

/**
 * For many selectors over the same objects: looks only at those with the selector's first label. An empty selector
 * selects all, as in `matches`.
 */
export function selectorIndex<T>(
  all: readonly T[],
  labelsOf: (each: T) => Record<string, string> | undefined,
): (selector: Record<string, string>) => readonly T[] {
  const byLabel = Map.groupBy(
    all.flatMap((each) =>
      Object.entries(labelsOf(each) ?? {}).map(([key, value]) => ({ label: `${key}=${value}`, each })),
    ),
    ({ label }) => label,
  )
  return (selector) => {
    const [first] = Object.entries(selector)
    if (!first) return all
    const some = byLabel.get(`${first[0]}=${first[1]}`) ?? []
    return some.map(({ each }) => each).filter((each) => matches(selector, labelsOf(each)))
  }
}

const addedByIstiod = /^(topology\.istio\.io|topology\.kubernetes\.io|failure-domain\.beta\.kubernetes\.io)\//

/**
 * The labels without those that istiod adds to endpoints, such as the zone and the network: a subset may select by
 * them, but the pods do not have them.
 */
export function withoutIstiodLabels(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => !addedByIstiod.test(key) && key !== 'kubernetes.io/hostname'),
  )
}

/** The pods behind the Service that have the labels of a subset; none without a selector. */
export function podsBehind(
  { spec: { selector } }: Service,
  pods: readonly Pod[],
  subset: Record<string, string> = {},
): Pod[] {
  const isBehind = ({ metadata: { labels } }: Pod) =>
    matches(selector!, labels) && matches(withoutIstiodLabels(subset), labels)
  return selector ? pods.filter(isBehind) : []
}

/** The labels as kubectl takes them: `app=web,track=stable`. */
export function selectorText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/**
 * True when the pod belongs to the workload and nobody else controls it: a pod of a second workload, such as a canary, may
 * have all of the labels, too. The name of a Deployment's ReplicaSet is its own and a hash.
 */
export function owns(workload: Workload, pod: Pod): boolean {
  const controller = pod.metadata.ownerReferences?.find((each) => each.controller)
  if (!belongs(workload, pod)) return false
  if (controller === undefined) return true
  const name = controller.kind === 'ReplicaSet' ? controller.name.replace(/-[^-]+$/, '') : controller.name
  const kind = controller.kind === 'ReplicaSet' ? 'Deployment' : controller.kind
  return kind === workload.kind && name === workload.metadata.name
}

/** True when the pod has the labels of the workload's template too: a selector may hold nothing but expressions. */
export function belongs({ spec }: Workload, pod: Pod): boolean {
  return matches({ ...spec.template.metadata?.labels, ...spec.selector.matchLabels }, pod.metadata.labels)
}
