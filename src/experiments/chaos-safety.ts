// Whether a fault of Chaos Mesh may run here: Chaos Mesh is there, and the fault affects few enough pods. Only reads.
import type { Cluster, Right } from '../cluster/client.ts'
import { matches } from '../cluster/labels.ts'
import type { KubeObject, Pod } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { rightsOn } from '../cluster/rights.ts'
import type { ChaosObject } from '../config/check/chaos-mesh.ts'
import { ConfigError } from '../config/error.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import { affectedByChaos, chaosObjectOf, labelsOfChaos, targetLabels, type ChaosMesh } from './faults/chaos-mesh.ts'

type Budget = KubeObject & {
  spec?: { selector?: { matchLabels?: Record<string, string> } }
  status?: { disruptionsAllowed?: number }
}

/** Sentences that start at the key of the experiment. */
export async function chaosFaults(
  cluster: Cluster,
  namespace: string,
  { inject: { chaosMesh }, maxAffected }: ExperimentConfig,
  pods: Pod[],
): Promise<string[]> {
  if (!chaosMesh) return []
  const key = 'inject.chaosMesh'
  const chaos = readChaos(chaosMesh, namespace)
  if (Array.isArray(chaos)) return chaos
  if (!(await cluster.serves(chaos.kind)))
    return [`${key}: the cluster has no ${chaos.kind}; install Chaos Mesh, or use another fault`]
  const labels = labelsOfChaos(chaos)
  const selected = pods.filter((pod) => isLive(pod) && matches(labels, pod.metadata.labels))
  if (selected.length === 0)
    return [`${key}.spec.selector: no pod in ${namespace} has these labels; deploy the workload first, or correct them`]
  const affected = affectedByChaos(chaos, selected.length)
  return [
    ...shareFaults(selected, affected, maxAffected),
    ...otherSideFaults(chaos, pods, maxAffected),
    ...(chaos.kind === 'PodChaos' ? await budgetFaults(cluster, namespace, selected, affected) : []),
  ].map((fault) => `${key}: ${fault}`)
}

/** The faults of the file if it cannot be injected. */
function readChaos(chaosMesh: ChaosMesh, namespace: string): ChaosObject | string[] {
  try {
    return chaosObjectOf(chaosMesh, namespace)
  } catch (problem) {
    if (problem instanceof ConfigError) return problem.message.split('\n')
    throw problem
  }
}

/** None if there is no object: then another fault says so. */
export function chaosRights({ inject: { chaosMesh } }: ExperimentConfig, namespace: string): Right[] {
  const chaos = chaosMesh && readChaos(chaosMesh, namespace)
  if (!chaos || Array.isArray(chaos)) return []
  const own = rightsOn(chaos.kind, 'get', 'create', 'delete')
  return chaos.kind === 'PodChaos' ? [...own, ...rightsOn('PodDisruptionBudget', 'list')] : own
}

/** Chaos Mesh chooses among all selected pods, so all that it affects may be of one workload. */
function shareFaults(selected: Pod[], affected: number, maxAffected: number): string[] {
  const owners = Map.groupBy(selected, ({ metadata }) => metadata.ownerReferences?.find((each) => each.controller)?.uid)
  const smallest = Math.min(...[...owners.values()].map((own) => own.length))
  const worst = Math.min(affected, smallest)
  if (worst <= (maxAffected / 100) * smallest) return []
  return [
    `may affect ${worst} of ${smallest} pods of a workload, more than \`maxAffected\` (${maxAffected}%); ` +
      'run more replicas, affect fewer, or raise `maxAffected`',
  ]
}

/** With this direction Chaos Mesh also changes the network of the pods on the other side. */
function otherSideFaults(chaos: ChaosObject, pods: Pod[], maxAffected: number): string[] {
  const labels = targetLabels(chaos)
  const { direction, target } = chaos.spec as { direction?: string; target?: Record<string, unknown> }
  if (!labels || !target || (direction !== 'both' && direction !== 'from')) return []
  const selected = pods.filter((pod) => isLive(pod) && matches(labels, pod.metadata.labels))
  if (selected.length === 0) return ['spec.target.selector: no pod has these labels; correct them']
  const affected = affectedByChaos({ kind: chaos.kind, spec: target }, selected.length)
  return shareFaults(selected, affected, maxAffected).map((fault) => `on the side of \`target\`: ${fault}`)
}

/** Chaos Mesh deletes pods without asking a PodDisruptionBudget. */
async function budgetFaults(cluster: Cluster, namespace: string, selected: Pod[], affected: number): Promise<string[]> {
  const budgets = await cluster.list<Budget>('PodDisruptionBudget', namespace)
  return budgets.flatMap(({ metadata, spec, status }) => {
    const labels = spec?.selector?.matchLabels ?? {}
    const isConcerned = selected.some((pod) => matches(labels, pod.metadata.labels))
    const allowed = status?.disruptionsAllowed ?? 0
    if (!isConcerned || affected <= allowed) return []
    return [
      `affects ${affected} pods, and the PodDisruptionBudget ${namespace}/${metadata.name} allows ${allowed} to be missing now; ` +
        'affect fewer, or wait until more pods are ready',
    ]
  })
}
