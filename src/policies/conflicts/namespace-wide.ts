// Objects for a whole namespace, of kinds of which Istio follows only the oldest and ignores the others. Pure.
import { titleOf, type Kind } from '../../cluster/objects.ts'
import type { Sourced } from '../manifests/manifests.ts'

type Policy = Sourced['object']
type Selecting = { selector?: unknown; workloadSelector?: unknown; targetRef?: unknown; targetRefs?: unknown[] }

const singleKinds = ['PeerAuthentication', 'Sidecar', 'Telemetry', 'ProxyConfig'] as const satisfies Kind[]

/** True for an object of such a kind that selects no workloads. */
export function isNamespaceWide({ kind, spec }: Policy): boolean {
  if (!singleKinds.some((each) => each === kind)) return false
  const { selector, workloadSelector, targetRef, targetRefs = [] } = (spec ?? {}) as Selecting
  return !selects(selector) && !selects(workloadSelector) && !targetRef && targetRefs.length === 0
}

/** `matchLabels` of a selector, `labels` of a Sidecar's workloadSelector. */
function selects(selector: unknown): boolean {
  const { matchLabels, labels } = (selector ?? {}) as Record<string, object | null>
  return Object.keys(matchLabels ?? {}).length + Object.keys(labels ?? {}).length > 0
}

/** Two objects of the kind for the same namespace, under different names. */
export function areRivals(a: Policy, b: Policy): boolean {
  const isSamePlace = a.kind === b.kind && a.metadata.namespace === b.metadata.namespace
  return isSamePlace && a.metadata.name !== b.metadata.name && isNamespaceWide(a) && isNamespaceWide(b)
}

/** One sentence for each pair of sources that would write two such objects. */
export function repeatedInSources(sources: readonly Sourced[]): string[] {
  return sources.flatMap((second, i) => {
    const first = sources.slice(0, i).find(({ object }) => areRivals(object, second.object))
    return first
      ? [
          `policies: the ${titleOf(first.object)} (${first.source}) and the ${titleOf(second.object)} ` +
            `(${second.source}) are both for the whole namespace, and Istio follows only one of them; ` +
            'merge them under one name, or give one a selector',
        ]
      : []
  })
}
