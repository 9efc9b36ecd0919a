// Warns if a GitOps controller manages an object and would reset the weights that a promotion writes. Pure.
import type { KubeObject } from '../../cluster/objects.ts'
import { argoCdWarnings } from './argo-cd.ts'
import { fluxWarnings } from './flux.ts'

/** One sentence for each such controller. `applications`: those of Argo CD; empty when they cannot be read. */
export function gitopsWarnings(object: KubeObject, applications: KubeObject[]): string[] {
  return [...fluxWarnings(object), ...argoCdWarnings(object, applications)]
}
