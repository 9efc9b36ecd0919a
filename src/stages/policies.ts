// The stages plan and policies: compile the policies, compare them with the cluster, analyze the change and apply it,
// unless it is a dry run.
import { titleOf, type KubeObject, type Pod, type Service } from '../cluster/objects.ts'
import { listNames } from '../runtime/errors.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { updateLimitMs, watchProxyUpdates } from '../mesh/propagation.ts'
import { listControlPlanes } from '../mesh/revisions.ts'
import { analyze, type Analysis } from '../policies/analyze.ts'
import { apply } from '../policies/apply.ts'
import { hostConflicts } from '../policies/host-conflicts.ts'
import { desired } from '../policies/desired.ts'
import { withoutExternalCanaries } from '../policies/external-routes.ts'
import { removedSplits } from '../policies/removed-splits.ts'
import { readLive } from '../policies/live.ts'
import { planChanges as planned, toYaml, type PlannedChange } from '../policies/plan.ts'
import { leftByEarlier, ownerOf } from '../policies/prune.ts'
import { missingTracing } from '../policies/tracing-check.ts'
import { servicesOf } from '../config/names.ts'
import { policyWarnings } from '../verify/warnings.ts'
import type { PeerAuthentication } from '../verify/mtls-modes.ts'
import { installIstioctl, pinVersion } from './check.ts'
import { warn, type RunContext, type StageContext, type StageOutcome } from './context.ts'

/** Shows what would be created, changed and deleted; changes nothing. */
export async function plan(context: StageContext): Promise<StageOutcome> {
  const all = await prepare(context)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  if (todo.length > 0 && !(await meshComesLater(context))) await analyzeChange(context, all)
  return { changed: todo.length > 0 }
}

/** Until the mesh is installed, istioctl has no CRDs to analyze with. */
async function meshComesLater({ cluster, stages }: StageContext): Promise<boolean> {
  return stages.includes('install') && (await listControlPlanes(cluster)).length === 0
}

export async function policies(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, recorder } = context
  if (config.dryRun) return plan(context)
  const all = await prepare(context)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  if (todo.length > 0) await analyzeChange(context, all)
  await apply(
    cluster,
    all,
    () => watchAndReport(context),
    (change) => recorder.record({ changes: [change] }),
  )
  if (todo.length === 0) host.info('all policies are already in force: nothing changed')
  return { changed: todo.length > 0 }
}

/** Returns a function that waits until the proxies have what was written since, and reports if some do not. */
async function watchAndReport({ cluster, config, host }: StageContext): Promise<() => Promise<void>> {
  const waitForProxies = await watchProxyUpdates(cluster, config.namespace, host.signal)
  return async () => {
    if (!(await waitForProxies()))
      host.info(`some sidecars received no update within ${updateLimitMs / 1_000} s; this change may not affect them`)
  }
}

/** Without a cluster: prints the objects as YAML, and installs istioctl for later steps if the config has `istio`. */
export async function renderOnly(context: RunContext): Promise<void> {
  const { config, host, recorder } = context
  if (config.istio) await installIstioctl({ ...context, ...(await pinVersion(context)) })
  const { objects, notes, warnings } = desired(config)
  notes.forEach(host.info)
  warn(context, warnings)
  const yaml = toYaml(objects, ownerOf(config))
  recorder.record({ rendered: yaml })
  yaml.split('\n').forEach(host.info)
}

async function prepare(context: StageContext): Promise<PlannedChange[]> {
  const { config, host, cluster, recorder } = context
  const owner = ownerOf(config)
  // Read again: since the preflight, install and inject may have taken minutes, and another run may have moved a
  // weight.
  const live = await readLive(cluster, config.namespace)
  const { objects, notes, warnings } = desired(withoutExternalCanaries(config, live, owner), live)
  notes.forEach(host.info)
  const [services, pods] = await Promise.all([
    cluster.list<Service>('Service', config.namespace),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  warn(context, [
    ...warnings,
    ...policyWarnings({
      namespace: config.namespace,
      isStrict: isStrict(objects, config.namespace),
      policies: servicesOf(config),
      services,
      pods,
    }),
  ])
  warn(context, [
    ...(await hostConflicts(cluster, objects, config.namespace)),
    ...(await missingTracing(cluster, config, objects)),
  ])
  const all = await planned(cluster, objects, owner)
  warn(context, [...removedSplits(all), ...leftoverWarnings(await leftByEarlier(cluster, owner, objects))])
  const changes = all
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, object: { kind, metadata }, diff }) => ({
      action,
      kind,
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      diff,
    }))
  recorder.record({ plan: changes })
  for (const { action, kind, name, diff } of changes) {
    host.info(`${kind} ${name}: ${action}`)
    diff.forEach((line) => host.info(`    ${line}`))
  }
  return all
}

function leftoverWarnings(objects: readonly KubeObject[]): string[] {
  if (objects.length === 0) return []
  return [
    `policies: an earlier version of mesh-canary wrote ${listNames(objects.map(titleOf))}, for this config or for one ` +
      'of the same path in another repository; this config does not ask for them, so they stay. ' +
      'Delete them if they are yours',
  ]
}

/** True if the config or a manifest sets STRICT for the whole namespace. */
function isStrict(objects: readonly PeerAuthentication[], namespace: string): boolean {
  return objects.some(
    ({ kind, metadata, spec }) =>
      kind === 'PeerAuthentication' &&
      metadata.namespace === namespace &&
      !spec?.selector &&
      spec?.mtls?.mode === 'STRICT',
  )
}

/**
 * Runs istioctl's analysis of the cluster as it will be, if there is istioctl. Rights for one namespace do not suffice.
 */
async function analyzeChange(context: StageContext, all: PlannedChange[]): Promise<void> {
  const { config, connection, host, istioctl } = context
  if (!istioctl) return host.info('istioctl analyze was not asked: give `istio-version` for that')
  const options = {
    istioctl: istioctl.path,
    cliArgs: connection.cliArgs,
    namespace: config.namespace,
    revision: config.istio?.revision,
    suppress: config.istio?.suppress ?? [],
    tempDir: host.tempDir,
    signal: withTimeout(host.signal, config.limits.istioctl, 'istioctl analyze', 'limits.istioctl'),
  }
  const found = await analyze(all, options).catch((error: unknown): Analysis => {
    if (!(error instanceof Error) || !/forbidden/i.test(error.message)) throw error
    return {
      errors: [],
      warnings: [`${error.message}; skipping the analysis, because this user lacks rights to read`],
    }
  })
  warn(context, found.warnings)
  if (found.errors.length > 0)
    throw new Error(
      'istioctl analyze finds errors, so nothing is applied; ' +
        `fix them, or list their codes in istio.suppress:\n${found.errors.join('\n')}`,
    )
}
