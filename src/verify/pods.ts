// What must be true of each pod: all containers ready, the sidecar among them.
import type { Pod } from '../cluster/objects.ts'
import { expectsSidecar, isReady, lastingStatuses, readiness, sidecarForm, type SidecarForm } from '../mesh/sidecar.ts'

/** One line of the table of pods; `cause` is filled for a pod that is not right. */
export type PodRow = {
  name: string
  ready: string
  sidecar: SidecarForm
  ok: boolean
  restarts: number
  cause?: string
}

export function podRow(pod: Pod): PodRow {
  const { ready, all } = readiness(pod)
  const sidecar = sidecarForm(pod)
  const restarts = lastingStatuses(pod).reduce((sum, { restartCount }) => sum + restartCount, 0)
  return {
    name: pod.metadata.name,
    ready: `${ready}/${all}`,
    sidecar,
    restarts,
    ok: sidecar !== 'none' && isReady(pod) && ready === all,
  }
}

/** Rows of the pods that are expected to be in the mesh, by name. */
export function podRows(pods: Pod[]): PodRow[] {
  return pods
    .filter(expectsSidecar)
    .map(podRow)
    .sort((a, b) => a.name.localeCompare(b.name))
}
