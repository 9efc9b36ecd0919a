// What an engine tells about its object in the cluster's events: the reasons behind its status.
import type { Cluster } from '../cluster/client.ts'
import type { KubeEvent } from '../cluster/objects.ts'
import { watch } from '../cluster/watch.ts'

export type EventLog = {
  /** The messages since the last call. */
  next: () => string[]
  /** The last warning since the run began. */
  lastWarning: () => string | undefined
  close: () => void
}

/** Empty if this run cannot read events: without them it only knows fewer reasons. */
export async function followEvents(
  cluster: Cluster,
  namespace: string,
  object: { kind: string; name: string; uid?: string | undefined },
): Promise<EventLog> {
  const fieldSelector = `involvedObject.kind=${object.kind},involvedObject.name=${object.name}`
  const watches = [await watch<KubeEvent>(cluster, 'Event', namespace, { fieldSelector }).catch(() => [])].flat()
  const current = () =>
    watches
      .flatMap((each) => each.current())
      .filter(({ involvedObject: { uid } }) => object.uid === undefined || uid === undefined || uid === object.uid)
  const seen = new Set(current().map(keyOf))
  let warning: string | undefined
  return {
    next() {
      const fresh = current().filter((event) => !seen.has(keyOf(event)))
      fresh.sort((a, b) => timeOf(a).localeCompare(timeOf(b)))
      for (const event of fresh) {
        seen.add(keyOf(event))
        if (event.type === 'Warning') warning = messageOf(event)
      }
      return [...new Set(fresh.map(messageOf))].filter(Boolean)
    },
    lastWarning: () => warning,
    close: () => watches.forEach((each) => each.close()),
  }
}

/** An event that repeats is counted up. */
const keyOf = ({ metadata, count = 1 }: KubeEvent) => `${metadata.uid ?? metadata.name} ${count}`
const timeOf = ({ lastTimestamp, eventTime, metadata }: KubeEvent) =>
  lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? ''
const messageOf = ({ message = '' }: KubeEvent) => message.trim()
