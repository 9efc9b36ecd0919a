// What is wrong with one manifest: its kind, name, namespace and fields. Pure.
import { apiVersionOf, groupOf, kindOf, systemNamespace, type Kind, type KubeObject } from '../../cluster/objects.ts'
import { nearest } from '../../config/nearest.ts'
import type { FieldPath } from './field-checker.ts'
import { fieldFaults } from './manifest-schema.ts'
import { policyKinds } from '../policy-kinds.ts'

/** `at`: the path of the wrong value. A missing value has the path of its parent, or its own. */
export type ManifestFault = { at: FieldPath; says: string }

/** The first fault of the kind, the name or the namespace; or else every fault of the fields. */
export function manifestFaults(value: unknown, namespace: string, istioVersion?: string): ManifestFault[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [{ at: [], says: 'the document is not an object; it must have apiVersion, kind, metadata and spec' }]
  const object = value as KubeObject
  const wrong = kindFault(object) ?? nameFault(object) ?? namespaceFault(object, namespace)
  if (wrong) return [wrong]
  return fieldFaults(kindOf(object)!, object, istioVersion).map(({ path, says }) => ({
    at: path,
    says: `the ${object.kind} ${object.metadata.name}: ${says}`,
  }))
}

function kindFault({ apiVersion, kind }: Partial<KubeObject>): ManifestFault | undefined {
  if (typeof kind !== 'string' || kind === '')
    return { at: [], says: 'the document has no `kind`; add it, such as `kind: VirtualService`' }
  if (typeof apiVersion !== 'string')
    return {
      at: ['kind'],
      says: `the ${kind} has no \`apiVersion\`; add it, such as \`apiVersion: networking.istio.io/v1\``,
    }
  const known = kindOf({ apiVersion, kind })
  return known && (policyKinds as readonly Kind[]).includes(known)
    ? undefined
    : { at: ['kind'], says: notPolicy(apiVersion, kind) }
}

const nameForm = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/

function nameFault({ kind, metadata }: KubeObject): ManifestFault | undefined {
  const name: unknown = (metadata as Partial<KubeObject['metadata']> | null | undefined)?.name
  if (name === undefined || name === null || name === '')
    return { at: ['metadata'], says: `the ${kind} has no \`metadata.name\`; add one` }
  if (typeof name === 'string' && nameForm.test(name)) return undefined
  const says = `the name ${JSON.stringify(name)} of the ${kind} is invalid: expected lower-case letters, digits, `
  return { at: ['metadata', 'name'], says: `${says}dashes and dots, in quotes where YAML would read a number` }
}

function namespaceFault({ kind, metadata }: KubeObject, namespace: string): ManifestFault | undefined {
  const place = metadata.namespace ?? namespace
  if (place === namespace || place === systemNamespace) return undefined
  return {
    at: ['metadata', 'namespace'],
    says:
      `the ${kind} ${metadata.name} is for the namespace ${place}, but a run writes only to its own namespace ` +
      `(${namespace}) and to ${systemNamespace}; move it to a config of that namespace`,
  }
}

const gatewayApi = 'gateway.networking.k8s.io'

/** Kinds that Istio had before its version 1.6, and what replaces them. */
const removedKinds: Record<string, string> = {
  Policy: 'a PeerAuthentication or a RequestAuthentication',
  MeshPolicy: 'a PeerAuthentication in the namespace of the control plane',
  ClusterRbacConfig: 'an AuthorizationPolicy',
  RbacConfig: 'an AuthorizationPolicy',
  ServiceRole: 'an AuthorizationPolicy',
  ServiceRoleBinding: 'an AuthorizationPolicy',
}

function notPolicy(apiVersion: string, kind: string): string {
  const group = groupOf(apiVersion)
  const title = `the kind ${kind} (${apiVersion})`
  if (group.endsWith('kustomize.config.k8s.io'))
    return `${title} is for kustomize; render it first, with \`kustomize build\`, and name the output under \`policies\``
  if (group === 'install.istio.io')
    return `${title} describes a control plane and not a policy; remove it from \`policies\`, and see the section \`istio\``
  const right = policyKinds.find((each) => each.split('.')[0] === kind)
  if (group.endsWith('.istio.io') || group === gatewayApi || group.endsWith('.x-k8s.io'))
    return right
      ? `the kind ${kind} does not belong to ${apiVersion}; write \`apiVersion: ${apiVersionOf(right)}\``
      : unknownKind(kind, group, title)
  return (
    `${title} belongs neither to Istio nor to the Gateway API; ` +
    '`policies` takes only their kinds, so deploy it with the application'
  )
}

function unknownKind(kind: string, group: string, title: string): string {
  const known = [...new Set(policyKinds.map((each) => each.split('.')[0]!))]
  const replacement = removedKinds[kind]
  if (replacement !== undefined && group.endsWith('.istio.io'))
    return `${title} is not part of Istio any more; write ${replacement} instead`
  if (/^(TCP|TLS|UDP)Route$/.test(kind))
    return (
      `${title} is not supported: mesh-canary splits the traffic of VirtualServices, HTTPRoutes and GRPCRoutes only; ` +
      'remove it from `policies` and apply it with the application, or write the `tcp` or `tls` routes of a VirtualService'
    )
  if (otherGatewayKinds.includes(kind) && group !== 'networking.istio.io')
    return `${title} is not supported under \`policies\`; apply it with the application`
  return `${title} is unknown${nearest(kind, known)}`
}

/** Kinds of the Gateway API that are no policies of one namespace's traffic. */
const otherGatewayKinds = [
  'BackendTLSPolicy',
  'GatewayClass',
  'ListenerSet',
  'ReferenceGrant',
  'XBackend',
  'XBackendTrafficPolicy',
  'XListenerSet',
  'XMesh',
]
