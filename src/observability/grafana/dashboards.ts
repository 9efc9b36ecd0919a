// Writes the dashboards through Grafana's API: what would change, the writes, and the removal.
import { type Dashboard, dashboards } from '../dashboards/index.ts'
import { type GrafanaApi, GrafanaRefusal } from './api.ts'

/** What the report calls a dashboard in Grafana. */
export const grafanaKind = 'Grafana dashboard'

export type DashboardChange = { action: 'create' | 'change' | 'unchanged'; dashboard: Dashboard }

type Live = { dashboard: Record<string, unknown>; meta: { folderUid?: string; provisioned?: boolean } }

/** Compares with Grafana, and writes nothing. `folder`: the UID of the folder; undefined for the root. */
export async function planDashboards(api: GrafanaApi, folder: string | undefined): Promise<DashboardChange[]> {
  return Promise.all(
    dashboards.map(async (dashboard): Promise<DashboardChange> => {
      const live = await read(api, dashboard)
      if (!live) return { action: 'create', dashboard }
      requireWritable(dashboard, live)
      return { action: isSame(live, dashboard, folder) ? 'unchanged' : 'change', dashboard }
    }),
  )
}

/** Replaces whatever Grafana has under the same UIDs. */
export async function writeDashboard(
  api: GrafanaApi,
  folder: string | undefined,
  { content }: Dashboard,
): Promise<void> {
  await api('POST', '/api/dashboards/db', {
    dashboard: { ...content, id: null },
    ...(folder === undefined ? {} : { folderUid: folder }),
    message: 'mesh-canary',
    overwrite: true,
  })
}

/** Returns the dashboards that were there. Those that Grafana reads from files are not its own, and stay. */
export async function removeDashboards(api: GrafanaApi, { dryRun = false } = {}): Promise<Dashboard[]> {
  const found: Dashboard[] = []
  for (const dashboard of dashboards) {
    const live = await read(api, dashboard)
    if (!live || live.meta.provisioned === true) continue
    if (!dryRun) await api('DELETE', pathOf(dashboard))
    found.push(dashboard)
  }
  return found
}

async function read(api: GrafanaApi, dashboard: Dashboard): Promise<Live | undefined> {
  try {
    return (await api('GET', pathOf(dashboard))) as Live
  } catch (error) {
    if (error instanceof GrafanaRefusal && error.status === 404) return undefined
    throw error
  }
}

function pathOf({ uid }: Dashboard): string {
  return `/api/dashboards/uid/${uid}`
}

/**
 * True if Grafana has all that we would write. It adds an id and a version, and later versions of it may add defaults, or
 * save a dashboard under a newer version of its schema.
 */
function isSame({ dashboard, meta }: Live, { content }: Dashboard, folder: string | undefined): boolean {
  const { schemaVersion, ...compared } = content
  const isOlder = Number(dashboard['schemaVersion']) < Number(schemaVersion)
  return !isOlder && contains(dashboard, compared) && (meta.folderUid ?? '') === (folder ?? '')
}

function contains(live: unknown, written: unknown): boolean {
  if (typeof written !== 'object' || written === null) return live === written
  if (typeof live !== 'object' || live === null) return false
  if (Array.isArray(written) && (!Array.isArray(live) || live.length !== written.length)) return false
  return Object.entries(written).every(([key, value]) => contains((live as Record<string, unknown>)[key], value))
}

/** Grafana refuses to change what it reads from files, such as the ConfigMaps of its sidecar. */
function requireWritable({ title }: Dashboard, { meta }: Live): void {
  if (meta.provisioned === true)
    throw new Error(
      `observability.dashboards.grafana: Grafana reads the dashboard ${title} from a file already, such as a ConfigMap of ` +
        '`dashboards.configMaps`; choose one of the two ways',
    )
}
