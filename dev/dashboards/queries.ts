// The queries of the dashboards with values for their variables, as Grafana sends them to Prometheus.
import { type Dashboard, dashboards } from '../../src/observability/dashboards/index.ts'

/** `range`: for `$__rate_interval`. `wholeRange`: for `$__range`. Both are PromQL durations. */
export type Values = { namespace: string; service: string; range: string; wholeRange: string }
export type PanelQuery = { dashboard: string; row: string; panel: string; unit: string; legend: string; expr: string }

type Target = { expr: string; legendFormat: string }
type Panel = { type: string; title: string; targets?: Target[]; fieldConfig?: { defaults: { unit?: string } } }

function panelsOf({ content }: Dashboard): Panel[] {
  return content['panels'] as Panel[]
}

/** In the order of the dashboards. */
export function panelQueries(values: Values): PanelQuery[] {
  return dashboards.flatMap((dashboard) => {
    let row = ''
    return panelsOf(dashboard).flatMap(({ type, title, targets = [], fieldConfig }) => {
      if (type === 'row') row = title
      return targets.map(({ expr, legendFormat }) => ({
        dashboard: dashboard.title,
        row,
        panel: title,
        unit: fieldConfig?.defaults.unit ?? '',
        legend: legendFormat,
        expr: fill(expr, values),
      }))
    })
  })
}

function fill(expr: string, { namespace, service, range, wholeRange }: Values): string {
  return expr
    .replaceAll('$__rate_interval', range)
    .replaceAll('$__range', wholeRange)
    .replaceAll('$namespace', namespace)
    .replaceAll('$service', service)
}
