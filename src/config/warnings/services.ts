// Warnings about one service's policies: allowed, but probably not intended.
import type { ServicePolicy } from '../schema.ts'

/** `key` is relative to the service. */
export type Warning = { key: string; text: string }

export function serviceWarnings(service: ServicePolicy, now: number): Warning[] {
  return [
    ...retryTimeWarnings(service),
    ...unsafeRetryWarnings(service),
    ...ejectionWarnings(service),
    ...faultWarnings(service, now),
  ]
}

function retryTimeWarnings({ retries, timeout }: ServicePolicy): Warning[] {
  if (!retries || retries.attempts === 0 || timeout === undefined) return []
  const { attempts, perTryTimeout = 0 } = retries
  const longest = (attempts + 1) * perTryTimeout
  if (longest <= timeout) return []
  const text =
    `1 + ${attempts} tries of ${perTryTimeout} ms take up to ${longest} ms, ` +
    `but the request ends after its timeout of ${timeout} ms, which cuts the last tries short; ` +
    'raise `timeout`, or lower `attempts` or `perTryTimeout`'
  return [{ key: 'retries', text }]
}

/** Retry conditions under which the service may already have acted on the request. */
const unsafeConditions = [
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

/** Retries apply to all routes of a service, including those for requests that are not idempotent. */
function unsafeRetryWarnings({ retries, routes = [] }: ServicePolicy): Warning[] {
  if (!retries || retries.attempts === 0) return []
  const unsafe = retries.retryOn.filter((condition) => unsafeConditions.includes(condition) || /^\d/.test(condition))
  if (unsafe.length === 0) return []
  const writes = routes.flatMap(({ match, to }) => match.map(({ method }) => ({ method, to })))
  const repeated = writes.filter(({ method }) => method === 'POST' || method === 'PATCH')
  return repeated.map(({ method, to }) => ({
    key: 'retries',
    text:
      `the retries also apply to the route of ${method!} requests to ${to}. On ${unsafe.join(', ')}, ` +
      'the service may already have acted on a request before it is retried; ' +
      'retry on connect-failure and refused-stream only, or make the requests idempotent',
  }))
}

/** True if the circuit breaker ejects pods; each of these keys turns that on. */
export function ejects({
  consecutive5xxErrors,
  interval,
  ejectFor,
}: NonNullable<ServicePolicy['circuitBreaker']>): boolean {
  return [consecutive5xxErrors, interval, ejectFor].some((value) => value !== undefined)
}

function ejectionWarnings({ circuitBreaker }: ServicePolicy): Warning[] {
  if (!circuitBreaker || !ejects(circuitBreaker)) return []
  const { maxEjectionPercent } = circuitBreaker
  if (maxEjectionPercent === 0)
    return [
      {
        key: 'circuitBreaker.maxEjectionPercent',
        text: '0 means that no pod is ever ejected; raise it, or remove the keys that turn ejection on',
      },
    ]
  if (maxEjectionPercent !== undefined) return []
  const text =
    'without `maxEjectionPercent`, at most 10% of the pods are ejected at once, ' +
    'and with fewer than ten pods that is none; set it, for example to 50'
  return [{ key: 'circuitBreaker', text }]
}

function faultWarnings({ fault }: ServicePolicy, now: number): Warning[] {
  if (!fault) return []
  const isOver = Date.parse(fault.until) <= now
  const text = isOver
    ? `the fault ended at ${fault.until} and has no effect any more; remove it`
    : `the fault is active until ${fault.until}: requests fail or wait on purpose`
  return [{ key: 'fault', text }]
}
