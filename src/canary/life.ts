// What may happen to a canary in the middle of its promotion besides failing: changed, scaled to zero, without a pod. Pure.
import type { Pod, Workload } from '../cluster/objects.ts'
import { isReady } from '../mesh/sidecar.ts'
import type { Labels } from './groups.ts'
import { templateHash, workloadsOf } from './record.ts'

/** How the canary was, to hold it against; `without`: in how many looks in a row no pod of it was ready. */
export type Life = { template: string; images: string[]; without: number }

/** A pod that leaves and its successor may miss each other by a look; for longer, users ask nobody. */
const looksWithout = 2

export function begun(workloads: readonly Workload[], pods: readonly Pod[], labels: Labels): Life {
  const own = workloadsOf(workloads, labels)
  return { template: templateHash(own, pods), images: imagesOf(own), without: 0 }
}

/**
 * A restart and another number of pods change nothing: it is the same version. Another template is another version, of which
 * nothing was seen. `moving`: the canary was given traffic, which without a ready pod is lost.
 */
export function lived(life: Life, workloads: readonly Workload[], pods: readonly Pod[], labels: Labels, moving: boolean): { life: Life; fault?: string } {
  const own = workloadsOf(workloads, labels)
  const names = own.map(({ kind, metadata }) => `${kind}/${metadata.name}`).join(', ')
  const images = imagesOf(own)
  if (templateHash(own, pods) !== life.template) {
    const from = life.images.filter((image) => !images.includes(image))
    const what = from.length > 0 ? ` (${from.join(', ')} → ${images.filter((image) => !life.images.includes(image)).join(', ')})` : ''
    return { life, fault: own.length === 0 ? 'the workload of the canary was deleted in the middle of its promotion' : `${names} was changed in the middle of its promotion${what}: what was seen of it says nothing of what runs now; run again to promote that` }
  }
  if (!moving) return { life: { ...life, without: 0 } }
  if (own.length > 0 && own.every(({ spec }) => spec.replicas === 0)) return { life, fault: `${names} was scaled to 0 in the middle of its promotion` }
  const without = pods.some((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined) ? 0 : life.without + 1
  return { life: { ...life, without }, ...(without >= looksWithout ? { fault: 'no pod of the canary is ready any more' } : {}) }
}

function imagesOf(workloads: readonly Workload[]): string[] {
  return [...new Set(workloads.flatMap(({ spec }) => spec.template.spec.containers.map(({ image }) => image ?? '')))].sort()
}
