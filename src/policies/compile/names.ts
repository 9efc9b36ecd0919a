// Names that the whole compiler shares, and the start of each object.
import { managedBy } from '../../cluster/labels.ts'
import { apiVersionOf, type Kind, type KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'

/** Weight of each subset, in per cent. */
export type Weights = Record<string, number>
export type LiveWeights = Readonly<Record<string, Weights>>

export function hostOf(service: string, namespace: string): string {
  return `${service}.${namespace}.svc.cluster.local`
}

/** The name of an exposed service's Gateway, and of the VirtualService for it. */
export function gatewayOf(service: string): string {
  return `${service}-gateway`
}

export function object<S extends object>(
  kind: Kind,
  namespace: string,
  name: string,
  spec: S,
): KubeObject & { spec: S } {
  return { apiVersion: apiVersionOf(kind), kind, metadata: { name, namespace, labels: managedBy }, spec }
}

/** The label `istio` of the gateway that exposes the service; undefined if Istio's API does not expose it. */
export function gatewayLabel({ expose = {} }: Pick<Config, 'expose'>, service: string): string | undefined {
  const exposure = expose[service]
  return exposure?.api === 'istio' ? exposure.gateway : undefined
}

/** The first host that the service is exposed at; else the name of the service. */
export function exposedHost({ expose = {} }: Pick<Config, 'expose'>, service: string): string {
  return expose[service]?.hosts.find((host) => !host.includes('*')) ?? service
}
