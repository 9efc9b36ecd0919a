// Whose a dashboard in Grafana is. All configs share the two dashboards of a Grafana, and clusters share a Grafana.
import type { Cluster } from '../../cluster/client.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { configLabel, ownerId, type Owner } from '../../policies/owned-objects.ts'
import { dashboardTag, type Dashboard } from '../dashboards/index.ts'

/** `tags`: one for each name of the config; the first is written. `title`: the owner in words. */
export type DashboardOwner = { tags: readonly string[]; title: string }

/** What Grafana answers, as far as it says whose the dashboard is. */
type Marks = Readonly<Record<string, unknown>>

/** Like the label of an object. The owner's name would be too long: Grafana keeps 50 characters of a tag. */
const ownerTagPrefix = `${configLabel}=`
const ownerLine = /\n\nOwner: (.+)$/

/**
 * A preview in another cluster may have the same config, so the UID of the namespace counts. Every account of a run may read
 * it, unlike that of kube-system: the account that installs and the one that delivers must be the same owner.
 */
export async function dashboardOwner(cluster: Cluster, { names, namespace }: Owner): Promise<DashboardOwner> {
  const { uid = 'unknown' } = (await cluster.get<KubeObject>('Namespace', undefined, namespace))?.metadata ?? {}
  return {
    tags: names.map((name) => `${ownerTagPrefix}${ownerId(`${name}\n${uid}`)}`),
    title: `${names[0]}, namespace ${namespace} (UID ${uid})`,
  }
}

/** The dashboard with the tag of its owner, and with the owner in words, for people and for messages. */
export function withOwner(dashboard: Dashboard, { tags: [tag], title }: DashboardOwner): Dashboard {
  const { tags, description } = dashboard.content as { tags: string[]; description: string }
  const content = { ...dashboard.content, tags: [...tags, tag], description: `${description}\n\nOwner: ${title}` }
  return { ...dashboard, content }
}

/**
 * `own`: of this config. `unclaimed`: written by mesh-canary, and no config owns it, such as one that was imported from a
 * file. `other`: of another config. `foreign`: not of mesh-canary.
 */
export type Ownership = 'own' | 'unclaimed' | 'other' | 'foreign'

export function ownership(live: Marks, owner: DashboardOwner): Ownership {
  const tags = tagsOf(live)
  if (owner.tags.some((tag) => tags.includes(tag))) return 'own'
  if (ownerTagOf(live) !== undefined) return 'other'
  return tags.includes(dashboardTag) ? 'unclaimed' : 'foreign'
}

/** The owner of another config's dashboard: in words, or its tag if somebody has edited the description. */
export function ownerTitleOf(live: Marks): string {
  return ownerLine.exec(String(live['description']))?.[1] ?? ownerTagOf(live) ?? 'unknown'
}

function tagsOf({ tags }: Marks): unknown[] {
  return Array.isArray(tags) ? tags : []
}

export function ownerTagOf(live: Marks): string | undefined {
  return tagsOf(live)
    .map(String)
    .find((tag) => tag.startsWith(ownerTagPrefix))
}
