// Waits until the sidecars have received the last write, according to their own counters (make before break).
import { isNotFound } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { isReady } from '../cluster/pods.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
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
 * once every sampled proxy has received new listeners, or to false on a timeout: a proxy may not need any, or its count
 * could not be read before the change. Rejects if `signal` aborts.
 */
export async function watchProxyUpdates(
  cluster: Cluster,
  namespace: string,
  signal?: AbortSignal,
  clock: Clock = systemClock,
): Promise<() => Promise<boolean>> {
  const pods = (await cluster.list<Pod>('Pod', namespace))
    .filter((pod) => hasSidecar(pod) && isReady(pod))
    .slice(0, sampledPods)
  const readCounts = () => Promise.all(pods.map(({ metadata }) => updateCount(cluster, namespace, metadata.name)))
  const until = (isDone: (counts: Count[]) => boolean, limitMs: number) =>
    poll(readCounts, isDone, { limitMs, intervalMs: 200, signal, clock })
  const before = await until((counts) => !counts.includes('unread'), firstReadLimitMs)
  const isUpdated = (counts: Count[]) => counts.every((count, i) => count === 'gone' || isMore(count, before[i]))
  return async () => isUpdated(await until(isUpdated, updateLimitMs))
}

/** A busy API server gets this long to answer before the change. */
const firstReadLimitMs = 1_000

type Count = number | 'gone' | 'unread'

/** Without a first count, no later one shows an update. */
function isMore(count: Count | undefined, before: Count | undefined): boolean {
  return typeof count === 'number' && typeof before === 'number' && count > before
}

async function updateCount(cluster: Cluster, namespace: string, pod: string): Promise<Count> {
  try {
    const text = await cluster.pod(
      namespace,
      pod,
      15090,
      '/stats/prometheus?filter=listener_manager.lds.update_success',
    )
    const value = new RegExp(`^${updateCounter}\\{.*\\} (\\d+)`, 'm').exec(text)?.[1]
    return value === undefined ? 'unread' : Number(value)
  } catch (error) {
    return isNotFound(error) ? 'gone' : 'unread'
  }
}
