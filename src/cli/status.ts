// `status`: the promotions and experiments in progress, from their Leases, in all clusters of a fleet. It changes nothing.
import { leaseName } from '../canary/ownership/lease-object.ts'
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
import { abortOnSignals } from '../runtime/signals.ts'
import { leaseStatus, type LeaseStatus } from './lease-status.ts'
import { createTempDir } from './temp-dir.ts'
import { terminal, type LiveTerminal } from './terminal.ts'

const watchIntervalMs = 1_000
const longestSilenceMs = 10_000

/** Returns the exit code. */
export async function showStatus(config: Config, { watch }: { watch: boolean }): Promise<number> {
  createTempDir()
  const lines = terminal(process.stdout, process.env)
  const places = placesOf(config)
  if (watch)
    return watchStatus(
      places,
      lines,
      abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => undefined),
    )
  const { problems, ...found } = await readAll(places)
  if (problems.length < places.length) linesOf(found).forEach(lines.info)
  problems.forEach(lines.error)
  return problems.length === 0 ? 0 : 1
}

/** Where to look. `title`: of a cluster of a fleet, before each of its lines. */
export type Place = { title: string; read: () => Promise<Statuses> }

function placesOf(config: Config): Place[] {
  const fleet = fleetOf(config)
  if (fleet.length === 0) return [{ title: '', read: reader(config) }]
  return fleet.map(({ name, config }) => ({ title: `${name}: `, read: reader(config) }))
}

/** Of one cluster, with one client. */
function reader({ kubeconfig, context, limits, namespace }: Config): Place['read'] {
  let cluster: Cluster | undefined
  return async () => {
    cluster ??= createClient(connection(kubeconfig, context, tempDir()), limits)
    return readStatus(cluster, namespace)
  }
}

/** `scope`: where they were looked for, in words. */
type Statuses = { scope: string; all: LeaseStatus[] }

/** Of a place: its status, or why it cannot be read. */
type Found = { title: string; status?: Statuses; problem?: string }

/** What can be read. `problems`: one sentence for each place that cannot. */
export async function readAll(places: readonly Place[]): Promise<Statuses & { problems: string[] }> {
  const found = await Promise.all(places.map(readPlace))
  const scopes = found.flatMap(({ title, status }) => (status ? [scopeIn(title, status)] : []))
  return {
    scope: scopes.join(', '),
    all: found.flatMap(({ title, status }) => (status?.all ?? []).map((each) => titled(title, each))),
    problems: found.flatMap(({ problem }) => problem ?? []),
  }
}

async function readPlace({ title, read }: Place): Promise<Found> {
  try {
    return { title, status: await read() }
  } catch (problem) {
    return { title, problem: `${title}the promotions cannot be read: ${messageOf(problem)}` }
  }
}

function scopeIn(title: string, { scope }: Statuses): string {
  return title === '' ? scope : `${scope} ${title.slice(0, -2)}`
}

function titled(title: string, { name, about, line, lines: [first = '', ...rest] }: LeaseStatus): LeaseStatus {
  return { name: `${title}${name}`, about, line: `${title}${line}`, lines: [`${title}${first}`, ...rest] }
}

/** In the whole cluster, or with fewer rights in the one namespace. */
async function readStatus(cluster: Cluster, namespace: string, clock: Clock = systemClock): Promise<Statuses> {
  const labelSelector = `${managedByLabel}=${manager}`
  const found = await cluster
    .list<Lease>('Lease', undefined, { labelSelector })
    .then((leases) => ({ scope: 'in the cluster', leases }))
    .catch(async (problem: unknown) => {
      if (!isForbidden(problem)) throw problem
      const leases = await cluster.list<Lease>('Lease', namespace, { labelSelector })
      return { scope: `in the namespace ${namespace} (this account may not read the others)`, leases }
    })
  const own = found.leases.filter(({ metadata: { name } }) => name.startsWith(leaseName('')))
  const all = own.map((lease) => leaseStatus(lease, clock.now()))
  return { scope: found.scope, all: all.toSorted((a, b) => a.name.localeCompare(b.name)) }
}

function none(scope: string): string {
  return `no promotion and no experiment is in progress ${scope}`
}

const notShown = 'rollouts that Argo Rollouts or Flagger move have no Lease, so they are not shown'

function linesOf({ scope, all }: Statuses): string[] {
  return [...(all.length === 0 ? [none(scope)] : all.flatMap(({ lines }) => lines)), notShown]
}

/**
 * On a terminal it stays in one place; elsewhere it is a line for each change, and one every ten seconds. Returns the exit
 * code.
 */
async function watchStatus(
  places: readonly Place[],
  { info, warning, error, live, isLive }: LiveTerminal,
  signal: AbortSignal,
): Promise<number> {
  const log = changeLog(info)
  if (!isLive) info(notShown)
  let known: string[] | undefined
  while (!signal.aborted) {
    const { problems, ...status } = await readAll(places)
    const hasRead = problems.length < places.length
    // What cannot be read at first is no passing fault.
    if (!hasRead && !known) {
      problems.forEach(error)
      return 1
    }
    // The block would show a promotion that nobody sees any more, and the log would say that it has ended.
    if (isLive) live(hasRead ? linesOf(status) : [])
    else if (problems.length === 0) log(status, systemClock.now())
    problems.filter((each) => !known?.includes(each)).forEach(warning)
    known = problems
    await systemClock.sleep(watchIntervalMs, signal).catch(() => undefined)
  }
  live([])
  return 0
}

/** Logs what is new. The function takes the time in milliseconds. */
export function changeLog(info: (line: string) => void): (status: Statuses, now: number) => void {
  const logged = new Map<string, { about: string; at: number }>()
  return ({ scope, all }, now) => {
    const shown = all.length === 0 ? [{ name: '', about: 'none', line: none(scope) }] : all
    for (const { name, about, line } of shown) {
      const before = logged.get(name)
      if (before?.about === about && now - before.at < longestSilenceMs) continue
      logged.set(name, { about, at: now })
      info(line)
    }
    for (const name of [...logged.keys()].filter((each) => !shown.some((status) => status.name === each))) {
      if (name !== '') info(`${name}: ended`)
      logged.delete(name)
    }
  }
}
