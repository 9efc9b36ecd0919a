// Whether the nodes of a cluster are ready, why not, and how they differ from what the config asks for.
import type { Cluster } from '../cluster/client.ts'
import type { Node } from '../cluster/objects.ts'
import type { ClusterConfig } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { poll } from '../runtime/retry.ts'
import { kubernetesOf } from './images.ts'

/** Waits until `count` nodes are ready. @throws with what each of the others lacks. */
export async function waitForNodes(
  cluster: Cluster,
  count: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<Node[]> {
  // The API server of a new cluster may not answer yet.
  const look = () =>
    cluster.list<Node>('Node').then(
      (nodes) => ({ nodes, problems: unreadyNodes(nodes, count) }),
      (error: unknown) => ({ nodes: [], problems: [messageOf(error)] }),
    )
  const isReady = ({ problems }: { problems: string[] }) => problems.length === 0
  const { nodes, problems } = await poll(look, isReady, { limitMs: waitMs, intervalMs: 1_000, signal })
  if (problems.length === 0) return nodes
  throw new Error(
    `cluster: the nodes are not ready after ${waitMs / 1000} s (\`cluster.wait\`): ${problems.join('; ')}`,
  )
}

/** A sentence for each node that is not ready. Pure. */
export function unreadyNodes(nodes: readonly Node[], count: number): string[] {
  const absent = count - nodes.length
  return [
    ...nodes.flatMap((node) => {
      const reason = reasonOf(node)
      return reason === undefined ? [] : [`${node.metadata.name}: ${reason}`]
    }),
    ...(absent > 0 ? [`${absent} of ${count} nodes ${absent === 1 ? 'has' : 'have'} not joined the cluster`] : []),
  ]
}

/** A node under pressure takes no pods, although it reports that it is ready. */
function reasonOf({ status }: Node): string | undefined {
  const conditions = status?.conditions ?? []
  const pressure = conditions.find(({ type, status }) => type.endsWith('Pressure') && status === 'True')
  const ready = conditions.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True') return pressure && `${pressure.type}: ${pressure.message ?? pressure.reason ?? ''}`
  return ready ? (ready.message ?? ready.reason ?? 'not ready') : 'its kubelet has not reported yet'
}

/** How an existing cluster differs from what the config asks for. Pure. */
export function differences(
  asked: ClusterConfig,
  nodes: readonly Node[],
  ingress: { http?: string; https?: string },
): string[] {
  const has = versionOf(nodes)
  const wanted = asked.kubernetes ?? (asked.image === undefined ? undefined : kubernetesOf(asked.image))
  const fits = wanted === undefined || has === undefined || has === wanted || has.startsWith(`${wanted}.`)
  const port = (address: string | undefined) => address?.split(':').at(-1)
  return [
    ...(asked.nodes !== undefined && asked.nodes !== nodes.length
      ? [
          `it has ${nodes.length} node${nodes.length === 1 ? '' : 's'}, and ${asked.nodes} ${asked.nodes === 1 ? 'is' : 'are'} asked for`,
        ]
      : []),
    ...(fits ? [] : [`its nodes run Kubernetes ${has}, and ${wanted} is asked for`]),
    ...(['http', 'https'] as const).flatMap((key) => {
      const want = asked.ports?.[key]
      if (want === undefined || port(ingress[key]) === String(want)) return []
      return [
        `port ${want} of this machine is asked for ${key.toUpperCase()}, and it has ${port(ingress[key]) ?? 'none'}`,
      ]
    }),
  ]
}

/** The Kubernetes version that the nodes run, without a `v`. */
export function versionOf(nodes: readonly Node[]): string | undefined {
  return nodes[0]?.status?.nodeInfo?.kubeletVersion.replace(/^v/, '')
}

/** The nodes' addresses in their own network, which a Linux machine can reach. */
export function addressesOf(nodes: readonly Node[]): string[] {
  return nodes.flatMap(({ status }) =>
    (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
  )
}
