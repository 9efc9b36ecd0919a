// Finds what selects stable's pods by their labels and would not select the canary's, and makes copies that do, so that
// the canary is not less protected than stable. Pure.
import { groupOf, titleOf, type KubeObject, type Workload } from '../cluster/objects.ts'
import { isSelected, type Selector } from '../mesh/injectors.ts'
import { copyForCanaryName } from '../config/names.ts'
import { selectsByCalico } from './calico-selector.ts'
import { labelsOfCopy, untracked } from './deployment.ts'
import type { Labels } from '../canary/workload/selectors.ts'
import { isMap } from '../runtime/is-map.ts'

/** `service`: the labels of the two Services, which monitors select. */
export type Versions = { name: string; stable: Labels; canary: Labels; service?: { stable: Labels; canary: Labels } }

/** `copies`: in the namespace of the canary. `faults`: one sentence for each object that cannot be copied. */
export type SelectorCopies = { copies: KubeObject[]; faults: string[] }

type Spec = Record<string, unknown>
/** `specs`: a CiliumNetworkPolicy may hold several. */
type Selecting = KubeObject & { spec?: Spec; specs?: Spec[] }

export function planCopies(objects: readonly KubeObject[], namespace: string, versions: Versions): SelectorCopies {
  const all = objects.map((object) => coverageBy(object as Selecting, namespace, versions))
  return {
    copies: all.flatMap(({ copy }) => copy ?? []),
    faults: all.flatMap(({ fault }) => fault ?? []),
  }
}

/** `copy`: covers the canary. `fault`: why there can be none. Neither where nothing is to do. */
type Coverage = { copy?: KubeObject; fault?: string }

function coverageBy(object: Selecting, namespace: string, versions: Versions): Coverage {
  const { metadata, kind, apiVersion, spec, specs } = object
  if (groupOf(apiVersion).endsWith('projectcalico.org')) return calicoCoverage(object, versions)
  const body = { ...(spec ? { spec } : {}), ...(specs ? { specs } : {}) }
  const rewritten = rewriteAll(body, versions, kind === 'ServiceMonitor' ? versions.service : versions)
  if (!rewritten.isChanged) return {}
  const name = copyForCanaryName(metadata.name, versions.name)
  if (rewritten.isUnclear || metadata.namespace !== namespace) return { fault: describeGap(object, versions) }
  const copy = {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      labels: labelsOfCopy(metadata.labels, versions.name),
      ...(metadata.annotations ? { annotations: untracked(metadata.annotations) } : {}),
    },
    ...(rewritten.value as object),
  }
  return { copy }
}

/** The first policy that applies decides, by their order, so a copy might do something else for the canary. */
function calicoCoverage(object: Selecting, versions: Versions): Coverage {
  // Calico shows the NetworkPolicies of Kubernetes as its own too.
  if (object.metadata.name.startsWith('knp.')) return {}
  return calicoSelectors(object.spec).some((selector) => mayTellApart(selector, versions))
    ? { fault: describeGap(object, versions) }
    : {}
}

/** A rule that denies, or a negation, may also protect the version that it does not select. */
function mayTellApart(selector: string, { stable, canary }: Versions): boolean {
  const differing = Object.keys({ ...stable, ...canary }).filter((key) => stable[key] !== canary[key])
  if (!differing.some((key) => selector.includes(key))) return false
  const ofStable = selectsByCalico(selector, stable)
  return ofStable === undefined || ofStable !== selectsByCalico(selector, canary)
}

function calicoSelectors(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]: [string, unknown]) =>
    typeof each === 'string' && (key === 'selector' || key === 'notSelector') ? [each] : calicoSelectors(each),
  )
}

function describeGap(object: Selecting, { name, stable, canary }: Versions): string {
  const changed = Object.keys(stable).filter((key) => canary[key] !== stable[key])
  const text = (labels: Labels) => changed.map((key) => `${key}=${labels[key] ?? ''}`).join(', ')
  return (
    `the ${titleOf(object)} selects pods of ${name} by one of the labels ${text(stable)}, and not those of its canary ` +
    `(${text(canary)}) alike, which must not run with less protection; select by other labels there`
  )
}

type Pair = { stable: Labels; canary: Labels }
type Rewritten = { value: unknown; isChanged: boolean; isUnclear: boolean }

const asIs = (value: unknown): Rewritten => ({ value, isChanged: false, isUnclear: false })

/** Keys whose map is a label selector of pods, or holds nothing but labels. */
const selectorKeys = ['podSelector', 'selector', 'workloadSelector', 'labelSelector', 'endpointSelector']
/** Keys of a list of those, in a CiliumNetworkPolicy. */
const selectorListKeys = ['fromEndpoints', 'toEndpoints']

/**
 * The canary whose affinities and spread constraints mean its own pods where those of stable mean theirs: a pod that
 * must keep away from all pods of stable may find no node. `template`: with the labels of stable.
 */
export function spreadAmongItself(canary: Workload, template: Workload['spec']['template']): Workload {
  const { metadata, spec } = canary.spec.template
  const labels = { stable: template.metadata?.labels ?? {}, canary: metadata?.labels ?? {} }
  const placing = Object.entries(spec).filter(([key]) => ['affinity', 'topologySpreadConstraints'].includes(key))
  const own = placing.map(([key, value]) => [key, rewriteAll(value, { name: '', ...labels }, labels).value])
  const rewritten = { ...spec, ...Object.fromEntries(own) } as typeof spec
  return { ...canary, spec: { ...canary.spec, template: { ...canary.spec.template, spec: rewritten } } }
}

/** Rewrites every selector in the object that selects stable and not the canary. */
function rewriteAll(value: unknown, versions: Versions, pair: Pair | undefined): Rewritten {
  if (Array.isArray(value)) return combined(value.map((each) => rewriteAll(each, versions, pair)))
  if (typeof value !== 'object' || value === null) return asIs(value)
  const entries = Object.entries(value).map(([key, each]: [string, unknown]): [string, Rewritten] => {
    if (pair && selectorKeys.includes(key) && isMap(each)) return [key, rewrite(each, pair)]
    if (pair && selectorListKeys.includes(key) && Array.isArray(each))
      return [key, combined(each.filter(isMap).map((one) => rewrite(one, pair)))]
    return [key, rewriteAll(each, versions, pair)]
  })
  return {
    value: Object.fromEntries(entries.map(([key, each]) => [key, each.value])),
    isChanged: entries.some(([, each]) => each.isChanged),
    isUnclear: entries.some(([, each]) => each.isUnclear),
  }
}

function combined(parts: Rewritten[]): Rewritten {
  return {
    value: parts.map(({ value }) => value),
    isChanged: parts.some(({ isChanged }) => isChanged),
    isUnclear: parts.some(({ isUnclear }) => isUnclear),
  }
}

function rewrite(selector: Spec, { stable, canary }: Pair): Rewritten {
  const read = asSelector(selector)
  if (!isSelected(plain(read), stable) || isSelected(plain(read), canary)) return asIs(selector)
  const ofCanary = (key: string) => canary[plainKey(key)]
  const labels = Object.entries(read.matchLabels ?? {}).map(([key, value]) => [key, ofCanary(key) ?? value] as const)
  const expressions = (read.matchExpressions ?? []).map((each) =>
    stable[plainKey(each.key)] === ofCanary(each.key) || ofCanary(each.key) === undefined
      ? each
      : { key: each.key, operator: 'In' as const, values: [ofCanary(each.key)!] },
  )
  const now = { matchLabels: Object.fromEntries(labels), matchExpressions: expressions }
  return { value: written(selector, now), isChanged: true, isUnclear: !isSelected(plain(now), canary) }
}

/** Cilium may write where a label comes from before its key. */
const plainKey = (key: string) => key.replace(/^(k8s|any):/, '')

/** Without what is true of both versions: labels of their namespace, and their service account. */
function plain({ matchLabels = {}, matchExpressions = [] }: Selector): Selector {
  const labels = Object.entries(matchLabels).map(([key, value]) => [plainKey(key), value] as const)
  const expressions = matchExpressions.map((each) => ({ ...each, key: plainKey(each.key) }))
  const isShared = (key: string) => key.startsWith('io.cilium.k8s.')
  return {
    matchLabels: Object.fromEntries(labels.filter(([key]) => !isShared(key))),
    matchExpressions: expressions.filter(({ key }) => !isShared(key)),
  }
}

/** EnvoyFilters and Sidecars have the labels under `labels`; all others are selectors as Kubernetes writes them. */
function asSelector(selector: Spec): Selector {
  return 'labels' in selector ? { matchLabels: selector['labels'] as Record<string, string> } : selector
}

function written(before: Spec, { matchLabels, matchExpressions }: Required<Selector>): Spec {
  if ('labels' in before) return { ...before, labels: matchLabels }
  return {
    ...('matchLabels' in before ? { matchLabels } : {}),
    ...('matchExpressions' in before ? { matchExpressions } : {}),
  }
}
