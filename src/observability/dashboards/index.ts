// The two Grafana dashboards. Their JSON is built from dev/dashboards/, and is the same for every config: variables choose
// the data source, the namespace and the service.
import type { KubeObject } from '../../cluster/objects.ts'
import { observabilityObject } from '../objects.ts'
import canary from './canary.json' with { type: 'json' }
import services from './services.json' with { type: 'json' }

/** On both dashboards, and on the annotations that they show. */
export const dashboardTag = 'mesh-canary'

/** `content`: what Grafana calls the dashboard model. */
export type Dashboard = { name: string; uid: string; title: string; content: Readonly<Record<string, unknown>> }

export const dashboards: readonly Dashboard[] = [
  { name: 'services', uid: services.uid, title: services.title, content: services },
  { name: 'canary', uid: canary.uid, title: canary.title, content: canary },
]

/** As a file that Grafana imports. */
export function toFile({ content }: Dashboard): string {
  return `${JSON.stringify(content, null, 2)}\n`
}

/** The label by which the sidecar of Grafana's Helm chart finds dashboards. */
export const dashboardLabel = 'grafana_dashboard'

/** For Grafana's sidecar. The annotation puts them into a folder, if the chart sets `folderAnnotation: grafana_folder`. */
export function dashboardConfigMaps(namespace: string): KubeObject[] {
  return dashboards.map(({ name, content }) =>
    observabilityObject(
      'ConfigMap',
      {
        name: `mesh-canary-dashboard-${name}`,
        namespace,
        labels: { [dashboardLabel]: '1' },
        annotations: { grafana_folder: 'mesh-canary' },
      },
      { data: { [`mesh-canary-${name}.json`]: JSON.stringify(content) } },
    ),
  )
}
