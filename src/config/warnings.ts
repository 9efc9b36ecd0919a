// What is allowed and likely not meant: one sentence each, with the key that it is about.
import type { Config, ServicePolicy } from './schema.ts'

export function warningsOf({ services = {}, authorization, jwt = {}, egress }: Config, now: number): string[] {
  return [
    ...Object.entries(services).flatMap(([name, service]) =>
      serviceWarnings(service, now).map(([key, text]) => `services.${name}.${key}: ${text}`),
    ),
    ...authorizationWarnings(authorization),
    ...Object.entries(jwt)
      .filter(([, { required, ports }]) => required && !ports)
      .map(
        ([name, { selector }]) =>
          `jwt.${name}: a token is required on every port of ${selector ? 'its pods' : 'every pod of the namespace'}, and ${beyondHttp}`,
      ),
    ...(egress && !egress.mode && Object.keys(egress.hosts).length === 0
      ? ['egress: says nothing; give `mode` or `hosts`']
      : []),
  ]
}

type Warning = [key: string, text: string]

function serviceWarnings(service: ServicePolicy, now: number): Warning[] {
  return [...retryWarnings(service), ...ejectionWarnings(service), ...faultWarnings(service, now)]
}

/** Conditions under which the service may already have acted on the request that is sent again. */
const afterTheFact = [
  '5xx',
  'gateway-error',
  'reset',
  'retriable-4xx',
  'retriable-status-codes',
  'retriable-headers',
  'unavailable',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'cancelled',
]

function retryWarnings({ retries, timeout, routes = [] }: ServicePolicy): Warning[] {
  if (!retries || retries.attempts === 0) return []
  const { attempts, perTryTimeout, retryOn } = retries
  const worst = (attempts + 1) * (perTryTimeout ?? 0)
  const unsafe = retryOn.filter((condition) => afterTheFact.includes(condition) || /^\d/.test(condition))
  const writing = routes.filter(({ match }) => match.method === 'POST' || match.method === 'PATCH')
  return [
    ...(timeout !== undefined && worst > timeout
      ? [
          [
            'retries',
            `1 + ${attempts} tries of ${perTryTimeout ?? 0} ms take up to ${worst} ms, but the request ends after its timeout of ${timeout} ms: the last tries are cut short; raise \`timeout\`, or lower \`attempts\` or \`perTryTimeout\``,
          ] satisfies Warning,
        ]
      : []),
    ...(unsafe.length > 0
      ? writing.map(
          ({ match, to }): Warning => [
            'retries',
            `they also hold for the route of ${match.method ?? ''} requests to ${to}, and on ${unsafe.join(', ')} the service may have acted on such a request before it is sent again; retry on connect-failure and refused-stream only, or make the requests idempotent`,
          ],
        )
      : []),
  ]
}

/** Any of these turns the ejection on. */
export function ejects({
  consecutive5xxErrors,
  interval,
  ejectFor,
}: NonNullable<ServicePolicy['circuitBreaker']>): boolean {
  return [consecutive5xxErrors, interval, ejectFor].some((value) => value !== undefined)
}

function ejectionWarnings({ circuitBreaker }: ServicePolicy): Warning[] {
  if (!circuitBreaker || !ejects(circuitBreaker)) return []
  if (circuitBreaker.maxEjectionPercent === 0)
    return [['circuitBreaker.maxEjectionPercent', '0 ejects nobody; raise it, or leave out what ejects']]
  if (circuitBreaker.maxEjectionPercent !== undefined) return []
  return [
    [
      'circuitBreaker',
      'without `maxEjectionPercent` at most 10% of the pods are ejected at once, and of fewer than ten pods that is none; state it, such as 50',
    ],
  ]
}

function faultWarnings({ fault }: ServicePolicy, now: number): Warning[] {
  if (!fault) return []
  const isOver = Date.parse(fault.until) <= now
  return [
    [
      'fault',
      isOver
        ? `ended at ${fault.until} and is not rendered any more; remove it`
        : `is on until ${fault.until}: requests fail or wait on purpose`,
    ],
  ]
}

/** Istio's own reading of a rule that denies and that can hold for HTTP only. */
const beyondHttp = 'ports that do not speak HTTP then refuse everything; state the `ports` that do'

function authorizationWarnings(authorization: Config['authorization']): string[] {
  if (!authorization) return []
  const rules = Object.entries(authorization.rules)
  const unconditional = rules.filter(
    ([, { action, principals, namespaces, methods, paths, ports }]) =>
      action === 'deny' && !(principals ?? namespaces ?? methods ?? paths ?? ports),
  )
  const httpOnly = rules.filter(
    ([, { action, methods, paths, ports }]) => action === 'deny' && (methods ?? paths) && !ports,
  )
  return [
    ...httpOnly.map(([name]) => `authorization.rules.${name}: it denies by methods or paths, and ${beyondHttp}`),
    ...unconditional.map(
      ([name]) =>
        `authorization.rules.${name}: it denies every request, for it has no condition; add principals, namespaces, methods, paths or ports`,
    ),
    ...(authorization.defaultDeny && !rules.some(([, { action }]) => action === 'allow')
      ? [
          'authorization.defaultDeny: no rule allows anything, so every request to the namespace is refused; add rules with `action: allow`',
        ]
      : []),
  ]
}
