// What the ports of a Service are, and what each speaks, as Istio reads it: from its appProtocol, else from the first part of its name.
import type { Service } from './objects.ts'

const http = ['http', 'http2', 'grpc', 'grpc-web', 'h2c', 'ws']
const encrypted = ['https', 'tls', 'wss']
const plain = ['tcp', 'mysql', 'mongo', 'redis', 'udp']

/** A headless Service, and one that is an external name, need have none. */
export function servicePorts({ spec }: Service): Service['spec']['ports'] {
  return (spec as Partial<Service['spec']>).ports ?? []
}

/** `unknown`: the port does not say, so Istio guesses from the first bytes that a client sends. */
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
  const said = (appProtocol?.replace(/^kubernetes\.io\//, '') ?? name ?? '').toLowerCase()
  const is = (word: string) => said === word || (appProtocol === undefined && said.startsWith(`${word}-`))
  if (http.some(is)) return 'http'
  if (encrypted.some(is)) return 'tls'
  return plain.some(is) ? 'tcp' : 'unknown'
}
