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

/**
 * How long to wait before traffic moves to pods, subsets or endpoints that are new: istiod sends what it has read to the
 * proxies in the right order, but it reads each kind of object separately.
 */
export const settledMs = 2_000

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
  const labelSelector = `kubernetes.io/service-name=${name}`
  const read = async () => {
    const [pods, slices] = await Promise.all([
      cluster.list<Pod>('Pod', namespace),
      cluster.list<EndpointSlice>('EndpointSlice', namespace, { labelSelector }).catch(emptyWhenUnread),
    ])
    return slices.length === 0 ? 'unread' : endpointLag(deployment, pods, slices)
  }
  const lag = await poll(read, (each) => each === undefined || each === 'unread', {
    limitMs: timeoutMs,
    intervalMs: 500,
    signal,
    clock,
  })
  if (lag === 'unread')
    note(
      `this run cannot read the EndpointSlices of the Service ${namespace}/${name}: callers may not know its new pods yet`,
    )
  else if (lag !== undefined)
    throw new Error(
      `${lag} in the EndpointSlices of the Service ${namespace}/${name} after ${timeoutMs / 1_000} s; ` +
        'see whether kube-controller-manager runs',
    )
}

/** In which way the slices lag behind the pods; undefined if they do not. */
export function endpointLag(
  deployment: Workload,
  pods: readonly Pod[],
  slices: readonly EndpointSlice[],
): string | undefined {
  const endpoints = slices
    .flatMap((slice) => slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
  const published = new Set(endpoints.flatMap(({ targetRef }) => (targetRef?.kind === 'Pod' ? [targetRef.name] : [])))
  const live = new Set(pods.filter(isLive).map(({ metadata }) => metadata.name))
  const gone = [...published].find((name) => !live.has(name))
  if (gone !== undefined) return `the pod ${gone}, which has gone, is still`
  const missing = pods.find(
    (pod) => belongs(deployment, pod) && isReady(pod) && isLive(pod) && !published.has(pod.metadata.name),
  )
  return missing && `the ready pod ${missing.metadata.name} is not`
}
