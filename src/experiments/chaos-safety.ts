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
  const own = sideOf(chaos, labelsOfChaos(chaos), pods)
  if (own.selected.length === 0)
    return [`${key}.spec.selector: no pod in ${namespace} has these labels; deploy the workload first, or correct them`]
  const other = otherSide(chaos, pods)
  if (other?.selected.length === 0) return [`${key}.spec.target.selector: no pod has these labels; correct them`]
  return [
    ...shareFaults(other ? [own, other] : [own], maxAffected),
    ...(chaos.kind === 'PodChaos' ? await budgetFaults(cluster, namespace, own) : []),
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

/** One side of a fault: it affects so many of the selected pods, and nobody knows which. */
type Side = { selected: Pod[]; affected: number }

function sideOf(chaos: ChaosObject, labels: Record<string, string>, pods: Pod[]): Side {
  const selected = pods.filter((pod) => isLive(pod) && matches(labels, pod.metadata.labels))
  return { selected, affected: affectedByChaos(chaos, selected.length) }
}

/** With this direction Chaos Mesh also changes the network of the pods on the other side. */
function otherSide(chaos: ChaosObject, pods: Pod[]): Side | undefined {
  const labels = targetLabels(chaos)
  const { direction, target } = chaos.spec as { direction?: string; target?: Record<string, unknown> }
  if (!labels || !target || (direction !== 'both' && direction !== 'from')) return undefined
  return sideOf({ kind: chaos.kind, spec: target }, labels, pods)
}

const ownerOf = ({ metadata }: Pod) => metadata.ownerReferences?.find((each) => each.controller)?.uid

/** All that a side affects may be of one workload, and each side may affect other pods of it. */
function shareFaults(sides: Side[], maxAffected: number): string[] {
  const owners = Map.groupBy(new Set(sides.flatMap(({ selected }) => selected)), ownerOf)
  const workloads = [...owners].map(([owner, { length: all }]) => {
    const ofSide = ({ selected, affected }: Side) =>
      Math.min(affected, selected.filter((pod) => ownerOf(pod) === owner).length)
    return {
      all,
      affected: Math.min(
        all,
        sides.map(ofSide).reduce((a, b) => a + b),
      ),
    }
  })
  const worst = workloads.reduce((a, b) => (b.affected / b.all > a.affected / a.all ? b : a))
  if (worst.affected <= (maxAffected / 100) * worst.all) return []
  return [
    `may affect ${worst.affected} of ${worst.all} pods of a workload${sides.length > 1 ? ', with those of `target`' : ''}, more ` +
      `than \`maxAffected\` (${maxAffected}%); run more replicas, affect fewer, or raise \`maxAffected\``,
  ]
}

/** Chaos Mesh deletes pods without asking a PodDisruptionBudget. */
async function budgetFaults(cluster: Cluster, namespace: string, { selected, affected }: Side): Promise<string[]> {
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
