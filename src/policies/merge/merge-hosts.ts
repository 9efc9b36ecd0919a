// Finds policies for the same host. They must become one object, because the mesh follows only one of two. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../cluster/objects.ts'
import type { Sourced } from '../manifests/manifests.ts'
import { fullHost, matchesHost } from '../routes.ts'

type Policy = Sourced['object']
type Spec = Policy['spec']

/**
 * Objects with the same key become one: VirtualServices by hosts and gateways, DestinationRules by host and workloads,
 * and all others by name. A VirtualService without hosts is the target of a delegation, so its name is its key too.
 */
export function mergeKey(object: Policy): string {
  const { apiVersion, kind, metadata, spec } = object
  const namespace = metadata.namespace ?? ''
  if (kind === 'VirtualService' && hostsOf(spec).length > 0)
    return JSON.stringify([kind, namespace, fullHosts(object), gatewaysOf(spec, namespace)])
  if (kind === 'DestinationRule') {
    const host = fullHost(String(spec?.['host']), namespace)
    return JSON.stringify([kind, namespace, host, spec?.['workloadSelector'] ?? null])
  }
  return JSON.stringify([apiVersion, kind, namespace, metadata.name])
}

export function hostsOf(spec: Spec): string[] {
  return Array.isArray(spec?.['hosts']) ? spec['hosts'].map(String) : []
}

export function fullHosts({ metadata: { namespace = '' }, spec }: Policy): string[] {
  return hostsOf(spec)
    .map((host) => fullHost(host, namespace))
    .sort()
}

/** Istio's name for the sidecars, among the gateways of a VirtualService. */
export const meshGateway = 'mesh'

/**
 * Without gateways, a VirtualService is for the sidecars. A gateway of the same namespace may be written with or
 * without its namespace.
 */
export function gatewaysOf(spec: Spec, namespace: string): string[] {
  const names = Array.isArray(spec?.['gateways']) ? spec['gateways'].map(String) : []
  const gateways = names.map((name) => (name === meshGateway || name.includes('/') ? name : `${namespace}/${name}`))
  return gateways.length > 0 ? gateways.sort() : [meshGateway]
}

/** True for a VirtualService that the sidecars follow, and no gateway. */
export function isForSidecarsOnly({ spec, metadata }: Policy): boolean {
  return isDeepStrictEqual(gatewaysOf(spec, metadata.namespace ?? ''), [meshGateway])
}

/** True for a VirtualService that the sidecars follow. */
export function isForMesh({ spec, metadata }: Policy): boolean {
  return gatewaysOf(spec, metadata.namespace ?? '').includes(meshGateway)
}

/** The full names of the hosts for which sidecars follow the object. */
export function meshHosts(object: Policy): string[] {
  const { kind, metadata, spec } = object
  const namespace = metadata.namespace ?? ''
  if (kind === 'DestinationRule')
    return spec?.['workloadSelector'] === undefined ? [fullHost(String(spec?.['host']), namespace)] : []
  return kind === 'VirtualService' && isForMesh(object) ? fullHosts(object) : []
}

/** True if one of the object's hosts is a pattern such as `*.shop.svc.cluster.local` that the host matches. */
export function coversHost(object: Policy, host: string): boolean {
  return wildcardHosts(object).some((pattern) => matchesHost(pattern, host))
}

export function hasWildcardHost(object: Policy): boolean {
  return wildcardHosts(object).length > 0
}

function wildcardHosts({ kind, spec }: Policy): string[] {
  const hosts = kind === 'DestinationRule' ? [String(spec?.['host'])] : hostsOf(spec)
  return hosts.filter((host) => host.startsWith('*'))
}

/** The hosts and gateways that both VirtualServices name. */
export function sharedHosts(a: KubeObject, b: KubeObject): { hosts: string[]; gateways: string[] } {
  const [first, second] = [a, b].map((object: Policy) => ({
    hosts: fullHosts(object),
    gateways: gatewaysOf(object.spec, object.metadata.namespace ?? ''),
  }))
  return {
    hosts: first!.hosts.filter((host) => second!.hosts.includes(host)),
    gateways: first!.gateways.filter((gateway) => second!.gateways.includes(gateway)),
  }
}

/**
 * The host for which the sidecars would follow only one of the two objects. A gateway, in contrast, merges several
 * VirtualServices for a host.
 */
export function contendedHost(a: Policy, b: Policy): string | undefined {
  if (a.kind !== b.kind) return undefined
  if (a.kind === 'DestinationRule')
    return mergeKey(a) === mergeKey(b) ? fullHost(String(a.spec?.['host']), a.metadata.namespace ?? '') : undefined
  if (a.kind !== 'VirtualService') return undefined
  const { hosts, gateways } = sharedHosts(a, b)
  return gateways.includes(meshGateway) ? hosts[0] : undefined
}
