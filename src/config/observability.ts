// What follows from the section `observability`: the Services behind it, and the Prometheus that a promotion may ask. Pure.
import { allCanariesOf } from './names.ts'
import type { CanaryConfig, Config, ObservabilityConfig } from './schema.ts'

/** A port of a Service in the cluster. */
export type ServicePort = { namespace: string; name: string; port: number }

/** `namespace/name:port`, as the schema has checked it. */
export function parseServicePort(text: string): ServicePort {
  const [, namespace = '', name = '', port = ''] = /^(.+)\/(.+):(\d+)$/.exec(text)!
  return { namespace, name, port: Number(port) }
}

/** The names and ports of what a run installs. */
export const installed = {
  prometheus: { name: 'prometheus', port: 9090 },
  jaeger: { name: 'jaeger', otlpPort: 4317, queryPort: 16686 },
} as const

/** The Service that takes the spans of the sidecars; undefined without `traces`. */
export function traceCollector({ namespace, traces }: ObservabilityConfig): ServicePort | undefined {
  return traces && collectorOf(namespace, traces.collector)
}

/** The Service that takes the access logs; undefined without `logs`, or if they go to stdout. */
export function logCollector({ namespace, logs }: ObservabilityConfig): ServicePort | undefined {
  return logs && logs.collector !== 'stdout' ? collectorOf(namespace, logs.collector) : undefined
}

function collectorOf(namespace: string, collector: string): ServicePort {
  const { name, otlpPort } = installed.jaeger
  return collector === 'install' ? { namespace, name, port: otlpPort } : parseServicePort(collector)
}

/** Share of the requests to trace, in per cent. */
export function samplingOf({ traces }: ObservabilityConfig): number | undefined {
  return traces && (traces.sampling ?? (traces.collector === 'install' ? 100 : 1))
}

/** True if the config asks for anything that lives in `observability.namespace`. */
export function installsAnything({ metrics, traces, dashboards }: ObservabilityConfig): boolean {
  const { configMaps } = dashboards ?? {}
  return (
    metrics?.prometheus.install === true ||
    traces?.collector === 'install' ||
    (configMaps?.enabled === true && configMaps.namespace === undefined)
  )
}

/** Where a Prometheus is. Exactly one of `address` and `service` is set. */
export type PrometheusServer = Pick<
  NonNullable<CanaryConfig['prometheus']>,
  'address' | 'service' | 'token' | 'timeout'
>

/**
 * How to reach the Prometheus of the mesh; undefined if the config names none, or leaves it to the cluster which of the
 * operator's it is.
 */
export function prometheusServer({ namespace, metrics }: ObservabilityConfig): PrometheusServer | undefined {
  if (!metrics) return undefined
  const { install, operator, address, service, token, timeout } = metrics.prometheus
  const { name, port } = installed.prometheus
  if (install) return { service: `${namespace}/${name}:${port}`, timeout }
  // The operator makes this Service for all its Prometheus objects of a namespace.
  if (typeof operator === 'string') return { service: `${operator.split('/')[0]}/prometheus-operated:9090`, timeout }
  if (operator === true) return undefined
  return {
    timeout,
    ...(address === undefined ? {} : { address }),
    ...(service === undefined ? {} : { service }),
    ...(token === undefined ? {} : { token }),
  }
}

/** The config in which `prometheus` of each canary names a server: where it names none, that of `observability`. */
export function withPrometheusServers<C extends Pick<Config, 'canary' | 'canaries' | 'observability'>>(config: C): C {
  const server = config.observability && prometheusServer(config.observability)
  if (server === undefined) return config
  const complete = (plan: CanaryConfig): CanaryConfig =>
    plan.prometheus && namesNoServer(plan.prometheus)
      ? { ...plan, prometheus: { ...server, ...plan.prometheus } }
      : plan
  return {
    ...config,
    ...(config.canary && { canary: complete(config.canary) }),
    ...(config.canaries && { canaries: config.canaries.map(complete) }),
  }
}

export function namesNoServer({ address, service }: NonNullable<CanaryConfig['prometheus']>): boolean {
  return address === undefined && service === undefined
}

/** Where a program answers queries: a Service, asked through the API server, or an address. */
export type QueryServer = { service: string } | { address: string }

/** Where to look for traces; undefined if nothing says so. */
export function traceQuery(observability: ObservabilityConfig): QueryServer | undefined {
  const query = observability.traces?.query ?? installedTraceQuery(observability)
  return query === undefined ? undefined : queryServer(query)
}

/** The Service of the Jaeger that the run installs; undefined if it installs none. */
export function installedTraceQuery({ namespace, traces }: ObservabilityConfig): string | undefined {
  const { name, queryPort } = installed.jaeger
  return traces?.collector === 'install' ? `${namespace}/${name}:${queryPort}` : undefined
}

/** Where to look for access logs; undefined if nothing says so. */
export function logQuery({ logs }: ObservabilityConfig): QueryServer | undefined {
  return logs?.query === undefined ? undefined : queryServer(logs.query)
}

function queryServer(text: string): QueryServer {
  return text.includes('://') ? { address: text } : { service: text }
}

/** The namespaces whose sidecars and gateways a promotion, or a dashboard of this application, is about. */
export function observedNamespaces(config: Config, system: string): string[] {
  const clients = allCanariesOf(config).flatMap(({ clients = [] }) => clients)
  return [...new Set([config.namespace, system, ...clients])]
}
