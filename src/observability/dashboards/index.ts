// The two Grafana dashboards. Their JSON is built from dev/dashboards/, and is the same for every config: variables choose
// the data source, the namespace and the service.
import canary from './canary.json' with { type: 'json' }
import services from './services.json' with { type: 'json' }

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
