// What may happen to a canary in the middle of its promotion besides failing: changed, scaled to zero, without a pod. Pure.
import type { Container, Pod, Workload } from '../../cluster/objects.ts'
import { isReady } from '../../mesh/sidecar.ts'
import type { Labels } from './selectors.ts'
import { templateHash, workloadsOf } from './fingerprint.ts'

/** How the canary was, to hold it against; `byPods`: no workload makes them that we know; `without`: in how many looks in a row no pod of it was ready. */
export type Revision = { template: string; images: string[]; byPods: boolean; without: number }

/** A pod that leaves and its successor may miss each other by a look; for longer, users ask nobody. */
const looksWithout = 2

export function recordRevision(workloads: readonly Workload[], pods: readonly Pod[], labels: Labels): Revision {
  const own = workloadsOf(workloads, labels)
  const byPods = own.length === 0
  return {
    template: templateHash(own, pods),
    images: byPods ? imagesOf(pods) : imagesOf(templatesOf(own)),
    byPods,
    without: 0,
  }
}

const since = 'what was seen of it says nothing of what runs now; run again to promote that'

/**
 * A restart and another number of pods change nothing: it is the same version. Another template is another version, of which
 * nothing was seen. `moving`: the canary was given traffic, which without a ready pod is lost.
 */
export function checkRevision(
  life: Revision,
  workloads: readonly Workload[],
  pods: readonly Pod[],
  labels: Labels,
  moving: boolean,
): { life: Revision; fault?: string } {
  const own = workloadsOf(workloads, labels)
  if (life.byPods && own.length === 0) return livedByPods(life, pods, moving)
  const names = own.map(({ kind, metadata }) => `${kind}/${metadata.name}`).join(', ')
  const images = imagesOf(templatesOf(own))
  if (templateHash(own, pods) !== life.template) {
    const from = life.images.filter((image) => !images.includes(image))
    const what =
      from.length > 0
        ? ` (${from.join(', ')} → ${images.filter((image) => !life.images.includes(image)).join(', ')})`
        : ''
    return {
      life,
      fault:
        own.length === 0
          ? 'the workload of the canary was deleted in the middle of its promotion'
          : `${names} was changed in the middle of its promotion${what}: ${since}`,
    }
  }
  if (moving && own.every(({ spec }) => spec.replicas === 0))
    return { life, fault: `${names} was scaled to 0 in the middle of its promotion` }
  return attended(life, pods, moving)
}

/** Of pods of some other controller the images tell the version; while there is none, nothing does. */
function livedByPods(life: Revision, pods: readonly Pod[], moving: boolean): { life: Revision; fault?: string } {
  const known = life.images.length > 0 ? life.images : imagesOf(pods)
  const others = imagesOf(pods).filter((image) => !known.includes(image))
  if (others.length > 0)
    return {
      life,
      fault: `the pods of the canary were changed in the middle of its promotion (${known.join(', ')} → ${others.join(', ')}): ${since}`,
    }
  return attended({ ...life, images: known }, pods, moving)
}

function attended(life: Revision, pods: readonly Pod[], moving: boolean): { life: Revision; fault?: string } {
  const without =
    !moving || pods.some((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined) ? 0 : life.without + 1
  return {
    life: { ...life, without },
    ...(without >= looksWithout ? { fault: 'no pod of the canary is ready any more' } : {}),
  }
}

function templatesOf(workloads: readonly Workload[]): Workload['spec']['template'][] {
  return workloads.map(({ spec }) => spec.template)
}

function imagesOf(of: readonly { spec: { containers: Container[] } }[]): string[] {
  return [...new Set(of.flatMap(({ spec }) => spec.containers.map(({ image }) => image ?? '')))].sort()
}
