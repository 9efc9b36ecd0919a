// What the compiled objects are called, and what every part of the compiler starts from.
import { managedBy } from '../../cluster/labels.ts'
import { apiVersionOf, type Kind, type KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'

/** Weight of each subset, in per cent. */
export type Weights = Record<string, number>
export type LiveWeights = Readonly<Record<string, Weights>>

export function hostOf(service: string, namespace: string): string {
  return `${service}.${namespace}.svc.cluster.local`
}

/** The Gateway of an exposed service, and the VirtualService that is bound to it. */
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

/** The label `istio` of the gateway through which the service is exposed; undefined where it is not. */
export function gatewayLabel({ expose = {} }: Pick<Config, 'expose'>, service: string): string | undefined {
  const exposure = expose[service]
  return exposure?.api === 'istio' ? exposure.gateway : undefined
}
