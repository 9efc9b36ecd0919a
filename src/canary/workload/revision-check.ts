// Notices what can happen to a canary during its promotion besides failed requests: its version changes, it is scaled
// to zero, or it has no ready pod. Pure.
import type { Container, Pod, Workload } from '../../cluster/objects.ts'
import { isReady } from '../../mesh/sidecar.ts'
import { templateHash, workloadsOf } from './fingerprint.ts'
import type { Labels } from './selectors.ts'

/** The version that is being promoted. */
export type Revision = {
  template: string
  images: string[]
  /** `pods`: no workload that we know owns the pods, so their images identify the version. */
  identifiedBy: 'workloads' | 'pods'
  /** The number of samples in a row without a ready pod. */
  samplesWithoutPod: number
}

export type RevisionCheck = { revision: Revision; fault?: string }

/** A pod and its replacement may miss each other by one sample. If it takes longer, users' requests fail. */
const maxSamplesWithoutPod = 1

export function recordRevision(workloads: readonly Workload[], pods: readonly Pod[], labels: Labels): Revision {
  const own = workloadsOf(workloads, labels)
  return {
    template: templateHash(own, pods),
    images: own.length === 0 ? imagesOf(pods) : imagesOf(templatesOf(own)),
    identifiedBy: own.length === 0 ? 'pods' : 'workloads',
    samplesWithoutPod: 0,
  }
}

const outdated = 'the evidence so far is about the old version; run again to promote the new one'

/**
 * Compares the canary with the version that is being promoted. A restart or another number of pods is no change;
 * another template is another version. `hasTraffic`: the routes send the canary requests, which fail without a ready
 * pod.
 */
export function checkRevision(
  revision: Revision,
  workloads: readonly Workload[],
  pods: readonly Pod[],
  labels: Labels,
  hasTraffic: boolean,
): RevisionCheck {
  const own = workloadsOf(workloads, labels)
  if (revision.identifiedBy === 'pods' && own.length === 0) return checkImages(revision, pods, hasTraffic)
  if (templateHash(own, pods) !== revision.template) return { revision, fault: templateChange(revision, own) }
  if (hasTraffic && own.every(({ spec }) => spec.replicas === 0))
    return { revision, fault: `${namesOf(own)} was scaled to 0 during its promotion` }
  return checkReadiness(revision, pods, hasTraffic)
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
function checkImages(revision: Revision, pods: readonly Pod[], hasTraffic: boolean): RevisionCheck {
  const known = revision.images.length > 0 ? revision.images : imagesOf(pods)
  const added = imagesOf(pods).filter((image) => !known.includes(image))
  if (added.length === 0) return checkReadiness({ ...revision, images: known }, pods, hasTraffic)
  const change = `${known.join(', ')} → ${added.join(', ')}`
  return { revision, fault: `the pods of the canary were changed during its promotion (${change}): ${outdated}` }
}

function checkReadiness(revision: Revision, pods: readonly Pod[], hasTraffic: boolean): RevisionCheck {
  const isServing = pods.some((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined)
  const samplesWithoutPod = !hasTraffic || isServing ? 0 : revision.samplesWithoutPod + 1
  const fault = samplesWithoutPod > maxSamplesWithoutPod ? { fault: 'the canary has no ready pod left' } : {}
  return { revision: { ...revision, samplesWithoutPod }, ...fault }
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
