// Finds the HorizontalPodAutoscaler of a Deployment by its target, because its name is free.
import { emptyWhenUnread } from './api-error.ts'
import type { Cluster } from './client.ts'
import type { HorizontalPodAutoscaler, Workload } from './objects.ts'

/** Undefined also if this account may not read autoscalers. */
export async function autoscalerOf(
  cluster: Cluster,
  { metadata }: Pick<Workload, 'metadata'>,
): Promise<HorizontalPodAutoscaler | undefined> {
  const all = await cluster
    .list<HorizontalPodAutoscaler>('HorizontalPodAutoscaler', metadata.namespace)
    .catch(emptyWhenUnread)
  return all.find(
    ({ spec: { scaleTargetRef } }) => scaleTargetRef.kind === 'Deployment' && scaleTargetRef.name === metadata.name,
  )
}
