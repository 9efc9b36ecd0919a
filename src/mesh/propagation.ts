// Waits until the sidecars have received the last write, according to their own counters (make before break).
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { poll } from '../runtime/retry.ts'
import { hasSidecar, isReady } from './sidecar.ts'

const updateCounter = 'envoy_cluster_manager_cds_update_success'
/** A proxy without an update by then probably needs none. An idle istiod takes 0.3 s. */
const limitMs = 5_000
/** This many proxies are enough, because istiod pushes to all of them at once. */
const sampledPods = 20

/**
 * Call it before a change of subsets, hosts or routes, and call the returned function after the change. That function
 * resolves to true once every sampled proxy has received a new set of clusters, or to false on a timeout (a proxy may
 * not need one). For a change of routes, istiod sends clusters too, and the routes right after them. Rejects if
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
  return () => poll(isUpdated, (updated) => updated, { limitMs, intervalMs: 200, signal })
}

/** Undefined when the proxy cannot be read. */
async function updateCount(cluster: Cluster, namespace: string, pod: string): Promise<number | undefined> {
  const text = await cluster
    .pod(namespace, pod, 15090, '/stats/prometheus?filter=cluster_manager.cds.update_success')
    .catch(() => '')
  const value = new RegExp(`^${updateCounter}\\{.*\\} (\\d+)`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}
