// The metrics of AnalysisTemplates as queries of a canary.
import { parseDuration } from '../../../config/values/durations.ts'
import type { Field } from '../ledger.ts'
import { durationOf, durationText, type Names, prometheusPlace, variableIn, wholeNumberOf } from '../values.ts'
import { type Args, argsOf, withArgs } from './args.ts'
import { boundsAgainst, boundsOf, type Bounds } from './conditions.ts'

type Section = Record<string, unknown>
/** Finds an object of the input; without a namespace, in that of the Rollout. */
export type Find = (kind: string, namespace: string | undefined, name: string) => Field | undefined

type Analysis = { field: Field; isInline: boolean }
type Context = {
  root: Field
  find: Find
  names: Names
  queries: Section
  prometheus: Section
  /** Places of the metrics that became queries. */
  done: Set<string>
}

export type Queries = { queries: Section; prometheus: Section }

/** `analyses`: the sections that name templates; the inline ones belong to a step. */
export function queriesOf(analyses: readonly Analysis[], root: Field, find: Find, names: Names): Queries {
  const context: Context = { root, find, names, queries: {}, prometheus: {}, done: new Set() }
  for (const { field, isInline } of analyses) {
    for (const ref of field.get('templates').items()) addTemplate(ref, field, isInline, context, [])
    if (!isInline) field.get('args').take()
  }
  return context
}

function addTemplate(ref: Field, analysis: Field, isInline: boolean, context: Context, above: readonly string[]): void {
  const name = ref.get('templateName').text() ?? ''
  const kind = ref.get('clusterScope').value === true ? 'ClusterAnalysisTemplate' : 'AnalysisTemplate'
  const template = context.find(kind, undefined, name)
  if (!template) return void ref.leave(`the input has no ${kind} ${name}; give its file too`)
  if (above.includes(`${kind} ${name}`)) return void ref.leave('it names itself')
  if (!isInline) ref.take()
  const spec = template.get('spec')
  for (const field of [template.get('metadata', 'name'), template.get('metadata', 'namespace'), spec.get('args')])
    field.take()
  const args = argsOf(spec.get('args').items(), analysis.get('args').items(), context.root)
  const dryRun = [...spec.get('dryRun').items(), ...analysis.get('dryRun').items()]
  for (const metric of spec.get('metrics').items()) addMetric(metric, args, dryRun, ref, context)
  for (const other of spec.get('templates').items())
    addTemplate(other, analysis, false, context, [...above, `${kind} ${name}`])
}

function addMetric(metric: Field, args: Args, dryRun: readonly Field[], ref: Field, context: Context): void {
  const [name, place] = [metric.get('name'), metric.object.place(metric.path)]
  // What one reference to the template expresses, another may not: its arguments differ.
  const leave = (why: string) => void (context.done.has(place) ? ref : metric).leave(why)
  if (dryRun.some((each) => fits(each.get('metricName').text() ?? '', name.text() ?? '')))
    return leave('it is in dry run, and a check that decides nothing has no counterpart')
  const query = queryOf(metric.get('provider'), args, context)
  if ('why' in query) return leave(query.why)
  const condition = conditionOf(metric, args)
  if ('why' in condition) return leave(condition.why)
  context.done.add(place)
  const check = {
    query: query.text,
    ...condition.bounds,
    ...everyOf(metric.get('interval'), args),
    ...failuresOf(metric.get('failureLimit'), args),
  }
  query.take()
  condition.take()
  if (Object.values(context.queries).some((each) => JSON.stringify(each) === JSON.stringify(check)))
    return void name.take()
  const free = context.names.free(name.text() ?? '')
  if (free === name.text()) name.take()
  else name.differ(`a check is named by lower-case letters, digits and dashes, and no other has its name: ${free}`)
  context.queries[free] = check
}

function fits(pattern: string, name: string): boolean {
  try {
    return new RegExp(`^(?:${pattern === '*' ? '.*' : pattern})$`).test(name)
  } catch {
    return false
  }
}

type Why = { why: string }

function queryOf(provider: Field, args: Args, { prometheus }: Context): { text: string; take: () => void } | Why {
  const own = provider.get('prometheus')
  const [address, query, timeout] = [own.get('address'), own.get('query'), own.get('timeout')]
  if (!own.given) {
    const [other = 'no provider'] = provider.keys()
    return {
      why: `its provider is ${other}, and only Prometheus is asked; use a webhook of the type \`rollout\`, or \`checks.commands\``,
    }
  }
  if (own.get('rangeQuery').given)
    return { why: 'a query over a range has several results, and a check has one; write it as an instant query' }
  if (!/^https?:\/\/[^\s?#@]+$/.test(filled(address, args) ?? ''))
    return { why: 'it has no plain address of Prometheus; write the query and `prometheus` by hand' }
  const place = prometheusPlace(filled(address, args)!.replace(/\/+$/, ''))
  const { timeout: _, ...known } = prometheus
  if (Object.keys(known).length > 0 && JSON.stringify(known) !== JSON.stringify(place))
    return { why: 'it asks another Prometheus than the queries before; a canary asks one' }
  const variable = variableIn(query.text() ?? '')
  if (variable !== undefined)
    return { why: `its query has \`${variable}\`, which is a variable of mesh-canary; write the query by hand` }
  const text = withArgs(query.text()?.trim() ?? '', args)
  if ('why' in text) return { why: `its query has ${text.why}; write the query by hand` }
  if (text.text === '') return { why: 'it has no query' }
  return { text: text.text, take: () => takePrometheus([address, query, timeout], place, prometheus) }
}

function filled(field: Field, args: Args): string | undefined {
  const text = withArgs(field.text() ?? '', args)
  return 'text' in text ? text.text : undefined
}

function takePrometheus([address, query, timeout]: Field[], place: object, prometheus: Section): void {
  address!.take()
  query!.take()
  Object.assign(prometheus, place)
  const seconds = wholeNumberOf(timeout!, 0, 86_400) ?? 0
  if (seconds === 0) return
  const text = durationText(seconds * 1000)
  prometheus['timeout'] ??= text
  if (prometheus['timeout'] === text) timeout!.take()
  else timeout!.leave('all queries of a canary have one time limit, that of the first')
}

function conditionOf(metric: Field, args: Args): { bounds: Bounds; take: () => void } | Why {
  const [success, failure] = [metric.get('successCondition'), metric.get('failureCondition')]
  const field = success.given ? success : failure
  if (!field.given) return { why: 'it has no condition, so every result passes' }
  const text = filled(field, args)
  const found = text === undefined ? undefined : success.given ? boundsOf(text) : boundsAgainst(text)
  if (!found)
    return {
      why: `its ${String(field.path.at(-1))} is more than a comparison with numbers; write \`min\` and \`max\` by hand`,
    }
  const take = () => {
    if (found.isExact) field.take()
    else field.differ('`min` and `max` are good values themselves, and without a result a check is undecided')
    if (success.given) failure.leave('what does not pass fails; nothing lies between')
  }
  return { bounds: found.bounds, take }
}

function everyOf(interval: Field, args: Args): Section {
  if (!interval.given) {
    interval.assume('without it, Argo Rollouts asks once; here a query is asked again and again, see `every`')
    return {}
  }
  const text = filled(interval, args)
  const ms = text === interval.text() ? durationOf(interval) : parseDuration(text)
  if (ms === undefined) {
    interval.leave('its value comes from an argument that only the controller knows; write `every` by hand')
    return {}
  }
  interval.take()
  return { every: durationText(ms) }
}

function failuresOf(limit: Field, args: Args): Section {
  const text = limit.number() === undefined ? filled(limit, args) : String(limit.number())
  const count = /^\d{1,2}$/.test(text ?? '') ? Number(text) : undefined
  if (count === undefined) limit.leave('it is no number from 0 to 99, so here each failure counts')
  else if (count === 0) limit.take()
  else limit.differ(`Argo Rollouts aborts at failure ${count + 1} in total; here it is ${count + 1} in a row`)
  return count === undefined || count === 0 ? {} : { failures: count + 1 }
}
