// `status`: the promotions and experiments in progress, from their Leases. It changes nothing.
import { leaseName } from '../canary/ownership/lease-object.ts'
import { isForbidden } from '../cluster/api-error.ts'
import { createClient, type Cluster } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import type { Lease } from '../cluster/objects.ts'
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

/** Returns the exit code. @throws ConfigError, or an Error that says why the Leases cannot be read */
export async function showStatus(config: Config, { watch }: { watch: boolean }): Promise<number> {
  createTempDir()
  const lines = terminal(process.stdout, process.env)
  try {
    const cluster = createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits)
    if (!watch) linesOf(await readStatus(cluster, config.namespace)).forEach(lines.info)
    else
      await watchStatus(
        cluster,
        config.namespace,
        lines,
        abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => undefined),
      )
    return 0
  } catch (problem) {
    lines.error(`the promotions cannot be read: ${messageOf(problem)}`)
    return 1
  }
}

/** `scope`: where they were looked for, in words. */
type Statuses = { scope: string; all: LeaseStatus[] }

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

/** On a terminal it stays in one place; elsewhere it is a line for each change, and one every ten seconds. */
async function watchStatus(
  cluster: Cluster,
  namespace: string,
  { info, warning, live, isLive }: LiveTerminal,
  signal: AbortSignal,
): Promise<void> {
  const log = changeLog(info)
  if (!isLive) info(notShown)
  let fault: string | undefined
  // What cannot be read at first is no passing fault.
  for (let status: Statuses | undefined = await readStatus(cluster, namespace); !signal.aborted; ) {
    if (status && isLive) live(linesOf(status))
    else if (status) log(status, systemClock.now())
    await systemClock.sleep(watchIntervalMs, signal).catch(() => undefined)
    status = await readStatus(cluster, namespace).catch((problem: unknown) => {
      // The block would show a promotion that nobody sees any more.
      live([])
      if (messageOf(problem) !== fault) warning(`the promotions cannot be read: ${messageOf(problem)}`)
      fault = messageOf(problem)
      return undefined
    })
    if (status) fault = undefined
  }
  live([])
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
