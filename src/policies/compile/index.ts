// A service's needs → Istio objects: one VirtualService and one DestinationRule a host, whatever the number of policies.
// Pure: it knows no cluster.
import { apiVersionOf, type DestinationRule, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import type { Config, ServicePolicy } from '../config/schema.ts'

export const managedBy = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
/** The name of the route that is ours in a VirtualService. */
export const routeName = 'mesh-canary'

/** Weight of each subset, in per cent. */
export type Weights = Record<string, number>

export type Compiled = { peerAuthentication?: KubeObject; destinationRules: DestinationRule[]; virtualServices: VirtualService[] }

/** The services with policies, the canary's among them, with its subsets filled in. */
export function servicesOf({ services = {}, canary }: Config): Record<string, ServicePolicy> {
  if (!canary) return services
  const service = services[canary.service] ?? {}
  const named = Object.fromEntries([canary.stable, canary.canary].map((subset) => [subset, { version: subset }]))
  return { ...services, [canary.service]: { ...service, subsets: { ...named, ...service.subsets } } }
}

export function hostOf(service: string, namespace: string): string {
  return `${service}.${namespace}.svc.cluster.local`
}

/** `live` holds the weights now in force in the cluster, by service. */
export function compile(config: Config, live: Readonly<Record<string, Weights>>): Compiled {
  const services = Object.entries(servicesOf(config))
  return {
    ...(config.mtls ? { peerAuthentication: peerAuthentication(config.namespace, config.mtls) } : {}),
    destinationRules: services.flatMap(([name, service]) => destinationRule(name, config.namespace, service)),
    virtualServices: services.flatMap(([name, service]) => virtualService(name, config.namespace, service, weights(name, service, config, live[name]))),
  }
}

function peerAuthentication(namespace: string, mode: string): KubeObject & { spec: object } {
  return {
    apiVersion: apiVersionOf('PeerAuthentication'),
    kind: 'PeerAuthentication',
    metadata: { name: 'default', namespace, labels: managedBy },
    spec: { mtls: { mode: mode.toUpperCase() } },
  }
}

/**
 * Weights that the config states outright, else those in force, else all on stable. Those of a canary's service are in
 * force until the promotion moves them. A subset that the config no longer defines has no weight (see preflight).
 */
function weights(name: string, { traffic, subsets = {} }: ServicePolicy, { canary }: Config, live: Weights | undefined): Weights | undefined {
  const known = live && Object.fromEntries(Object.entries(live).filter(([subset]) => subset in subsets))
  if (canary?.service !== name) return traffic ?? known
  return { [canary.stable]: 0, [canary.canary]: 0, ...(known ?? traffic ?? { [canary.stable]: 100 }) }
}

function destinationRule(name: string, namespace: string, { circuitBreaker, subsets }: ServicePolicy): DestinationRule[] {
  if (!circuitBreaker && !subsets) return []
  return [
    {
      apiVersion: apiVersionOf('DestinationRule'),
      kind: 'DestinationRule',
      metadata: { name, namespace, labels: managedBy },
      spec: {
        host: hostOf(name, namespace),
        ...(circuitBreaker ? { trafficPolicy: trafficPolicy(circuitBreaker) } : {}),
        ...(subsets ? { subsets: Object.entries(subsets).map(([subset, labels]) => ({ name: subset, labels })) } : {}),
      },
    },
  ]
}

function trafficPolicy(breaker: NonNullable<ServicePolicy['circuitBreaker']>): object {
  const tcp = defined({ maxConnections: breaker.maxConnections })
  const http = defined({ http1MaxPendingRequests: breaker.maxPendingRequests, maxRequestsPerConnection: breaker.maxRequestsPerConnection })
  const outlierDetection = defined({
    consecutive5xxErrors: breaker.consecutive5xxErrors,
    interval: seconds(breaker.interval),
    baseEjectionTime: seconds(breaker.ejectFor),
    maxEjectionPercent: breaker.maxEjectionPercent,
  })
  const connectionPool = defined({ tcp, http })
  return defined({ connectionPool, outlierDetection }) ?? {}
}

function virtualService(name: string, namespace: string, service: ServicePolicy, split: Weights | undefined): VirtualService[] {
  const { retries, timeout, port } = service
  if (!retries && timeout === undefined && !split) return []
  const destination = { host: hostOf(name, namespace), ...(port === undefined ? {} : { port: { number: port } }) }
  const route = split
    ? Object.entries(split).map(([subset, weight]) => ({ destination: { ...destination, subset }, weight }))
    : [{ destination }]
  return [
    {
      apiVersion: apiVersionOf('VirtualService'),
      kind: 'VirtualService',
      metadata: { name, namespace, labels: managedBy },
      spec: {
        hosts: [hostOf(name, namespace)],
        http: [{ name: routeName, route, ...(timeout === undefined ? {} : { timeout: seconds(timeout)! }), ...(retries ? { retries: retryPolicy(retries) } : {}) }],
      },
    },
  ]
}

function retryPolicy({ attempts, perTryTimeout, retryOn }: NonNullable<ServicePolicy['retries']>): object {
  if (attempts === 0) return { attempts }
  return { attempts, ...defined({ perTryTimeout: seconds(perTryTimeout) }), retryOn: retryOn.join(',') }
}

/** Istio's written form of a duration; whole milliseconds keep their unit. */
function seconds(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

/** The object without its undefined values; undefined when nothing is left. */
function defined<T extends object>(object: T): T | undefined {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return entries.length > 0 ? (Object.fromEntries(entries) as T) : undefined
}
