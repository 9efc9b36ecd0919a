// kind's configuration of a cluster: generated from the inputs, or read from the user's file. Pure, except that it
// reads that file.
import { ConfigError } from '../config/error.ts'
import { readText } from '../config/read.ts'
import type { ClusterConfig } from '../config/schema.ts'
import { isMap } from '../runtime/is-map.ts'
import { YamlError } from '../yaml/faults.ts'
import { parse } from '../yaml/parse.ts'
import { stringify } from '../yaml/stringify.ts'

/** The ports where the ingress gateway listens on the nodes. A node can only open ports from 30000 to 32767. */
export const nodePorts = { status: 30021, http: 30080, https: 30443 } as const

/** Ports on this machine. */
export type HostPorts = { http: number; https: number }

const apiVersion = 'kind.x-k8s.io/v1alpha4'

/** One control plane node with the ports, and workers for the other nodes. The ports are open only on this machine. */
export function kindConfig(nodes: number, { http, https }: HostPorts): string {
  const mapped = (containerPort: number, hostPort: number) => ({
    containerPort,
    hostPort,
    listenAddress: '127.0.0.1',
    protocol: 'TCP',
  })
  const controlPlane = {
    role: 'control-plane',
    extraPortMappings: [mapped(nodePorts.http, http), mapped(nodePorts.https, https)],
  }
  return stringify({
    apiVersion,
    kind: 'Cluster',
    nodes: [controlPlane, ...Array.from({ length: nodes - 1 }, () => ({ role: 'worker' }))],
  })
}

/**
 * Values for `istioctl install --set` that make the ingress gateway of a kind cluster listen on the node ports. `--set`
 * replaces the whole list of ports.
 */
export function gatewayValues(cluster: ClusterConfig | undefined): string[] {
  if (!cluster) return []
  const ports = [
    ['status-port', 15021, 15021, nodePorts.status],
    ['http2', 80, 8080, nodePorts.http],
    ['https', 443, 8443, nodePorts.https],
  ] as const
  const gateway = 'values.gateways.istio-ingressgateway'
  return [
    `${gateway}.type=NodePort`,
    ...ports.flatMap(([name, port, targetPort, nodePort], i) =>
      Object.entries({ name, port, targetPort, nodePort }).map(
        ([key, value]) => `${gateway}.ports[${i}].${key}=${value}`,
      ),
    ),
  ]
}

type Node = { role?: unknown; image?: unknown }

/**
 * Reads what a run needs from the user's kind config file; kind itself checks the fields. @throws ConfigError if it is
 * not such a file.
 */
export function readConfigFile(file: string): { name?: string; choosesImage: boolean } {
  const value = parsed(file)
  if (value['apiVersion'] !== apiVersion || value['kind'] !== 'Cluster')
    throw new ConfigError(
      `cluster.config: ${file} is not a configuration of kind: ` +
        `it has apiVersion ${shown(value['apiVersion'])} and kind ${shown(value['kind'])}, ` +
        `expected ${apiVersion} and Cluster`,
    )
  const nodes: Node[] = Array.isArray(value['nodes']) ? (value['nodes'] as Node[]) : []
  if (nodes.length > 0 && !nodes.some((node) => (node.role ?? 'control-plane') === 'control-plane'))
    throw new ConfigError(
      `cluster.config: ${file} has no node with the role control-plane; add \`- role: control-plane\` to \`nodes\``,
    )
  return {
    ...(typeof value['name'] === 'string' ? { name: value['name'] } : {}),
    choosesImage: nodes.some(({ image }) => image !== undefined),
  }
}

function parsed(file: string): Record<string, unknown> {
  const text = readText('cluster.config', file)
  try {
    const { value } = parse(text)
    if (isMap(value)) return value
  } catch (error) {
    if (error instanceof YamlError)
      throw new ConfigError(`cluster.config: ${file}:${error.line}: is not valid YAML: ${error.reason}`)
    throw error
  }
  throw new ConfigError(
    `cluster.config: ${file} is not a map of keys; expected a configuration of kind with apiVersion ${apiVersion}`,
  )
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value)
}
