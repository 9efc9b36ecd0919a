// Waits until the sidecars have received the last write, according to their own counters (make before break).
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { isReady } from '../cluster/pods.ts'
import { poll } from '../runtime/retry.ts'
import { hasSidecar } from './sidecar.ts'

// istiod sends clusters, endpoints, listeners and routes, in this order. For some policies it sends only listeners.
const updateCounter = 'envoy_listener_manager_lds_update_success'
/** A proxy without an update by then probably needs none. An idle istiod takes 0.3 s. */
export const updateLimitMs = 5_000
/** This many proxies are enough, because istiod pushes to all of them at once. */
const sampledPods = 20

/**
 * Call it before a change of policies, and call the returned function after the change. That function resolves to true
 * once every sampled proxy has received new listeners, or to false on a timeout (a proxy may not need any). Rejects if
 * `signal` aborts.
 */
export async function watchProxyUpdates(
  cluster: Cluster,
  namespace: string,
  signal?: AbortSignal,
): Promise<() => Promise<boolean>> {
  const pods = (await cluster.list<Pod>('Pod', namespace))
    .filter((pod) => hasSidecar(pod) && isReady(pod))
    .slice(0, sampledPods)
  const readCounts = () => Promise.all(pods.map(({ metadata }) => updateCount(cluster, namespace, metadata.name)))
  const before = await readCounts()
  const isUpdated = async () =>
    (await readCounts()).every((count, i) => count === undefined || count > (before[i] ?? -1))
  return () => poll(isUpdated, (updated) => updated, { limitMs: updateLimitMs, intervalMs: 200, signal })
}

/** Undefined when the proxy cannot be read. */
async function updateCount(cluster: Cluster, namespace: string, pod: string): Promise<number | undefined> {
  const text = await cluster
    .pod(namespace, pod, 15090, '/stats/prometheus?filter=listener_manager.lds.update_success')
    .catch(() => '')
  const value = new RegExp(`^${updateCounter}\\{.*\\} (\\d+)`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}
