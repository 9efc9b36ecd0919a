// The panels of the dashboards, with what all of them have in common.
import {
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  FieldColorBuilder,
  FieldColorModeId,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatPanel } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TimeSeriesPanel } from '@grafana/grafana-foundation-sdk/timeseries'

/** What the variable of the same name in the dashboard selects. */
export const datasource = { type: 'prometheus', uid: '${datasource}' }

/** `legend`: the name of a series, with `{{label}}` for the value of a label. */
export type Query = { expr: string; legend: string }

/** `unit`: one of the SDK's. `max`: the top of the axis. `thresholds`: the first one has no value. */
export type PanelOptions = {
  title: string
  description: string
  unit: string
  max?: number
  thresholds?: Threshold[]
  noValue?: string
}

/** Grafana's grid has 24 columns. On a phone, each panel takes the whole width. */
const statSize = { width: 6, height: 4 }
const graphSize = { width: 12, height: 8 }

/** The last value, large. */
export function stat({ title, description, unit, ...options }: PanelOptions, query: Query): StatPanel {
  const panel = new StatPanel()
    .title(title)
    .description(description)
    .datasource(datasource)
    .span(statSize.width)
    .height(statSize.height)
    .unit(unit)
    .min(0)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .thresholds(thresholdsOf(options.thresholds))
    .withTarget(target(query, 0))
  return options.noValue === undefined ? panel : panel.noValue(options.noValue)
}

/** Lines over time. A series has the same colour in every panel, because its name decides. */
export function graph({ title, description, unit, ...options }: PanelOptions, ...queries: Query[]): TimeSeriesPanel {
  const panel = new TimeSeriesPanel()
    .title(title)
    .description(description)
    .datasource(datasource)
    .span(graphSize.width)
    .height(graphSize.height)
    .unit(unit)
    .min(0)
    .lineWidth(2)
    .fillOpacity(8)
    .showPoints(VisibilityMode.Never)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .thresholds(thresholdsOf(options.thresholds))
  if (options.thresholds)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed))
  if (options.max !== undefined) panel.max(options.max)
  if (options.noValue !== undefined) panel.noValue(options.noValue)
  queries.forEach((query, i) => panel.withTarget(target(query, i)))
  return panel
}

/** Shares that add up to the whole. */
export function stacked(options: PanelOptions, ...queries: Query[]): TimeSeriesPanel {
  return graph(options, ...queries)
    .fillOpacity(30)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
}

/** Without thresholds of its own, a panel has the colour of text, which is readable on both of Grafana's themes. */
function thresholdsOf(steps: Threshold[] = [{ value: null, color: 'text' }]): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps)
}

function target({ expr, legend }: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .refId(String.fromCharCode('A'.charCodeAt(0) + index))
    .datasource(datasource)
    .expr(expr)
    .legendFormat(legend)
    .range()
}
