// `status`: the promotions and experiments in progress, from their Leases, in all clusters of a fleet. It changes nothing.
import { isForbidden } from '../cluster/api-error.ts'
import { createClient, type Cluster } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Lease } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { fleetOf } from '../config/fleet.ts'
import type { Config } from '../config/schema.ts'
import { withCluster } from '../runtime/cluster-text.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { newsFilter } from '../runtime/repeated-lines.ts'
import { abortOnSignals } from '../runtime/signals.ts'
import { leaseStatus, type LeaseStatus } from './lease-status.ts'
import { createTempDir } from './temp-dir.ts'
import { terminal, type LiveTerminal } from './terminal.ts'

const watchIntervalMs = 1_000

/** Returns the exit code. */
export async function showStatus(config: Config, { watch }: { watch: boolean }): Promise<number> {
  createTempDir()
  const lines = terminal(process.stdout, process.env)
  try {
    const read = readerOfAll(config)
    const untilStopped = () => abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => undefined)
    if (watch) {
      await watchStatus(read, lines, systemClock, untilStopped())
      return 0
    }
    const statuses = await read()
    linesOf(statuses).forEach(lines.info)
    problemsOf(statuses).forEach(lines.error)
    return statuses.unread.length === 0 ? 0 : 1
  } catch (problem) {
    lines.error(messageOf(problem))
    return 1
  }
}

/** `scope`: where they were looked for, in words. */
type ClusterStatuses = { scope: string; all: LeaseStatus[] }

/** `cluster`: of a fleet. */
type InFleet = { cluster?: string | undefined }

/** `unread`: each cluster that cannot be read, and why. */
export type Statuses = {
  scope: string
  all: (InFleet & LeaseStatus)[]
  unread: (InFleet & { problem: string })[]
}

export type Place = InFleet & { read: () => Promise<ClusterStatuses> }

/** Each cluster is read with one client. One whose kubeconfig is missing hides no other. */
function readerOfAll(config: Config): () => Promise<Statuses> {
  const fleet = fleetOf(config)
  const places = (fleet.length === 0 ? [{ name: undefined, config }] : fleet).map(({ name, config }) => {
    let client: Cluster | undefined
    const connected = () =>
      (client ??= createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits))
    return { cluster: name, read: async () => readStatus(connected(), config.namespace) }
  })
  return () => readAll(places)
}

/** What can be read. @throws Error if nothing can */
export async function readAll(places: readonly Place[]): Promise<Statuses> {
  const found = await Promise.all(places.map(readPlace))
  const unread = found.filter((each) => 'problem' in each)
  const read = found.filter((each) => 'all' in each)
  if (read.length === 0) throw new Error(problemsOf({ unread }).join('\n'))
  return {
    scope: read.map(({ cluster, scope }) => (cluster === undefined ? scope : `${scope} ${cluster}`)).join(', '),
    all: read.flatMap(({ cluster, all }) => all.map((each) => ({ cluster, ...each }))),
    unread,
  }
}

type Found = InFleet & (ClusterStatuses | { problem: string })

async function readPlace({ cluster, read }: Place): Promise<Found> {
  try {
    return { cluster, ...(await read()) }
  } catch (problem) {
    const text = messageOf(problem)
    return { cluster, problem: problem instanceof ConfigError ? text : `the promotions cannot be read: ${text}` }
  }
}

function problemsOf({ unread }: Pick<Statuses, 'unread'>): string[] {
  return unread.map(({ cluster, problem }) => withCluster(cluster, problem))
}

/** In the whole cluster, or with fewer rights in the one namespace. */
async function readStatus(cluster: Cluster, namespace: string): Promise<ClusterStatuses> {
  const labelSelector = `${managedByLabel}=${manager}`
  const found = await cluster
    .list<Lease>('Lease', undefined, { labelSelector })
    .then((leases) => ({ scope: 'in the cluster', leases }))
    .catch(async (problem: unknown) => {
      if (!isForbidden(problem)) throw problem
      const leases = await cluster.list<Lease>('Lease', namespace, { labelSelector })
      return { scope: `in the namespace ${namespace} (this account may not read the others)`, leases }
    })
  const all = found.leases.map((lease) => leaseStatus(lease, systemClock.now()))
  return { scope: found.scope, all: all.toSorted((a, b) => a.name.localeCompare(b.name)) }
}

function none(scope: string): string {
  return `no promotion and no experiment is in progress ${scope}`
}

function notShown(scope: string): string {
  return `\`status\` shows what has a Lease ${scope}; rollouts of Argo Rollouts and Flagger have none, so they are missing`
}

function linesOf({ scope, all }: Statuses): string[] {
  const shown = all.flatMap(({ cluster, lines: [first = '', ...rest] }) => [withCluster(cluster, first), ...rest])
  return [...(all.length === 0 ? [none(scope)] : shown), notShown(scope)]
}

/**
 * On a terminal it stays in one place; elsewhere it is a line for each change, and one every ten seconds. Until the
 * signal aborts.
 * @throws the error of the first read. A later one is shown instead of what was read before, because the next may succeed.
 */
export async function watchStatus(
  read: () => Promise<Statuses>,
  { info, warning, live, isLive }: Pick<LiveTerminal, 'info' | 'warning' | 'live' | 'isLive'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const log = changeLog(info)
  const isNewFailure = newsFilter()
  const show = (status: Statuses) =>
    isLive ? live([...linesOf(status), ...problemsOf(status)]) : log(status, clock.now())
  const warn = (failure: string | undefined) => {
    if (!isLive && isNewFailure(failure, clock.now()) && failure !== undefined) warning(failure)
  }
  const first = await read()
  if (!isLive) info(notShown(first.scope))
  show(first)
  warn(problemsOf(first).join('\n') || undefined)
  let readAt = clock.now()
  const isGoingOn = () =>
    clock.sleep(watchIntervalMs, signal).then(
      () => true,
      () => false,
    )
  while (await isGoingOn()) {
    const status = await read().catch(messageOf)
    warn(typeof status === 'string' ? status : problemsOf(status).join('\n') || undefined)
    if (typeof status !== 'string') {
      show(status)
      readAt = clock.now()
    } else if (isLive) live([`${status}; last read ${Math.round((clock.now() - readAt) / 1000)} s ago`])
  }
  live([])
}

function titleOf({ cluster, name }: InFleet & LeaseStatus): string {
  return withCluster(cluster, name)
}

/** Logs what is new. The function takes the time in milliseconds. */
export function changeLog(info: (line: string) => void): (status: Statuses, now: number) => void {
  const isNewNone = newsFilter()
  const followed = new Map<string, InFleet & { isNews: ReturnType<typeof newsFilter> }>()
  return ({ scope, all, unread }, now) => {
    if (isNewNone(all.length === 0 ? 'none' : undefined, now) && all.length === 0) info(none(scope))
    const shown = new Set(all.map(titleOf))
    for (const status of all) {
      const { cluster, about, line } = status
      const { isNews } = followed.get(titleOf(status)) ?? { isNews: newsFilter() }
      followed.set(titleOf(status), { cluster, isNews })
      if (isNews(about, now)) info(withCluster(cluster, line))
    }
    for (const [title, { cluster }] of followed) {
      // What cannot be read may go on.
      if (shown.has(title) || unread.some((each) => each.cluster === cluster)) continue
      info(`${title}: ended`)
      followed.delete(title)
    }
  }
}
