// Aborts rollouts outside the run that follows them: in the post step of a run that died, and in the stage rollback.
import { findUndrained } from '../canary/controller/undrained.ts'
import type { RecoveryIntent } from '../canary/active-promotion.ts'
import type { Cluster } from '../cluster/client.ts'
import type { CanaryConfig } from '../config/schema.ts'
import type { Split } from '../policies/routes.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { drainTarget } from '../canary/controller/undrained.ts'
import { abortRollout, readProgress, type Aborted } from './abort.ts'
import { engineOf, type Engine } from './engine.ts'
import { controllerFaults, findFollowed, type Followed } from './find.ts'
import type { RolloutProgress } from './progress.ts'

/**
 * Aborts the rollout of a run that ended in its middle, unless it is held. Returns one sentence about what it did, if anything.
 * `isHeld`: the plan says `onCancel: hold`. @throws Error if the traffic is not back on stable
 */
export async function recoverFollowed(
  cluster: Cluster,
  { split, drainTarget: target, followed, needsDrainCheck }: RecoveryIntent,
  isHeld: boolean,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Promise<string | undefined> {
  if (!followed) return undefined
  const { type, name, holds } = followed
  const engine = engineOf(type)
  const { kind, title } = engine
  const object = `the ${kind} ${split.namespace}/${name}`
  if ((isHeld || holds) && !needsDrainCheck) return `${title} goes on with ${object} by itself (\`onCancel: hold\`)`
  const faults = needsDrainCheck ? [] : await controllerFaults(cluster, engine)
  faults.forEach((fault) => note(fault))
  const options = { timeoutMs: target.timeoutMs, note, clock, hasController: faults.length === 0 }
  const aborted: Aborted = needsDrainCheck ? 'aborted' : await abortRollout(cluster, split, followed, options)
  if (aborted === 'open') throw new Error(await describeOpen(cluster, engine, split, name))
  const done = describeAborted(aborted, object, title)
  if (aborted !== 'aborted') return done
  // The intent may be older than the revision.
  const live = await engine.read(cluster, split.namespace, name)
  const selectors = live ? engine.selectors(live) : target.selectors
  const undrained = await findUndrained(cluster, split, { ...target, selectors }, note, clock)
  if (undrained?.kind === 'serving') throw new Error(undrained.text)
  return [needsDrainCheck ? [] : (done ?? []), undrained?.text ?? []].flat().join('; but ') || undefined
}

/** @throws Error if the engine goes on, or has promoted it already */
function describeAborted(aborted: Exclude<Aborted, 'open'>, object: string, title: string): string | undefined {
  switch (aborted) {
    case 'aborted':
      return `the rollout of ${object} was aborted, and ${title} has returned all traffic to stable`
    case 'nothing':
      return undefined
    case 'late':
      throw new Error(
        `${title} has promoted ${object} already, so its rollout cannot be aborted; roll it back with a new rollout`,
      )
    case 'pending':
      throw new Error(
        `${title} has not begun with ${object} yet, so there was nothing to abort; it may begin later: ` +
          'to prevent that, set the image back to the one that serves now',
      )
  }
}

/** The engine was told to abort, and has not. */
async function describeOpen(cluster: Cluster, engine: Engine, split: Split, name: string): Promise<string> {
  const { kind, title } = engine
  const live = await engine.read(cluster, split.namespace, name).catch(() => undefined)
  const progress = live && (await readProgress(cluster, engine, live, split).catch(() => undefined))
  const [fault = 'check that its controller runs'] = await controllerFaults(cluster, engine)
  const at = progress ? ` (${progress.where}, weight ${progress.weight})` : ''
  return (
    `the rollout of the ${kind} ${split.namespace}/${name} was told to abort, and ${title} has not ended it${at}` +
    `${live ? engine.delaysAbort(live.object) : ''}; ${fault}`
  )
}

/** For the stage rollback. Returns whether a rollout was aborted. @throws Error if its traffic is not back on stable */
export async function rollBackFollowed(
  cluster: Cluster,
  namespace: string,
  plan: CanaryConfig,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Promise<boolean> {
  const {
    engine,
    name,
    live,
    split,
    plan: complete,
  } = await findFollowed(cluster, namespace, withoutImages(plan), 'abort')
  const timeoutMs = complete.progressDeadline + engine.looksEvery(live.object)
  const progress = await waitUntilKnown(cluster, { engine, name, live, split }, timeoutMs, note, clock)
  const isReturned = progress.phase === 'failed' && progress.weight === 0
  if (progress.phase === 'promoted' || isReturned) {
    note(`the ${engine.kind} ${namespace}/${name} rolls nothing out (${progress.where}): nothing changed`)
    return false
  }
  const title = `the ${engine.kind} ${namespace}/${name}`
  if (progress.isBefore || progress.phase === 'waiting') describeAborted('pending', title, engine.title)
  const intent: RecoveryIntent = {
    split,
    identity: '',
    selectors: engine.selectors(live),
    drainTarget: drainTarget(complete, engine.selectors(live)),
    needsDrainCheck: false,
    followed: {
      type: plan.engine.type === 'flagger' ? 'flagger' : 'argo-rollouts',
      name,
      revision: progress.revision,
    },
  }
  const done = await recoverFollowed(cluster, intent, false, note, clock)
  if (done !== undefined) note(done)
  return done !== undefined
}

/** The controller may not have seen the last change yet, which may begin a rollout. */
async function waitUntilKnown(
  cluster: Cluster,
  { engine, name, live, split }: Pick<Followed, 'engine' | 'name' | 'live' | 'split'>,
  timeoutMs: number,
  note: (line: string) => void,
  clock: Clock,
): Promise<RolloutProgress> {
  const deadline = clock.now() + timeoutMs
  let progress = await readProgress(cluster, engine, live, split)
  if (progress.phase === 'waiting') note(`waits until ${engine.title} has acted on the last change of ${name}`)
  while (progress.phase === 'waiting' && clock.now() < deadline) {
    await clock.sleep(500)
    const now = await engine.read(cluster, split.namespace, name)
    if (!now) break
    progress = await readProgress(cluster, engine, now, split)
  }
  return progress
}

function withoutImages({ image: _, images: __, ...plan }: CanaryConfig): CanaryConfig {
  return plan
}
