// Checks whether Flux manages an object and would reset its weights. The object's labels and annotations show it. Pure.
import { keyOf, type KubeObject } from '../../cluster/objects.ts'

const kustomize = 'kustomize.toolkit.fluxcd.io'
const helm = 'helm.toolkit.fluxcd.io'

export function fluxWarnings(object: KubeObject): string[] {
  return [...kustomizationWarning(object), ...helmReleaseWarning(object)]
}

/** `namespace`: of the Kustomization or HelmRelease, if the object states it. */
export type FluxOwner = { kind: 'Kustomization' | 'HelmRelease'; name: string; namespace?: string }

/** The Kustomization or HelmRelease that the object comes from. */
export function fluxOwnerOf(object: KubeObject): FluxOwner | undefined {
  const [kustomization, release] = [referenceIn(object, kustomize), referenceIn(object, helm)]
  if (kustomization) return { kind: 'Kustomization', ...kustomization }
  return release && { kind: 'HelmRelease', ...release }
}

/** `ssa: Merge` does not help: a list of routes has one owner as a whole. */
function kustomizationWarning(object: KubeObject): string[] {
  const owner = ownerOf(object, kustomize)
  const isIgnored =
    hasValue(object, `${kustomize}/ssa`, 'IfNotPresent', 'Ignore') ||
    hasValue(object, `${kustomize}/reconcile`, 'disabled')
  if (owner === undefined || isIgnored) return []
  return [
    `Flux manages ${keyOf(object)} with the Kustomization ${owner} and resets its weights at each reconciliation; ` +
      `annotate the object in its source with ${kustomize}/ssa: IfNotPresent, ` +
      `or in the cluster, during the promotion, with ${kustomize}/reconcile: disabled`,
  ]
}

function helmReleaseWarning(object: KubeObject): string[] {
  const owner = ownerOf(object, helm)
  if (owner === undefined || hasValue(object, `${helm}/driftDetection`, 'disabled')) return []
  return [
    `Flux manages ${keyOf(object)} with the HelmRelease ${owner} and resets its weights ` +
      'if driftDetection.mode is enabled there; ' +
      `annotate the object in its chart with ${helm}/driftDetection: disabled, or set the mode to disabled or warn`,
  ]
}

function referenceIn({ metadata: { labels = {} } }: KubeObject, group: string): Omit<FluxOwner, 'kind'> | undefined {
  const [name, namespace] = [labels[`${group}/name`], labels[`${group}/namespace`]]
  return name === undefined ? undefined : { name, ...(namespace === undefined ? {} : { namespace }) }
}

function ownerOf(object: KubeObject, group: string): string | undefined {
  const { name, namespace } = referenceIn(object, group) ?? {}
  return namespace === undefined ? name : `${namespace}/${name}`
}

/** Flux accepts labels in place of annotations, and any case. */
function hasValue(
  { metadata: { labels = {}, annotations = {} } }: KubeObject,
  key: string,
  ...values: string[]
): boolean {
  const found = [labels[key], annotations[key]].map((value) => value?.toLowerCase())
  return values.some((value) => found.includes(value.toLowerCase()))
}
