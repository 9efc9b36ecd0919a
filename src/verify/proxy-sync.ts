// Reads a sidecar's own counters of the configuration that it received from istiod. By default, Istio publishes Envoy's
// statistics cluster_manager, listener_manager and the stream xds-grpc, but not control_plane.connected_state, so the
// open stream shows the connection. Pure.
import { textLines } from '../runtime/text-lines.ts'
import { logMessage, logTime } from './log-lines.ts'

/**
 * Envoy's own names of what `syncOf` reads, which Istio may write with a semicolon behind the cluster: a proxy has some
 * hundred statistics of its stream to istiod alone.
 */
export const syncCountersFilter =
  '(cluster_manager.cds|listener_manager.lds).update_(success|rejected|time)|xds-grpc.*upstream_rq_active$'

/** Envoy's names for the discovery of clusters and of listeners. */
type Discovery = 'cds' | 'lds'

export type ProxySync = {
  /** Whether a stream to istiod is open; undefined if the proxy does not publish that. */
  connected: boolean | undefined
  /** The kinds of configuration that the proxy has never received. */
  missing: Discovery[]
  /** The kinds that the proxy rejected at least once, and when (in ms) it last accepted an update. */
  rejected: { discovery: Discovery; acceptedAt: number }[]
}

/** Undefined if the text holds none of the counters. */
export function syncOf(text: string): ProxySync | undefined {
  const value = (name: string) => {
    const found = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text)?.[1]
    return found === undefined ? undefined : Number(found)
  }
  const counter = (discovery: Discovery, what: string) =>
    value(`envoy_${discovery === 'cds' ? 'cluster' : 'listener'}_manager_${discovery}_${what}`)
  if (counter('cds', 'update_success') === undefined) return undefined
  const all: Discovery[] = ['cds', 'lds']
  const streams = /^envoy_cluster_upstream_rq_active\{cluster_name="xds-grpc"\} (\d+)/m.exec(text)?.[1]
  return {
    connected: streams === undefined ? undefined : Number(streams) > 0,
    missing: all.filter((each) => counter(each, 'update_success') === 0 && counter(each, 'update_rejected') === 0),
    rejected: all
      .filter((each) => (counter(each, 'update_rejected') ?? 0) > 0)
      .map((discovery) => ({ discovery, acceptedAt: counter(discovery, 'update_time') ?? 0 })),
  }
}

const nouns: Record<Discovery, string> = { cds: 'clusters', lds: 'listeners' }
const rejection: Record<Discovery, RegExp> = {
  cds: /v3\.Cluster rejected|cds: .*rejected|adding\/updating cluster/,
  lds: /v3\.Listener rejected|lds: .*rejected|adding\/updating listener/,
}
const checkIstiod = 'check that istiod runs and that the pod reaches it'

/**
 * Why the proxy is out of sync; undefined if it is in sync. A rejection counts until the proxy accepts a newer update.
 * The counter of rejections never decreases, so only the log shows which came last.
 */
export function outOfSync({ connected, missing, rejected }: ProxySync, log: string): string | undefined {
  for (const { discovery, acceptedAt } of rejected) {
    const line = textLines(log).findLast((each) => rejection[discovery].test(each))
    if (acceptedAt === 0 || (line !== undefined && logTime(line) > acceptedAt))
      return (
        `Envoy rejected its ${nouns[discovery]} and keeps its previous ones: ` +
        `${line === undefined ? 'the reason is no longer in its log' : logMessage(line)}; ` +
        'correct the object that names it (most often an EnvoyFilter), or delete it'
      )
  }
  if (missing.length > 0)
    return `it has not received any ${missing.map((each) => nouns[each]).join(' and ')} yet; ${checkIstiod}`
  if (connected === false)
    return `it has no open stream to istiod, so it keeps the configuration that it received last; ${checkIstiod}`
  return undefined
}
