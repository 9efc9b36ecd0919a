// What Prometheus scrapes of the mesh, and under which labels: the same for an installed Prometheus and for the monitors
// of the Prometheus Operator. Pure.

/** How often; short, because a step of a promotion may last less than a minute. In seconds. */
export const scrapeIntervalSeconds = 5

/** The label `job` of what sidecars and gateways publish, if the run installs Prometheus. */
export const proxyJob = 'istio-proxies'

/** In each pod with a sidecar, and in each gateway: Envoy's own port, by its name. */
export const proxyPort = { name: 'http-envoy-prom', number: 15090 }
/** The agent beside Envoy: Envoy's metrics, the agent's (certificates), and those of the application. */
export const agentPort = 15020
export const agentPath = '/stats/prometheus'
export const istiodPort = { name: 'http-monitoring', number: 15014 }

/** The address with the port of the agent instead of Envoy's; also for IPv6, with its brackets. */
export const agentAddress = { regex: `(.+):${proxyPort.number}`, replacement: `$1:${agentPort}` }

/** Envoy without Istio's extensions publishes Istio's metrics with its own prefix. */
export const istioPrefix = { regex: 'envoy_(istio_.+)', replacement: '$1' }
