// Waits until Kubernetes has told the mesh of a version's new pods. A Deployment reports a complete rollout before the
// EndpointSlices of its Service have the new pods and lose the old ones, and istiod reads only the slices: traffic that
// moves in between fails at pods that are gone.
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import { belongs } from '../../cluster/labels.ts'
import type { EndpointSlice, Pod, Workload } from '../../cluster/objects.ts'
import { isLive, isReady } from '../../cluster/pods.ts'
import type { Split } from '../../policies/routes.ts'
import type { Clock } from '../../runtime/clock.ts'
import { poll } from '../../runtime/retry.ts'

export type EndpointWait = { timeoutMs: number; signal: AbortSignal; clock: Clock; note: (line: string) => void }

/** Istiod may read new slices or subsets later than the route that needs them. This is how long to give it. */
export const istiodReadMs = 2_000

/** Other programs add slices with pods of other clusters to a Service. Those of Kubernetes have this label. */
const ofKubernetes = 'endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io'

/**
 * Waits until the slices of stable's Service name each ready pod of the Deployment, and no pod that has gone.
 * @throws Error that names the pod if they do not within the time
 */
export async function waitForEndpoints(
  cluster: Cluster,
  { namespace, service, stable }: Split,
  deployment: Workload,
  { timeoutMs, signal, clock, note }: EndpointWait,
): Promise<void> {
  const name = stable.by === 'service' ? stable.name : service
  const labelSelector = `kubernetes.io/service-name=${name},${ofKubernetes}`
  const read = async () => {
    const [pods, slices] = await Promise.all([
      cluster.list<Pod>('Pod', namespace),
      cluster.list<EndpointSlice>('EndpointSlice', namespace, { labelSelector }).catch(emptyWhenUnread),
    ])
    return slices.length === 0 ? 'no slices' : endpointLag(deployment, pods, slices)
  }
  const lag = await poll(read, (each) => each === undefined || each === 'no slices', {
    limitMs: timeoutMs,
    intervalMs: 500,
    signal,
    clock,
  })
  if (lag === 'no slices')
    return note(
      `this run sees no EndpointSlices of the Service ${namespace}/${name} (its account may not list them, or there are ` +
        'none), so callers may not know the new pods yet',
    )
  if (lag !== undefined)
    throw new Error(
      `${lag} in the EndpointSlices of the Service ${namespace}/${name} after ${timeoutMs / 1_000} s; ` +
        'see whether kube-controller-manager runs',
    )
}

/** In which way the slices lag behind the pods; undefined if they do not. */
function endpointLag(deployment: Workload, pods: readonly Pod[], slices: readonly EndpointSlice[]): string | undefined {
  const live = new Set(pods.filter(isLive).map(({ metadata }) => metadata.uid))
  const gone = slices.flatMap(readyPods).find(({ uid }) => !live.has(uid))
  if (gone !== undefined) return `the pod ${gone.name}, which has gone, is still`
  const ready = pods.filter((pod) => belongs(deployment, pod) && isReady(pod) && isLive(pod))
  // A Service with two families of addresses has slices of each.
  for (const family of new Set(slices.map(({ addressType }) => addressType))) {
    const ofFamily = slices.filter(({ addressType }) => addressType === family).flatMap(readyPods)
    const published = new Set(ofFamily.map(({ uid }) => uid))
    const missing = ready.find(({ metadata }) => !published.has(metadata.uid))
    if (missing) return `the ready pod ${missing.metadata.name} is not`
  }
  return undefined
}

/** Without those of which the slice itself says that they end: with `publishNotReadyAddresses` it calls them ready. */
function readyPods({ endpoints = [] }: EndpointSlice): { name: string; uid?: string }[] {
  return endpoints.flatMap(({ conditions, targetRef }) =>
    targetRef?.kind === 'Pod' && conditions?.ready !== false && conditions?.terminating !== true ? [targetRef] : [],
  )
}
