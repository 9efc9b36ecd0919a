// Compares the objects for whole namespaces that a run writes with those that stay in the cluster. Of two of a kind,
// Istio follows the older and says nothing. Tokens are different: Istio accepts what any RequestAuthentication accepts.
import { isDeepStrictEqual } from 'node:util'
import { isOlder, oldestFirst } from '../../cluster/age.ts'
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, kindOf, systemNamespace, titleOf, type KubeObject } from '../../cluster/objects.ts'
import { listReadable } from '../../cluster/readable.ts'
import type { Desired } from '../desired.ts'
import { fromConfig } from '../merge/merge-services.ts'
import { keyFor, type Sourced } from '../manifests/manifests.ts'
import { areRivals, isNamespaceWide } from './namespace-wide.ts'
import { isOf, isOurs, type Owner } from '../owned-objects.ts'
import { tokenConflicts } from './token-conflicts.ts'

type Policy = Sourced['object']
/** `faults`: what the run writes would not do what it says. `warnings`: what else takes part, or has no effect. */
export type Conflicts = { faults: string[]; warnings: string[] }

/** Skips what the account may not read. */
export async function namespaceConflicts(cluster: Cluster, target: Desired, owner: Owner): Promise<Conflicts> {
  const ours = target.objects.map((object): Sourced => ({ ...sourceOf(object, target), object }))
  const live = await liveOf(cluster, target.objects, owner.namespace)
  const written = new Set(target.objects.map(keyOf))
  const remaining = live.filter((object) => !written.has(keyOf(object)) && !(owner.prunes && isOf(owner, object)))
  const singles = singleConflicts(ours, live, remaining)
  const tokens = tokenConflicts(ours, remaining)
  return {
    faults: [...singles.faults, ...lostEgressModes(ours, remaining), ...tokens.faults],
    warnings: [...singles.warnings, ...tokens.warnings],
  }
}

function sourceOf(object: KubeObject, { sources }: Desired): Sourced {
  return sources.find((each) => keyOf(each.object) === keyOf(object)) ?? { object, source: fromConfig }
}

/** The live objects of each kind that can conflict, in the namespaces of ours and in that of the mesh. */
async function liveOf(cluster: Cluster, objects: readonly Policy[], namespace: string): Promise<Policy[]> {
  const isOfInterest = (object: Policy) => isNamespaceWide(object) || object.kind === 'RequestAuthentication'
  const kinds = [...new Set(objects.filter(isOfInterest).map((object) => kindOf(object)!))]
  const places = [...new Set([namespace, systemNamespace])]
  const lists = await Promise.all(kinds.map((kind) => listReadable<Policy>(cluster, kind, places)))
  return lists.flatMap(({ objects }) => objects)
}

/**
 * The oldest object of someone else is a fault if it is older than ours, unless it says the same. One that is younger
 * than ours has no effect, and is a warning.
 */
function singleConflicts(ours: readonly Sourced[], live: readonly Policy[], remaining: readonly Policy[]): Conflicts {
  const perObject = ours.map((own): Conflicts => {
    const rivals = remaining.filter((theirs) => areRivals(own.object, theirs))
    const [oldest] = oldestFirst(rivals)
    const existing = live.find((object) => keyOf(object) === keyOf(own.object))
    if (oldest === undefined) return { faults: [], warnings: [] }
    if (existing && isOlder(existing, oldest))
      return { faults: [], warnings: rivals.map((theirs) => withoutEffect(own.object, theirs)) }
    const isSame = isDeepStrictEqual(own.object.spec ?? {}, oldest.spec ?? {})
    return { faults: isSame ? [] : [conflict(own, oldest)], warnings: [] }
  })
  return {
    faults: perObject.flatMap(({ faults }) => faults),
    warnings: perObject.flatMap(({ warnings }) => warnings),
  }
}

function conflict(own: Sourced, theirs: Policy): string {
  const { kind } = own.object
  const owner = isOurs(theirs) ? 'which another run of mesh-canary wrote' : 'which mesh-canary does not manage'
  const into = own.key === undefined ? own.source : `\`${own.key}\``
  return (
    `${keyFor(own)}: the ${titleOf(theirs)}, ${owner}, is for the whole namespace too and is older, and Istio follows ` +
    `only the oldest ${kind} of a namespace, so the ${titleOf(own.object)} would have no effect; move what it says ` +
    `into ${into} and delete it, or give it a selector`
  )
}

function withoutEffect(ours: Policy, theirs: Policy): string {
  return (
    `policies: the ${titleOf(theirs)} is for the whole namespace like the older ${titleOf(ours)}, and Istio follows ` +
    `only the oldest ${ours.kind} of a namespace, so it has no effect; delete it`
  )
}

type SidecarSpec = { outboundTrafficPolicy?: { mode?: string } }
const outboundMode = ({ spec = {} }: Policy) => (spec as SidecarSpec).outboundTrafficPolicy?.mode

/** A Sidecar of the namespace replaces that of the mesh altogether, also the part that it does not mention. */
function lostEgressModes(ours: readonly Sourced[], remaining: readonly Policy[]): string[] {
  const ofMesh = remaining.find(
    (object) => object.kind === 'Sidecar' && object.metadata.namespace === systemNamespace && isNamespaceWide(object),
  )
  const mode = ofMesh && outboundMode(ofMesh)
  if (ofMesh === undefined || mode === undefined) return []
  return ours
    .filter(({ object }) => object.kind === 'Sidecar' && object.metadata.namespace !== systemNamespace)
    .filter(({ object }) => outboundMode(object) === undefined)
    .map(
      (own) =>
        `${keyFor(own)}: the ${titleOf(own.object)} replaces the ${titleOf(ofMesh)} of the mesh, whose ` +
        `outboundTrafficPolicy ${mode} would no longer hold here; state the mode as well (\`egress.mode\`)`,
    )
}
