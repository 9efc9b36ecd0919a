// Finds the version that a caller's series is about. Pure.
import type { Pod } from '../../cluster/objects.ts'
import type { SeriesLabels } from '../../metrics/counters.ts'
import type { Role, VersionRole } from './pod-roles.ts'

export type VersionAttribution = Record<VersionRole, (labels: SeriesLabels) => boolean>
type VersionNames = { versionLabels: Set<string>; workloads: Set<string> }

/**
 * Uses the workload's name if the caller knows it, otherwise the label `version` if only one of the two versions has
 * it.
 */
export function attributeToVersions(pods: Pod[], roleOf: (pod: Pod) => Role): VersionAttribution {
  const canary = namesOf(pods.filter((pod) => roleOf(pod) === 'canary'))
  const stable = namesOf(pods.filter((pod) => roleOf(pod) === 'stable'))
  return {
    canary: (labels) => isAbout(labels, canary, stable),
    stable: (labels) => isAbout(labels, stable, canary),
  }
}

function isAbout(labels: SeriesLabels, version: VersionNames, other: VersionNames): boolean {
  const { destination_workload: workload = 'unknown', destination_version: label = 'unknown' } = labels
  if (workload !== 'unknown') return version.workloads.has(workload)
  return version.versionLabels.has(label) && !other.versionLabels.has(label)
}

function namesOf(pods: Pod[]): VersionNames {
  return {
    versionLabels: new Set(pods.flatMap(({ metadata }) => metadata.labels?.['version'] ?? [])),
    workloads: new Set(pods.flatMap(({ metadata }) => workloadOf(metadata) ?? [])),
  }
}

/** A Deployment owns its pods through a ReplicaSet, whose name is its own and the hash of the pod template. */
function workloadOf({ ownerReferences, labels }: Pod['metadata']): string | undefined {
  const owner = ownerReferences?.find(({ controller }) => controller)?.name
  const hash = labels?.['pod-template-hash']
  return hash === undefined ? owner : owner?.replace(new RegExp(`-${hash}$`), '')
}
