// Finds mistakes that only a comparison of config and cluster shows. Pure.
import { matches, podsBehind, selectorText } from '../cluster/labels.ts'
import type { Pod, Service } from '../cluster/objects.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'
import { isLive, isReady } from '../cluster/pods.ts'
import type { ServicePolicy } from '../config/schema.ts'
import { createdCanaryLabel } from '../config/names.ts'
import { ejects } from '../config/warnings/services.ts'
import { expectsSidecar, hasSidecar, networkNote } from '../mesh/sidecar.ts'
import { listNames } from '../runtime/errors.ts'

export type ClusterFacts = {
  namespace: string
  /** The run sets the whole namespace to STRICT. */
  isStrict: boolean
  /** The policies of the config, with the subsets of its canaries. */
  policies: Record<string, Pick<ServicePolicy, 'subsets' | 'circuitBreaker'>>
  services: Service[]
  pods: Pod[]
}

export function policyWarnings(facts: ClusterFacts): string[] {
  const pods = facts.pods.filter(isLive)
  const live = { ...facts, pods }
  return [...emptySubsets(live), ...plaintextClients(live), ...singlePodEjections(live), ...unnamedPorts(live)]
}

function serviceNamed(name: string, { services }: ClusterFacts): Service | undefined {
  return services.find(({ metadata, spec }) => metadata.name === name && spec.selector)
}

/** A request to a subset without pods fails with a 503. */
function emptySubsets(facts: ClusterFacts): string[] {
  return Object.entries(facts.policies).flatMap(([name, { subsets = {} }]) => {
    const service = serviceNamed(name, facts)
    if (!service) return []
    const empty = Object.entries(subsets).filter(([, labels]) => {
      // The promotion creates these pods before it gives them a weight.
      return labels[createdCanaryLabel] === undefined && podsBehind(service, facts.pods, labels).length === 0
    })
    return empty.map(
      ([subset, labels]) =>
        `services.${name}.subsets.${subset}: no pod behind the Service ${facts.namespace}/${name} has the labels ` +
        `${selectorText(labels)}, so requests sent to it get a 503; deploy it before it gets a weight, ` +
        'or correct the labels',
    )
  })
}

/** Clients without a sidecar send plaintext. */
function plaintextClients({ namespace, isStrict, pods }: ClusterFacts): string[] {
  const clients = isStrict ? pods.filter((pod) => !hasSidecar(pod)) : []
  if (clients.length === 0) return []
  const names = clients.map((pod) => `${pod.metadata.name}${networkNote(pod)}`)
  const sentPlaintext =
    names.length === 1
      ? `a pod of ${namespace} without a sidecar sends nothing else`
      : `${names.length} pods of ${namespace} without a sidecar send nothing else`
  return [
    `mtls: strict refuses plaintext, and ${sentPlaintext}: ${listNames(names)}; list their workloads under \`workloads\`, ` +
      'or use permissive until they are in the mesh',
  ]
}

/**
 * If a service or subset has only one pod, ejection removes it or, below 100 %, never happens. Without a percentage,
 * Istio's default of 10 % applies, and the config's own check warns that it ejects nothing.
 */
function singlePodEjections(facts: ClusterFacts): string[] {
  return Object.entries(facts.policies).flatMap(([name, { circuitBreaker, subsets }]) => {
    const percent = circuitBreaker?.maxEjectionPercent ?? 0
    const service = serviceNamed(name, facts)
    if (!service || !circuitBreaker || !ejects(circuitBreaker) || percent === 0) return []
    const groups: [string, Pod[]][] = subsets
      ? Object.entries(subsets).map(([subset, labels]) => [
          `subset ${subset} of ${name}`,
          podsBehind(service, facts.pods, labels),
        ])
      : [[`Service ${name}`, podsBehind(service, facts.pods)]]
    const single = groups.filter(([, pods]) => pods.filter(isReady).length === 1).map(([group]) => group)
    if (single.length === 0) return []
    const effect =
      percent === 100
        ? 'turns a few errors into 503 for all requests until the pod is let back in'
        : `never happens, because one pod of one is more than maxEjectionPercent (${percent}%)`
    return [
      `services.${name}.circuitBreaker: ejection with a single ready pod (${single.join(', ')}) ${effect}; ` +
        'run two replicas or more, or remove the keys that eject',
    ]
  })
}

/** Istio detects an unnamed port's protocol from the client's first bytes. A server that speaks first gets none. */
function unnamedPorts({ namespace, services, pods }: ClusterFacts): string[] {
  const inMesh = pods.filter((pod) => expectsSidecar(pod))
  const served = services.filter(
    ({ spec }) => spec.selector && inMesh.some((pod) => matches(spec.selector!, pod.metadata.labels)),
  )
  return served.flatMap((service) =>
    servicePorts(service)
      .filter((port) => protocolOf(port) === 'unknown')
      .map(
        ({ name, port }) =>
          `Service ${namespace}/${service.metadata.name}: the port ${port}${name === undefined ? '' : ` (${name})`} ` +
          'does not name its protocol, so Istio guesses it, and policies for HTTP may not apply; name the port ' +
          'http-…, grpc-… or tcp-…, or set its appProtocol',
      ),
  )
}
