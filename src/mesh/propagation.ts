// Make before break: whether the sidecars have taken in what was just written, by their own word.
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { poll } from '../runtime/retry.ts'
import { hasSidecar, isReady } from './sidecar.ts'

const updates = 'envoy_cluster_manager_cds_update_success'
/** After this a change is taken to be none of a proxy's business; with an idle istiod it takes 0.3 s. */
const limitMs = 5_000
/** Enough proxies to tell: istiod pushes to all of them at once. */
const sample = 20

/**
 * Call it before a change of subsets, hosts or routes; what it answers, called after the change, resolves to true once every
 * proxy it looked at has taken a new set of clusters, to false when one has not in time (it may not need it). istiod sends
 * clusters for a change of routes too, and the routes right behind them. Rejects when `signal` ends the wait.
 */
export async function watchProxyUpdates(
  cluster: Cluster,
  namespace: string,
  signal?: AbortSignal,
): Promise<() => Promise<boolean>> {
  const pods = (await cluster.list<Pod>('Pod', namespace))
    .filter((pod) => hasSidecar(pod) && isReady(pod))
    .slice(0, sample)
  const before = await Promise.all(pods.map(({ metadata }) => count(cluster, namespace, metadata.name)))
  const haveAll = async () => {
    const now = await Promise.all(pods.map(({ metadata }) => count(cluster, namespace, metadata.name)))
    return now.every((value, i) => value === undefined || value > (before[i] ?? -1))
  }
  return () => poll(haveAll, (all) => all, { limitMs, intervalMs: 200, signal })
}

async function count(cluster: Cluster, namespace: string, pod: string): Promise<number | undefined> {
  const text = await cluster
    .pod(namespace, pod, 15090, '/stats/prometheus?filter=cluster_manager.cds.update_success')
    .catch(() => '')
  const value = new RegExp(`^${updates}\\{.*\\} (\\d+)`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}
