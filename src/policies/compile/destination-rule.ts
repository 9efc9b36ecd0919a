// DestinationRules: connection pools, outlier detection, load balancing, the retry budget, and subsets.
import { lt, minVersion } from 'semver'
import type { DestinationRule } from '../../cluster/objects.ts'
import { servicesOf, splitServices } from '../../config/names.ts'
import type { Config, ServicePolicy } from '../../config/schema.ts'
import { hostOf, object } from './names.ts'
import { defined, seconds } from './render.ts'

export function destinationRules(config: Config): DestinationRule[] {
  return Object.entries(servicesOf(config)).flatMap(([name, service]) => {
    const trafficPolicy = trafficPolicyOf(service, config.istio?.version)
    if (!trafficPolicy && !service.subsets) return []
    const subsets =
      service.subsets && Object.entries(service.subsets).map(([subset, labels]) => ({ name: subset, labels }))
    const rule = (host: string, spec: object) =>
      object('DestinationRule', config.namespace, host, { host: hostOf(host, config.namespace), ...spec })
    // A canary with a Service of its own is another host.
    const [, canary] = splitServices(config, name) ?? []
    return [
      rule(name, defined({ trafficPolicy, subsets }) ?? {}),
      ...(canary !== undefined && trafficPolicy ? [rule(canary, { trafficPolicy })] : []),
    ]
  })
}

function trafficPolicyOf(
  { circuitBreaker, loadBalancer, retries }: ServicePolicy,
  istioVersion: string | undefined,
): object | undefined {
  return defined({
    ...(circuitBreaker ? breaker(circuitBreaker) : {}),
    loadBalancer: loadBalancer && balancer(loadBalancer, istioVersion),
    retryBudget: retries?.budget && {
      percent: retries.budget.percent,
      minRetryConcurrency: retries.budget.minConcurrency,
    },
  })
}

function breaker(limits: NonNullable<ServicePolicy['circuitBreaker']>): object {
  const tcp = defined({ maxConnections: limits.maxConnections })
  const http = defined({
    http1MaxPendingRequests: limits.maxPendingRequests,
    maxRequestsPerConnection: limits.maxRequestsPerConnection,
  })
  const outlierDetection = defined({
    consecutive5xxErrors: limits.consecutive5xxErrors,
    interval: seconds(limits.interval),
    baseEjectionTime: seconds(limits.ejectFor),
    maxEjectionPercent: limits.maxEjectionPercent,
  })
  return { connectionPool: defined({ tcp, http }), outlierDetection }
}

type LoadBalancer = NonNullable<ServicePolicy['loadBalancer']>

function balancer({ simple, consistentHash, warmup }: LoadBalancer, istioVersion: string | undefined): object {
  if (!consistentHash)
    return {
      simple: (simple ?? 'least-request').toUpperCase().replace('-', '_'),
      ...(warmup && slowStart(warmup, istioVersion)),
    }
  const { header, cookie, query, sourceIp } = consistentHash
  return {
    consistentHash: defined({
      httpHeaderName: header,
      httpCookie: cookie && { name: cookie.name, ...defined({ ttl: seconds(cookie.ttl) }) },
      httpQueryParameterName: query,
      useSourceIp: sourceIp,
    }),
  }
}

/** Istio up to 1.23 knows only the duration. */
function slowStart(warmup: NonNullable<LoadBalancer['warmup']>, istioVersion = 'latest'): object {
  const duration = seconds(warmup.duration)
  const oldest = istioVersion === 'latest' ? null : minVersion(istioVersion)
  if (oldest && lt(oldest, '1.24.0')) return { warmupDurationSecs: duration }
  return { warmup: defined({ ...warmup, duration }) }
}
