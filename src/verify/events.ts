// Reads the Kubernetes events of one pod, oldest first. The API server returns them in no order.
import type { Cluster } from '../cluster/client.ts'
import type { KubeEvent, Pod } from '../cluster/objects.ts'

/**
 * Empty if the account may not read them. Selects by uid too, because a StatefulSet gives a new pod the name of the old
 * one.
 */
export async function eventsOf(cluster: Cluster, { metadata: { namespace, name, uid } }: Pod): Promise<KubeEvent[]> {
  const fieldSelector = `involvedObject.name=${name}${uid === undefined ? '' : `,involvedObject.uid=${uid}`}`
  return (await cluster.list<KubeEvent>('Event', namespace, { fieldSelector }).catch(() => [])).sort(byTime)
}

export function byTime(a: KubeEvent, b: KubeEvent): number {
  return time(a) - time(b)
}

function time({ lastTimestamp, eventTime }: KubeEvent): number {
  return Date.parse(lastTimestamp ?? eventTime ?? '') || 0
}
