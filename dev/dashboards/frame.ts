// What both dashboards have around their panels: variables, annotations, links and the time range.
// The classic dashboard model: every Grafana since version 10 imports it, while its successor needs the newest.
/* eslint-disable @typescript-eslint/no-deprecated */
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { calledHost, namespaceLabel, serviceLabel } from '../../src/observability/promql.ts'
import { datasource } from './panels.ts'

/** On both dashboards, and on every annotation that a promotion writes. */
export const tag = 'mesh-canary'

/** Called services of the chosen namespace, as PromQL matchers. */
export const chosenServices = [`${namespaceLabel}="$namespace"`, `${serviceLabel}=~"$service"`]
/** The same at the sidecars of the callers. */
export const chosenHosts = [calledHost('$namespace', '$service')]

export type Frame = {
  uid: string
  title: string
  description: string
  /** True if several services can be chosen at once. */
  severalServices: boolean
}

/** Without a title, the panels come before the first row. */
export type Section = { title?: string; panels: { build: () => Panel }[] }

/** The dashboard as the JSON that Grafana imports; each panel has an id, so that links to it stay. */
export function dashboard(frame: Frame, sections: Section[]): string {
  const builder = framed(frame)
  for (const { title, panels } of sections) {
    if (title !== undefined) builder.withRow(new RowBuilder(title))
    for (const panel of panels) builder.withPanel(panel)
  }
  const built = builder.build()
  const panels = built.panels?.map((panel, index) => ({ ...panel, id: index + 1 }))
  return `${JSON.stringify({ ...built, panels }, null, 2)}\n`
}

function framed({ uid, title, description, severalServices }: Frame): DashboardBuilder {
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([tag, 'istio'])
    .editable()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(
      labelValues('namespace', namespaceLabel, `istio_requests_total{reporter="destination"}`).label('Namespace'),
    )
    .withVariable(services(severalServices))
    .annotation(promotionSteps(severalServices))
    .link(
      new DashboardLinkBuilder('Mesh dashboards')
        .type(DashboardLinkType.Dashboards)
        .tags([tag])
        .includeVars(true)
        .keepTime(true),
    )
}

function services(several: boolean): QueryVariableBuilder {
  const variable = labelValues(
    'service',
    serviceLabel,
    `istio_requests_total{reporter="destination",${namespaceLabel}="$namespace"}`,
  ).label('Service')
  return several
    ? variable.multi(true).includeAll(true).allValue('.+').current({ text: 'All', value: '$__all', selected: true })
    : variable
}

/** A variable with the values that a label has. */
function labelValues(name: string, label: string, of: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .datasource(datasource)
    .query({ query: `label_values(${of}, ${label})`, refId: `variable-${name}` })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
}

/** The annotations that promotions write through Grafana's API, found by their tags. */
function promotionSteps(severalServices: boolean): AnnotationQueryBuilder {
  const tags = [tag, '$namespace', ...(severalServices ? [] : ['$service'])]
  return new AnnotationQueryBuilder()
    .name('Promotions')
    .datasource({ type: 'grafana', uid: '-- Grafana --' })
    .enable(true)
    .iconColor('blue')
    .target({ build: () => ({ type: 'tags', tags, matchAny: false, limit: 100, refId: 'promotions' }) } as never)
}
