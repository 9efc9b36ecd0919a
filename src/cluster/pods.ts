// What a pod says of itself: live or ended, ready or not, and its containers. Pure.
import type { ContainerStatus, Pod } from './objects.ts'

/** True if the pod has ended, with success or not. */
export function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

/** False for a pod that has ended or is being deleted. */
export function isLive(pod: Pod): boolean {
  return !hasEnded(pod) && pod.metadata.deletionTimestamp === undefined
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
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

/** `ready/all` as kubectl prints it: the containers and the native sidecars. */
export function readiness(pod: Pod): { ready: number; all: number } {
  const native = pod.spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always').length ?? 0
  return { ready: lastingStatuses(pod).filter(({ ready }) => ready).length, all: pod.spec.containers.length + native }
}
