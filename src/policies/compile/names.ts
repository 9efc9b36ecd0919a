// What the compiled objects are called, and what every part of the compiler starts from.
import { apiVersionOf, type Kind, type KubeObject } from '../../cluster/objects.ts'
import type { Config, ServicePolicy } from '../../config/schema.ts'

export const managedBy = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
/** The name of the route that is ours in a VirtualService, the last one: the one that a promotion moves. */
export const routeName = 'mesh-canary'

/** Weight of each subset, in per cent. */
export type Weights = Record<string, number>
export type Live = Readonly<Record<string, Weights>>

/** The services with policies, the canary's among them, with its subsets filled in. */
export function servicesOf({ services = {}, canary }: Pick<Config, 'services' | 'canary'>): Record<string, ServicePolicy> {
  if (!canary) return services
  const service = services[canary.service] ?? {}
  const named = Object.fromEntries([canary.stable, canary.canary].map((subset) => [subset, { version: subset }]))
  return { ...services, [canary.service]: { ...service, subsets: { ...named, ...service.subsets } } }
}

export function hostOf(service: string, namespace: string): string {
  return `${service}.${namespace}.svc.cluster.local`
}

/** The Gateway of an exposed service, and the VirtualService that is bound to it. */
export function gatewayOf(service: string): string {
  return `${service}-gateway`
}

export function object<S extends object>(kind: Kind, namespace: string, name: string, spec: S): KubeObject & { spec: S } {
  return { apiVersion: apiVersionOf(kind), kind, metadata: { name, namespace, labels: managedBy }, spec }
}
