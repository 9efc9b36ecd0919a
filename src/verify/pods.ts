// The table of pods. Each pod must have a sidecar, and all its containers must be ready. Pure.
import type { Pod } from '../cluster/objects.ts'
import { isReady, lastingStatuses, readiness } from '../cluster/pods.ts'
import { expectsSidecar, sidecarForm, type SidecarForm } from '../mesh/sidecar.ts'

/** `cause`: why the pod is not ok, if the run has looked for the cause. */
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

/** Rows of the pods that should have a sidecar, sorted by name. */
export function podRows(pods: Pod[]): PodRow[] {
  return pods
    .filter(expectsSidecar)
    .map(podRow)
    .sort((a, b) => a.name.localeCompare(b.name))
}
