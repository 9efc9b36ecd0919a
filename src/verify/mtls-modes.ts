// The mutual TLS mode that Istio's policies set for a pod's ports, and the ports that a probe can test. Pure.
import { matches } from '../cluster/labels.ts'
import { systemNamespace, type KubeObject, type Pod, type Service } from '../cluster/objects.ts'
import { protocolOf, servicePorts, type Protocol } from '../cluster/service-ports.ts'

export type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE'
type Mtls = { mode?: Mode | 'UNSET' }
export type PeerAuthentication = KubeObject & {
  spec?: { selector?: { matchLabels?: Record<string, string> }; mtls?: Mtls; portLevelMtls?: Record<string, Mtls> }
}

/**
 * The mode in force for a port: from the policy that selects the pod, or that of the namespace, or that of the mesh, or
 * PERMISSIVE. The oldest of several policies wins.
 */
export function modeOf(pod: Pod, port: number, policies: PeerAuthentication[], rootNamespace = systemNamespace): Mode {
  const oldestFirst = [...policies].sort((a, b) =>
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? ''),
  )
  const inNamespace = (namespace: string | undefined) =>
    oldestFirst.filter((each) => each.metadata.namespace === namespace)
  const own = inNamespace(pod.metadata.namespace)
  const ofWorkload = own.find((each) => hasSelector(each) && matches(selectorOf(each), pod.metadata.labels))
  const candidates = [
    ofWorkload?.spec?.portLevelMtls?.[port],
    ofWorkload?.spec?.mtls,
    own.find((each) => !hasSelector(each))?.spec?.mtls,
    inNamespace(rootNamespace).find((each) => !hasSelector(each))?.spec?.mtls,
  ]
  return candidates.map((each) => each?.mode).find((mode) => mode !== undefined && mode !== 'UNSET') ?? 'PERMISSIVE'
}

function selectorOf({ spec }: PeerAuthentication): Record<string, string> {
  return spec?.selector?.matchLabels ?? {}
}

function hasSelector(policy: PeerAuthentication): boolean {
  return Object.keys(selectorOf(policy)).length > 0
}

export type PodPort = { number: number; protocol: Protocol; name?: string | undefined }

/**
 * The TCP ports that the pod serves: those that its containers declare, and those that Services send to. If both name
 * the protocol, the Service's name wins.
 */
export function portsOf(pod: Pod, services: Service[]): PodPort[] {
  const declared = pod.spec.containers.filter(({ name }) => name !== 'istio-proxy').flatMap(({ ports = [] }) => ports)
  const ports = new Map<number, PodPort>(
    declared
      .filter(({ protocol }) => protocol !== 'UDP')
      .map((each) => [each.containerPort, { number: each.containerPort, name: each.name, protocol: protocolOf(each) }]),
  )
  for (const service of services.filter(({ spec }) => spec.selector && matches(spec.selector, pod.metadata.labels))) {
    for (const each of servicePorts(service).filter(({ protocol }) => protocol !== 'UDP')) {
      const target = each.targetPort ?? each.port
      const number = typeof target === 'number' ? target : declared.find(({ name }) => name === target)?.containerPort
      if (number !== undefined)
        ports.set(number, { number, name: each.appProtocol ?? each.name, protocol: protocolOf(each) })
    }
  }
  return [...ports.values()].sort((a, b) => a.number - b.number)
}
