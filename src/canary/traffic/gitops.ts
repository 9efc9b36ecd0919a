// Whether a GitOps controller manages an object, and would reset the weights that a promotion writes. Pure.
import type { KubeObject } from '../../cluster/objects.ts'
import { applicationOf, argoCdWarnings } from './argo-cd.ts'
import { fluxOwnerOf, fluxWarnings } from './flux.ts'

/** One sentence for each such controller. `applications`: those of Argo CD; empty when they cannot be read. */
export function gitopsWarnings(object: KubeObject, applications: KubeObject[]): string[] {
  return [...fluxWarnings(object), ...argoCdWarnings(object, applications)]
}

/** The controller that manages the object and what it calls the source, in words; undefined without one. */
export function gitopsOwner(object: KubeObject, applications: KubeObject[]): string | undefined {
  const application = applicationOf(object, applications)
  if (application !== undefined) return `Argo CD (Application ${application})`
  const source = fluxOwnerOf(object)
  return source === undefined ? undefined : `Flux (${source})`
}
