// Flagger's metrics as checks of a canary: the two that are built in, and queries of Prometheus.
import type { Field } from '../ledger.ts'
import { durationText, type Names, prometheusPlace, type PrometheusPlace } from '../values.ts'
import { queryFromFlagger } from './query.ts'

type Section = Record<string, unknown>

/** What the queries of a canary may ask for. */
export type QueryContext = {
  canary: Field
  service: string
  target: string
  intervalMs: number
  names: Names
  /** The MetricTemplate with that name; undefined if it is not in the input. */
  template: (namespace: string, name: string) => Field | undefined
}

export type Checks = { checks: Section; prometheus?: PrometheusPlace }

export function checksFromFlagger(metrics: readonly Field[], context: QueryContext): Checks {
  const result: Checks = { checks: {} }
  const queries: Section = {}
  for (const metric of metrics) {
    const name = metric.get('name').text() ?? ''
    const isBuiltIn = isBuiltInMetric(metric)
    if (isBuiltIn && isLooser(metric, metrics))
      metric.leave('another metric of this name is stricter, and a check has one bound')
    else if (isBuiltIn && name === 'request-success-rate') successRate(metric, result)
    else if (isBuiltIn && name === 'request-duration') duration(metric, result)
    else addQuery(metric, result, queries, context)
  }
  if (Object.keys(queries).length > 0) result.checks['queries'] = queries
  if (!('successRate' in result.checks))
    context.canary
      .get('spec', 'analysis', 'metrics')
      .assume('99% of the responses have to succeed: `checks.successRate` is always there')
  return result
}

/** Flagger runs its own check for these names, beside that of a template. */
export const builtInMetrics = ['request-success-rate', 'request-duration']

function isBuiltInMetric(metric: Field): boolean {
  return !metric.get('templateRef').given && !metric.get('query').given
}

function boundOf(metric: Field): number | undefined {
  const [range, key] = [metric.get('thresholdRange'), metric.get('name').value === 'request-duration' ? 'max' : 'min']
  return (range.given ? range.get(key) : metric.get('threshold')).number()
}

/** Another one of the same name has a stricter bound, or the same and comes first. */
function isLooser(metric: Field, all: readonly Field[]): boolean {
  const [own, name] = [boundOf(metric), metric.get('name').value]
  if (own === undefined || !builtInMetrics.includes(String(name))) return false
  const same = all.filter((each) => isBuiltInMetric(each) && each.get('name').value === name)
  const isStricter = (bound: number) => (name === 'request-duration' ? bound < own : bound > own)
  const at = (each: Field) => all.indexOf(each)
  return same.some((each) => {
    const bound = boundOf(each)
    return bound !== undefined && (isStricter(bound) || (bound === own && at(each) < at(metric)))
  })
}

const noWindow = 'the checks of requests count every response that the canary has given, with no window'

function successRate(metric: Field, { checks }: Checks): void {
  metric.get('interval').leave(noWindow)
  const range = metric.get('thresholdRange')
  const min = range.given ? range.get('min') : metric.get('threshold')
  const percent = min.number()
  range.get('max').leave('a success rate cannot be too high')
  if (percent === undefined) return
  if (percent <= 0 || percent >= 100) {
    min.leave('no number of requests can show it; set `checks.successRate`, for example to 99.9%')
    return
  }
  metric.get('name').take()
  min.take()
  checks['successRate'] = `${percent}%`
}

function duration(metric: Field, { checks }: Checks): void {
  metric.get('interval').leave(noWindow)
  const range = metric.get('thresholdRange')
  const max = range.given ? range.get('max') : metric.get('threshold')
  const ms = max.number()
  range.get('min').leave('responses cannot be too fast')
  if (ms === undefined) return
  if (!Number.isInteger(ms) || ms < 1) {
    max.leave('it is no whole number of milliseconds; set `checks.p99`')
    return
  }
  metric.get('name').take()
  max.take()
  checks['p99'] = durationText(ms)
}

type Source = { query: Field; address: Field; isPrometheus: boolean; template: Field | undefined }

function addQuery(metric: Field, result: Checks, queries: Section, context: QueryContext): void {
  const source = sourceOf(metric, context)
  if (!source) return
  const limits = boundsOf(metric)
  if (!limits) return
  const place = placeOf(source, result, metric)
  if (!place) return
  const query = queryOf(metric, source, context)
  if (query === undefined) return
  for (const limit of limits.fields) limit.take()
  const name = metric.get('name')
  const free = context.names.free(name.text()!)
  if (builtInMetrics.includes(free))
    name.differ('Flagger also runs its own check of this name, with the same bounds; here only the query is asked')
  else if (free === name.text()) name.take()
  else name.differ(`a check is named by lower-case letters, digits and dashes, and no other has its name: ${free}`)
  queries[free] = { query, ...limits.bounds }
  result.prometheus = place
  source.address.take()
}

function sourceOf(metric: Field, { canary, template }: QueryContext): Source | undefined {
  const [ref, inline] = [metric.get('templateRef'), metric.get('query')]
  if (!ref.given) {
    if (!inline.given) return metric.leave('Flagger knows no metric of this name, and there is no `templateRef`')
    return { query: inline, address: canary.get('spec', 'metricsServer'), isPrometheus: true, template: undefined }
  }
  const [name, namespace] = [ref.get('name').text() ?? '', ref.get('namespace').text() ?? canary.object.namespace ?? '']
  const found = template(namespace, name)
  if (!found)
    return metric.leave(
      `the input has no MetricTemplate ${name} of the namespace ${namespace || 'default'}; give its file too`,
    )
  const provider = found.get('spec', 'provider')
  return {
    query: found.get('spec', 'query'),
    address: provider.get('address'),
    isPrometheus: provider.get('type').value === 'prometheus',
    template: found,
  }
}

/** The bounds as Flagger applies them, and the fields that state them. */
function boundsOf(metric: Field): { bounds: Section; fields: Field[] } | undefined {
  const [range, threshold] = [metric.get('thresholdRange'), metric.get('threshold')]
  if (!range.given) {
    if (!threshold.given) threshold.assume(`without \`thresholdRange\`, Flagger accepts values up to 0`)
    return { bounds: { max: threshold.number() ?? 0 }, fields: [threshold] }
  }
  const fields = [range.get('min'), range.get('max')].filter(({ given }) => given)
  if (fields.length === 0) return metric.leave('it has no bounds, so Flagger accepts every value')
  threshold.leave('`thresholdRange` is there, so Flagger ignores it')
  return {
    bounds: Object.fromEntries(fields.map(({ path, value }): [string, unknown] => [String(path.at(-1)), value])),
    fields,
  }
}

/** Where Prometheus is. All queries of a canary ask the same one. */
function placeOf(
  { address, isPrometheus, template }: Source,
  { prometheus }: Checks,
  metric: Field,
): PrometheusPlace | undefined {
  if (!isPrometheus)
    return metric.leave(
      'its provider is not Prometheus; ask it by a webhook of the type `rollout`, or by `checks.commands`',
    )
  const text = address.text()
  if (text === undefined || !/^https?:\/\/[^\s?#@]+$/.test(text)) {
    return metric.leave(
      template
        ? 'its MetricTemplate has no plain address of Prometheus; write the query and `prometheus` by hand'
        : 'without `spec.metricsServer`, Flagger knows the address of Prometheus; write the query and `prometheus` by hand',
    )
  }
  const place = prometheusPlace(text.replace(/\/+$/, ''))
  const isOther = prometheus && JSON.stringify(prometheus) !== JSON.stringify(place)
  return isOther ? metric.leave('it asks another Prometheus than the queries before; a canary asks one') : place
}

function queryOf(metric: Field, { query, template }: Source, context: QueryContext): string | undefined {
  const { canary, service, target, intervalMs } = context
  const [interval, variables, text] = [metric.get('interval'), metric.get('templateVariables'), query.text()?.trim()]
  if (text === undefined || text === '') return metric.leave('it has no query')
  const spec = canary.get('spec')
  const written = queryFromFlagger(text, {
    name: canary.object.name,
    namespace: canary.object.namespace,
    target,
    service,
    interval: interval.text() ?? '1m',
    stepInterval: durationText(intervalMs),
    ingress: spec.get('ingressRef', 'name').text() ?? target,
    route: spec.get('routeRef', 'name').text() ?? target,
    variables: (variables.value ?? {}) as Record<string, unknown>,
  })
  if ('unknown' in written)
    return metric.leave(`its query has \`${written.unknown}\`, which has no counterpart; write the query by hand`)
  if (/\{\{-?\s*interval/.test(text)) interval.take()
  else interval.leave('the query does not use it')
  variables.take()
  query.take()
  metric.get('templateRef').take()
  template?.get('spec', 'provider', 'type').take()
  template?.get('metadata', 'name').take()
  template?.get('metadata', 'namespace').take()
  return written.query
}
