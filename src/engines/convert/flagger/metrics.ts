// Flagger's metrics as checks of a canary: the two that are built in, and queries of Prometheus.
import type { Field } from '../ledger.ts'
import { durationText, type Names, prometheusPlace, type PrometheusPlace } from '../values.ts'
import { namesTarget, queryFromFlagger } from './query.ts'

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
  for (const metric of metrics) if (hasQuery(metric) || !isBuiltIn(metric)) addQuery(metric, result, queries, context)
  for (const [name, check] of Object.entries(builtIn))
    addStrictest(
      metrics.filter((metric) => metric.get('name').value === name),
      check,
      result,
    )
  if (Object.keys(queries).length > 0) result.checks['queries'] = queries
  if (!('successRate' in result.checks))
    context.canary
      .get('spec', 'analysis', 'metrics')
      .assume('99% of the responses have to succeed: `checks.successRate` is always there')
  return result
}

function hasQuery(metric: Field): boolean {
  return metric.get('templateRef').given || metric.get('query').given
}

function isBuiltIn(metric: Field): boolean {
  return Object.hasOwn(builtIn, metric.get('name').text() ?? '')
}

/** `bound`, `other`: the keys of the range that the check has, and has not. */
type BuiltIn = {
  key: string
  bound: 'min' | 'max'
  other: { key: 'min' | 'max'; says: string }
  /** Undefined for a number that the key cannot have. */
  textOf: (value: number) => string | undefined
  impossible: string
}

/** The metrics that Flagger asks by itself, by their names: also where the metric has a query. */
const builtIn: Record<string, BuiltIn> = {
  'request-success-rate': {
    key: 'successRate',
    bound: 'min',
    other: { key: 'max', says: 'a success rate cannot be too high' },
    textOf: (percent) => (percent > 0 && percent < 100 ? `${percent}%` : undefined),
    impossible: 'no number of requests can show it; set `checks.successRate`, for example to 99.9%',
  },
  'request-duration': {
    key: 'p99',
    bound: 'max',
    other: { key: 'min', says: 'responses cannot be too fast' },
    textOf: (ms) => (Number.isInteger(ms) && ms >= 1 ? durationText(ms) : undefined),
    impossible: 'it is no whole number of milliseconds; set `checks.p99`',
  },
}

const noWindow = 'the checks of requests count every response that the canary has given, with no window'

/** Flagger applies all bounds; one that is met by whoever meets another is none here. */
function addStrictest(metrics: readonly Field[], check: BuiltIn, { checks }: Checks): void {
  const { key, bound, textOf } = check
  const found = metrics.flatMap((metric) => boundOf(metric, check))
  const order = (a: number, b: number) => (bound === 'min' ? b - a : a - b)
  const [strictest, ...others] = found.toSorted((a, b) => order(a.value, b.value))
  if (!strictest) return
  checks[key] = textOf(strictest.value)
  strictest.metric.get('name').take()
  strictest.field.take()
  for (const { metric, field, value } of others)
    if (value === strictest.value) for (const each of [metric.get('name'), field]) each.take()
    else if (hasQuery(metric)) field.differ(`\`checks.${key}\` has one bound, the strictest`)
    else metric.leave(`\`checks.${key}\` has one bound, the strictest, which other metrics of this name have`)
}

type Bound = { metric: Field; field: Field; value: number }

function boundOf(metric: Field, { key, bound, other, textOf, impossible }: BuiltIn): Bound[] {
  const range = metric.get('thresholdRange')
  const field = range.given ? range.get(bound) : metric.get('threshold')
  const value = field.number()
  const isPossible = value !== undefined && textOf(value) !== undefined
  if (hasQuery(metric)) {
    const says = isPossible
      ? `so \`checks.${key}\` has its bound`
      : `whose bound \`checks.${key}\` cannot have: write it by hand`
    metric.get('name').assume(`beside the query, Flagger asks its own metric of this name, ${says}`)
  } else {
    metric.get('interval').leave(noWindow)
    range.get(other.key).leave(other.says)
    if (value !== undefined && !isPossible) field.leave(impossible)
  }
  return isPossible ? [{ metric, field, value }] : []
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
  if (free === name.text()) name.take()
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
  if ('why' in written) return metric.leave(`its query has ${written.why}; write the query by hand`)
  if (/\{\{-?\s*interval/.test(text)) interval.take()
  else interval.leave('the query does not use it')
  variables.take()
  if (namesTarget(text, target))
    query.differ(`it names ${target}: in Flagger that Deployment is the canary, and here it is stable`)
  else query.take()
  metric.get('templateRef').take()
  template?.get('spec', 'provider', 'type').take()
  template?.get('metadata', 'name').take()
  template?.get('metadata', 'namespace').take()
  return written.query
}
