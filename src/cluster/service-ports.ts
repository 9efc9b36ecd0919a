// The ports of a Service: the pods' ports that they send to, and the protocol of each as Istio reads it, from appProtocol,
// else from the first part of its name. Pure.
import type { Container, Pod, Service } from './objects.ts'

const http = ['http', 'http2', 'grpc', 'grpc-web', 'h2c', 'ws']
const encrypted = ['https', 'tls', 'wss']
const plain = ['tcp', 'mysql', 'mongo', 'redis', 'udp']

/** Empty for a headless or external-name Service without ports. */
export function servicePorts({ spec }: Service): Service['spec']['ports'] {
  return (spec as Partial<Service['spec']>).ports ?? []
}

/** `unknown`: the port names no protocol, so Istio guesses it from the first bytes that a client sends. */
export type Protocol = 'http' | 'tls' | 'tcp' | 'unknown'

export function protocolOf({
  name,
  appProtocol,
  protocol,
}: {
  name?: string
  appProtocol?: string
  protocol?: string
}): Protocol {
  if (protocol === 'UDP') return 'tcp'
  const declared = (appProtocol?.replace(/^kubernetes\.io\//, '') ?? name ?? '').toLowerCase()
  const is = (word: string) => declared === word || (appProtocol === undefined && declared.startsWith(`${word}-`))
  if (http.some(is)) return 'http'
  if (encrypted.some(is)) return 'tls'
  return plain.some(is) ? 'tcp' : 'unknown'
}

/** True if Istio speaks HTTP/2 there. */
export function speaksGrpc({ name = '', appProtocol }: Service['spec']['ports'][number]): boolean {
  const declared = appProtocol?.replace(/^kubernetes\.io\//, '') ?? name.split('-')[0]!
  return ['grpc', 'http2', 'h2c'].includes(declared.toLowerCase())
}

/** Those of the application's containers. */
export function declaredPorts({ spec }: Pod): NonNullable<Container['ports']> {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])].filter(({ name }) => name !== 'istio-proxy')
  return containers.flatMap(({ ports = [] }) => ports)
}

/** The number of a pod's port that is given by number or name; undefined if the pod declares no port of the name. */
export function containerPort(pod: Pod, port: number | string): number | undefined {
  return typeof port === 'number' ? port : declaredPorts(pod).find(({ name }) => name === port)?.containerPort
}

/** The pod's port that a port of a Service sends to. */
export function targetPort(
  pod: Pod,
  { port, targetPort: target = port }: Service['spec']['ports'][number],
): number | undefined {
  return containerPort(pod, target)
}
