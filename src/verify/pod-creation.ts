// Explains why a workload has no pods: reads the events about pods that its controller failed to create.
import type { Cluster } from '../cluster/client.ts'
import type { KubeEvent } from '../cluster/objects.ts'
import { byTime } from './events.ts'

/**
 * Undefined if there is no such event, or the account may not read events. A Deployment's events are on its
 * ReplicaSets.
 */
export async function creationFailure(
  cluster: Cluster,
  namespace: string,
  workload: string,
): Promise<string | undefined> {
  const events = await cluster
    .list<KubeEvent>('Event', namespace, { fieldSelector: 'reason=FailedCreate' })
    .catch(() => [])
  const isOfWorkload = ({ involvedObject: { kind, name } }: KubeEvent) =>
    (kind === 'ReplicaSet' ? name.replace(/-[a-z0-9]+$/, '') : name) === workload
  const message = events.filter(isOfWorkload).sort(byTime).at(-1)?.message
  return message === undefined ? undefined : `no pod can be created: ${message}${remedy(message)}`
}

function remedy(message: string): string {
  if (message.includes('failed calling webhook'))
    return '; the sidecar injector does not answer, so check that istiod runs'
  if (message.includes('violates PodSecurity') && message.includes('istio-init'))
    return (
      "; the namespace's pod security level forbids what istio-init needs (NET_ADMIN, NET_RAW): set the label " +
      'pod-security.kubernetes.io/enforce to privileged, or use the Istio CNI plugin'
    )
  if (message.includes('exceeded quota'))
    return "; the sidecar's requests count as well: raise the ResourceQuota of the namespace"
  return ''
}
