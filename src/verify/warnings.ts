// Mistakes that the config alone cannot show, but config and cluster together can. Pure: lists in, sentences out.
import { matches } from '../cluster/labels.ts'
import type { Pod, Service } from '../cluster/objects.ts'
import type { ServicePolicy } from '../config/schema.ts'
import { ejects } from '../config/warnings/services.ts'
import { expectsSidecar, hasSidecar, isReady } from '../mesh/sidecar.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'

export type ClusterFacts = {
  namespace: string
  /** That is the mode that the run gives the whole namespace. */
  isStrict: boolean
  /** Of the config, subsets of a canary filled in. */
  policies: Record<string, Pick<ServicePolicy, 'subsets' | 'circuitBreaker'>>
  services: Service[]
  pods: Pod[]
}

export function policyWarnings(seen: ClusterFacts): string[] {
  const pods = seen.pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed',
  )
  const living = { ...seen, pods }
  return [...emptySubsets(living), ...outsiders(living), ...ejections(living), ...unnamedPorts(living)]
}

function podsOf(name: string, { services, pods }: ClusterFacts, labels: Record<string, string> = {}): Pod[] {
  const selector = services.find(({ metadata }) => metadata.name === name)?.spec.selector
  return selector ? pods.filter((pod) => matches({ ...selector, ...labels }, pod.metadata.labels)) : []
}

/** A request that is sent to a subset with no pod ends in a 503. */
function emptySubsets(seen: ClusterFacts): string[] {
  return Object.entries(seen.policies).flatMap(([name, { subsets = {} }]) => {
    if (!seen.services.some(({ metadata, spec }) => metadata.name === name && spec.selector)) return []
    const empty = Object.entries(subsets).filter(([, labels]) => podsOf(name, seen, labels).length === 0)
    return empty.map(
      ([subset, labels]) =>
        `services.${name}.subsets.${subset}: no pod behind the Service ${seen.namespace}/${name} has the labels ${written(labels)}, so requests sent to it get a 503; deploy it before it gets a weight, or correct the labels`,
    )
  })
}

/** Clients without a sidecar speak plaintext. */
function outsiders({ namespace, isStrict, pods }: ClusterFacts): string[] {
  const outside = isStrict
    ? pods
        .filter((pod) => !hasSidecar(pod))
        .map(({ metadata, spec }) => `${metadata.name}${spec.hostNetwork ? ' (host network)' : ''}`)
    : []
  if (outside.length === 0) return []
  const shown = outside.slice(0, 5).join(', ') + (outside.length > 5 ? ` and ${outside.length - 5} more` : '')
  return [
    `mtls: strict refuses plaintext, and ${outside.length === 1 ? 'a pod of' : `${outside.length} pods of`} ${namespace} without a sidecar ${outside.length === 1 ? 'speaks' : 'speak'} nothing else: ${shown}; name their workloads in \`workloads\`, or use permissive until they are in the mesh`,
  ]
}

/**
 * With one pod to a service or to a subset, ejection takes away the only one there is, or, below 100%, never happens. Without
 * a percentage Istio's default of 10% holds, of which the config's own check says that it ejects nobody.
 */
function ejections(seen: ClusterFacts): string[] {
  return Object.entries(seen.policies).flatMap(([name, { circuitBreaker, subsets }]) => {
    const percent = circuitBreaker?.maxEjectionPercent ?? 0
    if (!circuitBreaker || !ejects(circuitBreaker) || percent === 0) return []
    const groups: [string, Pod[]][] = subsets
      ? Object.entries(subsets).map(([subset, labels]) => [`subset ${subset} of ${name}`, podsOf(name, seen, labels)])
      : [[`Service ${name}`, podsOf(name, seen)]]
    const single = groups.filter(([, pods]) => pods.filter(isReady).length === 1).map(([group]) => group)
    if (single.length === 0) return []
    const effect =
      percent === 100
        ? 'turns a few errors into 503 for all requests until the pod is let back in'
        : `never happens, for one pod of one is more than maxEjectionPercent (${percent}%)`
    return [
      `services.${name}.circuitBreaker: ejection with a single ready pod (${single.join(', ')}) ${effect}; run two replicas or more, or leave out what ejects`,
    ]
  })
}

/** Istio guesses an unnamed port's protocol from the client's first bytes, which a server that speaks first never gets. */
function unnamedPorts({ namespace, services, pods }: ClusterFacts): string[] {
  const meshed = pods.filter((pod) => expectsSidecar(pod))
  const ours = services.filter(
    ({ spec }) => spec.selector && meshed.some((pod) => matches(spec.selector!, pod.metadata.labels)),
  )
  return ours.flatMap((service) =>
    servicePorts(service)
      .filter((port) => protocolOf(port) === 'unknown')
      .map(
        ({ name, port }) =>
          `Service ${namespace}/${service.metadata.name}: the port ${port}${name === undefined ? '' : ` (${name})`} does not say what it speaks, so Istio guesses, and policies for HTTP may not hold; name it http-…, grpc-… or tcp-…, or set its appProtocol`,
      ),
  )
}

function written(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}
