// Checks that the nodes of a cluster are ready, explains those that are not, and compares the cluster with the config.
import type { Cluster } from '../cluster/client.ts'
import type { Node } from '../cluster/objects.ts'
import type { ClusterConfig } from '../config/schema.ts'
import { messageOf } from '../runtime/errors.ts'
import { plural } from '../runtime/plural.ts'
import { poll } from '../runtime/retry.ts'
import { kubernetesOf } from './images.ts'

/** Waits until `count` nodes are ready. @throws Error that says what each of the others lacks. */
export async function waitForNodes(
  cluster: Cluster,
  count: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<Node[]> {
  // The API server of a new cluster may not answer yet.
  const readNodes = () =>
    cluster.list<Node>('Node').then(
      (nodes) => ({ nodes, problems: unreadyNodes(nodes, count) }),
      (error: unknown) => ({ nodes: [], problems: [messageOf(error)] }),
    )
  const isReady = ({ problems }: { problems: string[] }) => problems.length === 0
  const { nodes, problems } = await poll(readNodes, isReady, { limitMs: waitMs, intervalMs: 1_000, signal })
  if (problems.length === 0) return nodes
  throw new Error(
    `cluster: the nodes are not ready after ${waitMs / 1000} s (\`cluster.wait\`): ${problems.join('; ')}`,
  )
}

/** One sentence for each node that is not ready. Pure. */
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

/** A node under pressure accepts no pods, although it reports that it is ready. */
function reasonOf({ status }: Node): string | undefined {
  const conditions = status?.conditions ?? []
  const pressure = conditions.find(({ type, status }) => type.endsWith('Pressure') && status === 'True')
  const ready = conditions.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True') return pressure && `${pressure.type}: ${pressure.message ?? pressure.reason ?? ''}`
  return ready ? (ready.message ?? ready.reason ?? 'not ready') : 'its kubelet has not reported yet'
}

/** How an existing cluster differs from the config. Pure. */
export function differences(
  config: ClusterConfig,
  nodes: readonly Node[],
  ingress: { http?: string; https?: string },
): string[] {
  const actual = versionOf(nodes)
  const expected = config.kubernetes ?? (config.image === undefined ? undefined : kubernetesOf(config.image))
  const fits =
    expected === undefined || actual === undefined || actual === expected || actual.startsWith(`${expected}.`)
  const port = (address: string | undefined) => address?.split(':').at(-1)
  return [
    ...(config.nodes !== undefined && config.nodes !== nodes.length
      ? [
          `it has ${plural(nodes.length, 'node')}, ` +
            `and ${config.nodes} ${config.nodes === 1 ? 'is' : 'are'} asked for`,
        ]
      : []),
    ...(fits ? [] : [`its nodes run Kubernetes ${actual}, and ${expected} is asked for`]),
    ...(['http', 'https'] as const).flatMap((key) => {
      const hostPort = config.ports?.[key]
      if (hostPort === undefined || port(ingress[key]) === String(hostPort)) return []
      return [
        `port ${hostPort} of this machine is asked for ${key.toUpperCase()}, ` +
          `and it has ${port(ingress[key]) ?? 'none'}`,
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
