// The stage observe: installs and connects what the section `observability` asks for, by the same plan as the policies.
// The Telemetry, which makes the sidecars send traces and logs, is a policy.
import { systemNamespace, type Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { installed, observedNamespaces } from '../config/observability.ts'
import type { Config } from '../config/schema.ts'
import { updateLimitMs, watchProxyUpdates } from '../mesh/propagation.ts'
import { alertsOf } from '../observability/alerts/index.ts'
import { ownLabels } from '../observability/checks.ts'
import { observabilityObjects } from '../observability/compile.ts'
import { waitForFirstScrape } from '../observability/metrics/first-scrape.ts'
import { findOperator, type Operator } from '../observability/metrics/operator.ts'
import { listObservability, removable, withoutOthers } from '../observability/owned.ts'
import { type GrafanaPlan, outputFiles, writeFiles } from '../observability/outputs.ts'
import { applyProviders, planProviders, type ProviderPlan } from '../observability/providers.ts'
import { apply } from '../policies/apply.ts'
import { ownerOf } from '../policies/owned-objects.ts'
import { planChanges, type PlannedChange } from '../policies/plan.ts'
import type { PlanRow } from '../report/report.ts'
import { waitForRollout } from '../verify/rollout.ts'
import { warn, type StageContext, type StageOutcome } from './context.ts'
import { dashboardRows, dueDashboards, planDashboardsInGrafana, writeDashboards } from './dashboards.ts'

type Plan = {
  objects: PlannedChange[]
  providers: ProviderPlan
  grafana: GrafanaPlan | undefined
}

export async function observe(context: StageContext): Promise<StageOutcome> {
  const plan = await prepare(context)
  const changed =
    plan.objects.some(({ action }) => action !== 'unchanged') ||
    plan.providers.lines.length > 0 ||
    dueDashboards(plan.grafana).length > 0
  if (context.config.dryRun) return { changed }
  if (!changed) context.host.info('the observability of the mesh is already as the config says: nothing changed')
  // A provider whose Service does not exist is an error of every push, so Services come before and go after.
  await applyObjects(
    context,
    plan.objects.filter(({ action }) => action !== 'delete'),
  )
  await waitForPrograms(context, plan.objects)
  await applyMeshConfig(context, plan.providers)
  await writeOutputs(context, plan)
  await applyObjects(
    context,
    plan.objects.filter(({ action }) => action === 'delete'),
  )
  return { changed }
}

/** Shows what would be created, changed and deleted; changes nothing. */
export async function planObservability(context: StageContext): Promise<boolean> {
  return (await observe({ ...context, config: { ...context.config, dryRun: true } })).changed
}

async function prepare(context: StageContext): Promise<Plan> {
  const { config, host, cluster } = context
  const owner = ownerOf(config)
  const desired = await withoutOthers(cluster, observabilityObjects(config, await operatorOf(context)), owner)
  const places = placesOf(config)
  const owned = async () => removable(cluster, await listObservability(cluster, places), owner, host.info)
  const objects = await planChanges(cluster, desired, owner, { section: 'observability', owned }).catch(explainOldCrds)
  const providers = await planProviders(cluster, config, owner)
  const needsMeshConfig = !config.dryRun && providers.lines.length > 0
  if (needsMeshConfig && !providers.map) throw new ConfigError(missingMeshConfig(config, providers))
  const grafana = await planDashboardsInGrafana(context)
  const plan = { objects, providers, grafana }
  if (config.observability?.alerts?.enabled) warn(context, alertsOf(config).unwatched)
  report(context, plan)
  return plan
}

/** Grafana, and files, which are no part of the cluster and no change of it. */
async function writeOutputs(context: StageContext, plan: Plan): Promise<void> {
  const files = outputFiles(context.config)
  writeFiles(files)
  files.forEach(({ path }) => context.host.info(`wrote ${path}`))
  await writeDashboards(context, plan.grafana)
}

/** Where this config may have written, for an account that may not list all namespaces. */
function placesOf(config: Config): string[] {
  const { observability } = config
  const observed = observedNamespaces(config, systemNamespace)
  const dashboards = observability?.dashboards?.configMaps?.namespace
  const own = [observability?.namespace, dashboards].flatMap((name) => name ?? [])
  return [...new Set([...observed, ...own])]
}

/** The API server names the field that a CRD lacks, and not why. */
function explainOldCrds(error: unknown): never {
  if (!(error instanceof Error) || !error.message.includes('field not declared in schema')) throw error
  throw new ConfigError(
    `observability.metrics.prometheus: ${error.message}; the CRDs of the Prometheus Operator are older than this ` +
      'version of mesh-canary expects: update the operator and its CRDs',
  )
}

async function operatorOf({
  config,
  cluster,
}: Pick<StageContext, 'config' | 'cluster'>): Promise<Operator | undefined> {
  if (config.observability?.metrics?.prometheus.operator === undefined) return undefined
  const { operator, faults } = await findOperator(cluster, config, ownLabels)
  if (faults) throw new ConfigError(faults.join('\n'))
  return operator
}

function report({ host, recorder }: StageContext, { objects, providers, grafana }: Plan): void {
  const rows = [
    ...objects.filter(({ action }) => action !== 'unchanged').map(rowOf),
    ...rowsOf(providers),
    ...dashboardRows(grafana),
  ]
  recorder.record({ plan: [...(recorder.current().plan ?? []), ...rows] })
  for (const { action, kind, name, diff } of rows) {
    host.info(`${kind} ${name}: ${action}`)
    diff.forEach((line) => host.info(`    ${line}`))
  }
}

function rowOf({ action, object: { kind, metadata }, diff }: PlannedChange): PlanRow {
  return { action, kind, namespace: metadata.namespace ?? '', name: metadata.name, diff }
}

function rowsOf({ place, lines }: ProviderPlan): PlanRow[] {
  return lines.length === 0 ? [] : [{ action: 'change', kind: 'ConfigMap', ...place, diff: lines }]
}

function applyObjects({ cluster, recorder }: StageContext, planned: PlannedChange[]): Promise<void> {
  const notForProxies = () => Promise.resolve(() => Promise.resolve())
  return apply(cluster, planned, notForProxies, (change) => recorder.record({ changes: [change] }))
}

async function waitForPrograms({ config, cluster, host }: StageContext, objects: PlannedChange[]): Promise<void> {
  const programs = objects.filter(({ object, action }) => object.kind === 'Deployment' && action !== 'delete')
  for (const { object } of programs)
    await waitForRollout(cluster, object as Workload, config.verify.timeout, host.signal, 'after it was applied')
  const isNew = ({ object, action }: PlannedChange) =>
    object.metadata.name === installed.prometheus.name && action !== 'unchanged'
  if (programs.some(isNew)) await waitForFirstScrape(cluster, config, host.signal)
}

async function applyMeshConfig(context: StageContext, plan: ProviderPlan): Promise<void> {
  const { config, cluster, host, recorder } = context
  if (plan.lines.length === 0) return
  const waitForProxies = await watchProxyUpdates(cluster, config.namespace, host.signal)
  if (!(await applyProviders(cluster, plan))) return
  recorder.record({ changes: [{ kind: 'ConfigMap', ...plan.place, action: 'changed' }] })
  if (!(await waitForProxies()))
    host.info(`some sidecars showed no update within ${updateLimitMs / 1_000} s after the change of the mesh config`)
}

function missingMeshConfig({ observability }: Config, { place: { namespace, name } }: ProviderPlan): string {
  return (
    `observability.${observability?.traces ? 'traces' : 'logs'}: the mesh config, the ConfigMap ${namespace}/${name}, ` +
    'does not exist, so no extension provider can be added to it; install the mesh first, or set `istio.revision` to ' +
    'the revision of the control plane'
  )
}
