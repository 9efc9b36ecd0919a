// The stages plan and policies: compile the policies, compare them with the cluster, analyze the change and apply it,
// unless it is a dry run.
import { isForbidden } from '../cluster/api-error.ts'
import { titleOf, type KubeObject, type Pod, type Service } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { ConfigError } from '../config/error.ts'
import { listNames } from '../runtime/errors.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { updateLimitMs, watchProxyUpdates } from '../mesh/propagation.ts'
import { listControlPlanes } from '../mesh/revisions.ts'
import { observabilityObjects } from '../observability/compile.ts'
import { analyze, type Analysis } from '../policies/analyze.ts'
import { apply } from '../policies/apply.ts'
import {
  engineObjects,
  withEngineObjects,
  withGeneratedRoutes,
  withoutGenerated,
} from '../engines/generate/engine-objects.ts'
import { readExisting } from '../engines/generate/existing.ts'
import { engineChangeFaults, handBack, ownedEngineObjects, waitForRemoval } from '../engines/generate/hand-back.ts'
import { emptySplits } from '../policies/weights/empty-splits.ts'
import { hostConflicts } from '../policies/conflicts/host-conflicts.ts'
import { desired, statedRules, type Desired } from '../policies/desired.ts'
import { userManifests } from '../policies/manifests/manifests.ts'
import { withStatedSubsets } from '../policies/subsets.ts'
import { withoutExternalCanaries } from '../policies/weights/external-routes.ts'
import { weightRules } from '../policies/weights/kept-weights.ts'
import { namespaceConflicts } from '../policies/conflicts/namespace-conflicts.ts'
import { removedSplits } from '../policies/weights/removed-splits.ts'
import { readLive, type LiveRoutes } from '../policies/live-routes.ts'
import { planChanges, toYaml, type PlannedChange } from '../policies/plan.ts'
import { leftByEarlier, ownedBy, ownerOf } from '../policies/owned-objects.ts'
import { missingTracing } from '../policies/tracing-check.ts'
import { servicesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { hasPolicies } from '../config/stages.ts'
import { policyWarnings } from '../verify/warnings.ts'
import type { PeerAuthentication } from '../verify/mtls-modes.ts'
import { installIstioctl, pinVersion } from './check.ts'
import { checkMtlsChange, requireNoPlaintext } from './mtls.ts'
import { heldPromotionFaults } from './held-promotions.ts'
import { planEdge } from './edge.ts'
import { renderedBypassFaults } from './bypass-faults.ts'
import { warn, type RunContext, type StageContext, type StageOutcome } from './context.ts'
import { planObservability } from './observe.ts'
import { planControlPlane } from './control-plane.ts'
import { warnOfTooLittleTraffic } from './traffic-warning.ts'

/** Shows what would be created, changed and deleted, in the control plane as well; changes nothing. */
export async function plan(context: StageContext): Promise<StageOutcome> {
  const changesMesh = await planMesh(context)
  const changesPolicies = hasPolicies(context.config) && (await planPolicies(context)).changed
  const changesObservability = context.config.observability !== undefined && (await planObservability(context))
  const changesEdge = context.config.edge !== undefined && (await planEdge(context))
  await warnOfTooLittleTraffic(context)
  return { changed: changesMesh || changesPolicies || changesObservability || changesEdge }
}

/** The stage install shows its own plan. An account for one namespace cannot see the control plane. */
async function planMesh(context: StageContext): Promise<boolean> {
  if (context.stages.includes('install')) return false
  return planControlPlane(context).catch((error: unknown) => {
    if (!isForbidden(error)) throw error
    context.host.info(`cannot see what would change in the control plane: ${error.message}`)
    return false
  })
}

async function planPolicies(context: StageContext): Promise<StageOutcome> {
  const all = await prepare(context)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  // Callers that the stage inject has not given a sidecar yet still send plaintext.
  if (!context.stages.includes('inject')) await requireNoPlaintext(context, objectsAfter(all))
  if (todo.length > 0 && !(await meshComesLater(context))) await analyzeChange(context, all)
  return { changed: todo.length > 0 }
}

/** Until the mesh is installed, istioctl has no CRDs to analyze with. */
async function meshComesLater({ cluster, stages }: StageContext): Promise<boolean> {
  return stages.includes('install') && (await listControlPlanes(cluster)).length === 0
}

export async function policies(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, recorder } = context
  if (config.dryRun) return planPolicies(context)
  const all = await prepare(context)
  const todo = all.filter(({ action }) => action !== 'unchanged')
  if (todo.length > 0) await analyzeChange(context, all)
  await requireNoPlaintext(context, objectsAfter(all))
  refuse(await heldPromotionFaults(cluster, config.namespace, all))
  const handing = { timeoutMs: config.verify.timeout, note: host.info, signal: host.signal }
  await handBack(cluster, todo, handing)
  await apply(
    cluster,
    all,
    () => watchAndReport(context),
    (change) => recorder.record({ changes: [change] }),
  )
  await waitForRemoval(cluster, todo, handing)
  if (todo.length === 0) host.info('all policies are already in force: nothing changed')
  return { changed: todo.length > 0 }
}

function objectsAfter(all: readonly PlannedChange[]): KubeObject[] {
  return all.filter(({ action }) => action !== 'delete').map(({ object }) => object)
}

/** Returns a function that waits until the proxies have what was written since, and reports if some do not. */
async function watchAndReport({ cluster, config, host }: StageContext): Promise<() => Promise<void>> {
  const waitForProxies = await watchProxyUpdates(cluster, config.namespace, host.signal)
  return async () => {
    if (!(await waitForProxies()))
      host.info(`some sidecars showed no update within ${updateLimitMs / 1_000} s; this change may not affect them`)
  }
}

/** Without a cluster: prints the objects as YAML, and installs istioctl for later steps if the config has `istio`. */
export async function renderOnly(context: RunContext): Promise<void> {
  const { config, host, recorder } = context
  const { objects, notes, warnings } = render(config)
  if (config.istio) await installIstioctl({ ...context, ...(await pinVersion(context)) })
  notes.forEach(host.info)
  warn(context, warnings)
  const yaml = toYaml([...objects, ...observabilityObjects(config, undefined)], ownerOf(config))
  recorder.record({ rendered: yaml })
  yaml.split('\n').forEach(host.info)
}

/** @throws ConfigError if a route bypasses the split of a canary. */
function render(config: Config): Desired {
  const target = desired(withoutGenerated(config))
  refuse(renderedBypassFaults(config, target))
  const generated = engineObjects(config)
  const objects = withEngineObjects(target.objects, generated.objects)
  return { ...target, objects, notes: [...target.notes, ...generated.notes] }
}

async function prepare(context: StageContext): Promise<PlannedChange[]> {
  const target = await readDesired(context)
  target.notes.forEach(context.host.info)
  await warnOfPolicies(context, target)
  await refuseConflicts(context, target)
  const all = await planWrites(context, target)
  reportPlan(context, all)
  return all
}

/** What the config asks for, and what of the namespace it is compared with. */
type DesiredPolicies = Desired & { live: LiveRoutes; services: Service[]; pods: Pod[] }

/** Reads again: since the preflight, install and inject may have taken minutes, and another run may have moved a weight. */
async function readDesired({ config, cluster }: StageContext): Promise<DesiredPolicies> {
  const live = await readLive(cluster, config.namespace)
  const policies = desired(withoutExternalCanaries(withoutGenerated(config), live, ownerOf(config)), live)
  const generated = engineObjects(config, await readExisting(cluster, config))
  const objects = withEngineObjects(policies.objects, generated.objects)
  const [services, pods] = await Promise.all([
    cluster.list<Service>('Service', config.namespace),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  return { ...policies, objects, notes: [...policies.notes, ...generated.notes], live, services, pods }
}

async function warnOfPolicies(
  context: StageContext,
  { objects, warnings, live, services, pods }: DesiredPolicies,
): Promise<void> {
  const { config, cluster } = context
  warn(context, [
    ...warnings,
    ...policyWarnings({
      namespace: config.namespace,
      isStrict: isStrict(objects, config.namespace),
      policies: servicesOf(withStatedSubsets(config, statedRules(userManifests(config), live))),
      services,
      pods,
    }),
  ])
  warn(context, [
    ...(await hostConflicts(cluster, objects, config.namespace)),
    ...(await missingTracing(cluster, config, objects)),
  ])
}

/** @throws ConfigError if the policies contradict other objects, or how callers and services encrypt. */
async function refuseConflicts(context: StageContext, target: DesiredPolicies): Promise<void> {
  const { config, cluster, stages } = context
  const owner = ownerOf(config)
  const conflicts = await namespaceConflicts(cluster, target, owner)
  const mtls = await checkMtlsChange(cluster, config, target.objects, owner, stages)
  warn(context, [...conflicts.warnings, ...mtls.warnings])
  refuse([...conflicts.faults, ...mtls.faults])
}

/** @throws ConfigError if a change would take traffic from a service, or an object from its controller. */
async function planWrites(
  context: StageContext,
  { objects, services, pods }: DesiredPolicies,
): Promise<PlannedChange[]> {
  const { config, cluster, releases = [] } = context
  const owner = ownerOf(config)
  const ofCanaries = releases.flatMap(({ canaryService }) => canaryService ?? [])
  const owned = async () => [...(await ownedBy(cluster, owner)), ...(await ownedEngineObjects(cluster, owner))]
  const all = await planChanges(cluster, [...ofCanaries, ...objects], owner, {
    rules: weightRules(withGeneratedRoutes(config)),
    owned,
    onUnread: (warning) => warn(context, [warning]),
  })
  refuse(await engineChangeFaults(cluster, all))
  reportEmptySplits(context, emptySplits(all, { name: config.namespace, services, pods: pods.filter(isLive) }))
  warn(context, [...removedSplits(all), ...leftoverWarnings(await leftByEarlier(cluster, owner, objects))])
  return all
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
}

/** Weights that are kept show even on an object that stays as it is, because the file says something else. */
function reportPlan({ host, recorder }: StageContext, all: readonly PlannedChange[]): void {
  const changes = all
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, object: { kind, metadata }, diff, kept = [] }) => ({
      action,
      kind,
      namespace: metadata.namespace ?? '',
      name: metadata.name,
      diff: [...diff, ...kept.map((line) => `  ${line}`)],
    }))
  const kept = all.flatMap(({ object, kept: lines = [] }) => lines.map((line) => `${titleOf(object)}: ${line}`))
  recorder.record({ plan: changes, ...(kept.length > 0 ? { keptWeights: kept } : {}) })
  for (const { action, kind, name, diff } of changes) {
    host.info(`${kind} ${name}: ${action}`)
    diff.forEach((line) => host.info(`    ${line}`))
  }
  for (const { action, object, kept: lines = [] } of all)
    if (action === 'unchanged') lines.forEach((line) => host.info(`${object.kind} ${object.metadata.name}: ${line}`))
}

/** What a plan may find before the version is deployed is an error for a run that would write it. */
function reportEmptySplits(context: StageContext, found: string[]): void {
  if (found.length === 0) return
  if (context.config.dryRun || !context.stages.includes('policies')) return warn(context, found)
  throw new ConfigError(found.join('\n'))
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
  if (!istioctl) return host.info('istioctl analyze did not run; set `istio-version` to run it')
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
