// Recognizes a pod's sidecar: native (an init container that keeps running) or classic (a container). Pure.
import type { Pod, Workload } from '../cluster/objects.ts'
import { isLive, lastingStatuses } from '../cluster/pods.ts'
import { injectionStatusAnnotation, podInjectionLabel, revisionLabel } from './labels.ts'

const proxy = 'istio-proxy'

export type SidecarForm = 'native' | 'classic' | 'none'

export function sidecarForm({ spec }: Pod): SidecarForm {
  if (spec.initContainers?.some(({ name, restartPolicy }) => name === proxy && restartPolicy === 'Always'))
    return 'native'
  return spec.containers.some(({ name }) => name === proxy) ? 'classic' : 'none'
}

export function hasSidecar(pod: Pod): boolean {
  return sidecarForm(pod) !== 'none'
}

/**
 * True for a live pod unless it belongs to a Job, shares the node's network or opted out.
 * The label outranks the annotation.
 */
export function expectsSidecar(pod: Pod): boolean {
  const { metadata, spec } = pod
  const choice = metadata.labels?.[podInjectionLabel] ?? metadata.annotations?.[podInjectionLabel]
  const isOfJob = metadata.ownerReferences?.some(({ kind }) => kind === 'Job') ?? false
  return isLive(pod) && !isOfJob && !spec.hostNetwork && choice !== 'false'
}

/** Why the pod can have no sidecar, after its name. */
export function networkNote({ spec }: Pod): string {
  return spec.hostNetwork ? ' (host network)' : ''
}

/** The pod that the workload would create. */
export function templatePod({ metadata, spec }: Workload): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...spec.template.metadata, name: metadata.name, namespace: metadata.namespace ?? '' },
    spec: spec.template.spec,
  }
}

/** Why the workload's pods get no sidecar, whatever the namespace asks for; undefined if they can get one. */
export function whyWithoutSidecar(workload: Workload): string | undefined {
  const { spec, metadata: { labels = {}, annotations = {} } = {} } = workload.spec.template
  if (spec.hostNetwork) return 'its pods use the network of the node (hostNetwork)'
  if (labels[podInjectionLabel] === 'false') return `its pods have the label ${podInjectionLabel}: "false"`
  const isAnnotated = labels[podInjectionLabel] === undefined && annotations[podInjectionLabel] === 'false'
  return isAnnotated ? `its pods have the annotation ${podInjectionLabel}: "false"` : undefined
}

/** How often the pod's sidecar has restarted. */
export function sidecarRestarts(pod: Pod): number {
  return lastingStatuses(pod).find(({ name }) => name === proxy)?.restartCount ?? 0
}

/** True when the pod's sidecar can be queried; false for a pod that is being deleted, which its successor replaces. */
export function hasRunningSidecar(pod: Pod): boolean {
  const isRunning = pod.status?.phase === 'Running' && pod.metadata.deletionTimestamp === undefined
  return hasSidecar(pod) && !isZtunnel(pod) && isRunning
}

/** The node's proxy in ambient mode. Its container has the name of a sidecar, and it is no Envoy with counters of requests. */
function isZtunnel({ spec }: Pod): boolean {
  return spec.containers.some(({ name, args = [] }) => name === proxy && args.includes('ztunnel'))
}

/**
 * The revision of the control plane that the pod's proxy belongs to: as the injector wrote it, else, for a gateway
 * that istioctl installed, its label.
 */
export function sidecarRevision({ metadata: { annotations = {}, labels = {} } }: Pod): string | undefined {
  return injectedRevision(annotations[injectionStatusAnnotation]) ?? annotations[revisionLabel] ?? labels[revisionLabel]
}

/** The mesh that the pod's proxy belongs to, as the injector wrote it. */
export function meshIdOf({ spec }: Pod): string | undefined {
  const container = [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === proxy)
  return container?.env?.find(({ name }) => name === 'ISTIO_META_MESH_ID')?.value
}

function injectedRevision(status: string | undefined): string | undefined {
  try {
    return (JSON.parse(status ?? '') as { revision?: string }).revision
  } catch {
    return undefined
  }
}

/** True when the pod has a sidecar of another revision than this one; without a `revision`, any sidecar is right. */
export function isOfOtherRevision(pod: Pod, revision: string | undefined): boolean {
  const own = sidecarRevision(pod)
  return revision !== undefined && hasSidecar(pod) && own !== undefined && own !== revision
}
