// Writes the dashboards through Grafana's API: what would change, the writes, and the removal of those that a config owns.
import { type Dashboard, dashboards, dashboardTag } from '../dashboards/index.ts'
import { type GrafanaApi, GrafanaRefusal } from './api.ts'
import { type DashboardOwner, ownership, ownerTagOf, ownerTitleOf, withOwner } from './owner.ts'

/** What the report calls a dashboard in Grafana. */
export const grafanaKind = 'Grafana dashboard'

/** `version`: of the live dashboard that the write replaces. */
export type DashboardChange = { action: 'create' | 'change' | 'unchanged'; dashboard: Dashboard; version?: number }

/** A dashboard that belongs to another config, and so stays. `differs`: from what this config would write. */
export type OthersDashboard = { note: string; differs: boolean }
export type DashboardPlan = { changes: DashboardChange[]; others: OthersDashboard[] }

type Live = {
  dashboard: Record<string, unknown> & { version?: number }
  meta: { folderUid?: string; provisioned?: boolean }
}

/**
 * Compares with Grafana, and writes nothing. `folder`: the UID of the folder; undefined for the root.
 * @throws Error with one sentence for a dashboard that this program did not write, or that Grafana reads from a file.
 */
export async function planDashboards(
  api: GrafanaApi,
  folder: string | undefined,
  owner: DashboardOwner,
): Promise<DashboardPlan> {
  const plans = await Promise.all(
    dashboards.map(async (shared): Promise<DashboardChange | OthersDashboard> => {
      const live = await read(api, shared)
      const dashboard = withOwner(shared, owner)
      if (!live) return { action: 'create', dashboard }
      requireWritable(shared, live)
      const whose = ownership(live.dashboard, owner)
      if (whose === 'foreign') throw new Error(foreignDashboard(shared))
      if (whose === 'other') return otherOwner(shared, live)
      const { version = 0 } = live.dashboard
      return { action: isSame(live, dashboard, folder) ? 'unchanged' : 'change', dashboard, version }
    }),
  )
  return {
    changes: plans.filter((plan) => 'action' in plan),
    others: plans.filter((plan) => 'differs' in plan),
  }
}

/** Grafana refuses it if somebody has written the dashboard since the plan. */
export async function writeDashboard(
  api: GrafanaApi,
  folder: string | undefined,
  { dashboard: { content }, version }: Pick<DashboardChange, 'dashboard' | 'version'>,
): Promise<void> {
  await api('POST', '/api/dashboards/db', {
    dashboard: { ...content, id: null, ...(version === undefined ? {} : { version }) },
    ...(folder === undefined ? {} : { folderUid: folder }),
    message: 'mesh-canary',
    overwrite: false,
  })
}

/**
 * The dashboards that this config may delete. `note` gets a sentence for each one that stays. Those that Grafana reads from
 * files are not its own.
 */
export async function ownedDashboards(
  api: GrafanaApi,
  owner: DashboardOwner,
  note: (line: string) => void,
): Promise<Dashboard[]> {
  const owned: Dashboard[] = []
  for (const dashboard of dashboards) {
    const live = await read(api, dashboard)
    if (!live || live.meta.provisioned === true) continue
    const whose = ownership(live.dashboard, owner)
    if (whose === 'own') owned.push(dashboard)
    else note(`the ${grafanaKind} ${dashboard.title} stays: ${whyItStays(whose, live)}`)
  }
  return owned
}

export async function removeDashboard(api: GrafanaApi, dashboard: Dashboard): Promise<void> {
  await api('DELETE', pathOf(dashboard))
}

function whyItStays(whose: 'unclaimed' | 'other' | 'foreign', { dashboard }: Live): string {
  if (whose === 'other') return `it belongs to another config of mesh-canary (${ownerTitleOf(dashboard)})`
  return whose === 'unclaimed' ? 'it has no tag that says which config has written it' : 'mesh-canary did not write it'
}

function otherOwner({ title, uid, content }: Dashboard, { dashboard }: Live): OthersDashboard {
  const differs = !isSameButForOwner(dashboard, content)
  const note =
    `the ${grafanaKind} ${title} (${uid}) belongs to another config of mesh-canary (${ownerTitleOf(dashboard)}), and stays ` +
    `as it is${differs ? ', although this run would write another content' : ''}; it shows this application too. To hand ` +
    `it over, remove its tag ${ownerTagOf(dashboard)}`
  return { note, differs }
}

function foreignDashboard({ title, uid }: Dashboard): string {
  return (
    `observability.dashboards.grafana: Grafana has a dashboard with the UID ${uid} that mesh-canary did not write; delete ` +
    `it, or give it the tag ${dashboardTag} to have it replaced by ${title}`
  )
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
  return holds(dashboard, content) && (meta.folderUid ?? '') === (folder ?? '')
}

function isSameButForOwner(dashboard: Live['dashboard'], content: Dashboard['content']): boolean {
  const { tags: _tags, description: _description, ...compared } = content
  return holds(dashboard, compared)
}

function holds(dashboard: Live['dashboard'], content: Dashboard['content']): boolean {
  const { schemaVersion, ...compared } = content
  const isOlder = Number(dashboard['schemaVersion']) < Number(schemaVersion)
  return !isOlder && contains(dashboard, compared)
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
