// The dashboards in Grafana, which the stage observe writes and the stage uninstall deletes.
import { GrafanaRefusal, GrafanaUnavailable } from '../observability/grafana/api.ts'
import {
  type DashboardChange,
  grafanaKind,
  ownedDashboards,
  removeDashboard,
  writeDashboard,
} from '../observability/grafana/dashboards.ts'
import { dashboardOwner } from '../observability/grafana/owner.ts'
import { grafanaOf, type GrafanaPlan, planGrafana } from '../observability/outputs.ts'
import { ownerOf } from '../policies/owned-objects.ts'
import type { PlanRow } from '../report/report.ts'
import { warn, type StageContext } from './context.ts'

/** Undefined without a Grafana in the config, or if it does not work now and the run delivers. */
export async function planDashboardsInGrafana(context: StageContext): Promise<GrafanaPlan | undefined> {
  const { cluster, config } = context
  const plan = await planGrafana(cluster, config, ownerOf(config)).catch(warnIfDelivering(context))
  for (const { note, differs } of plan?.others ?? [])
    if (differs) warn(context, [note])
    else context.host.info(note)
  return plan
}

export function dueDashboards(plan: GrafanaPlan | undefined): DashboardChange[] {
  return plan?.changes.filter(({ action }) => action !== 'unchanged') ?? []
}

export function dashboardRows(plan: GrafanaPlan | undefined): PlanRow[] {
  return dueDashboards(plan).map(({ action, dashboard }) => ({ ...nameOf(dashboard), action, diff: [] }))
}

export async function writeDashboards(context: StageContext, plan: GrafanaPlan | undefined): Promise<void> {
  for (const change of dueDashboards(plan)) {
    const isWritten = await writeDashboard(plan!.api, plan!.folder, change).then(() => true, warnIfDelivering(context))
    if (!isWritten) return
    const action = change.action === 'create' ? 'created' : 'changed'
    context.recorder.record({ changes: [{ ...nameOf(change.dashboard), action }] })
  }
}

/**
 * Asks Grafana which dashboards are this config's, so that a server that refuses stops the run before it has removed
 * anything. Returns the removal, which resolves to what it has removed, or would in a dry run.
 */
export async function dashboardRemoval({
  cluster,
  config,
  host,
}: Pick<StageContext, 'cluster' | 'config' | 'host'>): Promise<() => Promise<string[]>> {
  const api = config.observability && grafanaOf(config.observability)
  if (!api) return () => Promise.resolve([])
  const owned = await ownedDashboards(api, await dashboardOwner(cluster, ownerOf(config)), host.info)
  return async () => {
    for (const dashboard of owned) if (!config.dryRun) await removeDashboard(api, dashboard)
    return owned.map(({ title }) => `${grafanaKind} ${title}`)
  }
}

/** Grafana's answer if somebody else has written the dashboard since the plan, such as a run at the same time. */
const writtenMeanwhile = 412

/** A run that promotes goes on without its dashboards; any other run fails. */
function warnIfDelivering(context: StageContext): (error: unknown) => undefined {
  return (error) => {
    const mayPass =
      error instanceof GrafanaUnavailable || (error instanceof GrafanaRefusal && error.status === writtenMeanwhile)
    if (!mayPass || !context.stages.includes('promote')) throw error
    warn(context, [
      `the dashboards are not written to Grafana, and the run goes on without them: ${error.message}; the next run writes them`,
    ])
    return undefined
  }
}

function nameOf({ title }: DashboardChange['dashboard']): Pick<PlanRow, 'kind' | 'namespace' | 'name'> {
  return { kind: grafanaKind, namespace: '', name: title }
}
