// Finds the version that a caller's series is about. Pure.
import type { Pod } from '../../cluster/objects.ts'
import type { SeriesLabels } from '../../envoy/counters.ts'
import type { Role, VersionRole } from './pod-roles.ts'

export type VersionAttribution = Record<VersionRole, (labels: SeriesLabels) => boolean>
type VersionNames = { versionLabels: Set<string>; workloads: Set<string>; host?: string | undefined }

/**
 * Uses the Service that the route chose if each version has one of its own (`hosts`, their full names). Otherwise the
 * workload's name if the caller knows it and only one of the two versions has it, then the label `version` under the same
 * condition. Both versions of one Argo Rollout have the same workload.
 */
export function attributeToVersions(
  pods: Pod[],
  roleOf: (pod: Pod) => Role,
  hosts: Partial<Record<VersionRole, string>> = {},
): VersionAttribution {
  const canary = { ...namesOf(pods.filter((pod) => roleOf(pod) === 'canary')), host: hosts.canary }
  const stable = { ...namesOf(pods.filter((pod) => roleOf(pod) === 'stable')), host: hosts.stable }
  return {
    canary: (labels) => isAbout(labels, canary, stable),
    stable: (labels) => isAbout(labels, stable, canary),
  }
}

function isAbout(labels: SeriesLabels, version: VersionNames, other: VersionNames): boolean {
  const { destination_workload: workload = 'unknown', destination_version: label = 'unknown' } = labels
  const host = labels['destination_service']
  if (host !== undefined && (host === version.host || host === other.host)) return host === version.host
  const isShared = version.workloads.has(workload) && other.workloads.has(workload)
  if (workload !== 'unknown' && !isShared) return version.workloads.has(workload)
  return version.versionLabels.has(label) && !other.versionLabels.has(label)
}

function namesOf(pods: Pod[]): VersionNames {
  return {
    versionLabels: new Set(pods.flatMap(({ metadata }) => metadata.labels?.['version'] ?? [])),
    workloads: new Set(pods.flatMap(({ metadata }) => workloadOf(metadata) ?? [])),
  }
}

/** Both Deployments and Argo Rollouts own their pods through a ReplicaSet: its name is theirs and a hash. */
const hashLabels = ['pod-template-hash', 'rollouts-pod-template-hash']
/** Gives a workload another name in Istio's telemetry. */
const workloadNameLabel = 'service.istio.io/workload-name'

function workloadOf({ ownerReferences, labels = {} }: Pod['metadata']): string | undefined {
  const owner = ownerReferences?.find(({ controller }) => controller)?.name
  const hash = hashLabels.map((label) => labels[label]).find((value) => value !== undefined)
  const name = hash === undefined ? owner : owner?.replace(new RegExp(`-${hash}$`), '')
  return labels[workloadNameLabel] ?? name
}
