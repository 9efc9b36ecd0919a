// The mutual TLS mode that Istio's policies set for a pod's ports, and the ports that a probe can test. Pure.
import { oldestFirst } from '../cluster/age.ts'
import { matches } from '../cluster/labels.ts'
import { systemNamespace, type KubeObject, type Pod, type Service } from '../cluster/objects.ts'
import { declaredPorts, protocolOf, servicePorts, targetPort, type Protocol } from '../cluster/service-ports.ts'

export type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE'
type Mtls = { mode?: Mode | 'UNSET' }
export type PeerAuthentication = KubeObject & {
  spec?: { selector?: { matchLabels?: Record<string, string> }; mtls?: Mtls; portLevelMtls?: Record<string, Mtls> }
}

/** `by`: the policy that sets the mode; undefined if none does. */
export type EffectiveMode = { mode: Mode; by: PeerAuthentication | undefined }

/**
 * The mode in force for a port: from the policy that selects the pod, or that of the namespace, or that of the mesh, or
 * PERMISSIVE. The oldest of several policies wins.
 */
export function effectiveMode(
  pod: Pod,
  port: number,
  policies: readonly PeerAuthentication[],
  rootNamespace = systemNamespace,
): EffectiveMode {
  const sorted = oldestFirst(policies)
  const inNamespace = (namespace: string | undefined) => sorted.filter((each) => each.metadata.namespace === namespace)
  const own = inNamespace(pod.metadata.namespace)
  const isRoot = pod.metadata.namespace === rootNamespace
  const ofWorkload = isRoot ? undefined : own.find((each) => hasSelector(each) && selectsPod(each, pod))
  const ofNamespace = own.find((each) => !hasSelector(each))
  const ofMesh = inNamespace(rootNamespace).find((each) => !hasSelector(each))
  const candidates: [Mtls | undefined, PeerAuthentication | undefined][] = [
    [ofWorkload?.spec?.portLevelMtls?.[port], ofWorkload],
    [ofWorkload?.spec?.mtls, ofWorkload],
    [ofNamespace?.spec?.mtls, ofNamespace],
    [ofMesh?.spec?.mtls, ofMesh],
  ]
  for (const [mtls, by] of candidates) if (mtls?.mode && mtls.mode !== 'UNSET') return { mode: mtls.mode, by }
  return { mode: 'PERMISSIVE', by: undefined }
}

/** The mode that these policies of the pod's namespace state for the port; undefined if they leave it to others. */
export function statedMode(pod: Pod, port: number, policies: readonly PeerAuthentication[]): Mode | undefined {
  const own = policies.filter(({ metadata }) => metadata.namespace === pod.metadata.namespace)
  const { mode, by } = effectiveMode(pod, port, own)
  return by && mode
}

function selectsPod(policy: PeerAuthentication, { metadata }: Pod): boolean {
  return matches(selectorOf(policy), metadata.labels)
}

function selectorOf({ spec }: PeerAuthentication): Record<string, string> {
  return spec?.selector?.matchLabels ?? {}
}

export function hasSelector(policy: PeerAuthentication): boolean {
  return Object.keys(selectorOf(policy)).length > 0
}

export type PodPort = { number: number; protocol: Protocol; name?: string | undefined }

/**
 * The TCP ports that the pod serves: those that its containers declare, and those that Services send to. If both name
 * the protocol, the Service's name wins.
 */
export function portsOf(pod: Pod, services: Service[]): PodPort[] {
  const ports = new Map<number, PodPort>(
    declaredPorts(pod)
      .filter(({ protocol }) => protocol !== 'UDP')
      .map((each) => [each.containerPort, { number: each.containerPort, name: each.name, protocol: protocolOf(each) }]),
  )
  for (const service of services.filter(({ spec }) => spec.selector && matches(spec.selector, pod.metadata.labels))) {
    for (const each of servicePorts(service).filter(({ protocol }) => protocol !== 'UDP')) {
      const number = targetPort(pod, each)
      if (number !== undefined)
        ports.set(number, { number, name: each.appProtocol ?? each.name, protocol: protocolOf(each) })
    }
  }
  return [...ports.values()].sort((a, b) => a.number - b.number)
}
