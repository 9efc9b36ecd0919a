// Removes the generated objects without an outage: the pods that they run go with them, so the Deployment has to serve first.
import type { Cluster } from '../../cluster/client.ts'
import { titleOf, type Kind, type KubeObject, type Workload } from '../../cluster/objects.ts'
import type { EngineType } from '../../config/schema/engine.ts'
import type { PlannedChange } from '../../policies/plan.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { isOurs, ownedAmong, type Owner } from '../../policies/owned-objects.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { isRolledOut, waitForRollout } from '../../verify/rollout.ts'
import { engineOf, type Live } from '../engine.ts'
import type { FlaggerCanary, Rollout } from '../objects.ts'
import { intervalOf } from '../flagger.ts'
import { isUnderWay, type RolloutProgress } from '../progress.ts'

const engineKinds = ['Rollout', 'AnalysisTemplate', 'Canary', 'MetricTemplate'] as const satisfies Kind[]

/** The objects for controllers that this config has generated. An account that may not read them has written none. */
export async function ownedEngineObjects(cluster: Cluster, owner: Owner): Promise<KubeObject[]> {
  return ownedAmong(await listAll(cluster, owner.namespace, engineKinds), owner)
}

async function listAll(cluster: Cluster, namespace: string, kinds: readonly Kind[]): Promise<KubeObject[]> {
  const lists = kinds.map((kind) => cluster.list<KubeObject>(kind, namespace).catch(emptyWhenUnread))
  return (await Promise.all(lists)).flat()
}

/** Why the mesh cannot be removed; one sentence each. The controllers move traffic by the routes that would go with it. */
export async function generatedObjectFaults(cluster: Cluster, namespace: string): Promise<string[]> {
  const all = await listAll(cluster, namespace, ['Rollout', 'Canary'])
  return all
    .filter(isOurs)
    .map(
      (object) =>
        `uninstall: the ${titleOf(object)} moves traffic by the mesh, and runs the pods of its Deployment; remove ` +
        '`engine.generate` from its canary and run the stage `policies`, which gives the Deployment its pods back, then uninstall',
    )
}

type Options = { timeoutMs: number; note: (line: string) => void; signal: AbortSignal; clock?: Clock }

/** What must not be changed or removed now; one sentence each. */
export async function engineChangeFaults(cluster: Cluster, planned: readonly PlannedChange[]): Promise<string[]> {
  const faults = planned.filter(isOfEngine).map(async ({ action, object, diff }) => {
    if (action !== 'change' && action !== 'delete') return []
    const { kind, metadata } = object
    const { namespace = '', name } = metadata
    const engine = engineOf(typeOf(kind))
    const live = await engine.read(cluster, namespace, name)
    if (!live || live.object.metadata.deletionTimestamp !== undefined) return []
    const progress = engine.progress(live, 0)
    const title = `the ${kind} ${namespace}/${name}`
    if (action === 'delete') return removalFault(title, progress, live)
    return isUnderWay(progress) ? changeFault(title, progress) : restartFault(title, progress, diff)
  })
  return (await Promise.all(faults)).flat()
}

function changeFault(title: string, { where }: RolloutProgress): string[] {
  return [
    `policies: ${title} would change in the middle of a rollout (${where}), which may begin anew; let the rollout end first ` +
      '(stage promote)',
  ]
}

/** Argo Rollouts takes other steps for a new start: it drops the abort, and begins with the aborted revision. */
function restartFault(title: string, { phase, where }: RolloutProgress, diff: readonly string[]): string[] {
  if (phase !== 'failed' || !diff.some((line) => line.slice(2).startsWith(stepsPath))) return []
  return [
    `policies: the steps of ${title} would change, and its aborted revision would start again (${where}); give the Deployment ` +
      'the version that serves, or promote the fix first (stage promote)',
  ]
}

const stepsPath = 'spec.strategy.canary.steps'

/** The Deployment would start with what is not promoted. */
function removalFault(title: string, { phase, where }: RolloutProgress, { workload }: Live): string[] {
  if (!workload || phase === 'promoted') return []
  return [
    `policies: ${title} is no longer in this config, and its Deployment ${workload.metadata.name} has another version than the ` +
      `one that serves (${where}): removing it now would start that version; let the rollout end, or give the Deployment the ` +
      'version that serves, and run again',
  ]
}

/** Before Rollouts are removed: their Deployments get their pods back. */
export async function handBack(cluster: Cluster, planned: readonly PlannedChange[], options: Options): Promise<void> {
  for (const object of removals(planned))
    if (object.kind === 'Rollout') await refill(cluster, object as Rollout, options)
}

async function refill(
  cluster: Cluster,
  { metadata: { namespace = '', name }, spec: { workloadRef, replicas = 1 } }: Rollout,
  { timeoutMs, note, signal, clock = systemClock }: Options,
): Promise<void> {
  const deployment = workloadRef && (await cluster.get<Workload>('Deployment', namespace, workloadRef.name))
  if (!deployment) return
  note(
    `scales the Deployment ${deployment.metadata.name} to ${replicas}, before the Rollout ${name} goes with its pods`,
  )
  // Argo Rollouts would scale it to 0 again.
  await cluster.merge('Rollout', namespace, name, { spec: { workloadRef: { scaleDown: 'never' } } })
  const deadline = clock.now() + timeoutMs
  for (;;) {
    const now = await cluster.get<Workload>('Deployment', namespace, deployment.metadata.name)
    if (!now) return
    const isFull = now.spec.replicas === replicas
    if (isFull && isRolledOut({ ...now, kind: 'Deployment' })) return
    if (!isFull) await cluster.merge('Deployment', namespace, now.metadata.name, { spec: { replicas } })
    // It says why the pods are not there.
    if (clock.now() >= deadline)
      return waitForRollout(cluster, { ...now, kind: 'Deployment' }, 0, signal, 'to take over')
    await clock.sleep(500, signal)
  }
}

/** After Canaries are removed: Flagger gives the Service and the traffic back to the Deployment before they are gone. */
export async function waitForRemoval(
  cluster: Cluster,
  planned: readonly PlannedChange[],
  { timeoutMs, signal, clock = systemClock }: Options,
): Promise<void> {
  for (const object of removals(planned).filter(({ kind }) => kind === 'Canary')) {
    const { namespace, name } = object.metadata
    // Flagger waits up to an interval for the pods.
    const deadline = clock.now() + timeoutMs + intervalOf(object as FlaggerCanary)
    while (await cluster.get<KubeObject>('Canary', namespace, name)) {
      if (clock.now() >= deadline)
        throw new Error(
          `Flagger has not returned the traffic of the ${titleOf(object)} to its Deployment, so the Canary is still being ` +
            'removed; check that Flagger runs, and its log',
        )
      await clock.sleep(500, signal)
    }
  }
}

function removals(planned: readonly PlannedChange[]): KubeObject[] {
  return planned.filter(isOfEngine).flatMap(({ action, object }) => (action === 'delete' ? [object] : []))
}

function isOfEngine({ object: { kind } }: PlannedChange): boolean {
  return kind === 'Rollout' || kind === 'Canary'
}

function typeOf(kind: string): EngineType {
  return kind === 'Rollout' ? 'argo-rollouts' : 'flagger'
}
