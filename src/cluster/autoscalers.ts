// Finds the HorizontalPodAutoscaler of a Deployment by its target, because its name is free.
import { emptyWhenUnread } from './api-error.ts'
import type { Cluster } from './client.ts'
import type { HorizontalPodAutoscaler, Workload } from './objects.ts'

/** None also if this account may not read them. */
export function listAutoscalers(cluster: Cluster, namespace: string | undefined): Promise<HorizontalPodAutoscaler[]> {
  return cluster.list<HorizontalPodAutoscaler>('HorizontalPodAutoscaler', namespace).catch(emptyWhenUnread)
}

/** Undefined also if this account may not read autoscalers. */
export async function autoscalerOf(
  cluster: Cluster,
  { metadata }: Pick<Workload, 'metadata'>,
): Promise<HorizontalPodAutoscaler | undefined> {
  const all = await listAutoscalers(cluster, metadata.namespace)
  return all.find(
    ({ spec: { scaleTargetRef } }) => scaleTargetRef.kind === 'Deployment' && scaleTargetRef.name === metadata.name,
  )
}
