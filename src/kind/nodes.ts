// Whether the nodes of a cluster are ready, and if not, why; and in what they differ from what was asked.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster/client.ts'
import type { Node } from '../cluster/objects.ts'
import type { ClusterConfig } from '../config/schema.ts'
import { kubernetesOf } from './images.ts'

const pollMs = 1_000

/** Waits for so many nodes, all of them ready. @throws with what each of the others lacks. */
export async function waitForNodes(
  cluster: Cluster,
  count: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<Node[]> {
  const until = Date.now() + waitMs
  for (;;) {
    const seen = await cluster
      .list<Node>('Node')
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
    const reasons = seen instanceof Error ? [seen.message] : unreadyNodes(seen, count)
    if (!(seen instanceof Error) && reasons.length === 0) return seen
    if (Date.now() >= until)
      throw new Error(
        `cluster: the nodes are not ready after ${waitMs / 1000} s (\`cluster.wait\`): ${reasons.join('; ')}`,
      )
    await sleep(pollMs, undefined, { signal })
  }
}

/** What each node lacks, a sentence for each. Pure. */
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

/** A node under pressure takes no pods, though it says that it is ready. */
function reasonOf({ status }: Node): string | undefined {
  const conditions = status?.conditions ?? []
  const pressure = conditions.find(({ type, status }) => type.endsWith('Pressure') && status === 'True')
  const ready = conditions.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True') return pressure && `${pressure.type}: ${pressure.message ?? pressure.reason ?? ''}`
  return ready ? (ready.message ?? ready.reason ?? 'not ready') : 'its kubelet has not reported yet'
}

/** In what a cluster that was there is not what was asked for; only what was asked counts. Pure. */
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

/** The addresses of the nodes in their own network, which on Linux this machine reaches. */
export function addressesOf(nodes: readonly Node[]): string[] {
  return nodes.flatMap(({ status }) =>
    (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
  )
}
