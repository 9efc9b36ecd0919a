// Checks what `expose` names before the run changes anything: the Service, its port, the gateway and the certificate.
// Skips what the account may not read.
import type { Cluster } from '../../cluster/client.ts'
import type { Service } from '../../cluster/objects.ts'
import { servicePorts } from '../../cluster/service-ports.ts'
import { servicesOf } from '../../config/names.ts'
import { nearest } from '../../config/nearest.ts'
import type { Config, Exposure } from '../../config/schema.ts'
import type { StageName } from '../../config/schema/stages.ts'
import { gatewayApiFaults } from './gateway-api.ts'
import { istioGatewayFaults } from './istio-gateway.ts'

/** One sentence for each object that `expose` names, that does not exist, and that this run will not create. */
export async function exposeClusterFaults(
  cluster: Cluster,
  config: Config,
  stages: readonly StageName[],
): Promise<string[]> {
  const all = Object.entries(config.expose ?? {})
  if (all.length === 0) return []
  const services = await cluster.list<Service>('Service', config.namespace)
  const istio = all.filter(([, { api }]) => api === 'istio')
  const gatewayApi = all.filter(([, { api }]) => api === 'gateway-api')
  return [
    ...all.flatMap(([name, exposure]) => serviceFaults(name, exposure, config, services)),
    ...(istio.length > 0 ? await istioGatewayFaults(cluster, config, istio, stages) : []),
    ...(gatewayApi.length > 0 ? await gatewayApiFaults(cluster, config, gatewayApi) : []),
  ]
}

function serviceFaults(name: string, exposure: Exposure, config: Config, services: Service[]): string[] {
  const service = services.find(({ metadata }) => metadata.name === name)
  if (service) return portFaults(name, exposure, config, service)
  // The preflight reports a missing Service that has policies too.
  if (name in servicesOf(config)) return []
  const names = services.map(({ metadata }) => metadata.name)
  const title = `the Service ${config.namespace}/${name}`
  return [`expose.${name}: ${title} does not exist${nearest(name, names)}; deploy it first, or correct the name`]
}

function portFaults(name: string, { port, api }: Exposure, config: Config, service: Service): string[] {
  const title = `the Service ${config.namespace}/${name}`
  const ports = servicePorts(service).map((each) => each.port)
  if (ports.length === 0) return [`expose.${name}: ${title} has no port, so nothing can reach it; add one`]
  if (port !== undefined)
    return ports.includes(port) ? [] : [`expose.${name}.port: ${title} has no port ${port}; it has ${ports.join(', ')}`]
  if (servicesOf(config)[name]?.port !== undefined || (api === 'istio' && ports.length === 1)) return []
  const reason = api === 'istio' ? `${title} has more than one` : 'an HTTPRoute needs it'
  return [`expose.${name}.port: it is not set, and ${reason}; set one of the ports of ${title}: ${ports.join(', ')}`]
}
