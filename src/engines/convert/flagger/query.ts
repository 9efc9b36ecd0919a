// The templates of Flagger's queries as our variables, and back.
import { ourVariables } from '../values.ts'

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

/** The primary Deployment, and the two Services, which only Flagger makes. */
const madeByFlagger = /\{\{-?\s*(?:target|service|name|ingress|route)\s*-?\}\}-(?:primary|canary)/

/** The name of the canary's Deployment, which a run creates. It ends in the variable `$service` and `-canary`. */
const canaryWorkload = '$service-canary'

/**
 * The query with our variables, or the first template without a counterpart. Flagger's target is the canary, because
 * its primary is a copy; here the Deployment is stable, and the canary is the copy.
 */
export function queryFromFlagger(query: string, values: Values): { query: string } | { unknown: string } {
  const own = ourVariables.exec(query.replace(/\{\{.*?\}\}/g, ''))?.[0] ?? madeByFlagger.exec(query)?.[0]
  if (own !== undefined) return { unknown: own }
  let unknown: string | undefined
  const written = query.replace(/\{\{-?\s*(.*?)\s*-?\}\}/g, (template, expression: string) => {
    const value = valueOf(expression, values)
    unknown ??= value === undefined ? template : undefined
    return value ?? ''
  })
  return unknown === undefined ? { query: written } : { unknown }
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
  return typeof value === 'string' && !ourVariables.test(value) ? value : undefined
}

/** The query with Flagger's templates, or the first of our variables that it does not know. */
export function queryForFlagger(query: string): { query: string } | { unknown: string } {
  const unknown = /\$(stable|canary|weight)\b/.exec(query)?.[0]
  if (unknown !== undefined) return { unknown }
  return {
    query: query
      .replaceAll(canaryWorkload, '{{ target }}')
      .replace(/\$(namespace|service|interval)\b/g, (_, name: string) => `{{ ${name} }}`),
  }
}
