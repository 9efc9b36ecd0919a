// Whether a GitOps controller manages an object, and would reset the weights that a promotion writes.
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import { titleOf, type KubeObject } from '../../cluster/objects.ts'
import { applicationOf, argoCdWarnings } from './argo-cd.ts'
import { fluxOwnerOf, fluxWarnings } from './flux.ts'

/** The Applications of Argo CD; none where there is no Argo CD, or this account may not read them. */
export function readApplications(cluster: Cluster): Promise<KubeObject[]> {
  return cluster.list<KubeObject>('Application').catch(emptyWhenUnread)
}

/** Pure. One sentence for each such controller. `applications`: see `readApplications`. */
export function gitopsWarnings(object: KubeObject, applications: KubeObject[]): string[] {
  return [...fluxWarnings(object), ...argoCdWarnings(object, applications)]
}

/** Pure. The controller that manages the object and what it calls the source, in words; undefined without one. */
export function gitopsOwner(object: KubeObject, applications: KubeObject[]): string | undefined {
  const application = applicationOf(object, applications)
  if (application !== undefined) return `Argo CD (Application ${application})`
  const source = fluxOwnerOf(object)
  return source && `Flux (${titleOf({ apiVersion: '', kind: source.kind, metadata: source })})`
}
