// After a promotion with `after: adopt`: stable's Deployment gets the canary's pod template and then the traffic, and
// the canary is scaled to 0. At each moment all traffic goes to pods of the promoted version, and to enough of them.
import { isDeepStrictEqual } from 'node:util'
import type { Cluster } from '../../cluster/client.ts'
import { isConflict } from '../../cluster/api-error.ts'
import { autoscalerOf } from '../../cluster/autoscalers.ts'
import type { Split } from '../../policies/routes.ts'
import { matches, owns, selectorText } from '../../cluster/labels.ts'
import type { Pod, Workload } from '../../cluster/objects.ts'
import { waitForRollout } from '../../verify/rollout.ts'
import { expectsSidecar, hasSidecar } from '../../mesh/sidecar.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { VersionSelectors, Labels } from '../workload/selectors.ts'
import { setWeight } from '../traffic/router.ts'
import { istiodReadMs, waitForEndpoints } from '../workload/endpoint-slices.ts'
import { raiseMinReplicas, restoreMinReplicas, waitForReplicas } from '../workload/min-replicas.ts'
import { hashOfTemplate, lastingAnnotations, releaseHash, withoutReloads } from '../workload/fingerprint.ts'
import type { ReleaseAdoption } from './context.ts'

/**
 * `template`: the hash of the canary's pod template that was promoted. `timeoutMs`: how long the rollout may take.
 * `isDrained`: waits, and returns whether the canary serves nothing.
 * `confirmLease` rejects if another run holds the promotion now. `release`: for a canary that the run created.
 */
export type AdoptDeps = {
  note: (line: string) => void
  warn: (line: string) => void
  signal: AbortSignal
  template: string
  timeoutMs: number
  clock: Clock
  isDrained: () => Promise<boolean>
  confirmLease: () => Promise<void>
  release?: ReleaseAdoption | undefined
}

type Template = Workload['spec']['template']

/** @throws Error when stable cannot take over; then it has its old template again, and the traffic has not moved. */
export async function adopt(
  cluster: Cluster,
  split: Split,
  selectors: VersionSelectors,
  deps: AdoptDeps,
): Promise<void> {
  const deployments = (await cluster.list<Workload>('Deployment', split.namespace)).filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  )
  const stable = only(deployments, selectors.stable, 'stable', split)
  const canary = only(deployments, selectors.canary, 'canary', split)
  if (stable.metadata.name === canary.metadata.name)
    throw new Error(`stable and canary are both the Deployment ${deploymentName(stable)}; there is nothing to adopt`)
  if (hashOfTemplate(canary.spec.template) !== deps.template)
    throw new Error(
      `${deploymentName(canary)} was changed after its checks had passed, so nobody has checked what it runs now: ` +
        'put its old template back, or run the stage rollback',
    )

  await deps.confirmLease()
  const now = deps.release?.awaitCommit
    ? await followCommit(cluster, split, canary, deps.release.awaitCommit, deps)
    : await takeOver(cluster, split, stable, canary, deps)
  await deps.release?.updateSubset(now)
  await deps.clock.sleep(istiodReadMs)
  await setWeight(cluster, split, 0, deps.confirmLease)
  deps.note(`all traffic is at ${deploymentName(stable)}, which runs the promoted version`)
  await cleanUp(cluster, split, canary, () => requireUnchanged(cluster, now), deps)
}

/**
 * True if an earlier run has adopted the canary: both have the same pod template, and the canary has 0 replicas.
 * Scaling the canary up starts a new promotion.
 */
export async function isAdopted(cluster: Cluster, { namespace }: Split, selectors: VersionSelectors): Promise<boolean> {
  const deployments = await cluster.list<Workload>('Deployment', namespace)
  const [stable, canary] = [selectors.stable, selectors.canary].map((labels) =>
    deployments.find(({ spec }) => matches(labels, spec.template.metadata?.labels)),
  )
  return (
    stable !== undefined &&
    canary !== undefined &&
    replicasOf(canary) === 0 &&
    isDeepStrictEqual(withoutReloads(canary.spec.template).spec, withoutReloads(stable.spec.template).spec)
  )
}

function only(deployments: Workload[], labels: Labels, role: 'stable' | 'canary', { namespace }: Split): Workload {
  const found = deployments.filter(({ spec }) => matches(labels, spec.template.metadata?.labels))
  if (found.length === 1) return found[0]!
  const names = found.map(({ metadata }) => metadata.name).join(', ')
  const problem =
    found.length === 0 ? `no Deployment in ${namespace} makes` : `several Deployments (${names}) in ${namespace} make`
  throw new Error(
    `after: adopt needs one Deployment of the ${role} pods, and ${problem} pods with ${selectorText(labels)}; ` +
      'use `after: keep`, or correct the labels',
  )
}

/** Rolls stable's Deployment out with the canary's template, and returns it as it is then, or restores it. */
async function takeOver(
  cluster: Cluster,
  split: Split,
  stable: Workload,
  canary: Workload,
  deps: AdoptDeps,
): Promise<Workload> {
  const { note, signal, timeoutMs, release } = deps
  const { service } = split
  const template = release?.templateFor(stable) ?? adopted(stable, canary)
  const carrying = Math.max(replicasOf(stable), replicasOf(canary))
  const replicas = (await raiseMinReplicas(cluster, service, stable, carrying, deps)) ?? carrying
  const more = replicas > replicasOf(stable) ? `, and the ${replicas} replicas that carry the traffic now` : ''
  note(`${deploymentName(stable)} gets the pod template of ${deploymentName(canary)}${more}`)
  const undo = await release?.writeConfigs()
  const now = await rewrite(cluster, stable, { template, replicas })
  try {
    await waitForRollout(cluster, { ...now, kind: 'Deployment' }, timeoutMs, signal)
    await requireUnchanged(cluster, now)
    await requireSidecars(cluster, now)
    await waitForReplicas(cluster, now, await growWithCanary(cluster, service, now, canary, deps), deps)
    await waitForEndpoints(cluster, split, now, deps)
    return now
  } catch (problem) {
    const why = signal.aborted ? 'the run was cancelled' : messageOf(problem)
    const restored = await restore(cluster, stable, now, undo)
    throw new Error(
      `${deploymentName(stable)} could not take over from ${deploymentName(canary)}: ${why}; ` +
        `${restored}, and the traffic stays on the canary`,
    )
  }
}

/** The canary may have grown during the rollout. Returns how many pods stable needs since. */
async function growWithCanary(
  cluster: Cluster,
  service: string,
  stable: Workload,
  canary: Workload,
  deps: AdoptDeps,
): Promise<number> {
  const carrying = await replicasNow(cluster, canary)
  if (carrying <= replicasOf(stable)) return replicasOf(stable)
  const replicas = (await raiseMinReplicas(cluster, service, stable, carrying, deps)) ?? carrying
  if (replicas > replicasOf(stable)) await rewrite(cluster, stable, { template: stable.spec.template, replicas })
  return replicas
}

/** Waits for a rollout that a GitOps controller makes. What it owns is never written. */
async function followCommit(
  cluster: Cluster,
  split: Split,
  canary: Workload,
  awaitCommit: NonNullable<ReleaseAdoption['awaitCommit']>,
  deps: AdoptDeps,
): Promise<Workload> {
  const { note, signal, clock, timeoutMs } = deps
  const now = await awaitCommit({ note, signal, clock })
  note(`${deploymentName(now)} has the release from Git`)
  const raise = async () =>
    raiseMinReplicas(cluster, split.service, now, Math.max(replicasOf(now), await replicasNow(cluster, canary)), deps)
  // Only now, because a controller that applies the commit writes the autoscaler as well.
  await raise()
  await waitForRollout(cluster, { ...now, kind: 'Deployment' }, timeoutMs, signal)
  // Again, because the canary may have grown during the rollout.
  const replicas = await raise()
  await requireSidecars(cluster, now)
  if (replicas !== undefined) await waitForReplicas(cluster, now, replicas, deps)
  await waitForEndpoints(cluster, split, now, deps)
  return now
}

/** Restores the old template of stable's Deployment, and returns in words whether it could. */
async function restore(
  cluster: Cluster,
  before: Workload,
  now: Workload,
  undo: () => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const { name, namespace = '' } = before.metadata
  try {
    await undo()
    await rewrite(cluster, now, { template: before.spec.template, replicas: replicasOf(before) })
    return 'it has its old template again'
  } catch (error) {
    const undo = `kubectl -n ${namespace} rollout undo deployment/${name}`
    return `restoring its old template also failed (${messageOf(error)}): run ${undo}`
  }
}

/** The canary's template with stable's own labels, which select its pods, and without the marks of restarts. */
function adopted(stable: Workload, canary: Workload): Template {
  const { labels } = stable.spec.template.metadata ?? {}
  const template = withoutReloads(canary.spec.template)
  const annotations = lastingAnnotations(template)
  return {
    metadata: { ...(annotations ? { annotations } : {}), ...(labels ? { labels } : {}) },
    spec: template.spec,
  }
}

/** How often to try if an autoscaler changes the Deployment as well. */
const attempts = 5

/**
 * Fails if someone changed the template since it was read. Tests the generation, because the API server compares texts
 * with characters such as `&` wrongly, and because the status changes the resourceVersion too.
 */
async function rewrite(
  cluster: Cluster,
  read: Workload,
  { template, replicas }: { template: Template; replicas: number },
): Promise<Workload> {
  const { namespace, name } = read.metadata
  for (let now = read, failures = 0; ; ) {
    try {
      return await cluster.patch<Workload>('Deployment', namespace, name, [
        { op: 'test', path: '/metadata/generation', value: now.metadata.generation },
        { op: 'replace', path: '/spec/template', value: template },
        { op: 'add', path: '/spec/replicas', value: replicas },
      ])
    } catch (error) {
      const fresh = isConflict(error) ? await cluster.get<Workload>('Deployment', namespace, name) : undefined
      if (!fresh || ++failures >= attempts) throw error
      if (!isDeepStrictEqual(fresh.spec.template, read.spec.template))
        throw new Error(`the pod template of ${deploymentName(read)} was changed meanwhile`)
      now = fresh
    }
  }
}

/** A rollout is complete too when somebody, such as a controller, has put another template there. */
async function requireUnchanged(cluster: Cluster, written: Workload): Promise<void> {
  const { namespace = '', name } = written.metadata
  const live = await cluster.get<Workload>('Deployment', namespace, name)
  if (live && releaseHash(live.spec.template) === releaseHash(written.spec.template)) return
  throw new Error(
    `somebody changed or deleted ${deploymentName(written)} meanwhile, so its pods do not run what was ` +
      'promoted; see who writes it (`metadata.managedFields`), and run again',
  )
}

async function requireSidecars(cluster: Cluster, stable: Workload): Promise<void> {
  const pods = await cluster.list<Pod>('Pod', stable.metadata.namespace)
  const missing = pods.find((pod) => owns(stable, pod) && expectsSidecar(pod) && !hasSidecar(pod))
  if (missing)
    throw new Error(
      `its pod ${missing.metadata.name} has no sidecar; ` +
        "check the namespace's label istio-injection, and that istiod runs",
    )
}

/** Removes the canary, or scales it to 0, once it serves nothing. */
async function cleanUp(
  cluster: Cluster,
  split: Split,
  canary: Workload,
  requireAdopted: () => Promise<void>,
  deps: AdoptDeps,
): Promise<void> {
  const { note, isDrained, confirmLease, release } = deps
  const { name, namespace = '' } = canary.metadata
  const hasDrained = await isDrained()
  // Before the canary goes: a run that dies here leaves a canary, by which the next one sees that it has work to do.
  const { unrestored } = await restoreMinReplicas(cluster, split.namespace, split.service, deps)
  if (unrestored !== undefined)
    return deps.warn(
      `the run was cancelled, so ${deploymentName(canary)} keeps running: ` +
        (release
          ? 'the next run with this release removes it'
          : 'scale it to 0 yourself, because the next run would promote the same version again'),
    )
  if (!hasDrained)
    return note(
      `${deploymentName(canary)} keeps running: could not confirm that it drained; ` +
        (release ? 'the next run removes it' : 'scale it to 0 when it has'),
    )
  await confirmLease()
  await requireAdopted()
  const live = await cluster.get<Workload>('Deployment', namespace, name)
  if (live && releaseHash(live.spec.template) !== releaseHash(canary.spec.template))
    return deps.warn(
      `${deploymentName(canary)} keeps running: somebody gave it another version meanwhile; run again to promote it`,
    )
  if (release) return note(await release.remove())
  await cluster.merge('Deployment', namespace, name, { spec: { replicas: 0 } })
  const autoscaler = await autoscalerOf(cluster, canary)
  if (!autoscaler) return note(`${deploymentName(canary)} is scaled to 0`)
  const replicas = autoscaler.spec.minReplicas ?? 1
  note(
    `${deploymentName(canary)} is scaled to 0; its HorizontalPodAutoscaler ${autoscaler.metadata.name} pauses ` +
      `until someone scales it to ${replicas} or more`,
  )
}

/** The canary carries all traffic, and its autoscaler may have changed it since it was read. */
async function replicasNow(cluster: Cluster, read: Workload): Promise<number> {
  const { namespace = '', name } = read.metadata
  return replicasOf((await cluster.get<Workload>('Deployment', namespace, name)) ?? read)
}

function replicasOf({ spec }: Workload): number {
  return spec.replicas ?? 1
}

function deploymentName({ metadata }: Workload): string {
  return `Deployment/${metadata.name}`
}
