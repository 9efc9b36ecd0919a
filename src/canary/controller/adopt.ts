// After a promotion with `after: adopt`: stable's Deployment gets the canary's pod template and the traffic, and the canary
// rests. Make before break: at each moment all traffic is at pods that serve the promoted version.
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type Cluster, emptyWhenUnread } from '../../cluster/client.ts'
import { belongs, matches } from '../../cluster/labels.ts'
import type { HorizontalPodAutoscaler, Pod, Workload } from '../../cluster/objects.ts'
import { waitForRollout } from '../../verify/rollout.ts'
import { expectsSidecar, hasSidecar } from '../../mesh/sidecar.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { VersionSelectors, Labels } from '../workload/selectors.ts'
import { setWeight, type Split } from '../traffic/router.ts'

/** `quiet`: whether the canary was seen to serve nothing any more; `timeoutMs`: how long the rollout may take. */
export type AdoptDeps = {
  note: (line: string) => void
  signal: AbortSignal
  timeoutMs: number
  quiet: () => Promise<boolean>
}

type Template = Workload['spec']['template']

/** Proxies hear of a route and of the pods behind it separately: what is ready now is known to all of them after this. */
const settledMs = 2_000

/** @throws Error when stable cannot take over; its old template is then back, and the traffic where it was. */
export async function adopt(
  cluster: Cluster,
  split: Split,
  groups: VersionSelectors,
  around: AdoptDeps,
): Promise<void> {
  const deployments = (await cluster.list<Workload>('Deployment', split.namespace)).filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  )
  const stable = only(deployments, groups.stable, 'stable', split)
  const canary = only(deployments, groups.canary, 'canary', split)
  if (stable.metadata.name === canary.metadata.name)
    throw new Error(`stable and canary are both the Deployment ${titleOf(stable)}; there is nothing to adopt`)

  await takeOver(cluster, stable, canary, around)
  await sleep(settledMs)
  await setWeight(cluster, split, 0)
  around.note(`all traffic is at ${titleOf(stable)}, which runs the promoted version`)
  await rest(cluster, canary, around)
}

/** Whether an earlier run has done it: stable runs what the canary would, and the canary rests. Somebody's wish for more pods ends that. */
export async function isAdopted(cluster: Cluster, { namespace }: Split, groups: VersionSelectors): Promise<boolean> {
  const deployments = await cluster.list<Workload>('Deployment', namespace)
  const [stable, canary] = [groups.stable, groups.canary].map((labels) =>
    deployments.find(({ spec }) => matches(labels, spec.template.metadata?.labels)),
  )
  return (
    stable !== undefined &&
    canary !== undefined &&
    replicasOf(canary) === 0 &&
    isDeepStrictEqual(canary.spec.template.spec, stable.spec.template.spec)
  )
}

function only(deployments: Workload[], labels: Labels, role: 'stable' | 'canary', { namespace }: Split): Workload {
  const found = deployments.filter(({ spec }) => matches(labels, spec.template.metadata?.labels))
  if (found.length === 1) return found[0]!
  const selector = Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
  const seen =
    found.length === 0
      ? 'no Deployment'
      : `several Deployments (${found.map(({ metadata }) => metadata.name).join(', ')})`
  throw new Error(
    `after: adopt needs one Deployment of the ${role} pods, and ${seen} in ${namespace} makes pods with ${selector}; use \`after: keep\`, or correct the labels`,
  )
}

/** Stable's Deployment is rolled out with the canary's template, or is as it was before. */
async function takeOver(
  cluster: Cluster,
  stable: Workload,
  canary: Workload,
  { note, signal, timeoutMs }: AdoptDeps,
): Promise<void> {
  const wanted = { template: adopted(stable, canary), replicas: Math.max(replicasOf(stable), replicasOf(canary)) }
  note(
    `${titleOf(stable)} gets the pod template of ${titleOf(canary)}${wanted.replicas > replicasOf(stable) ? `, and ${wanted.replicas} replicas, as many as carry the traffic now` : ''}`,
  )
  const now = await rewrite(cluster, stable, wanted)
  try {
    await waitForRollout(cluster, { ...now, kind: 'Deployment' }, timeoutMs, signal)
    await sidecarsThere(cluster, now)
  } catch (problem) {
    const why = signal.aborted ? 'the run was cancelled' : messageOf(problem)
    const undone = await rewrite(cluster, now, { template: stable.spec.template, replicas: replicasOf(stable) }).then(
      () => 'it has its old template again',
      (error: unknown) =>
        `its old template could not be put back either (${messageOf(error)}): run kubectl -n ${stable.metadata.namespace ?? ''} rollout undo deployment/${stable.metadata.name}`,
    )
    throw new Error(
      `${titleOf(stable)} could not take over from ${titleOf(canary)}: ${why}; ${undone}, and the traffic stays on the canary`,
    )
  }
}

/** The canary's template with stable's own labels, by which its pods are found; the stamp of a restart says nothing of a version. */
function adopted(stable: Workload, canary: Workload): Template {
  const { labels } = stable.spec.template.metadata ?? {}
  const { annotations = {} } = canary.spec.template.metadata ?? {}
  const kept = Object.entries(annotations).filter(([key]) => key !== 'kubectl.kubernetes.io/restartedAt')
  return {
    metadata: { ...(kept.length > 0 ? { annotations: Object.fromEntries(kept) } : {}), ...(labels ? { labels } : {}) },
    spec: canary.spec.template.spec,
  }
}

/** Refused when somebody else changed the template since it was read; the resourceVersion would not do, for it moves with the status. */
async function rewrite(
  cluster: Cluster,
  now: Workload,
  { template, replicas }: { template: Template; replicas: number },
): Promise<Workload> {
  return cluster.patch<Workload>('Deployment', now.metadata.namespace, now.metadata.name, [
    { op: 'test', path: '/spec/template', value: now.spec.template },
    { op: 'replace', path: '/spec/template', value: template },
    { op: 'add', path: '/spec/replicas', value: replicas },
  ])
}

async function sidecarsThere(cluster: Cluster, stable: Workload): Promise<void> {
  const pods = await cluster.list<Pod>('Pod', stable.metadata.namespace)
  const bare = pods.find((pod) => belongs(stable, pod) && expectsSidecar(pod) && !hasSidecar(pod))
  if (bare)
    throw new Error(
      `its pod ${bare.metadata.name} has no sidecar; check the namespace's label istio-injection, and that istiod runs`,
    )
}

/** The canary is scaled to 0 once nobody asks it any more. */
async function rest(cluster: Cluster, canary: Workload, { note, quiet }: AdoptDeps): Promise<void> {
  if (!(await quiet()))
    return note(`${titleOf(canary)} keeps running, for it was not seen to be quiet; scale it to 0 when it is`)
  await cluster.merge('Deployment', canary.metadata.namespace, canary.metadata.name, { spec: { replicas: 0 } })
  const scalers = await cluster
    .list<HorizontalPodAutoscaler>('HorizontalPodAutoscaler', canary.metadata.namespace)
    .catch(emptyWhenUnread)
  const own = scalers.find(
    ({
      spec: {
        scaleTargetRef: { kind, name },
      },
    }) => kind === 'Deployment' && name === canary.metadata.name,
  )
  const resting = own
    ? `; its HorizontalPodAutoscaler ${own.metadata.name} rests with it, and goes on once it is scaled to ${own.spec.minReplicas ?? 1} or more`
    : ''
  note(`${titleOf(canary)} is scaled to 0${resting}`)
}

function replicasOf({ spec }: Workload): number {
  return spec.replicas ?? 1
}

function titleOf({ metadata }: Workload): string {
  return `Deployment/${metadata.name}`
}
