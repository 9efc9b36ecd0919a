// What a sidecar looks like on a pod, in its native form (an init container that stays) and its classic one.
import type { ContainerStatus, Pod } from '../cluster/objects.ts'

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

export function ended({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

/** Pods that end, that run once, that share the node's network or that opted out need none; the label outranks the annotation. */
export function expectsSidecar(pod: Pod): boolean {
  const { metadata, spec } = pod
  const choice = metadata.labels?.['sidecar.istio.io/inject'] ?? metadata.annotations?.['sidecar.istio.io/inject']
  const over = metadata.deletionTimestamp !== undefined || ended(pod)
  const ofJob = metadata.ownerReferences?.some(({ kind }) => kind === 'Job') ?? false
  return !over && !ofJob && !spec.hostNetwork && choice !== 'false'
}

/** Statuses of the containers that run for the pod's whole life: the application's and a native sidecar's. */
export function lastingStatuses({ spec, status }: Pod): ContainerStatus[] {
  const lasting = new Set(
    spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name),
  )
  return [
    ...(status?.initContainerStatuses ?? []).filter(({ name }) => lasting.has(name)),
    ...(status?.containerStatuses ?? []),
  ]
}

/** `ready/all` as kubectl prints it: lasting containers, native sidecars among them. */
export function readiness(pod: Pod): { ready: number; all: number } {
  const native = pod.spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always').length ?? 0
  return { ready: lastingStatuses(pod).filter(({ ready }) => ready).length, all: pod.spec.containers.length + native }
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

/** True when the pod's sidecar can be asked. One of a pod that is ending is not: what replaces it is what is to be looked at. */
export function hasRunningSidecar(pod: Pod): boolean {
  return hasSidecar(pod) && pod.status?.phase === 'Running' && pod.metadata.deletionTimestamp === undefined
}

/** The revision of the control plane that the pod's proxy is of: as the injector wrote it, or, of a gateway that istioctl made, its label. */
export function sidecarRevision({ metadata: { annotations = {}, labels = {} } }: Pod): string | undefined {
  return injected(annotations['sidecar.istio.io/status']) ?? annotations['istio.io/rev'] ?? labels['istio.io/rev']
}

function injected(status: string | undefined): string | undefined {
  try {
    return (JSON.parse(status ?? '') as { revision?: string }).revision
  } catch {
    return undefined
  }
}

/** True when the pod has a sidecar, and of another revision than this one; without one, any is right. */
export function isOfOther(pod: Pod, revision: string | undefined): boolean {
  const own = sidecarRevision(pod)
  return revision !== undefined && hasSidecar(pod) && own !== undefined && own !== revision
}
