// How often the callers' sidecars may try a call to the service: all failed tries of one call are one user's failure.
// Envoy chooses the version before the first try, so all of them go to the same one. Pure.
import type { SeriesLabels } from '../../envoy/counters.ts'
import { keyOf, type VirtualService } from '../../cluster/objects.ts'
import { hostOf } from '../../policies/compile/names.ts'
import type { MeshConfig } from '../../mesh/extension-providers.ts'
import { isVirtualService, routesOf, type Routed, type Split } from '../../policies/routes.ts'

/**
 * `tries`: at most so many, the first one included. `conditions`: Envoy's names of what is retried, or status codes.
 * `endsTries`: a try has a time limit of its own.
 */
export type RetryPolicy = { tries: number; conditions: string[]; endsTries: boolean }

/** Istio's own, where a route states none: two retries, which no HTTP status causes. */
export const defaultRetries: RetryPolicy = {
  tries: 3,
  conditions: ['connect-failure', 'refused-stream', 'unavailable', 'cancelled'],
  endsTries: false,
}

type StatedRetries = { attempts?: number; retryOn?: string; perTryTimeout?: string }
/** Of a rule of the Gateway API. Istio adds the codes to its default. */
type StatedRule = { retry?: { attempts?: number; codes?: number[] }; timeouts?: { backendRequest?: string } }

/** What a route gets that states no retries: of each revision, the mesh's own default or Istio's. */
export function retryDefaults(meshes: MeshConfig[]): RetryPolicy[] {
  return meshes.length === 0 ? [defaultRetries] : meshes.map(({ defaultHttpRetryPolicy: stated }) => policyOf(stated))
}

/**
 * The policies of all HTTP routes to the service or to one of its versions, and of those that delegate to one.
 * `defaults`: of a route that states none.
 */
export function retryPolicies(
  objects: Routed[],
  { namespace, service, stable, canary }: Split,
  defaults: RetryPolicy[] = [defaultRetries],
): RetryPolicy[] {
  const services = [stable, canary].filter(({ by }) => by === 'service').map(({ name }) => name)
  const hosts = [service, ...services].map((name) => hostOf(name, namespace))
  const routesToService = (object: Routed) =>
    routesOf(object, namespace).filter(({ targets }) => targets.some(({ host }) => hosts.includes(host)))
  const routed = new Set(objects.filter((object) => routesToService(object).length > 0).map(keyOf))
  const policies = objects.flatMap((object) => {
    const own = routesToService(object).flatMap(({ section, index }) => {
      if (!isVirtualService(object)) return policyOfRule(object.spec.rules?.[index] as StatedRule) ?? defaults
      if (section !== 'http') return []
      const stated = object.spec.http?.[index]?.['retries'] as StatedRetries | undefined
      return stated ? [policyOf(stated)] : defaults
    })
    return isVirtualService(object) ? [...policiesForDelegates(object, routed), ...own] : own
  })
  return policies.length > 0 ? policies : defaults
}

/** A delegate's route that states no retries gets those of the route that delegates to it. */
function policiesForDelegates(object: VirtualService, routed: Set<string>): RetryPolicy[] {
  return (object.spec.http ?? []).flatMap((route) => {
    const delegate = route['delegate'] as { name: string; namespace?: string } | undefined
    const retries = route['retries'] as StatedRetries | undefined
    const isToService = delegate && routed.has(keyOf({ ...object, metadata: { ...object.metadata, ...delegate } }))
    return isToService && retries ? [policyOf(retries)] : []
  })
}

function policyOf(stated: StatedRetries | undefined): RetryPolicy {
  if (!stated) return defaultRetries
  const { attempts = 0, retryOn = '', perTryTimeout } = stated
  const conditions = retryOn.split(',').flatMap((each) => each.trim() || [])
  return {
    tries: 1 + attempts,
    conditions: conditions.length > 0 ? conditions : defaultRetries.conditions,
    endsTries: perTryTimeout !== undefined,
  }
}

function policyOfRule({ retry, timeouts }: StatedRule): RetryPolicy | undefined {
  if (!retry) return undefined
  const { attempts = defaultRetries.tries - 1, codes = [] } = retry
  return {
    tries: 1 + attempts,
    conditions: [...defaultRetries.conditions, ...codes.map(String)],
    endsTries: timeouts?.backendRequest !== undefined,
  }
}

/** The most tries of one call that may all have ended as this series of a server's sidecar says. */
export function mostTries(policies: RetryPolicy[], labels: SeriesLabels): number {
  return Math.max(1, ...policies.filter((policy) => isRetried(policy, labels)).map(({ tries }) => tries))
}

function isRetried({ conditions, endsTries }: RetryPolicy, labels: SeriesLabels): boolean {
  const { response_code: code = '', grpc_response_status: status = '' } = labels
  // The caller's sidecar ended the try, or nobody answered.
  if (code === '0') return conditions.some((each) => isUnknown(each) || (endsTries && retriesResets.has(each)))
  return conditions.some(
    (each) => isUnknown(each) || each === code || retriesStatus(each, code) || grpcStatuses.get(each) === status,
  )
}

const retriesResets = new Set(['5xx', 'gateway-error', 'reset'])

function retriesStatus(condition: string, code: string): boolean {
  if (condition === '5xx') return code.startsWith('5')
  return condition === 'gateway-error' && ['502', '503', '504'].includes(code)
}

/** Envoy's gRPC conditions, and the statuses that they name. */
const grpcStatuses = new Map([
  ['cancelled', '1'],
  ['deadline-exceeded', '4'],
  ['resource-exhausted', '8'],
  ['internal', '13'],
  ['unavailable', '14'],
])

/** Conditions that no failure at a server meets. */
const otherConditions = new Set([
  'connect-failure',
  'refused-stream',
  'reset-before-request',
  'retriable-4xx',
  'retriable-status-codes',
  'envoy-ratelimited',
  'http3-post-connect-failure',
])

/** A condition that is not listed here may retry anything. */
function isUnknown(condition: string): boolean {
  const isStatus = /^\d+$/.test(condition)
  const isKnown = retriesResets.has(condition) || grpcStatuses.has(condition) || otherConditions.has(condition)
  return !isStatus && !isKnown
}
