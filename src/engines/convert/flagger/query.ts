// The templates of Flagger's queries as our variables, and back.
import { variableIn } from '../values.ts'

type Values = {
  name: string
  namespace: string | undefined
  /** The name of the Deployment. */
  target: string
  service: string
  /** The window of the metric, and the interval of the analysis. */
  interval: string
  stepInterval: string
  ingress: string
  route: string
  variables: Readonly<Record<string, unknown>>
}

/** The name of the canary's Deployment, which a run creates. It ends in the variable `$service` and `-canary`. */
const canaryWorkload = '$service-canary'

/**
 * The query with our variables, or its first part without a counterpart, and why. Flagger's target is the canary, because
 * its primary is a copy; here the Deployment is stable, and the canary is the copy.
 */
export function queryFromFlagger(query: string, values: Values): { query: string } | { why: string } {
  const variable = variableIn(query)
  if (variable !== undefined) return { why: `\`${variable}\`, which is a variable of mesh-canary` }
  const foreign = foreignName(query, values)
  if (foreign !== undefined) return { why: `\`${foreign}\`, which only Flagger makes` }
  let unknown: string | undefined
  const written = query.replace(/\{\{-?\s*(.*?)\s*-?\}\}/g, (template, expression: string) => {
    const value = valueOf(expression, values)
    unknown ??= value === undefined ? template : undefined
    return value ?? ''
  })
  return unknown === undefined ? { query: written } : { why: `\`${unknown}\`, which has no counterpart` }
}

/** What only Flagger makes: the copy that is its primary, and the two Services behind that of the callers. */
function foreignName(query: string, { target, service }: Values): string | undefined {
  const stem = String.raw`(?:\{\{-?\s*(?:target|service|name)\s*-?\}\}|(?<![\w-])(?:${target}|${service}))`
  return new RegExp(`${stem}-(?:primary|canary)`).exec(query)?.[0]
}

/** Whether the query has the name of the Deployment itself, and not as that of a Service. */
export function namesTarget(query: string, target: string): boolean {
  const other = query.replace(/\bdestination_service\w*\s*(?:=~?|!=|!~)\s*"[^"]*"/g, '')
  return new RegExp(`(?<![\\w-])${target}(?![\\w-])`).test(other)
}

function valueOf(expression: string, values: Values): string | undefined {
  const { interval, stepInterval, variables } = values
  const variable = /^\(?variables\)?\.(\w+)$/.exec(expression)?.[1]
  if (variable !== undefined) return textOf(variables[variable])
  switch (expression) {
    case 'namespace':
      return '$namespace'
    case 'service':
      return '$service'
    case 'target':
      return canaryWorkload
    case 'interval':
      return interval === stepInterval ? '$interval' : interval
    case 'name':
    case 'ingress':
    case 'route':
      return values[expression]
    default:
      return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && variableIn(value) === undefined ? value : undefined
}

/** The query with Flagger's templates, or the first of our variables that it does not know. */
export function queryForFlagger(query: string): { query: string } | { unknown: string } {
  const unknown = /\$(stable|canary|weight)\b/.exec(query)?.[0]
  if (unknown !== undefined) return { unknown }
  return {
    query: query
      // The Service of this name is one that Flagger makes.
      .replace(/(\bdestination_service\w*\s*=~?\s*"[^"]*)\$service-canary/g, '$1{{ service }}-canary')
      .replaceAll(canaryWorkload, '{{ target }}')
      .replace(/\$(namespace|service|interval)\b/g, (_, name: string) => `{{ ${name} }}`),
  }
}
