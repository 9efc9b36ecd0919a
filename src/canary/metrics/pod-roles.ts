// The role of a pod in a promotion. Pure.
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { VersionSelectors } from '../workload/selectors.ts'

export type VersionRole = 'canary' | 'stable'
/** A client is any pod of neither version: it may call the service. */
export type Role = VersionRole | 'client'

/** Remembers the role of each pod object: a changed pod is a new one. */
export function rememberRoles(selectors: VersionSelectors, namespace: string): (pod: Pod) => Role {
  const known = new WeakMap<Pod, Role>()
  return (pod) => {
    const before = known.get(pod)
    if (before !== undefined) return before
    const role = roleOf(pod, selectors, namespace)
    known.set(pod, role)
    return role
  }
}

/** Versions are pods of the service's own namespace; a pod with the same labels elsewhere is a client. */
export function roleOf({ metadata }: Pod, { canary, stable }: VersionSelectors, namespace: string): Role {
  if (metadata.namespace !== namespace) return 'client'
  if (matches(canary, metadata.labels)) return 'canary'
  return matches(stable, metadata.labels) ? 'stable' : 'client'
}
