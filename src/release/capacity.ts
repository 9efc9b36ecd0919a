// With `replicas: proportional`, the canary grows before its weight does: each weight is written only when its pods are
// ready, and those of the next step start with the step before it. Stable keeps all its pods, because a rollback needs them.
import { autoscalerOf } from '../cluster/autoscalers.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Workload } from '../cluster/objects.ts'
import { ReplicasNotReady, type Capacity } from '../canary/controller/context.ts'
import type { CanaryConfig } from '../config/schema.ts'

/** The pods that serve so many per cent of the requests that `full` pods serve. Pure. */
export function replicasFor(weight: number, full: number): number {
  return Math.max(1, Math.ceil((full * weight) / 100))
}

/** The pods that the canary starts with. How many requests match `ab` is not known, so all are needed for it. Pure. */
export function firstReplicas({ replicas = 'same', steps, mirror, ab }: CanaryConfig, full: number): number {
  if (typeof replicas === 'number') return replicas
  if (replicas === 'same' || ab) return full
  return replicasFor(Math.max(mirror?.percent ?? 0, steps[0]!), full)
}

/** `full`: the pods that serve all requests. `canary`: the canary's Deployment. */
export function proportionalCapacity(cluster: Cluster, plan: CanaryConfig, full: number, canary: Workload): Capacity {
  const { name, namespace } = canary.metadata
  const grow = async (weight: number) => {
    const need = replicasFor(weight, full)
    const now = await cluster.get<Workload>('Deployment', namespace, name)
    if ((now?.spec.replicas ?? 0) < need) await scale(cluster, canary, need)
    return { need, ready: now?.status?.availableReplicas ?? 0 }
  }
  return {
    ensureReplicas: async (weight) => {
      const { need, ready } = await grow(weight)
      if (ready < need)
        throw new ReplicasNotReady(`Deployment/${name} has ${ready} of the ${need} pods for weight ${weight}`)
    },
    scaleForNextStep: async (weight) => {
      const next = plan.steps.find((step) => step > weight)
      if (next !== undefined) await grow(next)
    },
  }
}

/** An autoscaler would take a larger number back, unless its minimum grows as well. */
async function scale(cluster: Cluster, canary: Workload, replicas: number): Promise<void> {
  const { name, namespace } = canary.metadata
  const scaler = await autoscalerOf(cluster, canary)
  if (scaler)
    await cluster.merge('HorizontalPodAutoscaler', namespace, scaler.metadata.name, { spec: { minReplicas: replicas } })
  await cluster.merge('Deployment', namespace, name, { spec: { replicas } })
}
