// Notices that the version of a canary changes during its promotion, or that it is scaled to zero. Pure.
import type { Container, Pod, Workload } from '../../cluster/objects.ts'
import { templateHash, workloadsOf } from './fingerprint.ts'
import type { Labels } from './selectors.ts'

/** The version that is being promoted. */
export type Revision = {
  template: string
  images: string[]
  /** `pods`: no workload that we know owns the pods, so their images identify the version. */
  identifiedBy: 'workloads' | 'pods'
}

export type RevisionCheck = { revision: Revision; fault?: string }

export function recordRevision(workloads: readonly Workload[], pods: readonly Pod[], labels: Labels): Revision {
  const own = workloadsOf(workloads, labels)
  return {
    template: templateHash(own, pods),
    images: own.length === 0 ? imagesOf(pods) : imagesOf(templatesOf(own)),
    identifiedBy: own.length === 0 ? 'pods' : 'workloads',
  }
}

const outdated = 'the evidence so far is about the old version; run again to promote the new one'

/**
 * Compares the canary with the version that is being promoted. A restart or another number of pods is no change;
 * another template is another version. `hasTraffic`: the routes send the canary requests, which fail without a pod.
 */
export function checkRevision(
  revision: Revision,
  workloads: readonly Workload[],
  pods: readonly Pod[],
  labels: Labels,
  hasTraffic: boolean,
): RevisionCheck {
  const own = workloadsOf(workloads, labels)
  if (revision.identifiedBy === 'pods' && own.length === 0) return checkImages(revision, pods)
  if (templateHash(own, pods) !== revision.template) return { revision, fault: templateChange(revision, own) }
  if (hasTraffic && own.every(({ spec }) => spec.replicas === 0))
    return { revision, fault: `${namesOf(own)} was scaled to 0 during its promotion` }
  return { revision }
}

function templateChange({ images }: Revision, workloads: Workload[]): string {
  if (workloads.length === 0) return 'the workload of the canary was deleted during its promotion'
  const now = imagesOf(templatesOf(workloads))
  const removed = images.filter((image) => !now.includes(image))
  const added = now.filter((image) => !images.includes(image))
  const change = removed.length > 0 ? ` (${removed.join(', ')} → ${added.join(', ')})` : ''
  return `${namesOf(workloads)} was changed during its promotion${change}: ${outdated}`
}

/** Without a pod, the images do not show the version. */
function checkImages(revision: Revision, pods: readonly Pod[]): RevisionCheck {
  const known = revision.images.length > 0 ? revision.images : imagesOf(pods)
  const added = imagesOf(pods).filter((image) => !known.includes(image))
  if (added.length === 0) return { revision: { ...revision, images: known } }
  const change = `${known.join(', ')} → ${added.join(', ')}`
  return { revision, fault: `the pods of the canary were changed during its promotion (${change}): ${outdated}` }
}

function namesOf(workloads: Workload[]): string {
  return workloads.map(({ kind, metadata }) => `${kind}/${metadata.name}`).join(', ')
}

function templatesOf(workloads: readonly Workload[]): Workload['spec']['template'][] {
  return workloads.map(({ spec }) => spec.template)
}

function imagesOf(parts: readonly { spec: { containers: Container[] } }[]): string[] {
  return [...new Set(parts.flatMap(({ spec }) => spec.containers.map(({ image }) => image ?? '')))].sort()
}
