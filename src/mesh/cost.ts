// What the mesh will ask of the nodes, from the cluster's own numbers, and whether the namespace looks worth it.
import type { Cluster } from '../cluster/client.ts'
import {
  systemNamespace,
  type ConfigMap,
  type Node,
  type Pod,
  type Quantities,
  type Service,
} from '../cluster/objects.ts'
import { listControlPlanes, unnamed } from './revisions.ts'
import { ended, expectsSidecar, hasSidecar } from './sidecar.ts'

/** CPU in thousandths of a core, memory in bytes. */
export type Room = { cpuMilli: number; memoryBytes: number }
export type Cost = { text: string; fits: boolean; worthIt: 'yes' | 'doubtful'; why: string }

const mebi = 1024 ** 2
const asks = (cpuMilli: number, mebibytes: number): Room => ({ cpuMilli, memoryBytes: mebibytes * mebi })

/** Requests that Istio's profiles come with (1.30 and 1.31): the pods of the control plane with the gateways, and one sidecar. */
const profiles: Record<string, { plane: Room[]; sidecar: Room }> = {
  default: { plane: [asks(500, 2048), asks(100, 128)], sidecar: asks(100, 128) },
  demo: { plane: [asks(10, 100), asks(10, 40), asks(10, 40)], sidecar: asks(10, 40) },
  minimal: { plane: [asks(500, 2048)], sidecar: asks(100, 128) },
}

/** `sidecar`: what the injector of a mesh that is already there asks for; `plane`: its control plane runs; `grows`: a cluster autoscaler adds nodes. */
export type Facts = {
  namespace: string
  profile: string
  plane: boolean
  grows: boolean
  sidecar?: Room
  nodes: Node[]
  pods: Pod[]
  services: Service[]
}

/** Reads nodes, all pods, and what is installed. `asked` is what is to be installed, if anything; rejects with ApiError when the account may not read them. */
export async function meshCost(
  cluster: Cluster,
  namespace: string,
  asked?: { profile: string; revision: string },
): Promise<Cost> {
  const all = await listControlPlanes(cluster)
  const { profile, revision } = asked ?? { profile: 'default', revision: all.at(-1)?.revision ?? unnamed }
  const [nodes, pods, services, injector, autoscaler] = await Promise.all([
    cluster.list<Node>('Node'),
    cluster.list<Pod>('Pod'),
    cluster.list<Service>('Service', namespace),
    cluster.get<ConfigMap>(
      'ConfigMap',
      systemNamespace,
      revision === unnamed ? 'istio-sidecar-injector' : `istio-sidecar-injector-${revision}`,
    ),
    cluster.get<ConfigMap>('ConfigMap', 'kube-system', 'cluster-autoscaler-status').catch(() => undefined),
  ])
  const sidecar = injectedRequests(injector?.data?.['values'])
  const plane = all.some((each) => each.revision === revision)
  return costOf({
    namespace,
    profile,
    plane,
    grows: autoscaler !== undefined || nodes.some(isOfKarpenter),
    nodes,
    pods,
    services,
    ...(sidecar ? { sidecar } : {}),
  })
}

/** The autoscaler that writes no status anywhere: its nodes tell. */
function isOfKarpenter({ metadata: { labels = {} } }: Node): boolean {
  return 'karpenter.sh/nodepool' in labels
}

/** Pure. */
export function costOf({ namespace, profile, plane, grows, sidecar, nodes, pods, services }: Facts): Cost {
  const known = profiles[profile] ?? profiles['default']!
  const own = pods.filter((pod) => pod.metadata.namespace === namespace && expectsSidecar(pod))
  const bare = own.filter((pod) => !hasSidecar(pod))
  const each = sidecar ?? known.sidecar
  const pieces = [...(plane ? [] : known.plane), ...bare.map(() => each)]
  const needed = total(pieces)
  const open = nodes.filter(takesPods)
  // With a taint on every node, whoever runs pods here tolerates them.
  const free = (open.length > 0 ? open : nodes).map((node) =>
    minus(
      allocatable(node),
      total(pods.filter((pod) => pod.spec.nodeName === node.metadata.name && !ended(pod)).map(requestsOf)),
    ),
  )
  const short = shortage(pieces, free)
  const left = total(free.map(atLeastZero))
  const assumed =
    plane || profile in profiles
      ? ''
      : ` (the profile ${profile} is not known here, so the numbers are those of default)`
  const forPlane = plane
    ? 'The control plane is there already'
    : `Istio (profile ${profile}) asks for ${said(total(known.plane))}${assumed}`
  const text = `${forPlane}; ${bare.length} of ${own.length} pods of ${namespace} would get a sidecar of ${said(each)} each: together ${said(needed)}, of ${said(left)} that are free on ${nodes.length === 1 ? 'the node' : `${nodes.length} nodes`}${short ? `. It does not fit: ${short}${grows ? '; the autoscaler may add a node' : ''}` : ''}`
  return { text, fits: short === undefined || grows, ...worth(namespace, own, services) }
}

/** A quick bound, not a scheduler: all of it must fit in all that is free, and the largest pod on some node. */
function shortage(pieces: Room[], free: Room[]): string | undefined {
  const needed = total(pieces)
  const left = total(free.map(atLeastZero))
  if (needed.cpuMilli > left.cpuMilli)
    return `${cpu(needed.cpuMilli - left.cpuMilli)} too little; add a node, lower requests, or take a smaller profile`
  if (needed.memoryBytes > left.memoryBytes)
    return `${memory(needed.memoryBytes - left.memoryBytes)} too little; add a node, lower requests, or take a smaller profile`
  const homeless = pieces.find(
    (piece) => !free.some((room) => room.cpuMilli >= piece.cpuMilli && room.memoryBytes >= piece.memoryBytes),
  )
  return homeless && `no single node has ${said(homeless)} free; add a node, lower requests, or take a smaller profile`
}

/** A mesh is about calls between services: with one of either there are none. */
function worth(namespace: string, pods: Pod[], services: Service[]): Pick<Cost, 'worthIt' | 'why'> {
  const served = services.filter(({ spec }) => spec.selector !== undefined).length
  const counted = `${namespace} has ${served} ${served === 1 ? 'service' : 'services'} and ${pods.length} ${pods.length === 1 ? 'pod' : 'pods'}`
  if (served > 1 && pods.length > 1) return { worthIt: 'yes', why: `${counted} that can call each other` }
  return {
    worthIt: 'doubtful',
    why: `${counted}: nothing in it calls another service, so mutual TLS, retries and splits inside it have no one to serve; an ingress controller may be enough`,
  }
}

/** What the scheduler counts for a pod: its lasting containers together, or more where an init container asks for more. */
export function requestsOf({ spec }: Pod): Room {
  const lasting = (spec.initContainers ?? [])
    .filter(({ restartPolicy }) => restartPolicy === 'Always')
    .map(({ resources }) => room(resources?.requests))
  const running = total([...spec.containers.map(({ resources }) => room(resources?.requests)), ...lasting])
  const initial = (spec.initContainers ?? []).map(({ restartPolicy, resources }, i) => {
    const before = (spec.initContainers ?? [])
      .slice(0, i)
      .filter((each) => each.restartPolicy === 'Always')
      .map((each) => room(each.resources?.requests))
    return restartPolicy === 'Always' ? room(undefined) : total([...before, room(resources?.requests)])
  })
  const most = [running, ...initial].reduce((a, b) => ({
    cpuMilli: Math.max(a.cpuMilli, b.cpuMilli),
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
  }))
  return total([most, room(spec.overhead)])
}

function takesPods({ spec }: Node): boolean {
  return !spec?.unschedulable && !spec?.taints?.some(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute')
}

function allocatable({ status }: Node): Room {
  return room(status?.allocatable)
}

function room(quantities: Quantities | undefined): Room {
  return { cpuMilli: Math.round(1000 * quantity(quantities?.['cpu'])), memoryBytes: quantity(quantities?.['memory']) }
}

const scale: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 1024,
  Mi: mebi,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
}

/** Kubernetes' written form of a quantity: `100m`, `1.5`, `2Gi`, `1e3`; 0 for none. */
export function quantity(written: string | undefined): number {
  const [, amount, suffix = ''] = /^(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)([numkMGTP]?|[KMGTP]i)$/.exec(written ?? '') ?? []
  return amount === undefined ? 0 : Number(amount) * scale[suffix]!
}

/** The values that istiod's injector works with, as JSON. */
function injectedRequests(values: string | undefined): Room | undefined {
  try {
    const { global } = JSON.parse(values ?? '') as { global?: { proxy?: { resources?: { requests?: Quantities } } } }
    return global?.proxy?.resources?.requests && room(global.proxy.resources.requests)
  } catch {
    return undefined
  }
}

function total(rooms: Room[]): Room {
  return rooms.reduce(
    (a, b) => ({ cpuMilli: a.cpuMilli + b.cpuMilli, memoryBytes: a.memoryBytes + b.memoryBytes }),
    asks(0, 0),
  )
}

function minus(a: Room, b: Room): Room {
  return { cpuMilli: a.cpuMilli - b.cpuMilli, memoryBytes: a.memoryBytes - b.memoryBytes }
}

/** A node can be overcommitted; that takes nothing from the others. */
function atLeastZero({ cpuMilli, memoryBytes }: Room): Room {
  return { cpuMilli: Math.max(0, cpuMilli), memoryBytes: Math.max(0, memoryBytes) }
}

function said({ cpuMilli, memoryBytes }: Room): string {
  return `${cpu(cpuMilli)} and ${memory(memoryBytes)}`
}

function cpu(milli: number): string {
  return milli >= 1000 ? `${Number((milli / 1000).toFixed(1))} CPU` : `${milli}m CPU`
}

function memory(bytes: number): string {
  return bytes >= 1024 * mebi ? `${Number((bytes / 1024 / mebi).toFixed(1))} GiB` : `${Math.round(bytes / mebi)} MiB`
}
