// Waits until every pod that should be in the mesh is N/N with its sidecar, within a limit, and says why one is not.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { podRows, type PodRow } from './pods.ts'
import { causeOf } from './cause.ts'

/** `judged` picks the pods that must be right; the others are only listed. */
export async function verifyPods(cluster: Cluster, namespace: string, timeoutMs: number, judged: (pod: Pod) => boolean, signal: AbortSignal): Promise<PodRow[]> {
  const until = Date.now() + timeoutMs
  for (;;) {
    const pods = await cluster.list<Pod>('Pod', namespace)
    const rows = podRows(pods)
    const wrong = podRows(pods.filter(judged)).filter(({ ok }) => !ok)
    if (wrong.length === 0) return rows
    // A pod without a sidecar will not get one by waiting.
    if (Date.now() >= until || wrong.some(({ sidecar }) => sidecar === 'none')) return explain(cluster, pods, rows, wrong)
    await sleep(1_000, undefined, { signal })
  }
}

async function explain(cluster: Cluster, pods: Pod[], rows: PodRow[], wrong: PodRow[]): Promise<PodRow[]> {
  const causes = await Promise.all(wrong.map(async ({ name }) => [name, await causeOf(cluster, pods.find(({ metadata }) => metadata.name === name)!)] as const))
  const byName = new Map(causes)
  return rows.map((row) => (byName.has(row.name) ? { ...row, cause: byName.get(row.name)! } : row))
}
