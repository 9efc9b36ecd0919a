// Whether the sidecars run what istiod wants them to: from their own counters, read through the API server.
// Of Envoy's statistics Istio publishes by default cluster_manager, listener_manager and the stream xds-grpc;
// control_plane.connected_state is not among them, so the open stream to istiod tells the connection.
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { hasRunningSidecar } from '../mesh/sidecar.ts'
import { poll } from '../runtime/retry.ts'
import { run } from '../tools/run.ts'
import { logLines, messageOfLine, timeOf } from './log-lines.ts'

export type ProxyRow = { pod: string; ok: boolean; cause?: string }
/** An istioctl to ask where the counters cannot be read; `args` are those of the connection. */
export type Asker = { path: string; args: string[]; signal: AbortSignal }

const filter = '(cluster_manager.cds|listener_manager.lds|xds-grpc)'

/** Rows of the running pods with a sidecar, by name; asks again until `limitMs` while one is not in sync, for a stream may just be re-opened. */
export async function verifyProxies(
  cluster: Cluster,
  namespace: string,
  asker?: Asker,
  limitMs = 10_000,
): Promise<ProxyRow[]> {
  const isInSync = (rows: ProxyRow[]) => rows.every(({ ok }) => ok)
  return poll(() => look(cluster, namespace, asker), isInSync, { limitMs, intervalMs: 1_000, signal: asker?.signal })
}

async function look(cluster: Cluster, namespace: string, asker: Asker | undefined): Promise<ProxyRow[]> {
  const pods = (await cluster.list<Pod>('Pod', namespace)).filter(hasRunningSidecar)
  const rows = await Promise.all(pods.map((pod) => byCounters(cluster, pod)))
  const unread = rows.some((row) => row === undefined)
  const told = unread && asker ? await byIstioctl(asker, namespace) : undefined
  return pods
    .map(({ metadata: { name } }, i) => rows[i] ?? fromIstioctl(name, namespace, told))
    .sort((a, b) => a.pod.localeCompare(b.pod))
}

async function byCounters(cluster: Cluster, { metadata }: Pod): Promise<ProxyRow | undefined> {
  const text = await cluster
    .pod(metadata.namespace ?? '', metadata.name, 15090, `/stats/prometheus?filter=${encodeURIComponent(filter)}`)
    .catch(() => undefined)
  const stats = text === undefined ? undefined : syncOf(text)
  if (!stats) return undefined
  const rejected = stats.suspects.length > 0
  const log = rejected
    ? await cluster.log(metadata.namespace ?? '', metadata.name, 'istio-proxy', 1_000).catch(() => '')
    : ''
  const cause = outOfSync(stats, log)
  return { pod: metadata.name, ok: cause === undefined, ...(cause === undefined ? {} : { cause }) }
}

type Kind = 'cds' | 'lds'
/** `suspects`: what was refused at least once, with the time (ms) of the newest update that was accepted. */
export type Sync = { connected: boolean | undefined; never: Kind[]; suspects: { kind: Kind; acceptedAt: number }[] }

/** Undefined when the text holds none of the counters. */
export function syncOf(text: string): Sync | undefined {
  const value = (name: string) => {
    const found = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text)?.[1]
    return found === undefined ? undefined : Number(found)
  }
  const of = (kind: Kind, what: string) =>
    value(`envoy_${kind === 'cds' ? 'cluster' : 'listener'}_manager_${kind}_${what}`)
  if (of('cds', 'update_success') === undefined) return undefined
  const kinds: Kind[] = ['cds', 'lds']
  const streams = /^envoy_cluster_upstream_rq_active\{cluster_name="xds-grpc"\} (\d+)/m.exec(text)?.[1]
  return {
    connected: streams === undefined ? undefined : Number(streams) > 0,
    never: kinds.filter((kind) => of(kind, 'update_success') === 0 && of(kind, 'update_rejected') === 0),
    suspects: kinds
      .filter((kind) => (of(kind, 'update_rejected') ?? 0) > 0)
      .map((kind) => ({ kind, acceptedAt: of(kind, 'update_time') ?? 0 })),
  }
}

const names: Record<Kind, string> = { cds: 'clusters', lds: 'listeners' }
const refusal: Record<Kind, RegExp> = {
  cds: /v3\.Cluster rejected|cds: .*rejected|adding\/updating cluster/,
  lds: /v3\.Listener rejected|lds: .*rejected|adding\/updating listener/,
}

/** A refusal counts until a newer update was accepted; the counter alone cannot tell, for it never goes back. */
export function outOfSync({ connected, never, suspects }: Sync, log: string): string | undefined {
  for (const { kind, acceptedAt } of suspects) {
    const line = logLines(log).findLast((each) => refusal[kind].test(each))
    if (acceptedAt === 0 || (line !== undefined && timeOf(line) > acceptedAt))
      return `Envoy rejected its ${names[kind]} and runs on with what it had before: ${line === undefined ? 'its log no longer tells why' : messageOfLine(line)}; correct the object that names it (most often an EnvoyFilter), or delete it`
  }
  if (never.length > 0)
    return `it has not been sent any ${never.map((kind) => names[kind]).join(' and ')} yet; check that istiod runs and that the pod reaches it`
  if (connected === false)
    return 'it has no open stream to istiod, so it runs on with what it last got; check that istiod runs and that the pod reaches it'
  return undefined
}

type Status = {
  resources?: {
    node?: { id?: string }
    genericXdsConfigs?: { typeUrl?: string; configStatus?: string; errorState?: { details?: string } }[]
  }[]
}

async function byIstioctl(
  { path, args, signal }: Asker,
  namespace: string,
): Promise<Map<string, string | undefined> | undefined> {
  const { code, stdout } = await run(path, ['proxy-status', '--namespace', namespace, '-o', 'json', ...args], signal)
  return code === 0 ? statusOf(stdout) : undefined
}

/** Causes by `pod.namespace`, undefined for one in sync. The text may be several JSON documents, one from each istiod. */
export function statusOf(text: string): Map<string, string | undefined> {
  const configs = documents(text).flatMap((each) => (each as Status).resources ?? [])
  return new Map(
    configs.map(({ node, genericXdsConfigs = [] }) => {
      const bad =
        genericXdsConfigs.find(({ configStatus }) => configStatus === 'ERROR') ??
        genericXdsConfigs.find(({ configStatus }) => configStatus === 'STALE')
      const kind = bad?.typeUrl?.split('.').at(-1) ?? 'configuration'
      const cause =
        bad &&
        (bad.configStatus === 'ERROR'
          ? `Envoy rejected its ${kind}: ${bad.errorState?.details ?? 'no reason given'}`
          : `its ${kind} is older than what istiod sent`)
      return [node?.id ?? '', cause] as const
    }),
  )
}

/** JSON documents one after the other, which istioctl prints with each closing brace of a document in the first column. */
function documents(text: string): unknown[] {
  const parts = text
    .split(/^(?=[{[])/m)
    .map((part) => part.trim())
    .filter(Boolean)
  return parts.flatMap((part): unknown[] => {
    try {
      const parsed: unknown = JSON.parse(part)
      return Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]
    } catch {
      return []
    }
  })
}

function fromIstioctl(pod: string, namespace: string, told: Map<string, string | undefined> | undefined): ProxyRow {
  if (!told)
    return {
      pod,
      ok: false,
      cause:
        'its counters cannot be read (port 15090, through the API server), so nothing tells whether it is in sync; check that the account may get pods/proxy, and that the proxy runs',
    }
  const id = `${pod}.${namespace}`
  if (!told.has(id))
    return {
      pod,
      ok: false,
      cause:
        'its counters cannot be read, and istiod does not know it: it is not connected; check that istiod runs and that the pod reaches it',
    }
  const cause = told.get(id)
  return { pod, ok: cause === undefined, ...(cause === undefined ? {} : { cause }) }
}
