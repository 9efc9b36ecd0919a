// `status`: the promotions and experiments in progress, from their Leases. It changes nothing.
import { isForbidden } from '../cluster/api-error.ts'
import { createClient, type Cluster } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Lease } from '../cluster/objects.ts'
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

/** Returns the exit code. @throws ConfigError, or an Error that says why the Leases cannot be read */
export async function showStatus(config: Config, { watch }: { watch: boolean }): Promise<number> {
  createTempDir()
  const lines = terminal(process.stdout, process.env)
  try {
    const cluster = createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits)
    const read = () => readStatus(cluster, config.namespace)
    const untilStopped = () => abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => undefined)
    if (watch) await watchStatus(read, lines, systemClock, untilStopped())
    else linesOf(await read()).forEach(lines.info)
    return 0
  } catch (problem) {
    lines.error(`the promotions cannot be read: ${messageOf(problem)}`)
    return 1
  }
}

/** `scope`: where they were looked for, in words. */
export type Statuses = { scope: string; all: LeaseStatus[] }

/** In the whole cluster, or with fewer rights in the one namespace. */
async function readStatus(cluster: Cluster, namespace: string): Promise<Statuses> {
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
  const show = (status: Statuses) => (isLive ? live(linesOf(status)) : log(status, clock.now()))
  const first = await read()
  if (!isLive) info(notShown(first.scope))
  show(first)
  let readAt = clock.now()
  const isGoingOn = () =>
    clock.sleep(watchIntervalMs, signal).then(
      () => true,
      () => false,
    )
  while (await isGoingOn()) {
    const status = await read().catch(messageOf)
    const failure = typeof status === 'string' ? `the promotions cannot be read: ${status}` : undefined
    if (!isLive && isNewFailure(failure, clock.now()) && failure !== undefined) warning(failure)
    if (typeof status !== 'string') {
      show(status)
      readAt = clock.now()
    } else if (isLive) live([`${failure}; last read ${Math.round((clock.now() - readAt) / 1000)} s ago`])
  }
  live([])
}

/** Logs what is new. The function takes the time in milliseconds. */
export function changeLog(info: (line: string) => void): (status: Statuses, now: number) => void {
  const filters = new Map<string, ReturnType<typeof newsFilter>>()
  return ({ scope, all }, now) => {
    const shown = all.length === 0 ? [{ name: '', about: 'none', line: none(scope) }] : all
    for (const { name, about, line } of shown) {
      const isNews = filters.get(name) ?? newsFilter()
      filters.set(name, isNews)
      if (isNews(about, now)) info(line)
    }
    for (const name of [...filters.keys()].filter((each) => !shown.some((status) => status.name === each))) {
      if (name !== '') info(`${name}: ended`)
      filters.delete(name)
    }
  }
}
