// Checks the section `observability` against the cluster before the run changes anything. Only reads.
import { undefinedWhenForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { managedBy } from '../cluster/labels.ts'
import type { Service } from '../cluster/objects.ts'
import { speaksGrpc, servicePorts } from '../cluster/service-ports.ts'
import { ConfigError } from '../config/error.ts'
import { parseServicePort, prometheusServer } from '../config/observability.ts'
import type { Config, ObservabilityConfig } from '../config/schema.ts'
import type { Owner } from '../policies/owned-objects.ts'
import { messageOf } from '../runtime/errors.ts'
import { findOperator } from './metrics/operator.ts'
import { prometheusClient } from './metrics/prometheus-client.ts'
import { component, componentLabel } from './objects.ts'
import { outputFaults } from './outputs.ts'
import { planProviders } from './providers.ts'

/** One sentence for each fault. `delivers`: the run also promotes. */
export async function observabilityClusterFaults(
  cluster: Cluster,
  config: Config,
  owner: Owner,
  delivers: boolean,
): Promise<string[]> {
  const { observability } = config
  if (!observability) return []
  const faults = await Promise.all([
    serverFaults(cluster, observability),
    observability.metrics?.prometheus.operator === undefined ? [] : operatorFaults(cluster, config),
    collectorFaults(cluster, observability),
    alertmanagerFaults(cluster, observability),
    providerFaults(cluster, config, owner),
    outputFaults(cluster, config, owner, delivers),
  ])
  return faults.flat()
}

/** The labels that every object of the section has, whatever selects it. */
export const ownLabels = { ...managedBy, [componentLabel]: component }

async function operatorFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const { faults = [] } = await findOperator(cluster, config, ownLabels)
  return faults
}

/** A server that exists already has to answer now. */
async function serverFaults(cluster: Cluster, observability: ObservabilityConfig): Promise<string[]> {
  const { address, service } = observability.metrics?.prometheus ?? {}
  const server = prometheusServer(observability)
  if (!server || (address ?? service) === undefined) return []
  try {
    await prometheusClient(cluster, server)('vector(1)')
    return []
  } catch (error) {
    return [`observability.metrics.prometheus: ${messageOf(error)}`]
  }
}

async function collectorFaults(cluster: Cluster, { traces, logs }: ObservabilityConfig): Promise<string[]> {
  const faults = Object.entries({ traces, logs }).map(([part, settings]) => {
    const { collector = 'install' } = settings ?? {}
    const isExisting = !['install', 'stdout'].includes(collector)
    return isExisting ? portFaults(cluster, `observability.${part}.collector`, collector, true) : Promise.resolve([])
  })
  return (await Promise.all(faults)).flat()
}

async function alertmanagerFaults(cluster: Cluster, { alerts }: ObservabilityConfig): Promise<string[]> {
  const { alertmanager } = alerts ?? {}
  return alertmanager === undefined ? [] : portFaults(cluster, 'observability.alerts.alertmanager', alertmanager, false)
}

/** Istio speaks to a collector as the port's name or `appProtocol` says, and by HTTP/1.1 if they say nothing. */
export async function portFaults(
  cluster: Cluster,
  key: string,
  address: string,
  needsGrpc: boolean,
): Promise<string[]> {
  const { namespace, name, port: number } = parseServicePort(address)
  const service = await cluster.get<Service>('Service', namespace, name).catch(undefinedWhenForbidden)
  // An account that may not read it cannot tell.
  if (!service && !(await mayRead(cluster, namespace))) return []
  if (!service) return [`${key}: the Service ${namespace}/${name} does not exist; deploy it first, or correct the name`]
  const ports = servicePorts(service)
  const port = ports.find((each) => each.port === number)
  if (!port) {
    const others = ports.map((each) => (each.name === undefined ? each.port : `${each.port} (${each.name})`))
    return [`${key}: the Service ${namespace}/${name} has no port ${number}; it has ${others.join(', ') || 'none'}`]
  }
  if (!needsGrpc || speaksGrpc(port)) return []
  const title = port.name === undefined ? 'has no name' : `is named ${port.name}`
  const protocol = port.appProtocol === undefined ? '' : ` and has the appProtocol ${port.appProtocol}`
  return [
    `${key}: the port ${number} of the Service ${namespace}/${name} ${title}${protocol}, so Istio does not speak gRPC ` +
      'there; name the port of OTLP over gRPC (4317, not 4318), and call it grpc-otlp or set its appProtocol to grpc',
  ]
}

async function mayRead(cluster: Cluster, namespace: string): Promise<boolean> {
  return (await cluster.list('Service', namespace).catch(undefinedWhenForbidden)) !== undefined
}

async function providerFaults(cluster: Cluster, config: Config, owner: Owner): Promise<string[]> {
  try {
    await planProviders(cluster, config, owner)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return [error.message]
    throw error
  }
}
