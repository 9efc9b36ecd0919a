// A HorizontalPodAutoscaler for the canary, like that of stable. Pure.
import type { HorizontalPodAutoscaler, Workload } from '../cluster/objects.ts'
import { labelsOfCopy } from './deployment.ts'

/** The same for the canary. It never goes below the replicas that the canary starts with, because its share grows. */
export function canaryAutoscaler(
  service: string,
  autoscaler: HorizontalPodAutoscaler,
  canary: Workload,
): HorizontalPodAutoscaler {
  const { apiVersion, kind, metadata, spec } = autoscaler
  const replicas = canary.spec.replicas ?? 1
  return {
    apiVersion,
    kind,
    metadata: {
      name: canary.metadata.name,
      namespace: canary.metadata.namespace ?? '',
      labels: labelsOfCopy(metadata.labels, service),
    },
    spec: {
      ...spec,
      scaleTargetRef: { ...spec.scaleTargetRef, name: canary.metadata.name },
      minReplicas: replicas,
      maxReplicas: Math.max(spec.maxReplicas ?? replicas, replicas),
    },
  }
}
