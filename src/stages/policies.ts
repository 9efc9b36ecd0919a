// The stages plan and policies: what is wanted, how that differs from what is there, and, unless it is a dry run, making it so.
import type { Pod, Service } from '../cluster/objects.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { proxies } from '../mesh/propagation.ts'
import { planes } from '../mesh/revisions.ts'
import { analyze, type Analysis } from '../policies/analyze.ts'
import { apply } from '../policies/apply.ts'
import { claimedTwice } from '../policies/claims.ts'
import { desired } from '../policies/desired.ts'
import { policiesOnly } from '../policies/elsewhere.ts'
import { freed } from '../policies/freed.ts'
import { readLive } from '../policies/live.ts'
import { plan as planned, rendered, type Planned } from '../policies/plan.ts'
import { ownerOf } from '../policies/prune.ts'
import { untraced } from '../policies/tracing.ts'
import { servicesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import type { Report } from '../report/report.ts'
import { warnings as doubts } from '../verify/warnings.ts'
import type { PeerAuthentication } from '../verify/wire.ts'
import { getIstioctl, pinned } from './install.ts'
import { warn, type Done, type Host, type Running } from './running.ts'

/** Shows what would be created, changed and deleted; changes nothing. */
export async function plan(running: Running): Promise<Done> {
  const all = await prepare(running)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  if (todo.length > 0 && !(await meshComesLater(running))) await gate(running, all)
  return { changed: todo.length > 0 }
}

/** Before that istioctl has nothing to analyze with. */
async function meshComesLater({ cluster, stages }: Running): Promise<boolean> {
  return stages.includes('install') && (await planes(cluster)).length === 0
}

export async function policies(running: Running): Promise<Done> {
  const { config, host, cluster, report } = running
  if (config.dryRun) return plan(running)
  const all = await prepare(running)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  if (todo.length > 0) await gate(running, all)
  await apply(
    cluster,
    all,
    () => proxies(cluster, config.namespace, host.signal),
    (change) => report.changes.push(change),
  )
  if (todo.length === 0) host.info('all policies are already in force: nothing changed')
  return { changed: todo.length > 0 }
}

/** Without a cluster: the objects as YAML, and istioctl for later steps where a version of it is asked for. */
export async function renderOnly(config: Config, host: Host, report: Report): Promise<void> {
  if (config.istio) await getIstioctl({ config: await pinned({ config, host, report }), host, report })
  const { objects, notes, warnings } = desired(config)
  notes.forEach(host.info)
  warn({ host, report }, warnings)
  report.rendered = rendered(objects, ownerOf(config.name, config.namespace))
  report.rendered.split('\n').forEach(host.info)
}

async function prepare({ config, host, cluster, report }: Running): Promise<Planned[]> {
  const owner = ownerOf(config.name, config.namespace)
  // Anew: since the preflight, install and inject may have taken minutes, in which a promotion elsewhere moved a weight.
  const live = await readLive(cluster, config.namespace)
  const { objects, notes, warnings } = desired(policiesOnly(config, live, owner), live)
  notes.forEach(host.info)
  const [services, pods] = await Promise.all([
    cluster.list<Service>('Service', config.namespace),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  warn({ host, report }, [
    ...warnings,
    ...doubts({
      namespace: config.namespace,
      isStrict: isStrict(objects, config.namespace),
      policies: servicesOf(config),
      services,
      pods,
    }),
  ])
  warn({ host, report }, [
    ...(await claimedTwice(cluster, objects, config.namespace)),
    ...(await untraced(cluster, config, objects)),
  ])
  const all = await planned(cluster, objects, owner)
  warn({ host, report }, freed(all))
  report.plan = all
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, object: { kind, metadata }, diff }) => ({
      action,
      kind,
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      diff,
    }))
  for (const { action, kind, name, diff } of report.plan) {
    host.info(`${kind} ${name}: ${action}`)
    diff.forEach((line) => host.info(`    ${line}`))
  }
  return all
}

/** Whether the config, or a manifest, asks for it for the whole namespace. */
function isStrict(objects: readonly PeerAuthentication[], namespace: string): boolean {
  return objects.some(
    ({ kind, metadata, spec }) =>
      kind === 'PeerAuthentication' &&
      metadata.namespace === namespace &&
      !spec?.selector &&
      spec?.mtls?.mode === 'STRICT',
  )
}

/** istioctl's analysis of the cluster as it will be; without istioctl at hand, none. It reads more than a namespace's rights allow. */
async function gate({ config, connection, host, report }: Running, all: Planned[]): Promise<void> {
  if (!report.istioctl) return host.info('istioctl analyze was not asked: give `istio-version` for that')
  const options = {
    istioctl: report.istioctl.path,
    cliArgs: connection.cliArgs,
    namespace: config.namespace,
    suppress: config.istio?.suppress ?? [],
    tempDir: host.tempDir,
    signal: withTimeout(host.signal, config.limits.istioctl, 'istioctl analyze', 'limits.istioctl'),
  }
  const found = await analyze(all, options).catch((error: unknown): Analysis => {
    if (!(error instanceof Error) || !/forbidden/i.test(error.message)) throw error
    return {
      errors: [],
      warnings: [`${error.message}; nothing was analyzed, for it needs rights to read that this user lacks`],
    }
  })
  warn({ host, report }, found.warnings)
  if (found.errors.length > 0)
    throw new Error(
      `istioctl analyze finds errors, so nothing is applied; mend them, or name their codes in istio.suppress:\n${found.errors.join('\n')}`,
    )
}
