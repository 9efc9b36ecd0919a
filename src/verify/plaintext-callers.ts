// Finds the callers that STRICT would cut off: what the servers' sidecars count of plaintext, and the pods without a
// sidecar that may have sent it.
import pMap from 'p-map'
import type { Cluster } from '../cluster/client.ts'
import { isForbidden } from '../cluster/api-error.ts'
import { mentionsService } from '../cluster/service-mentions.ts'
import type { Pod } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { counterDeltas, labelsOf, type Reading } from '../envoy/counters.ts'
import { hasSidecar, networkNote } from '../mesh/sidecar.ts'
import { listNames } from '../runtime/errors.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { openConnections, openedIn, parsePlaintext, quietTime, totalOf, type Server } from './plaintext-counts.ts'

/** `recent`: by server, what it counted during the watch. `earlier`: by server, what it had counted before. */
export type PlaintextWatch = {
  watchedMs: number
  recent: Map<Pod, Reading>
  earlier: Map<Pod, Reading>
  /** Pods whose counters could not be read. */
  unread: Pod[]
}

const pollMs = 1_000
/** A caller that is being replaced sends until it ends. */
const leavingMs = 60_000

/**
 * Watches until no server has seen plaintext for its quiet time, or until plaintext came in three samples and no old
 * pod is leaving that may have sent it.
 */
export async function watchPlaintext(
  cluster: Cluster,
  namespace: string,
  servers: readonly Server[],
  requests: string,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<PlaintextWatch> {
  const began = clock.now()
  const earlier = await readAll(cluster, servers, requests)
  const unread = servers.map(({ pod }) => pod).filter((pod) => !earlier.has(pod))
  const quietMs = Math.max(0, ...[...earlier].map(([pod, reading]) => quietTime(totalOf(reading), ageOf(pod, began))))
  let last = earlier
  let lastSeen = began
  let sightings = 0
  for (;;) {
    const recent = new Map([...gains(earlier, last)].map(([pod, gained]) => [pod, withOpen(gained, last.get(pod)!)]))
    const watchedMs = clock.now() - began
    if (clock.now() - lastSeen >= quietMs) return { watchedMs, recent: new Map(), earlier, unread }
    if (sightings >= 3 && (watchedMs > leavingMs || !(await isLeaving(cluster, namespace))))
      return { watchedMs, recent, earlier, unread }
    await clock.sleep(pollMs, signal)
    const current = await readAll(cluster, servers, requests)
    if (isStillSent(last, current)) [lastSeen, sightings] = [clock.now(), sightings + 1]
    last = current
  }
}

function ageOf({ status }: Pod, now: number): number {
  return now - Date.parse(status?.startTime ?? '') || 0
}

async function readAll(cluster: Cluster, servers: readonly Server[], requests: string): Promise<Map<Pod, Reading>> {
  const readings = new Map<Pod, Reading>()
  const read = async (server: Server) => {
    const { namespace = '', name } = server.pod.metadata
    const path = '/stats/prometheus?usedonly&filter=istio'
    const text = await cluster.pod(namespace, name, 15090, path).catch(() => undefined)
    if (text !== undefined) readings.set(server.pod, parsePlaintext(text, requests, server))
  }
  await pMap(servers, read, { concurrency: 16 })
  return readings
}

function gains(before: Map<Pod, Reading>, after: Map<Pod, Reading>): Map<Pod, Reading> {
  return new Map([...after].map(([pod, reading]) => [pod, counterDeltas(before.get(pod) ?? new Map(), reading)]))
}

/** What was gained, and the connections of a server of which some are still open. */
function withOpen(gained: Reading, now: Reading): Reading {
  return openConnections(now) > 0 ? new Map([...gained, ...openedIn(now)]) : gained
}

/** New requests or connections, or connections that are still open. */
function isStillSent(before: Map<Pod, Reading>, after: Map<Pod, Reading>): boolean {
  return (
    [...gains(before, after).values()].some((reading) => totalOf(reading) > 0) ||
    [...after.values()].some((reading) => openConnections(reading) > 0)
  )
}

async function isLeaving(cluster: Cluster, namespace: string): Promise<boolean> {
  const pods = await cluster.list<Pod>('Pod', namespace)
  return pods.some((pod) => pod.metadata.deletionTimestamp !== undefined && !hasSidecar(pod))
}

/** True if any server has counted plaintext, now or earlier. */
export function hasPlaintext({ recent, earlier }: PlaintextWatch): boolean {
  return [...recent.values(), ...earlier.values()].some((reading) => totalOf(reading) > 0)
}

/** Running pods without a sidecar: of all namespaces, or of this one if the account may not read the others. */
export async function podsOutsideMesh(cluster: Cluster, namespace: string): Promise<Pod[]> {
  const pods = await cluster.list<Pod>('Pod').catch((error: unknown) => {
    if (!isForbidden(error)) throw error
    return cluster.list<Pod>('Pod', namespace)
  })
  return pods.filter((pod) => isLive(pod) && !hasSidecar(pod))
}

/**
 * Why STRICT would break callers; undefined if nothing shows that. Earlier plaintext counts only if a pod without a
 * sidecar is told the server's address: others may have joined the mesh since.
 */
export function cutOffCallers(
  { watchedMs, recent, earlier }: PlaintextWatch,
  outside: readonly Pod[],
  namespace: string,
): string | undefined {
  const now = linesOf(recent)
  const shown = now.length > 0 ? now : linesOf(earlier)
  if (shown.length === 0) return undefined
  const names = new Set(shown.map(({ service }) => service))
  const tell = outside.filter((pod) => [...names].some((name) => isTold(pod, name, namespace)))
  if (now.length === 0 && tell.length === 0) return undefined
  const when = now.length > 0 ? `within ${Math.round(watchedMs / 1000)} s` : 'since their sidecars began'
  const counts = shown.map(({ text }) => text).join('; ')
  return (
    `mtls: STRICT would cut off callers that send plaintext (${when}: ${counts}); ` +
    `${suspects(tell, outside, namespace)}; give the callers a sidecar, or except the port or the workload in ` +
    '`mtls.workloads`, or accept the loss with `mtls: { mode: strict, plaintextCallers: cut-off }`'
  )
}

type Line = { service: string; text: string }

/** What each service was sent, and by whom if the sidecar could tell. */
function linesOf(readings: Map<Pod, Reading>): Line[] {
  const counted = [...readings.values()].flatMap((reading) =>
    [...reading]
      .filter(([series, value]) => value > 0 && !series.includes('_closed_total{'))
      .map(([series, value]) => ({ labels: labelsOf(series), isTcp: series.includes('_connections_'), value })),
  )
  const groups = Map.groupBy(counted, ({ labels, isTcp }) => {
    const { destination_service_name: service = 'unknown', destination_workload: workload = 'unknown' } = labels
    const { source_workload: caller = 'unknown', source_workload_namespace: place = 'unknown' } = labels
    const to = service === 'unknown' || service.includes('PassthroughCluster') ? workload : service
    return JSON.stringify([to, isTcp ? 'connections' : 'requests', caller === 'unknown' ? '' : `${place}/${caller}`])
  })
  return [...groups].map(([key, group]) => {
    const [service, what, caller] = JSON.parse(key) as [string, string, string]
    const total = group.reduce((all, { value }) => all + value, 0)
    return { service, text: `${total} ${what} to ${service}${caller === '' ? '' : ` from ${caller}`}` }
  })
}

function isTold({ metadata, spec }: Pod, service: string, namespace: string): boolean {
  return mentionsService(spec.containers, service, namespace, metadata.namespace !== namespace)
}

function suspects(tell: readonly Pod[], outside: readonly Pod[], namespace: string): string {
  const titled = (pods: readonly Pod[]) =>
    listNames(pods.map((pod) => `${pod.metadata.namespace ?? ''}/${pod.metadata.name}${networkNote(pod)}`))
  if (tell.length > 0) return `pods without a sidecar that know the address: ${titled(tell)}`
  const own = outside.filter(({ metadata }) => metadata.namespace === namespace)
  if (own.length > 0) return `pods of ${namespace} without a sidecar: ${titled(own)}`
  return (
    'no pod without a sidecar is seen that knows the address: they may be in namespaces that this account may not ' +
    'read, outside the cluster, or have a sidecar that sends plaintext (meshConfig.enableAutoMtls, a DestinationRule)'
  )
}
