// What the section `observability` writes outside the cluster: files on the runner, and dashboards in Grafana.
import { statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cluster } from '../cluster/client.ts'
import type { Config, ObservabilityConfig } from '../config/schema.ts'
import type { Owner } from '../policies/owned-objects.ts'
import { messageOf } from '../runtime/errors.ts'
import { alertsOf, rulesFile } from './alerts/index.ts'
import { dashboards, toFile } from './dashboards/index.ts'
import { type GrafanaApi, grafanaApi, GrafanaUnavailable } from './grafana/api.ts'
import { type DashboardPlan, planDashboards } from './grafana/dashboards.ts'
import { folderUid } from './grafana/folder.ts'
import { dashboardOwner } from './grafana/owner.ts'

export type OutputFile = { path: string; text: string }

export function outputFiles(config: Config): OutputFile[] {
  const { dashboards: wanted, alerts } = config.observability ?? {}
  const folder = wanted?.files
  return [
    ...(folder === undefined
      ? []
      : dashboards.map((each) => ({ path: join(folder, `mesh-canary-${each.name}.json`), text: toFile(each) }))),
    ...(alerts?.enabled && alerts.file !== undefined
      ? [{ path: alerts.file, text: rulesFile(alertsOf(config, alerts.labels).groups) }]
      : []),
  ]
}

export function writeFiles(files: readonly OutputFile[]): void {
  for (const { path, text } of files) writeFileSync(path, text)
}

/** A Grafana that does not answer for so long counts as absent. */
const grafanaTimeoutMs = 10_000

/** Undefined if the config names no Grafana. */
export function grafanaOf({ dashboards: wanted }: ObservabilityConfig): GrafanaApi | undefined {
  return wanted?.grafana && grafanaApi(wanted.grafana, grafanaTimeoutMs)
}

export type GrafanaPlan = DashboardPlan & { api: GrafanaApi; folder: string | undefined }

/** `folder`: its UID; undefined for the root. Writes nothing. Undefined if the config names no Grafana. */
export async function planGrafana(
  cluster: Cluster,
  { observability }: Pick<Config, 'observability'>,
  owner: Owner,
): Promise<GrafanaPlan | undefined> {
  const api = observability && grafanaOf(observability)
  if (!api) return undefined
  const folder = await folderUid(api, observability.dashboards?.grafana?.folder)
  return { api, folder, ...(await planDashboards(api, folder, await dashboardOwner(cluster, owner))) }
}

/**
 * One sentence for each output that cannot be written. `delivers`: the run also promotes, and so it goes on without a
 * Grafana that does not work now (decision 22).
 */
export async function outputFaults(
  cluster: Cluster,
  config: Pick<Config, 'observability'>,
  owner: Owner,
  delivers: boolean,
): Promise<string[]> {
  const { dashboards: wanted, alerts } = config.observability ?? {}
  return [
    ...folderFaults('observability.dashboards.files', wanted?.files),
    ...folderFaults('observability.alerts.file', alerts?.file === undefined ? undefined : dirname(alerts.file)),
    ...(await planGrafana(cluster, config, owner).then(
      () => [],
      (error: unknown) => (delivers && error instanceof GrafanaUnavailable ? [] : [messageOf(error)]),
    )),
  ]
}

function folderFaults(key: string, folder: string | undefined): string[] {
  if (folder === undefined || statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  return [`${key}: the folder ${folder} does not exist on the runner; create it in an earlier step`]
}
