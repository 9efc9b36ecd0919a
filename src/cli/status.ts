// `status`: the promotions and experiments in progress, from their Leases, in all clusters of a fleet. It changes nothing.
import { isForbidden } from '../cluster/api-error.ts'
import { createClient, type Cluster } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Lease } from '../cluster/objects.ts'
import { fleetOf } from '../config/fleet.ts'
import type { Config } from '../config/schema.ts'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { newsFilter } from '../runtime/news.ts'
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
    statuses.unread.forEach(({ problem }) => lines.error(problem))
    return statuses.unread.length === 0 ? 0 : 1
  } catch (problem) {
    lines.error(messageOf(problem))
    return 1
  }
}

/** `scope`: where they were looked for, in words. */
type ClusterStatuses = { scope: string; all: LeaseStatus[] }

/** `unread`: each cluster of a fleet that cannot be read, and why, in one sentence. */
export type Statuses = ClusterStatuses & { unread: { title: string; problem: string }[] }

/** Where to look. `title`: of a cluster of a fleet, before each of its lines. */
export type Place = { title: string; read: () => Promise<ClusterStatuses> }

/** Each cluster is read with one client. @throws ConfigError */
function readerOfAll(config: Config): () => Promise<Statuses> {
  const fleet = fleetOf(config)
  const places = (fleet.length === 0 ? [{ name: '', config }] : fleet).map(({ name, config }) => {
    const cluster = createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits)
    return { title: name === '' ? '' : `${name}: `, read: () => readStatus(cluster, config.namespace) }
  })
  return () => readAll(places)
}

/** What can be read. @throws Error if nothing can */
export async function readAll(places: readonly Place[]): Promise<Statuses> {
  const found = await Promise.all(places.map(readPlace))
  const unread = found.filter((each) => 'problem' in each)
  const read = found.filter((each) => 'all' in each)
  if (read.length === 0) throw new Error(unread.map(({ problem }) => problem).join('\n'))
  const scopes = read.map(({ title, scope }) => (title === '' ? scope : `${scope} ${title.slice(0, -2)}`))
  return {
    scope: scopes.join(', '),
    all: read.flatMap(({ title, all }) => all.map((each) => titled(title, each))),
    unread,
  }
}

type Found = { title: string } & (ClusterStatuses | { problem: string })

async function readPlace({ title, read }: Place): Promise<Found> {
  try {
    return { title, ...(await read()) }
  } catch (problem) {
    return { title, problem: `${title}the promotions cannot be read: ${messageOf(problem)}` }
  }
}

function titled(title: string, { name, about, line, lines: [first = '', ...rest] }: LeaseStatus): LeaseStatus {
  return { name: `${title}${name}`, about, line: `${title}${line}`, lines: [`${title}${first}`, ...rest] }
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
  return `shown is what has a Lease ${scope}; rollouts that Argo Rollouts or Flagger move have none`
}

function linesOf({ scope, all }: Statuses): string[] {
  return [...(all.length === 0 ? [none(scope)] : all.flatMap(({ lines }) => lines)), notShown(scope)]
}

/**
 * On a terminal it stays in one place; elsewhere it is a line for each change, and one every ten seconds. Until the signal aborts.
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
  const problemsOf = (status: Statuses) => status.unread.map(({ problem }) => problem)
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

/** Logs what is new. The function takes the time in milliseconds. */
export function changeLog(info: (line: string) => void): (status: Statuses, now: number) => void {
  const filters = new Map<string, ReturnType<typeof newsFilter>>()
  return ({ scope, all, unread }, now) => {
    const shown = all.length === 0 ? [{ name: '', about: 'none', line: none(scope) }] : all
    for (const { name, about, line } of shown) {
      const isNews = filters.get(name) ?? newsFilter()
      filters.set(name, isNews)
      if (isNews(about, now)) info(line)
    }
    // What cannot be read may go on.
    const isKnown = (name: string) =>
      shown.some((status) => status.name === name) || unread.some(({ title }) => name !== '' && name.startsWith(title))
    for (const name of [...filters.keys()].filter((each) => !isKnown(each))) {
      if (name !== '') info(`${name}: ended`)
      filters.delete(name)
    }
  }
}
