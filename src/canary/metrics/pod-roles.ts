// The role of a pod in a promotion. Pure.
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { VersionSelectors } from '../workload/selectors.ts'

export type VersionRole = 'canary' | 'stable'
/** A client is any pod of neither version: it may call the service. */
export type Role = VersionRole | 'client'

/** Versions are pods of the service's own namespace; a pod with the same labels elsewhere is a client. */
export function roleOf({ metadata }: Pod, { canary, stable }: VersionSelectors, namespace: string): Role {
  if (metadata.namespace !== namespace) return 'client'
  if (matches(canary, metadata.labels)) return 'canary'
  return matches(stable, metadata.labels) ? 'stable' : 'client'
}
