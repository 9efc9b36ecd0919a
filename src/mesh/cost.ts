// Computes how much CPU and memory the mesh will request, whether the nodes have it, and whether the namespace benefits
// from a mesh.
import type { Cluster } from '../cluster/client.ts'
import {
  systemNamespace,
  type ConfigMap,
  type Node,
  type Pod,
  type Quantities,
  type Service,
} from '../cluster/objects.ts'
import { owns } from '../cluster/labels.ts'
import { hasEnded } from '../cluster/pods.ts'
import type { IstioConfig } from '../config/schema.ts'
import type { WorkloadRef } from '../config/values/kubernetes.ts'
import { plural } from '../runtime/plural.ts'
import { selectWorkloads } from './inject.ts'
import { defaultRevision } from './labels.ts'
import { readOverlays } from './overlays.ts'
import {
  fitsIn,
  formatCpu,
  formatMemory,
  formatResources,
  fromQuantities,
  minus,
  requestsOf,
  resources,
  total,
  type Resources,
} from './resources.ts'
import { listControlPlanes } from './revisions.ts'
import { expectsSidecar, hasSidecar } from './sidecar.ts'

export type Cost = { text: string; fits: boolean; worthIt: 'yes' | 'doubtful'; why: string }

/**
 * Requests of Istio's profiles in 1.30 and 1.31: for each pod of the control plane and the gateways, and for one
 * sidecar.
 */
const profiles: Record<string, { controlPlane: Resources[]; sidecar: Resources }> = {
  default: { controlPlane: [resources(500, 2048), resources(100, 128)], sidecar: resources(100, 128) },
  demo: { controlPlane: [resources(10, 100), resources(10, 40), resources(10, 40)], sidecar: resources(10, 40) },
  minimal: { controlPlane: [resources(500, 2048)], sidecar: resources(100, 128) },
}

export type CostFacts = {
  namespace: string
  profile: string
  hasControlPlane: boolean
  /** A cluster autoscaler adds nodes. */
  autoscales: boolean
  /** What the injector of the installed mesh requests for a sidecar. */
  sidecar?: Resources
  nodes: Node[]
  pods: Pod[]
  services: Service[]
  /** True for a pod that the run restarts if it has no sidecar. */
  isInjected: (pod: Pod) => boolean
}

/**
 * Reads the nodes, all pods and the installed mesh. `mesh`: what the run will install, if anything. `injected`: the
 * workloads that get sidecars. Rejects with ApiError if the account may not read them.
 */
export async function meshCost(
  cluster: Cluster,
  namespace: string,
  mesh?: { profile: string; revision: string },
  injected: readonly WorkloadRef[] | 'all' = 'all',
): Promise<Cost> {
  const controlPlanes = await listControlPlanes(cluster)
  const { profile, revision } = mesh ?? {
    profile: 'default',
    revision: controlPlanes.at(-1)?.revision ?? defaultRevision,
  }
  const injectorName = revision === defaultRevision ? 'istio-sidecar-injector' : `istio-sidecar-injector-${revision}`
  const [nodes, pods, services, injector, autoscaler] = await Promise.all([
    cluster.list<Node>('Node'),
    cluster.list<Pod>('Pod'),
    cluster.list<Service>('Service', namespace),
    cluster.get<ConfigMap>('ConfigMap', systemNamespace, injectorName),
    cluster.get<ConfigMap>('ConfigMap', 'kube-system', 'cluster-autoscaler-status').catch(() => undefined),
  ])
  const sidecar = injectedRequests(injector?.data?.['values'])
  const workloads = injected === 'all' ? 'all' : await selectWorkloads(cluster, namespace, injected)
  return costOf({
    isInjected: (pod) => workloads === 'all' || workloads.some((workload) => owns(workload, pod)),
    namespace,
    profile,
    hasControlPlane: controlPlanes.some((each) => each.revision === revision),
    autoscales: autoscaler !== undefined || nodes.some(isKarpenterNode),
    nodes,
    pods,
    services,
    ...(sidecar ? { sidecar } : {}),
  })
}

/**
 * True if `set` or an overlay changes what the control plane, the gateways or the sidecars request: then the requests of
 * the profile are only an estimate.
 */
export function changesRequests({ set, overlays = [] }: Pick<IstioConfig, 'set' | 'overlays'>): boolean {
  const texts = [...set, ...readOverlays(overlays).map(({ content }) => content)]
  return texts.some((text) => /\bresources\b|\benabled\b/.test(text))
}

/** Karpenter publishes no status, but labels its nodes. */
function isKarpenterNode({ metadata: { labels = {} } }: Node): boolean {
  return 'karpenter.sh/nodepool' in labels
}

/** Reads the sidecar's requests from the values of istiod's injector, which are JSON. */
function injectedRequests(values: string | undefined): Resources | undefined {
  try {
    const { global } = JSON.parse(values ?? '') as { global?: { proxy?: { resources?: { requests?: Quantities } } } }
    return global?.proxy?.resources?.requests && fromQuantities(global.proxy.resources.requests)
  } catch {
    return undefined
  }
}

/** Pure. */
export function costOf(facts: CostFacts): Cost {
  const { namespace, profile, hasControlPlane, autoscales, nodes, pods, services, isInjected } = facts
  const known = profiles[profile] ?? profiles['default']!
  const candidates = pods.filter((pod) => pod.metadata.namespace === namespace && expectsSidecar(pod))
  const withoutSidecar = candidates.filter((pod) => !hasSidecar(pod) && isInjected(pod))
  const sidecar = facts.sidecar ?? known.sidecar
  const needs = [...(hasControlPlane ? [] : known.controlPlane), ...withoutSidecar.map(() => sidecar)]
  const free = freeResources(nodes, pods)
  const shortage = shortageOf(needs, free)
  const text = [
    `${controlPlaneText(profile, hasControlPlane)}; `,
    `${withoutSidecar.length} of ${candidates.length} pods in ${namespace}`,
    ` would get a sidecar that requests ${formatResources(sidecar)}: ${formatResources(total(needs))} in total,`,
    ` of ${formatResources(total(free.map(atLeastZero)))} free on`,
    ` ${nodes.length === 1 ? 'the node' : `${nodes.length} nodes`}`,
    shortage === undefined ? '' : `. It does not fit: ${shortage}`,
    shortage !== undefined && autoscales ? '; the autoscaler may add a node' : '',
  ].join('')
  return { text, fits: shortage === undefined || autoscales, ...assessBenefit(namespace, candidates, services) }
}

function controlPlaneText(profile: string, isInstalled: boolean): string {
  if (isInstalled) return 'The control plane is installed already'
  const known = profiles[profile]
  const { controlPlane } = known ?? profiles['default']!
  const assumed = known ? '' : ` (the requests of the profile ${profile} are unknown, so these are those of default)`
  return `Istio (profile ${profile}) requests ${formatResources(total(controlPlane))}${assumed}`
}

/** The free resources of each node that accepts new pods. */
function freeResources(nodes: Node[], pods: Pod[]): Resources[] {
  const open = nodes.filter(acceptsPods)
  // If every node has a taint, the pods of this cluster must tolerate it.
  return (open.length > 0 ? open : nodes).map(({ metadata, status }) => {
    const running = pods.filter((pod) => pod.spec.nodeName === metadata.name && !hasEnded(pod))
    return minus(fromQuantities(status?.allocatable), total(running.map(requestsOf)))
  })
}

function acceptsPods({ spec }: Node): boolean {
  return !spec?.unschedulable && !spec?.taints?.some(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute')
}

/** A quick estimate, not a scheduler: the total must fit into the free resources, and the largest pod on one node. */
function shortageOf(needs: Resources[], free: Resources[]): string | undefined {
  const remedy = 'add a node, lower requests, or choose a smaller profile'
  const missing = minus(total(needs), total(free.map(atLeastZero)))
  if (missing.cpuMilli > 0) return `${formatCpu(missing.cpuMilli)} are missing; ${remedy}`
  if (missing.memoryBytes > 0) return `${formatMemory(missing.memoryBytes)} are missing; ${remedy}`
  const unplaced = needs.find((need) => !free.some((node) => fitsIn(need, node)))
  return unplaced && `no single node has ${formatResources(unplaced)} free; ${remedy}`
}

/** An overcommitted node must not reduce the total of the others. */
function atLeastZero({ cpuMilli, memoryBytes }: Resources): Resources {
  return { cpuMilli: Math.max(0, cpuMilli), memoryBytes: Math.max(0, memoryBytes) }
}

/** A mesh is for calls between services. A namespace with one service or one pod has no such calls. */
function assessBenefit(namespace: string, pods: Pod[], services: Service[]): Pick<Cost, 'worthIt' | 'why'> {
  const count = services.filter(({ spec }) => spec.selector !== undefined).length
  const counted = `${namespace} has ${plural(count, 'service')} and ${plural(pods.length, 'pod')}`
  if (count > 1 && pods.length > 1) return { worthIt: 'yes', why: `${counted} that can call each other` }
  const why =
    `${counted}: nothing in it calls another service, so mutual TLS, retries and traffic splits have no effect ` +
    'inside it; an ingress controller may be enough'
  return { worthIt: 'doubtful', why }
}
