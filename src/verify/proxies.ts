// Checks that the sidecars run the configuration that istiod sent: by their own counters through the API server, or by
// istioctl if these cannot be read.
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { hasRunningSidecar } from '../mesh/sidecar.ts'
import { poll } from '../runtime/retry.ts'
import { outOfSync, syncCountersFilter, syncOf } from './proxy-sync.ts'
import { readProxyStatus, type IstioctlAccess, type ProxyStatus } from './proxy-status.ts'

/** `isUnread`: it is unknown whether the proxy is in sync. */
export type ProxyRow = { pod: string; ok: boolean; cause?: string; isUnread?: true }

/**
 * Returns the rows of the running pods with a sidecar, sorted by name. While one is out of sync, it reads again until
 * `limitMs`, because a proxy may just be reconnecting.
 */
export async function verifyProxies(
  cluster: Cluster,
  namespace: string,
  istioctl?: IstioctlAccess,
  limitMs = 10_000,
): Promise<ProxyRow[]> {
  const readRows = () => proxyRows(cluster, namespace, istioctl)
  const isInSync = (rows: ProxyRow[]) => rows.every(({ ok }) => ok)
  return poll(readRows, isInSync, { limitMs, intervalMs: 1_000, signal: istioctl?.signal })
}

async function proxyRows(
  cluster: Cluster,
  namespace: string,
  istioctl: IstioctlAccess | undefined,
): Promise<ProxyRow[]> {
  const pods = (await cluster.list<Pod>('Pod', namespace)).filter(hasRunningSidecar)
  const rows = await Promise.all(pods.map((pod) => rowFromCounters(cluster, pod)))
  const status = istioctl && rows.includes(undefined) ? await readProxyStatus(istioctl, namespace) : undefined
  return pods
    .map(({ metadata: { name } }, i) => rows[i] ?? rowFromStatus(name, namespace, status))
    .sort((a, b) => a.pod.localeCompare(b.pod))
}

/** Undefined if the counters cannot be read. */
async function rowFromCounters(cluster: Cluster, { metadata }: Pod): Promise<ProxyRow | undefined> {
  const { namespace = '', name } = metadata
  const text = await cluster
    .pod(namespace, name, 15090, `/stats/prometheus?filter=${encodeURIComponent(syncCountersFilter)}`)
    .catch(() => undefined)
  const sync = text === undefined ? undefined : syncOf(text)
  if (!sync) return undefined
  const log = sync.rejected.length > 0 ? await cluster.log(namespace, name, 'istio-proxy', 1_000).catch(() => '') : ''
  return rowWith(name, outOfSync(sync, log))
}

function rowFromStatus(pod: string, namespace: string, status: ProxyStatus | undefined): ProxyRow {
  if (!status)
    return {
      pod,
      ok: false,
      cause:
        'its counters cannot be read (port 15090, through the API server), so it is unknown whether it is in sync; ' +
        'check that the account may get pods/proxy, and that the proxy runs',
      isUnread: true,
    }
  const id = `${pod}.${namespace}`
  if (!status.has(id))
    return rowWith(
      pod,
      'its counters cannot be read, and istiod does not know it, so it is not connected; check that istiod runs and ' +
        'that the pod reaches it',
    )
  return rowWith(pod, status.get(id))
}

function rowWith(pod: string, cause: string | undefined): ProxyRow {
  return cause === undefined ? { pod, ok: true } : { pod, ok: false, cause }
}
