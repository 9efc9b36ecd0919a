// What must be true of each pod: all containers ready, the sidecar among them.
import type { Pod } from '../cluster/objects.ts'
import { expectsSidecar, isOfOther, isReady, lastingStatuses, readiness, sidecarForm, type SidecarForm } from '../mesh/sidecar.ts'

/** One line of the table of pods; `cause` is filled for a pod that is not right. */
export type PodRow = { name: string; ready: string; sidecar: SidecarForm; ok: boolean; restarts: number; cause?: string }

/** `revision`: whose sidecar it is to have; without one, any is right. */
export function podRow(pod: Pod, revision?: string): PodRow {
  const { ready, all } = readiness(pod)
  const sidecar = sidecarForm(pod)
  const restarts = lastingStatuses(pod).reduce((sum, { restartCount }) => sum + restartCount, 0)
  return { name: pod.metadata.name, ready: `${ready}/${all}`, sidecar, restarts, ok: sidecar !== 'none' && !isOfOther(pod, revision) && isReady(pod) && ready === all }
}

/** Rows of the pods that are expected to be in the mesh, by name. */
export function podRows(pods: Pod[], revision?: string): PodRow[] {
  return pods.filter(expectsSidecar).map((pod) => podRow(pod, revision)).sort((a, b) => a.name.localeCompare(b.name))
}
