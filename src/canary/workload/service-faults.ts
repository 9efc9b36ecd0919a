// Services whose traffic a promotion could never move or see, whatever callers send. Pure.
import { titleOf, type Pod, type Service } from '../../cluster/objects.ts'
import { containerPort, protocolOf, servicePorts } from '../../cluster/service-ports.ts'
import type { CanaryConfig } from '../../config/schema.ts'

/**
 * One clause for each fault. `atGateway`: a gateway sends the service requests too, and resolves its endpoints itself.
 */
export function serviceFaults(service: Service, plan: CanaryConfig, atGateway: boolean): string[] {
  return [...(atGateway ? [] : headlessFault(service, plan)), ...protocolFault(service, plan)]
}

export function headlessFault(service: Service, { stable }: CanaryConfig): string[] {
  if (service.spec.clusterIP !== 'None' || stable.by === 'service') return []
  return [
    `the ${titled(service)} is headless: its callers choose a pod by its address before the mesh could apply a weight; ` +
      'remove `clusterIP: None`, or use another Service with an address in front of both versions',
  ]
}

export function protocolFault(service: Service, { checks, metrics }: CanaryConfig): string[] {
  const ports = servicePorts(service)
  const carriesRequests = ports.some((port) => ['http', 'unknown'].includes(protocolOf(port)))
  const needsRequests = checks.minRequests > 0 && metrics.requests.endsWith('requests_total')
  if (ports.length === 0 || carriesRequests || !needsRequests) return []
  const names = ports.map(({ name, port, appProtocol }) => `${port} ${appProtocol ?? name ?? ''}`.trim()).join(', ')
  return [
    `no port of the ${titled(service)} carries HTTP (${names}), so the sidecars count no requests and no step could pass; ` +
      'if it is HTTP, name the port http-… or set its appProtocol; else set `checks.minRequests: 0`, and decide by ' +
      '`checks.queries` or `checks.commands`',
  ]
}

function titled(service: Service): string {
  return titleOf({ ...service, apiVersion: 'v1', kind: 'Service' })
}

/** Why sidecars may count none of the requests. */
export function unnamedProtocol(service: Service): string | undefined {
  const ports = servicePorts(service)
  if (ports.some((port) => protocolOf(port) !== 'unknown')) return undefined
  const names = ports.map(({ name, port }) => `${port}${name === undefined ? '' : ` (${name})`}`).join(', ')
  return (
    `the ports of the ${titled(service)} do not name their protocol, so Istio may treat them as TCP, and then sidecars ` +
    `count no requests: ${names}; name the port http-… or grpc-…, or set its appProtocol`
  )
}

/** Named target ports of the Service that none of these pods has, if they have none of its ports at all. */
export function portFault(service: Service, pods: readonly Pod[]): string | undefined {
  const targets = servicePorts(service).map(({ targetPort }) => targetPort)
  const named = targets.filter((target): target is string => typeof target === 'string' && !/^\d+$/.test(target))
  if (pods.length === 0 || named.length === 0 || named.length < targets.length) return undefined
  if (named.some((target) => pods.some((pod) => containerPort(pod, target) !== undefined))) return undefined
  return (
    `the Service forwards to the port ${named.join(', ')}, which no container of its pods names, so they get no ` +
    'requests; name the container port, or correct `targetPort`'
  )
}
